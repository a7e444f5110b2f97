"""Batches of windows of about one length, begun while the later windows of a unit are still being prepared."""

from collections.abc import Sequence

import numpy as np

from x2static.stage1_encode.teacher.teacher import padded_width
from x2static.stage1_encode.text.windows import Ids, PackedWindows, Window

SHARE_READ_AT_ONCE = 0.5  # of a portion that others follow


def cut(windows: Sequence[Window], max_tokens: int, window: int) -> list[list[Window]]:
    """Return batches of windows, longest first, so that they are even; those of equal length stay in their order.

    Args:
        windows: in corpus order.
        max_tokens: windows times padded width of a batch; one window may exceed it.
        window: pieces that the teacher holds.
    """
    lengths = np.array([len(one.pieces) for one in windows], np.int64)
    return [[windows[number] for number in batch] for batch in _cut(lengths, max_tokens, window)]


def _cut(lengths: Ids, max_tokens: int, window: int) -> list[Ids]:
    """Return the same of windows of these lengths, by their numbers."""
    ordered = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(ordered):
        size = _rows(int(lengths[ordered[start]]), max_tokens, window)
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
        """Begin a unit, for a teacher that holds so many pieces in a window."""
        self._window = window
        self._portions: list[PackedWindows] = []
        # Of the windows that wait: their portion, number in it, and length.
        self._waiting: Ids = np.zeros((0, 3), np.int64)

    def add(self, windows: PackedWindows, last: bool, max_tokens: int) -> list[list[Window]]:
        """Take in the windows of a portion and return batches, longest windows first.

        Args:
            windows: of the portion.
            last: whether the unit ends with it; then all that is left is returned.
            max_tokens: as for `cut`.
        """
        portion = np.full(len(windows), len(self._portions))
        self._portions.append(windows)
        new = np.stack([portion, np.arange(len(windows)), windows.lengths], axis=1)
        self._waiting = np.concatenate([self._waiting, new])
        lengths = self._waiting[:, 2]
        batches = _cut(lengths, max_tokens, self._window)
        leaving = list(range(len(batches))) if last else self._fullest(batches, lengths, max_tokens, windows)
        ready = [self._waiting[batches[one]] for one in leaving]
        gone = np.concatenate([np.zeros(0, np.int64), *(batches[one] for one in leaving)])
        self._waiting = np.delete(self._waiting, gone, axis=0)
        return [[self._portions[portion][number] for portion, number, _ in batch] for batch in ready]

    def _fullest(self, batches: list[Ids], lengths: Ids, max_tokens: int, windows: PackedWindows) -> list[int]:
        """Return which batches leave of those that are cut now, in their order."""
        padding = []
        for batch in batches:
            longest = int(lengths[batch[0]])
            full = _rows(longest, max_tokens, self._window) * padded_width(longest, self._window)
            padding.append(1 - lengths[batch].sum() / full)
        room = SHARE_READ_AT_ONCE * windows.lengths.sum()
        leaving = []
        for one in np.argsort(padding, kind="stable").tolist():
            if room <= 0:
                break
            leaving.append(one)
            room -= lengths[batches[one]].sum()
        return sorted(leaving)


def _rows(longest: int, max_tokens: int, window: int) -> int:
    return max(1, max_tokens // padded_width(longest, window))
