"""The frozen teacher: loaded, its window probed, its states given."""

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from x2static.durable.errors import X2StaticError, first_line
from x2static.machine.device import has_bfloat16, to_device
from x2static.schemas.encoding import LAST, Backend, Layer, Precision
from x2static.stage1_encode.teacher.batches import padded_width
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.model import (
    UpTo,
    canonical_layers,
    claimed_layers,
    held_window,
    load_model,
    mean_of_layers,
    n_embedded,
    read_config,
)
from x2static.stage1_encode.teacher.openvino_model import OpenVinoModel
from x2static.stage1_encode.text.tokenizer import TeacherTokenizer
from x2static.stage1_encode.text.windows import Window


def pick_precision(
    precision: Precision | Literal["auto"], compat: str | None, device: torch.device
) -> tuple[Precision, str]:
    """Return the teacher's number format, and why."""
    if precision != "auto":
        return precision, "it was asked for"
    if compat == "paper":
        return "float16", "the reference implementation uses it"
    if has_bfloat16(device):
        return "bfloat16", f"this {device.type.upper()} computes with it"
    return "float32", f"this {device.type.upper()} does not compute with bfloat16"


def keep_few_kernels() -> None:
    """Let a CPU's matrix library keep the code of the last few shapes, not that of the last 1,024 in every thread.

    It took 2 MB a shape, 130 MB of an encode, and lay between the states, so that the next batch's did not fit into the
    holes: 8 in a thread instead of 16 are 5 % faster (docs/LOG.md, 2026-11-21 and 22). A layer has three to eight kinds
    of products. The libraries read this at the first product of the process; a user's own settings stay.
    """
    os.environ.setdefault("LRU_CACHE_CAPACITY", "8")  # ideep's, between torch and oneDNN; in each thread
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")


