"""The frozen teacher: loaded, its window probed, its states given."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from x2static.durable.errors import X2StaticError, first_line
from x2static.machine.device import has_bfloat16, to_device
from x2static.schemas.encoding import LAST, Layer, Precision
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.lanes import keep_few_kernels
from x2static.stage1_encode.teacher.model import (
    canonical_layer,
    claimed_layers,
    claimed_window,
    held_window,
    load_model,
)
from x2static.stage1_encode.text.tokenizer import TeacherTokenizer
from x2static.stage1_encode.text.windows import Window

WIDTHS_PER_OCTAVE = 16


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


def padded_width(longest: int, window: int) -> int:
    """Return how many pieces wide a batch is made: few widths, and little padding.

    A CPU's matrix library prepares code for every shape it meets. So many widths between one power of two and the next
    (16 read 2 % more pieces a second than 32 and 5 % more than 64: docs/LOG.md, 2026-11-21), and one number of rows for
    each (`batches.cut`).

    Args:
        longest: pieces of the longest window of the batch.
        window: pieces that the teacher holds.
    """
    step = max(1, (1 << (longest - 1).bit_length()) // (2 * WIDTHS_PER_OCTAVE))
    return max(longest, min(-(-longest // step) * step, window))


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
        layer: Layer = LAST,
        compiled: bool = False,
    ) -> None:
        """Load the model, probe its window and move it to the device.

        Raises X2StaticError: it cannot be loaded or compiled, is not a model with hidden states, has no such layer, or
        not a row for each piece of its tokenizer.
        """
        keep_few_kernels()
        self.tokenizer = TeacherTokenizer.load(files.folder, trust_remote_code)  # cuts text into its pieces
        self.device = device
        self._name = files.name
        self._model = load_model(files.folder, getattr(torch, precision), trust_remote_code)
        self._call: Callable[..., Any] = self._model
        self.attention = str(self._model.config._attn_implementation)  # its attention implementation
        self._rows = len(self._model.get_input_embeddings().weight)  # type: ignore[arg-type]  # it is a tensor
        self.check_ids(parse_special=False)
        self._padding = self.tokenizer.padding if self.tokenizer.padding < self._rows else 0
        # the layer whose states it gives: "last", or a number below that of the last; 0 is the embeddings
        self.layer: Layer = LAST
        self.dim = self._probe_dim()  # width of that layer's states
        if layer != LAST:
            claimed = claimed_layers(self._model.config)
            if claimed != self.n_layers:
                raise X2StaticError(
                    f"--layer {layer}: config.json names {claimed} layers, the model has states of {self.n_layers}; "
                    f"use --layer {LAST}"
                )
            self.layer = canonical_layer(layer, claimed)
            self.dim = self._probe_dim()
        self.window = self._probe_window()  # pieces that it holds, special tokens included
        self._model.to(device)  # type: ignore[arg-type]  # decorated, and so mistaken for a function
        if compiled:
            self._compile()

    @cached_property
    def n_layers(self) -> int:
        """Number of layers above the embeddings.

        Raises X2StaticError: the model gives the states of the last layer alone.
        """
        piece = torch.zeros((1, 1), dtype=torch.long, device=self._model.device)
        with torch.inference_mode():
            return len(self._layers(piece, torch.ones_like(piece))) - 1

    def states(self, batch: list[Window]) -> torch.Tensor:
        """Return the layer's states of a batch, (len(batch), width, dim) in the teacher's precision.

        Shorter windows are padded on the right and masked; their states behind the end mean nothing.
        """
        return self.forward(*self.inputs(batch))

    @torch.inference_mode()
    def layers(self, batch: list[Window]) -> tuple[torch.Tensor, ...]:
        """Return every layer's states of a batch, each as `states` gives them: embeddings first, the last one last.

        n_layers + 1 of them. The last is what the model itself calls its last states, behind its final norm.
        """
        return self._layers(*self.inputs(batch))

    def picked(self, layers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return what `states` returns, out of the states of all layers."""
        return layers[-1 if self.layer == LAST else self.layer]

    def inputs(self, batch: list[Window]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch's pieces and attention mask, each (len(batch), width) int64, on the device."""
        width = padded_width(max(len(window.pieces) for window in batch), self.window)
        pieces = np.full((len(batch), width), self._padding, np.int64)
        mask = np.zeros((len(batch), width), np.int64)
        for row, window in enumerate(batch):
            pieces[row, : len(window.pieces)] = window.pieces
            mask[row, : len(window.pieces)] = 1
        return to_device(pieces, self.device), to_device(mask, self.device)

    @torch.inference_mode()
    def forward(self, pieces: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the layer's states of padded pieces, (rows, width, dim)."""
        if self.layer != LAST:
            return self._layers(pieces, mask)[self.layer]
        states: torch.Tensor = self._call(input_ids=pieces, attention_mask=mask).last_hidden_state
        return states

    def check_ids(self, parse_special: bool) -> None:
        """Refuse a tokenizer with ids that the embedding matrix has no row for.

        Args:
            parse_special: whether a special token's name in a text is read as that token.

        Raises:
            X2StaticError: with both numbers.
        """
        largest = self.tokenizer.largest_id(parse_special)
        if largest >= self._rows:
            raise X2StaticError(
                f"model {self._name}: its tokenizer has ids up to {largest}, its embedding matrix {self._rows} rows; "
                "they are not of one model"
            )

    def _layers(self, pieces: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self._call(input_ids=pieces, attention_mask=mask, output_hidden_states=True)
        if not outputs.hidden_states:
            raise X2StaticError(f"model {self._name}: it gives the states of its last layer alone; use --layer {LAST}")
        return (*outputs.hidden_states[:-1], outputs.last_hidden_state)

    def _probe_dim(self) -> int:
        """Return the width of the states of one piece, or say why there are none."""
        piece = torch.zeros((1, 1), dtype=torch.long)
        try:
            return self.forward(piece, torch.ones_like(piece)).shape[-1]
        except X2StaticError:
            raise
        except Exception as error:  # what a model does that is not made for text alone is its own affair
            raise X2StaticError(
                f"model {self._name}: {type(self._model).__name__} gives no hidden states for text: {first_line(error)}"
            ) from error

    def _probe_window(self) -> int:
        claim = claimed_window(self._model.config, self.tokenizer.max_length)
        paddings = (self._padding, getattr(self._model.config, "pad_token_id", None))
        window = held_window(self._model, claim, next(piece for piece in range(3) if piece not in paddings))
        if window <= self.tokenizer.n_special:
            raise X2StaticError(
                f"model {self._name}: it holds {window} pieces, {self.tokenizer.n_special} of them special tokens; "
                "there is no room for text"
            )
        return window

    def _compile(self) -> None:
        """Compile for any number and width of windows, and for all of the cores or some."""
        self._call = torch.compile(self._model, dynamic=True)
        pieces = torch.zeros((2, 3), dtype=torch.long, device=self.device)
        try:
            self.forward(pieces, torch.ones_like(pieces))
        except Exception as error:  # there is no compiler, or it has none for this model
            raise X2StaticError(
                f"--compile: torch cannot compile {self._name} here ({first_line(error)}); leave --compile out"
            ) from error
