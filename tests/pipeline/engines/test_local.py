"""Several encoders of one cache: each unit is encoded once, whoever is killed, to the bytes that one encoder writes."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.pipeline.engines.trouble import encode_and_die, failing_teacher
from tests.stage1_encode.conftest import Readers, log, readers  # noqa: F401
from tests.stage1_encode.runs import as_options, config_of, files_of, paragraphs, write_lines
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.processes import Child
from x2static.machine.progress import Progress
from x2static.pipeline.engines import local
from x2static.pipeline.engines.registry import find_engine
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.teacher.teacher import Teacher
from x2static.stage1_encode.worker import Job, Tell, Worker

Load = Callable[[], Worker]
N_UNITS = 6


def test_a_killed_encoder_s_units_go_to_others_and_none_is_done_twice(config, once, monkeypatch):
    children: list[Child] = []
    original = Child.__init__

    def remembered(self: Child, *arguments: Any) -> None:
        original(self, *arguments)
        children.append(self)

    monkeypatch.setattr(Child, "__init__", remembered)
    done: list[int] = []
    gc.collect()
    others = {id(one) for one in gc.get_objects() if type(one) is Teacher}  # of other tests

    def engine(load: Load, jobs: Iterable[Job], tell: Tell) -> Any:
        for staged in find_engine("local", config, ())(load, jobs, tell):
            if not done:
                gc.collect()
                assert {id(one) for one in gc.get_objects() if type(one) is Teacher} <= others, "one too many"
                os.kill(children[0].process.pid or 0, signal.SIGKILL)
            done.append(staged.job.shard)
            shard = config.cache / "shards" / f"{staged.job.shard:06d}"
            assert not shard.exists(), "what is staged is no shard until the owner says so"
            yield staged
            assert shard.exists()

    reports: list[Progress] = []
    figures = encode(config, reports.append, engine=engine)
    assert sorted(done) == list(range(6))
    assert len(reports) > 1 + 6, "encoders say how far they are in a unit"
    assert (figures["shards"], figures["shards_resumed"]) == (6, 0)
    assert files_of(config.cache) == once


@pytest.mark.exhaustive
def test_when_the_command_is_killed_its_encoders_end_and_the_next_call_goes_on(config, once):
    command = [sys.executable, "-m", "tests.killing", "x2static.stage1_encode.encode:commit_folder", "before", "3"]
    killed = subprocess.run(
        [*command, *as_options(config), "--no-word-states"], cwd=ROOT, stdout=subprocess.DEVNULL, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list((config.cache / "shards").glob("0*"))) == 2
    assert encode(config)["shards_resumed"] == 2
    assert files_of(config.cache) == once


@pytest.mark.exhaustive
def test_an_interrupted_engine_stops_its_encoders_and_leaves_nothing_half_written(config):
    def engine(load: Load, jobs: Iterable[Job], tell: Tell) -> Any:
        for staged in find_engine("local", config, ())(load, jobs, tell):
            yield staged
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"interrupted; 1 of 6 units saved \(4 of 24 paragraphs\)"):
        encode(config, engine=engine)
    assert [path.name for path in (config.cache / "shards").glob("*") if path.name.startswith(".tmp")] == []
    assert len(list((config.cache / "shards").glob("0*"))) == 1


def test_what_goes_wrong_in_an_encoder_is_the_command_s_error(config, tmp_path):
    corpus = write_lines(tmp_path / "short.txt", paragraphs(4))
    config = config.model_copy(update={"corpus": (str(corpus),)})

    def engine(load: Load, jobs: Iterable[Job], tell: Tell) -> Any:
        corpus.unlink()  # when the cache is planned
        yield from find_engine("local", config, ())(load, jobs, tell)

    with pytest.raises(X2StaticError, match=r"short\.txt"):
        encode(config, engine=engine)


@pytest.mark.exhaustive
def test_a_unit_that_fails_three_times_is_left_out_and_named_and_alone_tried_again(readers, tmp_path, log):  # noqa: F811
    bad = failing_teacher(readers("bert").teacher.folder, teacher := tmp_path / "teacher")
    texts = [*paragraphs(9), bad, *paragraphs(14, seed=1)]
    config = config_of(teacher, write_lines(tmp_path / "t.txt", texts), tmp_path / "cache", unit=4, encoders=2)
    for n_before in (0, 5):
        with pytest.raises(
            X2StaticError, match=r"cache: 1 unit could not be encoded: unit 2 \(.*t\.txt, unit 2: .*not finite"
        ):
            encode(config, engine=find_engine("local", config, ()))
        names = [path.name for path in sorted((config.cache / "shards").glob("*")) if path.is_dir()]
        assert names == [f"{number:06d}" for number in (0, 1, 3, 4, 5)]
        assert (f"going on after {n_before} units" in log.text) == bool(n_before)
    once = config.model_copy(update={"cache": tmp_path / "once", "encoders": 1})
    with pytest.raises(X2StaticError, match="not finite"):
        encode(once)
    for name in ("000000/shard.json", "000001/shard.json"):
        assert (config.cache / "shards" / name).read_bytes() == (once.cache / "shards" / name).read_bytes()


@pytest.mark.exhaustive
def test_a_unit_that_kills_its_encoder_three_times_is_left_out_and_the_rest_goes_on(config, once, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(local, "_encode", encode_and_die)
        with pytest.raises(X2StaticError, match=r"1 unit could not be encoded: unit 2 \(.*killed by SIGKILL"):
            encode(config, engine=find_engine("local", config, ()))
    figures = encode(config, engine=find_engine("local", config, ()))
    assert (figures["shards"], figures["shards_resumed"]) == (6, 5)
    assert files_of(config.cache) == once


@pytest.mark.exhaustive
def test_text_that_changed_before_an_encoder_looked_at_it_is_refused(config, tmp_path):
    corpus = write_lines(tmp_path / "short.txt", paragraphs(4))
    config = config.model_copy(update={"corpus": (str(corpus),)})

    def engine(load: Load, jobs: Iterable[Job], tell: Tell) -> Any:
        write_lines(corpus, paragraphs(4, seed=1))
        yield from find_engine("local", config, ())(load, jobs, tell)

    with pytest.raises(X2StaticError, match=r"short\.txt: not the text that was planned"):
        encode(config, engine=engine)


def test_encoders_that_all_die_are_an_error_and_not_tried_for_ever(config, monkeypatch):
    original = Child.__init__

    def killed(self: Child, *arguments: Any) -> None:
        original(self, *arguments)
        os.kill(self.process.pid or 0, signal.SIGKILL)

    monkeypatch.setattr(Child, "__init__", killed)
    with pytest.raises(X2StaticError, match=r"killed by SIGKILL.*fewer --encoders"):
        encode(config, engine=find_engine("local", config, ()))
