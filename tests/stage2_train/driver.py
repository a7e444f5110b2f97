"""Trains in a process of its own that something happens to: `python -m tests.stage2_train.driver CONFIG EVENT N`.

The event comes at the N-th opportunity: `kill-batch` and `SIGTERM`, `SIGINT` in a batch, `kill-write` when half of a
checkpoint's tensors are written, `kill-commit` when the checkpoint is whole but has not got its name; `kill-fit` when
the transform is about to be written, `kill-begin` when the first vectors are. `lonely` trains where the libraries of
stage one cannot be imported.
"""

import importlib.abc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORBIDDEN = {"transformers", "datasets", "tokenizers", "sentencex"}


class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name.split(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} is not here")


def at(n: int, event: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == n:
            event()
        return function(*args, **kwargs)

    return wrapped


def send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def main() -> int:
    text, event, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if event == "lonely":
        sys.meta_path.insert(0, Absent())
    import torch

    from x2static.durable.errors import Interrupted
    from x2static.schemas.training import TrainConfig
    from x2static.stage2_train import checkpoint
    from x2static.stage2_train.learner import Learner
    from x2static.stage2_train.preparation import Preparation
    from x2static.stage2_train.trainer import train
    from x2static.stage2_train.transform import Transform

    torch.set_num_threads(1)
    if event == "kill-batch":
        Learner.learn = at(n, send(signal.SIGKILL), Learner.learn)
    elif event.startswith("SIG"):
        Learner.learn = at(n, send(signal.Signals[event]), Learner.learn)
    elif event == "kill-commit":
        checkpoint.commit_folder = at(n, send(signal.SIGKILL), checkpoint.commit_folder)
    elif event == "kill-fit":
        Transform.save = at(n, send(signal.SIGKILL), Transform.save)
    elif event == "kill-begin":
        Preparation.begin = at(n, send(signal.SIGKILL), Preparation.begin)
    elif event == "kill-write":
        write = checkpoint.write_tensors

        def half() -> None:
            folder = next(Path(TrainConfig.model_validate_json(text).out, "checkpoints").glob(".tmp-*"))
            (folder / checkpoint.TENSORS).write_bytes(b"\0" * 1000)
            os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.write_tensors = at(n, half, write)
    try:
        train(TrainConfig.model_validate_json(text))
    except Interrupted as error:
        sys.stderr.write(str(error))
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
