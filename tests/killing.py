"""Run the command line and kill -9 it at a chosen call: `python -m tests.killing WHERE before|after N ARGUMENTS...`.

WHERE is `module:function` or `module:Class.method` of x2static, as its caller looks it up; N counts the calls from 1.
"""

import importlib
import os
import signal
import sys
from typing import Any


def die_at(where: str, moment: str, n: int) -> None:
    """Replace a function by one that kills the process before or after its n-th call."""
    module_name, path = where.split(":")
    owner: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    calls = 0

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == n and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapper)


if __name__ == "__main__":
    die_at(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    from x2static.pipeline.cli import run

    sys.exit(run(sys.argv[4:]))
