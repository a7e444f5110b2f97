"""The command line in this process: its exit status, and what it said."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from x2static.pipeline import cli


@dataclass(frozen=True)
class Ran:
    """Exit status, and what was said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return value


def run_here(capsys: pytest.CaptureFixture[str], arguments: Iterable[str | Path]) -> Ran:
    """Run a command, what was said before left out."""
    capsys.readouterr()
    status = cli.run([*map(str, arguments)])
    said = capsys.readouterr()
    return Ran(status, said.out, said.err)
