"""How packages that are missing can be installed, in commands that work as they are written."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from x2static.machine import packages
from x2static.machine.packages import NOT_INSTALLED, install_extra, pip_install


def test_the_command_is_that_of_the_python_that_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    assert pip_install("zarr>=3") == ".venv/bin/python -m pip install 'zarr>=3'"
    monkeypatch.chdir("/")
    assert pip_install("zarr").endswith(f"{tmp_path.name}/.venv/bin/python -m pip install zarr")


@pytest.mark.parametrize("version", ["0.2.0", NOT_INSTALLED])
def test_an_extra_is_added_to_what_is_installed_or_to_the_checkout(version, monkeypatch):
    monkeypatch.setattr(packages, "package_version", lambda _: version)
    *_, what = shlex.split(install_extra("zh"))
    assert what == (
        "x2static[zh]" if version != NOT_INSTALLED else f"{Path(packages.__file__).resolve().parents[1]}[zh]"
    )
    assert version != NOT_INSTALLED or Path(what.removesuffix("[zh]")) == ROOT.resolve()


def test_the_command_runs_in_any_shell():
    command = install_extra("zh").replace(" install ", " install --help ")
    assert subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False).returncode == 0
