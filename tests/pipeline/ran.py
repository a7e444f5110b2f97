"""The command line in this process: its exit status, and what it said."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from x2static.pipeline import cli


class Ran(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])


def run_here(capsys: pytest.CaptureFixture[str], arguments: Iterable[str | Path]) -> Ran:
    """Run a command, what was said before left out."""
    capsys.readouterr()
    status = cli.run([*map(str, arguments)])
    return Ran(status, *capsys.readouterr())
