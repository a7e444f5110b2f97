"""Batches of windows of about one length, begun while the later windows of a unit are still being prepared."""

from collections.abc import Sequence

import numpy as np

from x2static.stage1_encode.text.windows import Ids, PackedWindows, Window

SHARE_READ_AT_ONCE = 0.5  # of a portion that others follow
WIDTHS_PER_OCTAVE = 16


def padded_width(longest: int, window: int) -> int:
    """Return how many pieces wide a batch is made for its longest window, and a teacher's window: few widths.

    A CPU's matrix library prepares code for every shape it meets. So many widths between one power of two and the next
    (16 read 2 % more pieces a second than 32, 5 % more than 64: docs/LOG.md, 2026-11-21), and one number of rows each.
    """
    step = max(1, (1 << (longest - 1).bit_length()) // (2 * WIDTHS_PER_OCTAVE))
    return max(longest, min(-(-longest // step) * step, window))


def cut(windows: Sequence[Window], max_tokens: int, window: int) -> list[list[Window]]:
    """Return batches of windows, longest first, so that they are even; those of equal length stay in their order.

    `max_tokens` are windows times padded width of a batch, which one window may exceed; `window` is the teacher's.
    """
    lengths = np.array([len(one.pieces) for one in windows], np.int64)
    return [[windows[number] for number in batch] for batch in _cut(lengths, max_tokens, window)]


def _cut(lengths: Ids, max_tokens: int, window: int) -> list[Ids]:
    """Return the same of windows of these lengths, by their numbers."""
    ordered = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(ordered):
        size = max(1, max_tokens // padded_width(int(lengths[ordered[start]]), window))
        batches.append(ordered[start : start + size])
        start += size
    return batches


class Batches:
    """Cuts the windows of one unit, as its portions come, into batches; none crosses into another unit.

    Of each portion but the last, batches leave for half of its pieces, those with the least padding; all else waits and
    is sorted in with what comes. So the teacher need not wait for the whole unit, and padding is hardly more than if it
    did (English Wikipedia, units of 8,192 paragraphs in portions of 1,024: 2.6 % instead of 2.5 %; with the longest
    instead of the fullest 3.9 %: docs/LOG.md, 2026-11-21).
    """

    def __init__(self, window: int) -> None:
        self._window = window  # pieces that the teacher holds
        self._portions: list[PackedWindows] = []
        self._waiting: Ids = np.zeros((0, 3), np.int64)  # of windows that wait: their portion, number in it, and length

    def add(self, windows: PackedWindows, last: bool, max_tokens: int) -> list[list[Window]]:
        """Take in a portion, and return batches of what waits, as `cut` makes them; all, if the unit ends with it."""
        portion = np.full(len(windows), len(self._portions))
        self._portions.append(windows)
        new = np.stack([portion, np.arange(len(windows)), windows.lengths], axis=1)
        self._waiting = np.concatenate([self._waiting, new])
        lengths = self._waiting[:, 2]
        batches = _cut(lengths, max_tokens, self._window)
        if not last:
            batches = self._fullest(batches, lengths, max_tokens, SHARE_READ_AT_ONCE * windows.lengths.sum())
        ready = [self._waiting[batch] for batch in batches]
        self._waiting = np.delete(self._waiting, np.concatenate([np.zeros(0, np.int64), *batches]), axis=0)
        return [[self._portions[portion][number] for portion, number, _ in batch] for batch in ready]

    def _fullest(self, batches: list[Ids], lengths: Ids, max_tokens: int, wanted: float) -> list[Ids]:
        """Return the batches with the least padding, until they have the pieces that are wanted, in their order."""
        widths = np.array([padded_width(int(lengths[batch[0]]), self._window) for batch in batches], np.int64)
        n_pieces = np.array([lengths[batch].sum() for batch in batches], np.int64)
        by_padding = np.argsort(1 - n_pieces / (np.maximum(1, max_tokens // widths) * widths), kind="stable")
        before = np.cumsum(n_pieces[by_padding]) - n_pieces[by_padding]
        return [batches[one] for one in np.sort(by_padding[before < wanted])]
