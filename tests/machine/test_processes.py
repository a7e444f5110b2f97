"""No process outlives the one that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

PARENT = """
import os
import time
from x2static.machine.processes import Child, process_pool

def sleep(connection):
    time.sleep(600)

if __name__ == "__main__":
    child = Child(sleep)
    pool = process_pool(1)
    print(child.process.pid, pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see which processes there are")
def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "parent.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    children = parent.stdout.readline().split()
    assert len(children) == 2
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 30
    while left := [child for child in children if Path("/proc", child).exists()]:
        assert time.monotonic() < deadline, f"{left} are still there 30 seconds after their parent was killed"
        time.sleep(0.05)
