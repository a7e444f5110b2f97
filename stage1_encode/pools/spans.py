"""Spans of pieces in a batch, of contexts or of occurrences of words: their states, added up or averaged."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from x2static.machine.device import to_device
from x2static.schemas.shard import ranges
from x2static.stage1_encode.text.windows import Ids, PreparedText, Window


class Spans:
    """The spans of a batch; its states are (rows, width, dim), of any float type, and padding is not read."""

    def __init__(self, spans: list[Ids], states: Tensor, averaged: bool = False) -> None:
        """Take the spans of each window, in the order of the rows, (n, 3) rows (number, start, stop) in its pieces.

        `states` are those of the batch, or others of their shape and device. With `averaged`, each state counts divided
        by the pieces of its span, so that sums are means.
        """
        width = states.shape[1]
        shifted = [one + np.array([0, row * width, row * width]) for row, one in enumerate(spans)]
        numbers, starts, stops = np.concatenate(shifted).T
        self.numbers: Ids = numbers  # (n_spans,) int64, the context or word of each
        self.lengths: Ids = stops - starts  # (n_spans,) int64, pieces of each
        self._positions = to_device(ranges(starts, self.lengths), states.device)
        weights = (1 / self.lengths).astype(np.float32) if averaged else None
        self._weights = None if weights is None else to_device(np.repeat(weights, self.lengths), states.device)

    @cached_property
    def _owners(self) -> Tensor:
        return self.of_pieces(np.arange(len(self.numbers)))

    def of_pieces(self, values: Ids) -> Tensor:
        """Return, for each piece, the value of its span, (n_pieces,) int64 on the device, of (n_spans,) int64."""
        return to_device(np.repeat(values, self.lengths), self._positions.device)

    def pieces(self, states: Tensor) -> Tensor:
        """Return the states of all pieces, (n_pieces, dim) float32."""
        rows = states.reshape(-1, states.shape[2]).index_select(0, self._positions).float()
        return rows if self._weights is None else rows * self._weights[:, None]

    def sums(self, states: Tensor) -> Tensor:
        """Return the sum, or the mean, of the states over each span, (n_spans, dim) float32."""
        rows = self.pieces(states)
        return rows.new_zeros((len(self.numbers), rows.shape[1])).index_add_(0, self._owners, rows)

    def largest(self, states: Tensor) -> Tensor:
        """Return the largest value of each dimension over each span, (n_spans, dim) float32; no span is empty."""
        rows = self.pieces(states)
        largest = rows.new_full((len(self.numbers), rows.shape[1]), -torch.inf)
        return largest.scatter_reduce_(0, self._owners[:, None].expand_as(rows), rows, "amax")


class ChosenWords:
    """The rows of some words, as they are numbered in a unit."""

    def __init__(self, words: Sequence[str]) -> None:
        self._row = {word: row for row, word in enumerate(words)}
        self.rows: Ids = np.zeros(0, np.int64)  # of each word of the unit so far, -1 for those that are not chosen

    def extend(self, text: PreparedText, numbers: Ids) -> None:
        """Hear of a portion of the unit; `rows` is replaced, for others may be reading it."""
        rows = np.full(max(len(self.rows), int(numbers.max(initial=-1)) + 1), -1, np.int64)
        rows[: len(self.rows)] = self.rows
        rows[numbers] = [self._row.get(word, -1) for word in text.lexicon]
        self.rows = rows

    def among(self, listed: Ids) -> Ids:
        """Return those of some occurrences, (n, 3), that are of the words, with rows for the words' numbers."""
        rows = self.rows[listed[:, 0]]
        return np.column_stack([rows, listed[:, 1:]])[rows >= 0]


def occurrences(batch: list[Window], states: Tensor, words: ChosenWords | None = None) -> Spans:
    """Return the occurrences of all words in a batch, or of some; a vector is the mean of the states of its pieces."""
    listed = [window.occurrences for window in batch]
    return Spans(listed if words is None else list(map(words.among, listed)), states, averaged=True)
