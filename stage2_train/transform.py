"""The space of a training: an affine map of the contexts, fitted once for a run and kept in its folder."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically, read_json
from x2static.durable.tensors import write_arrays
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.run_folder import SETTINGS

TRANSFORM = "transform.safetensors"
ROWS_AT_ONCE = 4096  # contexts that are held in float32 at a time


@dataclass(frozen=True, eq=False)
class Transform:
    """c' = (c - shift) matrix, and a last coordinate of 1 where the vectors have a bias.

    With S the shrunk covariance of the contexts, V_d its first d principal axes and L_d their variances:

        kind      shift   matrix, all dimensions   matrix, d dimensions   bias
        none      0       I                        first d axes of E c c^T   no
        center    m       I                        V_d                    yes
        whiten    m       S^-1/2 (symmetric)       V_d L_d^-1/2           yes

    Fewer dimensions of contexts as they are keep the axes of the second moment, not of the covariance: these are the
    closest to the contexts themselves, and hold on to their common mean, which takes a bias's place. The symmetric root
    is the one that moves contexts least; on d < dim axes there is no such choice, and the axes are the coordinates.

    Centred contexts have lost the mean that serves as a bias (DESIGN §1), so each word gets one: its coordinate on the
    ones. It is trained and kept in checkpoints like the others, and not exported.

    Attributes:
        shift: (teacher's dim,) float64; None for 0.
        matrix: (teacher's dim, dim) float64; None for I.
        bias: whether there is a coordinate of ones.
        fitted_on: content of the cache whose contexts these are the moments of; empty for the identity.
    """

    shift: Tensor | None = None
    matrix: Tensor | None = None
    bias: bool = False
    fitted_on: str = ""

    @classmethod
    def load(cls, folder: Path) -> "Transform":
        """Read the transform of a run.

        Raises:
            X2StaticError: the run has one and the file is missing, or it is damaged.
        """
        file = folder / TRANSFORM
        if not file.is_file():
            settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
            if settings.get("transform") == "none" and settings.get("dim") is None:
                return cls()
            raise X2StaticError(f"{file}: the transform of this run's contexts is missing; give --out a new folder")
        try:
            with safe_open(file, "pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
                metadata = opened.metadata()
            return cls(tensors.get("shift"), tensors.get("matrix"), metadata["bias"] == "yes", metadata["fitted_on"])
        except (SafetensorError, KeyError, TypeError) as error:
            raise X2StaticError(
                f"{file}: the transform of this run's contexts is damaged ({error}); give --out a new folder"
            ) from error

    def save(self, folder: Path) -> None:
        """Write the transform to a run's folder, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        parts = {"shift": self.shift, "matrix": self.matrix}
        with open_atomically(folder / TRANSFORM) as file:
            write_arrays(
                file,
                {name: tensor.numpy() for name, tensor in parts.items() if tensor is not None},
                {"bias": "yes" if self.bias else "no", "fitted_on": self.fitted_on},
            )

    def dim(self, contexts: int) -> int:
        """Return the length of the vectors that are exported, for contexts of a length."""
        return contexts if self.matrix is None else self.matrix.shape[1]

    def width(self, contexts: int) -> int:
        """Return the length of the vectors in training, which includes the bias, for contexts of a length."""
        return self.dim(contexts) + self.bias

    def map_contexts(self, contexts: Tensor) -> Tensor:
        """Return (c - shift) matrix in float64, without the ones.

        Args:
            contexts: (n, teacher's dim) float64.
        """
        centred = contexts if self.shift is None else contexts - self.shift
        return self.map_differences(centred)

    def map_differences(self, differences: Tensor) -> Tensor:
        """Return what becomes of differences between contexts, (n, dim) float64: the shift cancels out."""
        return differences if self.matrix is None else differences @ self.matrix

    def apply(self, contexts: npt.NDArray[np.float16], into: npt.NDArray[np.float16]) -> None:
        """Transform contexts, in float32.

        Args:
            contexts: (n, teacher's dim), all finite.
            into: (n, width), overwritten; its last column is 1 where there is a bias. What float16 cannot hold is
                infinite.
        """
        for start in range(0, len(contexts), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            into[piece] = self.applied(torch.from_numpy(contexts[piece])).numpy()

    def applied(self, contexts: Tensor) -> Tensor:
        """Do what `apply` does to contexts that lie where this transform lies, and return them, (n, width) float16.

        Args:
            contexts: (n, teacher's dim) float16, all finite; some thousand, as they are held in float32 too.
        """
        if self.shift is None and self.matrix is None:
            return contexts
        into = contexts.new_ones((len(contexts), self.width(contexts.shape[1])))
        into[:, : self.dim(contexts.shape[1])] = self._single_precision(contexts.float())
        return into

    def to(self, device: torch.device) -> "Transform":
        """Return the same transform on a device."""
        shift, matrix = (None if part is None else part.to(device) for part in (self.shift, self.matrix))
        return replace(self, shift=shift, matrix=matrix)

    def _single_precision(self, contexts: Tensor) -> Tensor:
        shift, matrix = self._float32
        centred = contexts if shift is None else contexts - shift
        return centred if matrix is None else centred @ matrix

    @cached_property
    def _float32(self) -> tuple[Tensor | None, Tensor | None]:
        return (
            None if self.shift is None else self.shift.float(),
            None if self.matrix is None else self.matrix.float(),
        )


def is_identity(config: TrainConfig) -> bool:
    """Return whether contexts stay as they are, and nothing has to be fitted."""
    return config.transform == "none" and config.dim is None


def refuse_more_dimensions(config: TrainConfig, contexts: int) -> None:
    """Check `dim` against the teacher's.

    Raises:
        X2StaticError: it is larger.
    """
    if config.dim is not None and config.dim > contexts:
        raise X2StaticError(
            f"{config.cache}: --dim {config.dim} asked for, but its contexts have {contexts} dimensions; give "
            f"{contexts} or less, or leave out --dim"
        )
