"""A cache is mended from what it records: exactly the bad and missing shards, to the bytes they had."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stage1_encode.forks import Forks
from tests.stage1_encode.runs import changed, files_of, no_teacher, paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Progress
from x2static.pipeline.caches import merge, sample
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.repair import repair
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.text.segmentation import paper_words


@pytest.fixture
def cache(teacher: Path, corpus: Path, tmp_path: Path) -> Path:
    """Five shards."""
    run(teacher, corpus, tmp_path / "cache", unit=2)
    return tmp_path / "cache"


def mend(cache: Path, *corpora: Path | str, model: Path | None = None, **options: Any) -> dict[str, Any]:
    """Repair on the processor."""
    return repair(cache, Origin(model and str(model), tuple(map(str, corpora)), "cpu", False), **options)


def times_of(folder: Path) -> dict[str, int]:
    """Return when each file below a folder was written."""
    return {name: (folder / name).stat().st_mtime_ns for name in files_of(folder)}


def shard_of(cache: Path, index: int) -> Path:
    return cache / "shards" / f"{index:06d}"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def refused(cache: Path, message: str, *corpora: Path, **options: Any) -> None:
    """Check that a repair is refused, and leaves all as it is."""
    before = files_of(cache)
    with pytest.raises(X2StaticError, match=message):
        mend(cache, *corpora, **options)
    assert files_of(cache) == before


def lose(cache: Path, *shards: int, damage: Callable[[Path], Any] = shutil.rmtree) -> dict[str, Any]:
    """Damage shards, repair, and check that every byte is there again and no other shard was written to."""
    before, times = files_of(cache), times_of(cache)
    for index in shards:
        damage(shard_of(cache, index))
    figures = mend(cache)
    assert figures["shards_encoded"] == len(shards)
    assert files_of(cache) == before
    written = {name for name, time in times_of(cache).items() if time != times[name]}
    assert {name.split("/")[1] for name in written} == {f"{index:06d}" for index in shards}
    return figures


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a changed context": lambda shard: flip(shard / "contexts" / "c" / "0" / "0"),
    "a missing chunk": lambda shard: (shard / "contexts" / "c" / "0" / "0").unlink(),
    "half a marker": lambda shard: (shard / "shard.json").write_bytes((shard / "shard.json").read_bytes()[:100]),
    "an empty folder": lambda shard: [shutil.rmtree(shard), shard.mkdir()][0],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_bad_shard_is_encoded_again_to_the_same_bytes_and_nothing_else_is_touched(damage: str, cache: Path) -> None:
    figures = lose(cache, 2, damage=DAMAGE[damage])
    assert (figures["shards"], len(figures["damaged"])) == (5, 1)
    assert Cache.open(cache).verify() == []


def test_several_bad_shards_and_leftovers_are_mended_at_once_and_strangers_stay(cache: Path) -> None:
    before = files_of(cache)
    flip(shard_of(cache, 0) / "words.arrow")
    shutil.rmtree(shard_of(cache, 1))
    (shard_of(cache, 4) / "shard.json").unlink()
    leftovers = [".tmp-manifest.json-99", "plans/.tmp-0.json-99", "shards/.tmp-000007", "shards/.tmp-replaced-000003"]
    for name in leftovers:
        (cache / name).write_text("half")
    (shard_of(cache, 3) / "notes.txt").write_text("mine")
    told: list[Progress] = []
    figures = mend(cache, report=told.append)
    assert files_of(cache) == before | {"shards/000003/notes.txt": b"mine"}
    assert (figures["shards_encoded"], figures["leftovers"]) == (3, leftovers)
    assert figures["strangers"] == ["shard 000003: notes.txt does not belong to it"]
    assert figures["damaged"][0] == "shard 000000: words.arrow has changed since it was written"
    assert figures["damaged"][1].endswith("its marker shard.json is missing")
    positions = dict.fromkeys((progress.done, progress.total) for progress in told)  # within a unit, and at its end
    assert list(positions) == [(4, 10), (6, 10), (8, 10), (10, 10)]


def test_a_whole_cache_needs_neither_teacher_nor_corpus(cache, corpus, monkeypatch):
    no_teacher(monkeypatch)
    monkeypatch.setattr(TeacherFiles, "find", lambda *_: pytest.fail("the teacher is looked for"))
    corpus.unlink()
    before, times = files_of(cache), times_of(cache)
    figures = mend(cache)
    assert (figures["shards"], figures["shards_encoded"], figures["damaged"]) == (5, 0, [])
    assert files_of(cache) == before
    assert times_of(cache) == times


@pytest.mark.parametrize("options", [{"dtype": "int8"}, {"context": "sentence", "compat": "paper"}, {"limit": 7}])
def test_the_settings_are_those_of_the_cache(options, teacher, corpus, tmp_path):
    cache = tmp_path / "cache"
    run(teacher, corpus, cache, unit=4, **options)
    lose(cache, 1)


def test_bad_text_is_treated_as_it_was(teacher: Path, tmp_path: Path) -> None:
    lines = [line.encode() for line in paragraphs(6)]
    lines[1], lines[3] = lines[1] + b"\xff", b"long " * 200
    (tmp_path / "text.txt").write_bytes(b"\n".join(lines))
    run(teacher, tmp_path / "text.txt", tmp_path / "cache", unit=1, on_bad_text="skip", max_paragraph_bytes=600)
    lose(tmp_path / "cache", 0, 1, 2, 3)


def test_a_text_that_is_gone_or_changed_is_one_line_and_one_that_moved_is_found(cache, corpus, tmp_path):
    before = files_of(cache)
    flip(shard_of(cache, 2) / "words.arrow")
    moved = corpus.rename(corpus.with_name("moved.txt"))
    refused(cache, r"the corpus .*corpus\.txt is needed to encode .* no such file .*--corpus")
    other = write_lines(tmp_path / "other.txt", paragraphs(10, seed=1))
    refused(cache, rf"{other} holds another text", other)
    shutil.copy(other, corpus)
    refused(cache, r"corpus\.txt holds another text")
    mend(cache, other, moved)
    assert files_of(cache) == before


def test_a_text_named_from_another_working_folder_is_found(teacher, corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(teacher, "corpus.txt", tmp_path / "cache", unit=5)
    (tmp_path / "elsewhere").mkdir()
    write_lines(tmp_path / "elsewhere" / "corpus.txt", paragraphs(3, seed=5))  # of that name, but another text
    monkeypatch.chdir(tmp_path / "elsewhere")
    lose(tmp_path / "cache", 1)


def test_a_teacher_that_is_gone_or_another_is_one_line_and_one_that_moved_is_named(teacher, corpus, readers, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(teacher, tmp_path / "teacher")
    run(tmp_path / "teacher", corpus, cache, unit=5)
    moved = (tmp_path / "teacher").rename(tmp_path / "moved")
    flip(shard_of(cache, 0) / "words.arrow")
    refused(cache, r"teacher: no such folder; .*name it where it is now with --model")
    other = readers("gpt2").teacher.folder
    refused(cache, rf"\(cache != here\): model: '.*teacher' != '{other}'; weights: '\w{{12}}\.\.\.'", model=other)
    mend(cache, model=moved)
    assert Cache.open(cache).verify() == []


def test_a_shard_of_another_encoding_is_refused_and_never_removed(cache: Path) -> None:
    changed(shard_of(cache, 1), "shard.json", encoding="0" * 64)
    flip(shard_of(cache, 2) / "words.arrow")
    refused(cache, r"000001: the shard belongs to another encoding")


def test_a_damaged_shard_that_no_plan_asks_for_is_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_of(cache)
    shutil.copytree(shard_of(cache, 0), shard_of(cache, 9))
    (shard_of(cache, 9) / "shard.json").unlink()
    no_teacher(monkeypatch)
    assert mend(cache)["shards_encoded"] == 0
    assert files_of(cache) == before


@pytest.mark.parametrize("content", [None, b"{}", b"\xff\xfe"])
def test_the_word_segmentation_rules_are_mended(content, cache, monkeypatch):
    before = files_of(cache)
    rules = cache / "word_segmentation.json"
    rules.unlink() if content is None else rules.write_bytes(content)
    no_teacher(monkeypatch)
    assert mend(cache)["segmentation_mended"]
    assert files_of(cache) == before
    assert not mend(cache)["segmentation_mended"]


def test_rules_that_this_version_does_not_have_are_not_replaced(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "word_segmentation.json").write_text("{}")
    flip(shard_of(cache, 0) / "words.arrow")
    monkeypatch.setattr("x2static.stage1_encode.repair.words_of", lambda *_: paper_words())
    refused(cache, r"missing or changed, and this version of x2static has other rules; put")


@pytest.fixture
def stream_cache(teacher: Path, tmp_path: Path) -> Path:
    """Four shards of a stream whose rows are several paragraphs each."""
    (tmp_path / "data").mkdir()
    rows = ["\n".join(paragraphs(3, seed=row)) for row in range(5)]
    pq.write_table(pa.table({"text": rows}), tmp_path / "data" / "train.parquet")
    run(teacher, f"hf://{tmp_path / 'data'}", tmp_path / "cache", unit=4)
    return tmp_path / "cache"


@pytest.mark.parametrize("lost", [(1, 2), (0, 3)])
def test_a_stream_is_mended_wherever_it_lost_a_shard(lost: tuple[int, ...], stream_cache: Path) -> None:
    lose(stream_cache, *lost)


def test_a_sample_of_a_stream_is_mended_without_what_lies_between(stream_cache: Path, tmp_path: Path) -> None:
    sample(stream_cache, tmp_path / "small", UnitSample(kind="every", n=3))
    lose(tmp_path / "small", 1)


def test_only_the_corpus_of_the_bad_shard_is_needed(teacher: Path, corpus: Path, tmp_path: Path) -> None:
    other = write_lines(tmp_path / "other.txt", paragraphs(6, seed=1))
    for limit in (4, None):
        run(teacher, (corpus, other), tmp_path / "cache", unit=3, limit=limit)
    corpus.unlink()
    lose(tmp_path / "cache", 2, 6)  # the first of the second corpus, and its last, which the raised limit added


def test_corpora_that_were_cut_otherwise_each_are_mended_in_one_go(teacher: Path, corpus: Path, tmp_path: Path) -> None:
    rough = tmp_path / "rough.txt"
    rough.write_bytes(b"\xff\n" + "\n".join(paragraphs(6, seed=1)).encode())
    run(teacher, corpus, tmp_path / "one", unit=5)
    run(teacher, rough, tmp_path / "two", unit=2, on_bad_text="skip")
    merge(tmp_path / "cache", [tmp_path / "one", tmp_path / "two"])
    lose(tmp_path / "cache", 1, 2)


def test_a_repair_never_writes_into_a_file_that_another_cache_shares(cache: Path, tmp_path: Path) -> None:
    merge(tmp_path / "linked", [cache])
    assert (shard_of(cache, 2) / "words.arrow").stat().st_nlink == 2
    flip(shard_of(cache, 2) / "words.arrow")  # of both
    damaged = files_of(tmp_path / "linked")
    mend(cache)
    assert files_of(tmp_path / "linked") == damaged
    assert Cache.open(cache).verify() == []


def test_a_sample_is_mended_too_but_not_encoded_into(cache: Path, teacher: Path, corpus: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    sample(cache, small, UnitSample(kind="every", n=2), copy=True)
    lose(small, 1, 2)
    with pytest.raises(X2StaticError, match=r"is a sample of another \(.*corpus\.txt: one unit in 2\) and takes no"):
        run(teacher, corpus, small, unit=2)


KILLS = {
    "when the damaged shard has gone": ("pathlib:Path.rename", "after", 3),
    "before the damaged one is removed": ("x2static.durable.storage:shutil.rmtree", "before", 2),
    "between two shards": ("x2static.stage1_encode.encode:commit_folder", "after", 2),
}


@pytest.mark.parametrize("phase", KILLS)
def test_a_killed_repair_goes_on_and_ends_with_the_bytes_of_the_cache(phase: str, cache: Path, forks: Forks) -> None:
    before = files_of(cache)
    for index in (0, 2, 3):
        flip(shard_of(cache, index) / "words.arrow")
    arguments = ["cache", "repair", str(cache), "--device", "cpu", "--json"]
    status, output = forks.run(*arguments, kill=KILLS[phase])
    assert status == -9, output
    figures = json.loads(forks.succeed(*arguments).splitlines()[-1])
    assert figures["command"] == "cache repair"
    assert 0 < figures["shards_encoded"] <= 3
    assert files_of(cache) == before


def test_the_commands_name_the_repair_and_a_cache_in_use_is_not_repaired(cache: Path, forks: Forks) -> None:
    flip(shard_of(cache, 2) / "words.arrow")
    status, output = forks.run("cache", "verify", str(cache))
    assert status == 1
    assert f"`x2static cache repair {cache}` encodes again what is damaged or missing" in output
    answers = []
    mend(cache, report=lambda _: answers.append(forks.run("cache", "repair", str(cache))))
    assert answers[0][0] == 1
    assert "another x2static process is writing to this cache" in answers[0][1]
    flip(shard_of(cache, 2) / "words.arrow")
    output = forks.succeed("cache", "repair", str(cache), "--device", "cpu")
    assert "5 shards, damaged before: 1, 1 encoded" in output
    forks.succeed("cache", "verify", str(cache))
