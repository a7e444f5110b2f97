"""Caches are joined by whole shards: parts to the cache they are of, other corpora one behind the other."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pipeline.caches.parts import flip, part_of, plan_of
from tests.schemas.caches import content, encoding, make_cache, marker, write_shard
from tests.stage1_encode.runs import files_of
from tests.stage2_train.caches import config, result
from tests.stage2_train.caches import make_cache as make_training_cache
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.machine.progress import Progress
from x2static.pipeline import cli
from x2static.pipeline.caches.merge import merge
from x2static.schemas.cache import Cache, content_of
from x2static.stage2_train.trainer import train


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return make_cache(tmp_path / "whole", shards=7)


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> list[Path]:
    return [part_of(whole, tmp_path / f"part-{number}", number) for number in range(3)]


def data_of(cache: Path) -> dict[str, bytes]:
    """Return the files of a cache but for the metadata of its zarr groups, which the hand-made caches lack."""
    return {name: data for name, data in files_of(cache).items() if name not in ("zarr.json", "shards/zarr.json")}


def two_corpora(tmp_path: Path) -> list[Path]:
    """Return caches of two corpora; the first has two plans, of which its markers know."""
    one = make_cache(tmp_path / "one", shards=2, plans=[plan_of("a.txt", 2), plan_of("b.txt", 1)])
    write_shard(one / "shards", 2, content(6, seed=2), marker(2, plan=1, last=True))
    return [one, make_cache(tmp_path / "two", shards=3, plans=[plan_of("c.txt", 3)])]


def test_parts_become_the_cache_that_they_are_parts_of_to_the_byte(
    whole: Path, parts: list[Path], tmp_path: Path
) -> None:
    figures = merge(tmp_path / "out", parts)
    assert data_of(tmp_path / "out") == data_of(whole)
    assert content_of(Cache.open(tmp_path / "out").shards()) == content_of(Cache.open(whole).shards())
    assert Cache.open(tmp_path / "out").verify() == []
    assert (figures["shards"], figures["shards_linked"], figures["shards_copied"]) == (7, 7, 0)
    assert figures["complete"]


def test_a_training_on_merged_parts_ends_with_the_bytes_of_one_on_the_undivided_cache(tmp_path: Path) -> None:
    whole = make_training_cache(tmp_path / "whole", shards=3, paragraphs=40, dim=16)
    merge(tmp_path / "out", [part_of(whole, tmp_path / f"part-{number}", number) for number in (2, 0, 1)])
    for cache, out in (("whole", "run"), ("out", "other run")):
        train(config(tmp_path / cache, tmp_path / out, epochs=1))
    assert result(tmp_path / "run") == result(tmp_path / "other run")


def test_files_are_linked_and_copied_where_asked(whole: Path, tmp_path: Path) -> None:
    merge(tmp_path / "linked", [whole])
    figures = merge(tmp_path / "copied", [whole], copy=True)
    file = Path("shards", "000003", "words.arrow")
    assert (whole / file).samefile(tmp_path / "linked" / file)
    assert not (whole / file).samefile(tmp_path / "copied" / file)
    assert (figures["shards_linked"], figures["shards_copied"]) == (0, 7)
    assert data_of(tmp_path / "copied") == data_of(tmp_path / "linked") == data_of(whole)


def test_files_that_cannot_be_linked_are_copied(
    whole: Path, parts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    assert merge(tmp_path / "out", parts)["shards_copied"] == 7
    assert data_of(tmp_path / "out") == data_of(whole)


def test_a_link_that_fails_for_another_reason_is_an_error_that_leaves_no_half_shard(
    parts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, calls = os.link, iter(range(100))

    def fill(*arguments: Path) -> None:
        if next(calls) == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        link(*arguments)

    monkeypatch.setattr("os.link", fill)
    with pytest.raises(OSError, match="No space left"):
        merge(tmp_path / "out", parts)
    assert not list(tmp_path.glob("out/**/.tmp-*"))
    assert Cache.open(tmp_path / "out").committed()[1] == {}
    monkeypatch.undo()
    assert merge(tmp_path / "out", parts)["complete"]


def test_other_corpora_are_appended_in_the_order_given(tmp_path: Path) -> None:
    one, two = two_corpora(tmp_path)
    figures = merge(tmp_path / "out", [one, two])
    cache = Cache.open(tmp_path / "out")
    assert [plan.corpus for plan in cache.plans()] == ["a.txt", "b.txt", "c.txt"]
    assert [shard.marker.plan for shard in cache.shards()] == [0, 0, 1, 2, 2, 2]
    assert [shard.marker.last for shard in cache.shards()] == [False, False, True, False, False, False]
    assert (cache.verify(), cache.missing(), figures["complete"]) == ([], [], True)
    rows = [shard.contexts().tobytes() for source in (one, two) for shard in Cache.open(source).shards()]
    assert [shard.contexts().tobytes() for shard in cache.shards()] == rows
    merge(tmp_path / "turned", [two, one])
    assert [plan.corpus for plan in Cache.open(tmp_path / "turned").plans()] == ["c.txt", "a.txt", "b.txt"]


def test_the_inputs_are_not_touched(tmp_path: Path) -> None:
    inputs = two_corpora(tmp_path)
    before = [files_of(path) for path in inputs]
    merge(tmp_path / "out", inputs)
    assert [files_of(path) for path in inputs] == before


def test_parts_among_other_corpora_find_each_other(parts: list[Path], tmp_path: Path) -> None:
    other = make_cache(tmp_path / "other", shards=2, plans=[plan_of("c.txt", 2)])
    assert merge(tmp_path / "out", [parts[0], other, *parts[1:]])["complete"]
    cache = Cache.open(tmp_path / "out")
    assert [shard.marker.plan for shard in cache.shards()] == [0] * 7 + [1] * 2
    assert cache.verify() == []


def test_parts_that_were_made_in_other_folders_belong_together(parts: list[Path], tmp_path: Path) -> None:
    file = parts[1] / "plans" / "0.json"
    moved = {"corpus": "/elsewhere/corpus.txt", "seen": {"path": "/elsewhere/corpus.txt"}, "licence": "cc0"}
    file.write_bytes(canonical_json(json.loads(file.read_bytes()) | moved))
    assert merge(tmp_path / "out", parts)["complete"]
    assert [plan.corpus for plan in Cache.open(tmp_path / "out").plans()] == ["corpus.txt"]


def test_unfinished_parts_make_an_unfinished_cache_that_the_same_merge_completes(
    whole: Path, parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = parts[2] / "shards" / "000005"
    late.rename(tmp_path / "late")
    assert cli.run(["cache", "merge", str(tmp_path / "out"), *map(str, parts)]) == 0
    assert "not complete: `x2static cache info" in capsys.readouterr().out
    assert cli.run(["cache", "info", str(tmp_path / "out"), "--json"]) == 0
    out = capsys.readouterr().out
    assert "missing     5\n" in out
    assert json.loads(out.splitlines()[-1])["missing"] == [5]
    (tmp_path / "late").rename(late)
    told: list[Progress] = []
    figures = merge(tmp_path / "out", parts, report=told.append)
    assert (figures["shards_resumed"], figures["shards_linked"], figures["complete"]) == (6, 1, True)
    assert told[-1] == Progress(7, 7, "shards")
    assert data_of(tmp_path / "out") == data_of(whole)


def test_the_same_unit_twice_is_taken_once_if_it_is_the_same_and_refused_otherwise(
    whole: Path, parts: list[Path], tmp_path: Path
) -> None:
    assert merge(tmp_path / "out", [*parts, whole])["shards"] == 7
    assert data_of(tmp_path / "out") == data_of(whole)
    shutil.rmtree(parts[1] / "shards" / "000004")
    write_shard(parts[1] / "shards", 4, content(6, seed=99), marker(4))
    with pytest.raises(X2StaticError, match=r"whole/shards/000004 are the same unit .* differ \(n_words, contexts/c/"):
        merge(tmp_path / "other", [*parts, whole])
    assert not (tmp_path / "other").exists()


def test_caches_of_another_encoding_are_refused_with_both_values(whole: Path, tmp_path: Path) -> None:
    other = make_cache(tmp_path / "other", shards=1, plans=[plan_of("c.txt", 1)])
    manifest = json.loads((other / "manifest.json").read_bytes())
    changed = encoding(window=128, context="sentence")
    manifest |= {"encoding": changed.model_dump(), "fingerprint": changed.fingerprint}
    (other / "manifest.json").write_bytes(canonical_json(manifest))
    with pytest.raises(X2StaticError, match=r"context: 'paragraph' != 'sentence'; window: 512 != 128; only caches of"):
        merge(tmp_path / "out", [whole, other])
    assert not (tmp_path / "out").exists()


def test_the_same_corpus_in_other_units_is_refused_with_the_reason(whole: Path, tmp_path: Path) -> None:
    other = make_cache(tmp_path / "other", shards=2)
    with pytest.raises(X2StaticError, match=r"hold the same corpus \(corpus\.txt\), .*\(units: 7 != 2\); it would"):
        merge(tmp_path / "out", [whole, other])
    longer = plan_of("b.txt", 1)
    more = make_cache(tmp_path / "more", shards=7, plans=[*Cache.open(whole).plans(), longer])
    with pytest.raises(X2StaticError, match=r"hold the same corpus \(corpus\.txt\), .*\(another number of plans\)"):
        merge(tmp_path / "out", [whole, more])


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_shard_is_refused_by_name_and_mended_goes_on(damage: str, parts: list[Path], tmp_path: Path) -> None:
    file = parts[1] / "shards" / "000004" / "words.arrow"
    shutil.copy(file, tmp_path / "aside")
    if damage == "changed":
        flip(file)
    else:
        file.unlink()
    with pytest.raises(X2StaticError, match=rf"000004.*`x2static cache repair {parts[1]}`"):
        merge(tmp_path / "out", parts)
    shutil.copy(tmp_path / "aside", file)
    assert merge(tmp_path / "out", parts)["complete"]
    assert Cache.open(tmp_path / "out").verify() == []


def test_a_shard_that_was_damaged_in_the_result_is_taken_again(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    merge(tmp_path / "out", parts)
    (tmp_path / "out" / "shards" / "000002" / "words.arrow").unlink()
    (tmp_path / "out" / "shards" / "000003" / "shard.json").unlink()
    assert merge(tmp_path / "out", parts)["shards_linked"] == 2
    assert data_of(tmp_path / "out") == data_of(whole)


def test_a_shard_that_no_plan_asks_for_is_refused(whole: Path, tmp_path: Path) -> None:
    write_shard(whole / "shards", 9, content(6), marker(9))
    with pytest.raises(X2StaticError, match=r"000009: not one of the 7 shards of its cache's plans; move it away"):
        merge(tmp_path / "out", [whole])


def test_a_folder_of_other_things_or_of_another_cache_is_refused_and_not_touched(
    whole: Path, parts: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(X2StaticError, match=r"holds other things \(thesis\.tex\); name a new or empty"):
        merge(tmp_path / "mine", parts)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    with pytest.raises(X2StaticError, match="this is a file"):
        merge(tmp_path / "mine" / "thesis.tex", parts)
    other = make_cache(tmp_path / "other", shards=1, plans=[plan_of("c.txt", 1)])
    before = files_of(other)
    with pytest.raises(X2StaticError, match=r"holds another cache \(of c\.txt\) than this command makes; name a new"):
        merge(other, parts)
    assert files_of(other) == before


def test_another_shard_in_the_result_is_refused(parts: list[Path], tmp_path: Path) -> None:
    merge(tmp_path / "out", parts)
    shutil.rmtree(tmp_path / "out" / "shards" / "000002")
    write_shard(tmp_path / "out" / "shards", 2, content(6, seed=99), marker(2))
    with pytest.raises(X2StaticError, match=r"out/shards/000002: another shard than .*part-2/shards/000002"):
        merge(tmp_path / "out", parts)


def test_the_result_is_none_of_the_inputs_and_no_input_comes_twice(whole: Path, parts: list[Path]) -> None:
    with pytest.raises(X2StaticError, match="is one of the caches to merge"):
        merge(parts[0] / ".." / parts[0].name, parts)
    with pytest.raises(X2StaticError, match="the same cache is given twice"):
        merge(whole, [parts[0], parts[0]])


def killed(where: tuple[str, str, int], *arguments: str | Path) -> int:
    """Run the command line and kill it at a call; return its exit status."""
    command = [sys.executable, "-m", "tests.killing", *map(str, where), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


PHASES = {
    "between plans and manifest": ("x2static.schemas.cache:write_plan", "after", 1),
    "after the manifest": ("x2static.pipeline.caches.derived:begin_cache", "after", 1),
    "between two files of a shard": ("x2static.pipeline.caches.derived:link_or_copy", "after", 8),
    "before a shard has its name": ("x2static.pipeline.caches.derived:commit_folder", "before", 3),
    "between two shards": ("x2static.pipeline.caches.derived:commit_folder", "after", 3),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_merge_is_no_complete_cache_and_goes_on(
    phase: str, whole: Path, parts: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert killed(PHASES[phase], "cache", "merge", out, *parts) == -9
    if (out / "manifest.json").is_file():
        assert Cache.open(out).missing()
    merge(out, parts)
    assert data_of(out) == data_of(whole)
    assert not list(out.rglob(".tmp-*"))


def test_a_killed_merge_of_other_corpora_is_no_complete_cache_and_goes_on(tmp_path: Path) -> None:
    inputs = two_corpora(tmp_path)
    merge(tmp_path / "once", inputs)
    out = tmp_path / "out"
    assert killed(("x2static.pipeline.caches.derived:commit_folder", "after", 3), "cache", "merge", out, *inputs) == -9
    assert Cache.open(out).missing() == [3, 4, 5]
    assert merge(out, inputs)["shards_resumed"] == 3
    assert files_of(out) == files_of(tmp_path / "once")


def test_caches_are_merged_and_sampled_where_the_libraries_of_stage_one_are_not(
    whole: Path, parts: list[Path], tmp_path: Path
) -> None:
    without = (
        "import sys\n"
        "for name in ('transformers', 'datasets', 'tokenizers', 'sentencex'): sys.modules[name] = None\n"
        "from x2static.pipeline.cli import run\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    for arguments in (
        ["merge", tmp_path / "out", *parts],
        ["sample", tmp_path / "out", tmp_path / "s", "--first", "2"],
    ):
        command = [sys.executable, "-c", without, "cache", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert data_of(tmp_path / "out") == data_of(whole)
