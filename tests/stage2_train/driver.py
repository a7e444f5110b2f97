"""Trains in a process of its own that something happens to: `python -m tests.stage2_train.driver CONFIG EVENT N`.

The event comes at the N-th opportunity: `kill-batch` and `SIGTERM`, `SIGINT` in a batch, `kill-write` when half of a
checkpoint's tensors are written, `kill-commit` when the checkpoint is whole but has not got its name; `kill-fit` when
the transform is about to be written, `kill-begin` when the first vectors are. `lonely` trains where the libraries of
stage one cannot be imported.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from x2static.schemas.training import TrainConfig

ABSENT = ("transformers", "datasets", "tokenizers", "sentencex")


def drive(wish: TrainConfig, event: str, n: int = 0) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own."""
    command = [sys.executable, "-m", "tests.stage2_train.driver", wish.model_dump_json(), event, str(n)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def at(n: int, event: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    """Let something happen before the n-th call of a function."""
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == n:
            event()
        return function(*args, **kwargs)

    return wrapped


def main() -> int:
    text, event, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if event == "lonely":
        sys.modules.update(dict.fromkeys(ABSENT))
    import torch

    from x2static.durable.errors import Interrupted
    from x2static.stage2_train import checkpoint
    from x2static.stage2_train.learner import Learner
    from x2static.stage2_train.objectives.negative_sampling import Objective
    from x2static.stage2_train.trainer import train
    from x2static.stage2_train.transform import Transform

    torch.set_num_threads(1)
    wish = TrainConfig.model_validate_json(text)
    places: dict[str, tuple[Any, str]] = {
        "kill-batch": (Learner, "learn"),
        "SIGTERM": (Learner, "learn"),
        "SIGINT": (Learner, "learn"),
        "kill-commit": (checkpoint, "commit_folder"),
        "kill-write": (checkpoint, "write_tensors"),
        "kill-fit": (Transform, "save"),
        "kill-begin": (Objective, "begin"),
    }

    def happen() -> None:
        if event == "kill-write":
            folder = next(Path(wish.out, "checkpoints").glob(".tmp-*"))
            (folder / checkpoint.TENSORS).write_bytes(b"\0" * 1000)
        os.kill(os.getpid(), signal.Signals[event] if event in signal.Signals.__members__ else signal.SIGKILL)

    if event in places:
        owner, name = places[event]
        setattr(owner, name, at(n, happen, getattr(owner, name)))
    try:
        train(wish)
    except Interrupted as error:
        sys.stderr.write(str(error))
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
