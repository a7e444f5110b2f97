"""The space of a training: an affine map of the contexts, fitted once for a run and kept in its folder."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically
from x2static.schemas.vectors import write_arrays

Kind = Literal["none", "center", "whiten"]


@dataclass(frozen=True, eq=False)
class Transform:
    """c' = (c - shift) matrix, and a last coordinate of 1 where the vectors have a bias.

    With S the shrunk covariance of the contexts, V_d its first d principal axes and L_d their variances:

        kind      shift   matrix, all dimensions   matrix, d dimensions   bias
        none      0       I                        first d axes of E c c^T   no
        center    m       I                        V_d                    yes
        whiten    m       S^-1/2 (symmetric)       V_d L_d^-1/2           yes

    Fewer dimensions of contexts as they are keep the axes of the second moment, not of the covariance: these hold on to
    the contexts' mean, which takes a bias's place. The symmetric root is the one that moves contexts least. Centred
    contexts have lost their mean, so each word gets a bias, its coordinate on the ones. It is trained and kept in
    checkpoints like the others, and not exported.
    """

    shift: Tensor | None = None  # (teacher's dim,) float64; None for 0
    matrix: Tensor | None = None  # (teacher's dim, dim) float64; None for I
    bias: bool = False  # whether there is a coordinate of ones
    fitted_on: str = ""  # content of the cache whose contexts these are the moments of; empty for the identity

    @classmethod
    def load(cls, file: Path) -> "Transform":
        """Read the transform of a run. Raises X2StaticError: it is damaged."""
        try:
            with safe_open(file, "pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
                metadata = opened.metadata()
            return cls(tensors.get("shift"), tensors.get("matrix"), metadata["bias"] == "yes", metadata["fitted_on"])
        except (SafetensorError, KeyError, TypeError) as error:
            raise X2StaticError(f"{file}: the transform of this run is damaged ({error}); give a new --out") from error

    def save(self, file: Path) -> None:
        """Write the transform, whole or not at all."""
        parts = {"shift": self.shift, "matrix": self.matrix}
        arrays = {name: tensor.numpy() for name, tensor in parts.items() if tensor is not None}
        with open_atomically(file) as opened:
            write_arrays(opened, arrays, {"bias": "yes" if self.bias else "no", "fitted_on": self.fitted_on})

    def dim(self, contexts: int) -> int:
        """Return the length of the vectors that are exported, for contexts of a length."""
        return contexts if self.matrix is None else self.matrix.shape[1]

    def width(self, contexts: int) -> int:
        """Return the length of the vectors in training, which includes the bias, for contexts of a length."""
        return self.dim(contexts) + self.bias

    def map_contexts(self, contexts: Tensor) -> Tensor:
        """Return (c - shift) matrix of contexts (n, teacher's dim) float64, without the ones."""
        return self.map_differences(contexts if self.shift is None else contexts - self.shift)

    def map_differences(self, differences: Tensor) -> Tensor:
        """Return what becomes of differences between contexts, (n, dim) float64: the shift cancels out."""
        return differences if self.matrix is None else differences @ self.matrix

    def apply(self, contexts: Tensor) -> Tensor:
        """Transform some thousand contexts, (n, teacher's dim) float16, to (n, width) float16 or infinity."""
        if self.shift is None and self.matrix is None:
            return contexts
        into = contexts.new_ones((len(contexts), self.width(contexts.shape[1])))
        into[:, : self.dim(contexts.shape[1])] = self._in_float32.map_contexts(contexts.float())
        return into

    @cached_property
    def _in_float32(self) -> "Transform":
        return self.to(torch.float32)

    def to(self, place: torch.device | torch.dtype) -> "Transform":
        """Return the same transform on a device, or of a dtype."""
        shift, matrix = (None if part is None else part.to(place) for part in (self.shift, self.matrix))
        return replace(self, shift=shift, matrix=matrix)


IDENTITY = Transform()  # of contexts as they are
