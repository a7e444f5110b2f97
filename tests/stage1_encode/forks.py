"""Processes that start at once: `python -m tests.stage1_encode.forks` imports x2static, then forks for each run.

A request is a line of JSON on stdin: `arguments` of x2static, `output` (a file for stdout and stderr), and, if wanted,
`kill` (see tests.killing), `stdin` (a file; none: empty), `patience` (seconds that the hub is given), `waits` (seconds
before each further try of a read that failed), `read_seconds` (that one may take without a byte) and `hooks` (functions
`module:name` with their arguments, called before). The answer is the child's status.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.stage1_encode.hub_server import Hub


@cache
def shared_hub() -> Hub:
    """Return the hub that all forks ask."""
    hub = Hub()
    atexit.register(hub.close)
    return hub


@cache
def shared_forks() -> "Forks":
    """Return the one fork server of this session; its starting takes as long as importing torch does."""
    home = Path(tempfile.mkdtemp(prefix="x2static-forks-"))
    offline = {"HF_ENDPOINT": shared_hub().url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    forks = Forks(home, offline)
    atexit.register(shutil.rmtree, home)
    atexit.register(forks.close)
    return forks


class Forks:
    """Runs the command line in processes of their own that need not import torch and transformers each."""

    def __init__(self, folder: Path, environment: dict[str, str], modules: Iterable[str] = ()) -> None:
        """Start the server; it imports further `modules` before it forks."""
        self._output = folder / "output.txt"
        command = [sys.executable, "-m", "tests.stage1_encode.forks", *modules]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._server = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, **pipes)

    def run(self, *arguments: str, **settings: Any) -> tuple[int, str]:
        """Run `x2static ARGUMENTS`; return its exit status (negative for a signal) and all that it printed."""
        request = {"arguments": arguments, "output": str(self._output), **settings}
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, "the fork server is gone"
        return int(answer), self._output.read_text()

    def succeed(self, *arguments: str, **settings: Any) -> str:
        """Run it, and fail unless it exits with 0; return what it printed."""
        status, output = self.run(*arguments, **settings)
        assert status == 0, output
        return output

    def close(self) -> None:
        """End the server; it has nothing to save."""
        with self._server:
            self._server.kill()


def serve() -> None:
    """Answer requests until stdin ends."""
    import x2static.stage1_encode.corpora.hub
    import x2static.stage1_encode.plan.estimate  # noqa: F401

    for module in sys.argv[1:]:
        import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _child(request)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _child(request: dict[str, Any]) -> None:
    status = 99
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(request.get("stdin", os.devnull), os.O_RDONLY), 0)
        import torch

        from tests.killing import die_at
        from x2static.pipeline.cli import run
        from x2static.stage1_encode import hub
        from x2static.stage1_encode.corpora import hub_rows

        torch.set_num_threads(1)
        if "kill" in request:
            die_at(*request["kill"])
        for hook, arguments in request.get("hooks", {}).items():
            module, name = hook.split(":")
            getattr(import_module(module), name)(*arguments)
        hub.PATIENCE_SECONDS = request.get("patience", hub.PATIENCE_SECONDS)
        hub_rows.RETRY_WAITS = tuple(request.get("waits", hub_rows.RETRY_WAITS))
        hub_rows.READ_SECONDS = request.get("read_seconds", hub_rows.READ_SECONDS)
        status = run(request["arguments"])
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if (coverage := sys.modules.get("coverage")) and (measuring := coverage.Coverage.current()):
            measuring.stop()
            measuring.save()
        os._exit(status)  # neither the server's loop nor its exit handlers are the child's


if __name__ == "__main__":
    serve()
