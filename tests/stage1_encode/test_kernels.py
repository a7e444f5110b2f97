"""The code that a CPU's matrix library keeps for each shape."""

import os
import platform
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Products of many shapes, as the batches of an encode make them, in a process of its own: the settings are read once.
CODE = """
import ctypes, sys, torch
from x2static.stage1_encode.teacher.lanes import keep_few_kernels
if sys.argv[1] == "few":
    keep_few_kernels()

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ord small maps mapped u f used free keep".split()]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Info

def used():
    found = library.mallinfo2()
    return found.used + found.mapped

weight = torch.ones(384, 384, dtype=torch.bfloat16)

def product(rows):
    return torch.nn.functional.linear(torch.ones(rows, 384, dtype=torch.bfloat16), weight)

product(2048)
before = used()
results = [float(product(rows).float().mean()) for rows in range(1400, 2040, 4)]
print(used() - before, set(results) == {384.0})
"""


def kept(which: str, **environment: str) -> int:
    """Return how many bytes are held more after products of many shapes."""
    clean = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", CODE, which],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    held, right = done.stdout.split()
    assert right == "True"
    return int(held)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is held is asked of glibc")
def test_code_of_the_last_shapes_alone_is_kept_and_a_users_own_setting_stays() -> None:
    everything = kept("all")
    if everything < 1e6:
        pytest.skip("this processor's matrix library keeps nothing for a shape")
    assert kept("few") < everything / 2
    own = {"LRU_CACHE_CAPACITY": "1024", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"}
    assert kept("few", **own) > everything / 2
