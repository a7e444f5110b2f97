"""Which errors may pass, how often is tried again, and where reading goes on."""

from collections.abc import Iterator
from typing import Any

import pytest

from x2static.stage1_encode.corpora import hub_rows as retries
from x2static.stage1_encode.corpora.hub_rows import RETRY_WAITS, may_pass, retried, rows_retried


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited."""
    seconds: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", seconds.append)
    return seconds


def failing(times: int) -> Any:
    """Return a call that fails so many times and then gives 7."""
    left = times

    def call() -> int:
        nonlocal left
        left -= 1
        if left >= 0:
            raise ConnectionResetError("reset")
        return 7

    return call


def test_five_tries_over_a_minute_follow_the_first(waited: list[float]) -> None:
    assert retried(failing(5), "it") == 7
    assert tuple(waited) == RETRY_WAITS
    assert 55 <= sum(RETRY_WAITS) <= 65
    with pytest.raises(ConnectionResetError):
        retried(failing(6), "it")


def test_rows_go_on_with_the_one_in_hand_and_each_row_has_all_its_tries(waited: list[float]) -> None:
    tries: dict[int, int] = {}

    def rows_from(start: int) -> Iterator[int]:
        for row in range(start, 10):
            tries[row] = tries.get(row, 0) + 1
            if row in (0, 4, 5) and tries[row] <= 5:
                raise TimeoutError("slow")
            yield 10 * row

    assert list(rows_retried(rows_from, 0, "it")) == [(row, 10 * row) for row in range(10)]
    assert tuple(waited) == 3 * RETRY_WAITS


@pytest.mark.parametrize("error", [ValueError("no number"), FileNotFoundError("gone"), PermissionError("not yours")])
def test_other_errors_are_raised_at_once(error: Exception, waited: list[float]) -> None:
    def call() -> None:
        raise error

    with pytest.raises(type(error)):
        retried(call, "it")
    assert (waited, may_pass(error)) == ([], False)


def test_the_cause_of_an_error_decides() -> None:
    wrapped = RuntimeError("the library could not read on")
    wrapped.__cause__ = ConnectionError("reset")
    assert may_pass(wrapped)
