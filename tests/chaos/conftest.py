"""The world that is disturbed, a seed, and the seconds that there are."""

import logging
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.scenarios import WARM, World
from tests.pipeline.data.conftest import Server, certificate  # noqa: F401  # a fixture
from tests.stage1_encode.forks import Forks

SEED = os.environ.get("X2STATIC_CHAOS_SEED", "0")
SECONDS = float(os.environ.get("X2STATIC_CHAOS_SECONDS", "120"))
ONLY = os.environ.get("X2STATIC_CHAOS_ROUND")  # the one round that is to be seen again
STARTED = time.monotonic()

Round = Callable[[str, random.Random], str | None]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[World]:  # noqa: F811
    """Texts, caches and runs, and the fork server with disturb.c under it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler, for the library that disturbs file-system calls")
    folder = tmp_path_factory.mktemp("chaos").resolve()
    library = folder / "disturb.so"
    source = Path(__file__).with_name("disturb.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = {name: str(folder / name) for name in ("XDG_CACHE_HOME", "HF_HOME")}
    environment |= {"LD_PRELOAD": str(library), "SSL_CERT_FILE": str(certificate), "NO_PROXY": "*"}
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "no_proxy": "*"}
    forks = Forks(folder, environment, WARM)
    with Server(certificate) as server:
        yield World(folder, forks, server)
    forks.close()


def rounds(world: World, kind: str, until: float, play: Round) -> None:
    """Play rounds until this share of the seconds is spent, each with a scenario in turn and dice of its own.

    Fails with all that was wrong, and how a round is played again.
    """
    order = list(world.scenarios)
    random.Random(f"{SEED} {kind}").shuffle(order)
    number, wrong = 0, []
    while time.monotonic() < STARTED + until * SECONDS or not number:
        if ONLY is None or number == int(ONLY):
            name = order[number % len(order)]
            complaint = play(name, random.Random(f"{SEED} {kind} {number}"))
            if complaint:
                again = f"X2STATIC_CHAOS_SEED={SEED} X2STATIC_CHAOS_ROUND={number}"
                wrong.append(f"{kind}, round {number} ({again}): {name}: {complaint}")
        number += 1
        if ONLY is not None and number > int(ONLY):
            break
    logging.getLogger(__name__).info("%s: %d rounds", kind, number)
    assert not wrong, "\n".join(wrong)
