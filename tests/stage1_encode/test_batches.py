"""Batches of a unit whose portions come one after the other."""

import random
from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from x2static.stage1_encode.teacher.batches import Batches, cut, padded_width
from x2static.stage1_encode.text.windows import PackedWindows, Window

MAX_TOKENS, WINDOW = 64, 32
NO_SPANS = np.zeros((0, 3), np.int64)


def windows_of(lengths: list[int], begin: int = 0) -> PackedWindows:
    """Return windows whose first pieces number them."""
    return PackedWindows([Window(np.full(length, begin + at), NO_SPANS) for at, length in enumerate(lengths)])


def number(window: Window) -> int:
    return int(window.pieces[0])


def pieces(windows: Iterable[Window]) -> int:
    return sum(len(window.pieces) for window in windows)


def padding(batch: list[Window], max_tokens: int = MAX_TOKENS, window: int = WINDOW) -> float:
    """Return the share of a full batch of this width that is no text."""
    width = padded_width(len(batch[0].pieces), window)
    return 1 - pieces(batch) / (max(1, max_tokens // width) * width)


def test_portions_cost_hardly_more_padding_than_the_whole_unit():
    """Lengths drawn as those of English Wikipedia lie: 120 pieces on average, 8 portions of 550 windows."""
    drawn = random.Random(0)
    portions = [windows_of([min(512, 20 + int(drawn.gammavariate(2, 50))) for _ in range(550)]) for _ in range(8)]

    def share(batches: list[list[Window]]) -> float:
        padded = sum(padded_width(len(batch[0].pieces), 512) * len(batch) for batch in batches)
        return padded / sum(map(pieces, batches)) - 1

    whole = share(cut([window for windows in portions for window in windows], 2048, 512))
    alone = share([batch for windows in portions for batch in cut(list(windows), 2048, 512)])
    batches = Batches(512)
    rolling = share([batch for at, windows in enumerate(portions) for batch in batches.add(windows, at == 7, 2048)])
    assert whole < 0.03 < 0.04 < alone
    assert rolling < whole + 0.002


@given(st.lists(st.lists(st.integers(1, WINDOW), max_size=30), min_size=1, max_size=4))
def test_every_window_is_in_one_batch_however_the_unit_is_portioned(lengths):
    batches, made, n_windows = Batches(WINDOW), [], 0
    for at, some in enumerate(lengths):
        made += batches.add(windows_of(some, n_windows), at == len(lengths) - 1, MAX_TOKENS)
        n_windows += len(some)
    found = {number(window): len(window.pieces) for batch in made for window in batch}
    assert found == dict(enumerate(length for some in lengths for length in some))
    assert sum(map(len, made)) == n_windows
    for batch in made:
        long = [len(window.pieces) for window in batch]
        assert long == sorted(long, reverse=True)
        assert padded_width(long[0], WINDOW) * len(batch) <= MAX_TOKENS


@given(st.lists(st.integers(1, WINDOW), min_size=1, max_size=60))
def test_of_a_portion_that_others_follow_the_fullest_batches_leave_and_half_of_it_stays(lengths):
    windows = windows_of(lengths)
    everything = cut(list(windows), MAX_TOKENS, WINDOW)
    leaving = Batches(WINDOW).add(windows, False, MAX_TOKENS)
    gone = {number(batch[0]) for batch in leaving}
    staying = [batch for batch in everything if number(batch[0]) not in gone]
    assert max(map(padding, leaving)) <= min(map(padding, staying), default=1)
    assert sum(map(pieces, leaving)) >= pieces(windows) / 2, "the teacher has something to do"
    emptiest = max(map(padding, leaving))
    last = max(pieces(batch) for batch in leaving if padding(batch) == emptiest)
    assert sum(map(pieces, leaving)) - last < pieces(windows) / 2, "and no more than that"
    longest = [len(batch[0].pieces) for batch in leaving]
    assert longest == sorted(longest, reverse=True)