class Teacher:
    """A loaded teacher.

    A decoder-only teacher (GPT-2, Llama) reads from left to right: its contexts are means over states that know only
    what stands before them, as in the paper, which does so with GPT-2.
    """

    def __init__(
        self,
        files: TeacherFiles,
        precision: Precision,
        device: torch.device,
        trust_remote_code: bool,
        layer: Layer | str = LAST,
        compiled: bool = False,
        backend: Backend = "torch",
        lanes: int = 1,
    ) -> None:
        """Load the model, probe its window, and move it to the device, or to OpenVINO, for so many batches at once.

        Raises X2StaticError: it cannot be loaded, compiled or converted, is not a model with hidden states, has no such
        layer, or not a row for each piece of its tokenizer.
        """
        keep_few_kernels()
        read_config(files.folder, trust_remote_code)  # first, since the tokenizer's library reads it, too
        self.tokenizer = TeacherTokenizer.load(files.folder, trust_remote_code)  # cuts text into its pieces
        self.device, self.name, openvino = device, files.name, backend == "openvino"
        self._model = load_model(
            files.folder, torch.float32 if openvino else getattr(torch, precision), trust_remote_code
        )
        self._call: Callable[..., Any] = self._model
        self._up_to: UpTo | None = None  # runs the model to the layer that is wanted
        self._openvino: OpenVinoModel | None = None  # runs it instead of PyTorch
        self.attention = str(self._model.config._attn_implementation)  # its attention implementation
        self._rows = n_embedded(self._model)
        self.check_ids(parse_special=False)
        self._padding = self.tokenizer.padding if self.tokenizer.padding < self._rows else 0
        self.layer: Layer | str = LAST  # whose states it gives, by its one name (`canonical_layers`)
        self.dim = self._probe_dim()  # width of that layer's states
        if layer != LAST:
            claimed = claimed_layers(self._model.config)
            if claimed != self.n_layers:
                problem = f"config.json names {claimed} layers, the model has states of {self.n_layers}"
                raise X2StaticError(f"--layer {layer}: {problem}; use --layer {LAST}")
            self.layer = canonical_layers(layer, claimed)
            self.dim = self._probe_dim()
            if isinstance(self.layer, int) and not compiled:
                self._up_to = UpTo.layer(self._model, self.layer)
        # pieces that it holds, special tokens included
        self.window = held_window(self._model, self.tokenizer.max_length, self._padding)
        if self.window <= self.tokenizer.n_special:
            held = f"{self.window} pieces, {self.tokenizer.n_special} of them special tokens"
            raise X2StaticError(f"model {self.name}: it holds {held}; there is no room for text")
        self._check_states()
        if openvino:
            self._openvino = OpenVinoModel(self._model, self.layer, precision, lanes, self.window)
            return
        self._model.to(device)  # type: ignore[arg-type]  # decorated, and so mistaken for a function
        if compiled:  # for any number and width of windows, and for all of the cores or some
            self._call = torch.compile(self._model, dynamic=True)
            self._try((2, 3), f"--compile: torch cannot compile {self.name} here", "; leave --compile out")

    @property
    def mask(self) -> int | None:
        """The piece that stands for a masked word; None where the teacher has none."""
        mask = self.tokenizer.mask
        return mask if mask is not None and mask < self._rows else None

    @cached_property
    def n_layers(self) -> int:
        """Layers above the embeddings. Raises X2StaticError: the model gives the states of the last layer alone."""
        piece = torch.zeros((1, 1), dtype=torch.long, device=self._model.device)
        with torch.inference_mode():
            return len(self._all_layers(piece, torch.ones_like(piece))) - 1

    def states(self, batch: list[Window]) -> torch.Tensor:
        """Return the layer's states of a batch, (len(batch), width, dim), in the teacher's precision or float32.

        Shorter windows are padded on the right and masked; their states behind the end mean nothing.
        """
        return self.forward(*self.inputs(batch))

    @torch.inference_mode()
    def layers(self, batch: list[Window]) -> tuple[torch.Tensor, ...]:
        """Return the states of a batch in all n_layers + 1 layers; the last are those behind the model's final norm."""
        inputs = self.inputs(batch)
        return self._openvino.layers(*inputs) if self._openvino else self._all_layers(*inputs)

    def inputs(self, batch: list[Window]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch's pieces and attention mask, each (len(batch), width) int64, on the device."""
        lengths = np.array([len(window.pieces) for window in batch])
        mask = np.arange(padded_width(int(lengths.max()), self.window)) < lengths[:, None]
        pieces = np.full(mask.shape, self._padding, np.int64)
        pieces[mask] = np.concatenate([window.pieces for window in batch])
        return to_device(pieces, self.device), to_device(mask.astype(np.int64), self.device)

    @torch.inference_mode()
    def forward(self, pieces: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the layer's states of padded pieces, (rows, width, dim)."""
        if self._openvino:
            return self._openvino.states(pieces, mask)
        if self._up_to:
            return self._up_to(pieces, mask)
        if self.layer != LAST:
            return mean_of_layers(self._all_layers(pieces, mask), self.layer)
        states: torch.Tensor = self._call(input_ids=pieces, attention_mask=mask).last_hidden_state
        return states

    def check_ids(self, parse_special: bool) -> None:
        """Refuse a tokenizer with ids that the embedding matrix has no row for; `parse_special` as when encoding."""
        largest = self.tokenizer.largest_id(parse_special)
        if largest >= self._rows:
            problem = f"its tokenizer has ids up to {largest}, its embedding matrix {self._rows} rows"
            raise X2StaticError(f"model {self.name}: {problem}; they are not of one model")

    @torch.inference_mode()
    def _check_states(self) -> None:
        """Refuse a teacher that draws at random, as code of its own may with dropout, or gives nothing but zeros."""
        pieces = torch.arange(min(16, self.window), device=self._model.device)[None] % self._rows
        first, second = (self.forward(pieces, torch.ones_like(pieces)).float() for _ in range(2))
        if not torch.allclose(first, second, rtol=0.01, atol=0.01, equal_nan=True):
            raise X2StaticError(f"model {self.name}: it gives other states each time that it reads a text (dropout?)")
        if not first.any():
            raise X2StaticError(f"model {self.name}: its states are all zero; its weights are not those of a teacher")

    def _all_layers(self, pieces: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self._call(input_ids=pieces, attention_mask=mask, output_hidden_states=True)
        if not outputs.hidden_states:
            raise X2StaticError(f"model {self.name}: it gives the states of its last layer alone; use --layer {LAST}")
        return (*outputs.hidden_states[:-1], outputs.last_hidden_state)

    def _probe_dim(self) -> int:
        """Return the width of the states, or say why there are none."""
        problem = f"model {self.name}: {type(self._model).__name__} gives no hidden states for text"
        return self._try((1, 1), problem).shape[-1]

    def _try(self, shape: tuple[int, int], problem: str, remedy: str = "") -> torch.Tensor:
        """Return the states of pieces of a shape; an error of the model's own is the problem's reason."""
        pieces = torch.zeros(shape, dtype=torch.long, device=self._model.device)
        try:
            return self.forward(pieces, torch.ones_like(pieces))
        except X2StaticError:
            raise
        except Exception as error:  # what a model does that is not made for text alone is its own affair
            raise X2StaticError(f"{problem} ({first_line(error)}){remedy}") from error
