"""Runs that are stopped, in this process or one of its own: `python -m tests.stage2_train.driver CONFIG WHERE N`."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.killing import die_at
from x2static.durable.errors import Interrupted
from x2static.schemas.training import TrainConfig

ABSENT = ("transformers", "datasets", "tokenizers", "sentencex")


def train_apart(wish: TrainConfig, where: str = "", n: int = 0) -> int:
    """Train in a process that has no library of stage one and is killed before the n-th call of a function, if any."""
    command = [sys.executable, "-m", "tests.stage2_train.driver", wish.model_dump_json(), where, str(n)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode


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
    from x2static.stage2_train.learner import Learner
    from x2static.stage2_train.trainer import train

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted) as caught:
        patch.setattr(Learner, "learn", at(n, lambda: signal.raise_signal(number), Learner.learn))
        train(wish)
    return str(caught.value)


if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(ABSENT))
    import torch

    from x2static.stage2_train.trainer import train

    torch.set_num_threads(1)
    if sys.argv[2]:
        die_at(sys.argv[2], "before", int(sys.argv[3]))
    train(TrainConfig.model_validate_json(sys.argv[1]))
