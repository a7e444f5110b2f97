"""`--sample` draws each paragraph by its place alone."""

import pytest

from x2static.stage1_encode.corpora.sampling import Sample


@pytest.mark.parametrize("share", [0.01, 0.25, 0.9])
def test_the_share_is_met_within_five_deviations(share: float) -> None:
    places, sample = 40_000, Sample(share, 0)
    taken = sum(sample.takes(place * 977) for place in range(places))
    assert abs(taken - share * places) < 5 * (places * share * (1 - share)) ** 0.5


def test_seed_place_and_line_each_change_the_draw_and_nothing_else_does() -> None:
    def drawn(seed: int, line: int, shift: int) -> list[bool]:
        return [Sample(0.5, seed).takes(place + shift, line) for place in range(200)]

    assert drawn(0, 0, 0) == drawn(0, 0, 0)
    assert len({tuple(drawn(*values)) for values in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 200))}) == 4


def test_a_larger_share_holds_the_smaller_one_and_no_share_takes_all() -> None:
    small, large = ({place for place in range(2000) if Sample(share, 3).takes(place)} for share in (0.1, 0.3))
    assert small < large
    assert all(Sample(None, 0).takes(place) for place in range(100))
