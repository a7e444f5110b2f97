"""`--compile`: the same vectors from a compiled teacher, told apart from those of an eager one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage1_encode.runs import paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own parts


def contexts_of(cache: Path) -> np.ndarray:
    return np.concatenate([shard.contexts(0, None).astype(np.float64) for shard in Cache.open(cache).shards()])


@pytest.mark.exhaustive  # a compiler takes its time
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles for a CPU with g++")
def test_a_compiled_teacher_gives_the_same_vectors_in_a_cache_of_its_own_kind(teacher: Path, tmp_path: Path) -> None:
    corpus = write_lines(tmp_path / "text.txt", paragraphs(40))
    eager, compiled = tmp_path / "eager", tmp_path / "compiled"
    run(teacher, corpus, eager, unit=20)
    run(teacher, corpus, compiled, unit=20, limit=20, compile=True)
    with pytest.raises(X2StaticError, match=r"made otherwise \(cache != asked for\): compile: True != False"):
        run(teacher, corpus, compiled, unit=20)
    run(teacher, corpus, compiled, unit=20, compile=True)
    first, second = contexts_of(eager), contexts_of(compiled)
    cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    assert len(first) == len(second) > 40
    assert cosines.min() >= 0.9999
    fingerprints = {Cache.open(cache).manifest.fingerprint for cache in (eager, compiled)}
    assert len(fingerprints) == 2


@pytest.mark.exhaustive  # torch takes half a minute to find out
def test_without_a_compiler_the_option_to_leave_out_is_named(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch._inductor.config as inductor

    torch._dynamo.reset()
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))  # nothing compiled before counts
    corpus = write_lines(tmp_path / "text.txt", paragraphs(3))
    with pytest.raises(X2StaticError, match=r"--compile: torch cannot compile .* here \(.*\); leave --compile out"):
        run(teacher, corpus, tmp_path / "cache", compile=True)
