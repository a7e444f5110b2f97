"""Runs that are stopped in this process."""

import signal
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from x2static.durable.errors import Interrupted
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.trainer import train


def at(n: int, event: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    """Let something happen before the n-th call of a function."""
    calls = count(1)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == n:
            event()
        return function(*args, **kwargs)

    return wrapped


def stop_at(n: int, wish: TrainConfig, number: signal.Signals = signal.SIGINT) -> str:
    """Train until a signal in the n-th step of this call; return what is said then."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted) as caught:
        patch.setattr(Learner, "learn", at(n, lambda: signal.raise_signal(number), Learner.learn))
        train(wish)
    return str(caught.value)
