"""Caches are joined and sampled by whole shards: parts to the cache they are of, other corpora one behind the other."""

import errno
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import pytest

from tests.conftest import ROOT
from tests.pipeline.ran import run_here
from tests.schemas.caches import change, content, encoding, flip_byte, make_cache, marker, plan, write_shard
from tests.stage1_encode.forks import shared_forks
from tests.stage1_encode.runs import files_of
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Progress
from x2static.pipeline import cli
from x2static.pipeline.caches import merge, sample
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.index import read_index
from x2static.schemas.manifest import Plan, UnitSample

every, first = partial(UnitSample, kind="every"), partial(UnitSample, kind="first")


def plan_of(name: str, units: int, first: int = 0) -> Plan:
    """Return the plan of a corpus of its own, whose shards are numbered from `first` on."""
    return plan(units, first).model_copy(update={"corpus": name, "identity": {"kind": "text", "xxh3": name}})


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return make_cache(tmp_path / "whole", shards=7)


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> list[Path]:
    """Three caches of every third shard each, as `--part` encodes them on other machines."""
    folders = [tmp_path / f"part-{number}" for number in range(3)]
    for number, folder in enumerate(folders):
        shutil.copytree(whole, folder)
        for shard in folder.glob("shards/0*"):
            if int(shard.name) % 3 != number:
                shutil.rmtree(shard)
    return folders


def data_of(cache: Path) -> dict[str, bytes]:
    """Return the files of a cache but for the metadata of its zarr groups, which the hand-made caches lack."""
    return {name: data for name, data in files_of(cache).items() if name not in ("zarr.json", "shards/zarr.json")}


def two_corpora(tmp_path: Path) -> list[Path]:
    """Return caches of two corpora; the first has two plans, of which its markers know."""
    one = make_cache(tmp_path / "one", shards=2, plans=[plan_of("a.txt", 2), plan_of("b.txt", 1, 2)])
    write_shard(one / "shards", 2, content(6, seed=2), marker(2, plan=1, last=True))
    return [one, make_cache(tmp_path / "two", shards=3, plans=[plan_of("c.txt", 3)])]


def refused(words: str, out: Path, inputs: list[Path]) -> None:
    with pytest.raises(X2StaticError, match=words):
        merge(out, inputs)


def test_parts_become_the_cache_that_they_are_parts_of_to_the_byte(whole, parts, tmp_path):
    figures = merge(tmp_path / "out", parts)
    assert data_of(tmp_path / "out") == data_of(whole)
    assert content_of(Cache.open(tmp_path / "out").shards()) == content_of(Cache.open(whole).shards())
    assert Cache.open(tmp_path / "out").verify() == []
    assert figures.items() >= {"shards": 7, "shards_linked": 7, "shards_copied": 0, "complete": True}.items()
    (tmp_path / "out" / "shards" / "000002" / "words.arrow").unlink()  # what is damaged there is taken again
    (tmp_path / "out" / "shards" / "000003" / "shard.json").unlink()
    assert merge(tmp_path / "out", parts)["shards_linked"] == 2
    assert data_of(tmp_path / "out") == data_of(whole)


def test_files_are_linked_and_copied_where_asked_or_where_links_are_refused(whole, tmp_path, monkeypatch):
    merge(tmp_path / "linked", [whole])
    assert merge(tmp_path / "copied", [whole], copy=True)["shards_linked"] == 0
    monkeypatch.setattr("os.link", Mock(side_effect=OSError(errno.EXDEV, "Invalid cross-device link")))
    assert merge(tmp_path / "elsewhere", [whole])["shards_copied"] == 7
    file = Path("shards", "000003", "words.arrow")
    for name in ("linked", "copied", "elsewhere"):
        assert (whole / file).samefile(tmp_path / name / file) == (name == "linked")
        assert data_of(tmp_path / name) == data_of(whole)


def test_a_link_that_fails_for_another_reason_is_an_error_that_leaves_no_half_shard(parts, tmp_path, monkeypatch):
    made = [DEFAULT] * 7  # calls that go through to the real one
    full = [*made, OSError(errno.ENOSPC, "No space left on device")]
    monkeypatch.setattr("os.link", Mock(wraps=os.link, side_effect=full))
    with pytest.raises(OSError, match="No space left"):
        merge(tmp_path / "out", parts)
    assert not list(tmp_path.glob("out/**/.tmp-*"))
    assert Cache.open(tmp_path / "out").committed()[1] == {}
    monkeypatch.undo()
    assert merge(tmp_path / "out", parts)["complete"]


def test_other_corpora_are_appended_in_the_order_given(tmp_path):
    one, two = two_corpora(tmp_path)
    before = [files_of(one), files_of(two)]
    figures = merge(tmp_path / "out", [one, two])
    cache = Cache.open(tmp_path / "out")
    assert [plan.corpus for plan in cache.plans()] == ["a.txt", "b.txt", "c.txt"]
    assert [shard.marker.plan for shard in cache.shards()] == [0, 0, 1, 2, 2, 2]
    assert [shard.marker.last for shard in cache.shards()] == [False, False, True, False, False, False]
    assert (cache.verify(), cache.missing(), figures["complete"]) == ([], [], True)
    rows = [shard.contexts().tobytes() for source in (one, two) for shard in Cache.open(source).shards()]
    assert [shard.contexts().tobytes() for shard in cache.shards()] == rows
    assert [files_of(one), files_of(two)] == before
    merge(tmp_path / "turned", [two, one])
    assert [plan.corpus for plan in Cache.open(tmp_path / "turned").plans()] == ["c.txt", "a.txt", "b.txt"]


def test_parts_that_were_made_in_other_folders_find_each_other_among_other_corpora(parts, tmp_path):
    other = make_cache(tmp_path / "other", shards=2, plans=[plan_of("c.txt", 2)])
    file = parts[1] / "plans" / "0.json"
    change(file, {"corpus": "/elsewhere/corpus.txt", "seen": {"path": "/elsewhere/corpus.txt"}, "licence": "cc0"})
    assert merge(tmp_path / "out", [parts[0], other, *parts[1:]])["complete"]
    cache = Cache.open(tmp_path / "out")
    assert [plan.corpus for plan in cache.plans()] == ["corpus.txt", "c.txt"]
    assert [shard.marker.plan for shard in cache.shards()] == [0] * 7 + [1] * 2
    assert cache.verify() == []


def test_unfinished_parts_make_an_unfinished_cache_that_the_same_merge_completes(whole, parts, tmp_path, capsys):
    late = parts[2] / "shards" / "000005"
    late.rename(tmp_path / "late")
    done = run_here(capsys, ["cache", "merge", *parts, "--out", tmp_path / "out"])
    assert "not complete: `x2static cache info" in done.out
    assert Cache.open(tmp_path / "out").missing() == [5]
    (tmp_path / "late").rename(late)
    progress: list[Progress] = []
    figures = merge(tmp_path / "out", parts, report=progress.append)
    assert (figures["shards_resumed"], figures["shards_linked"], figures["complete"]) == (6, 1, True)
    assert progress[-1] == Progress(7, 7, "shards")
    assert data_of(tmp_path / "out") == data_of(whole)


def test_the_same_unit_twice_is_taken_once_if_it_is_the_same_and_refused_otherwise(whole, parts, tmp_path):
    assert merge(tmp_path / "out", [*parts, whole])["shards"] == 7
    assert data_of(tmp_path / "out") == data_of(whole)
    shutil.rmtree(parts[1] / "shards" / "000004")
    write_shard(parts[1] / "shards", 4, content(6, seed=99), marker(4))
    unlike = r"whole/shards/000004 are the same unit .* differ \(n_words, contexts/c/"
    refused(unlike, tmp_path / "other", [*parts, whole])
    assert not (tmp_path / "other").exists()


def test_caches_of_another_encoding_are_refused_with_both_values(whole, tmp_path):
    other = make_cache(tmp_path / "other", shards=1, plans=[plan_of("c.txt", 1)])
    changed = encoding(window=128, context="sentence")
    change(other / "manifest.json", {"encoding": changed.model_dump(), "fingerprint": changed.fingerprint})
    refused(r"context: 'paragraph' != 'sentence'; window: 512 != 128; only caches of", tmp_path / "out", [whole, other])
    assert not (tmp_path / "out").exists()


def test_the_same_corpus_in_other_units_is_refused_with_the_reason(whole, tmp_path):
    other = make_cache(tmp_path / "other", shards=2)
    refused(r"hold the same corpus \(corpus\.txt\), .*\(units: 7 != 2\); it would", tmp_path / "out", [whole, other])
    more = make_cache(tmp_path / "more", shards=7, plans=[*Cache.open(whole).plans(), plan_of("b.txt", 1)])
    refused(r"hold the same corpus \(corpus\.txt\), .*\(another number of plans\)", tmp_path / "out", [whole, more])


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_shard_is_refused_by_name_and_mended_goes_on(damage, parts, tmp_path):
    file = parts[1] / "shards" / "000004" / "words.arrow"
    shutil.copy(file, tmp_path / "aside")
    flip_byte(file) if damage == "changed" else file.unlink()
    refused(rf"000004.*`x2static cache repair {parts[1]}`", tmp_path / "out", parts)
    shutil.copy(tmp_path / "aside", file)
    assert merge(tmp_path / "out", parts)["complete"]
    assert Cache.open(tmp_path / "out").verify() == []


def test_a_folder_of_other_things_or_of_another_cache_is_refused_and_not_touched(whole, parts, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    refused(r"holds other things \(thesis\.tex\); name a new or empty", tmp_path / "mine", parts)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    refused("this is a file", tmp_path / "mine" / "thesis.tex", parts)
    refused("--out .*: is .*, which is only read; name a new folder", parts[0] / ".." / parts[0].name, parts)
    refused("the same cache is given twice", whole, [parts[0], parts[0]])
    other = make_cache(tmp_path / "other", shards=1, plans=[plan_of("c.txt", 1)])
    before = files_of(other)
    refused(r"holds another cache \(of c\.txt\) than this command makes; name a new", other, parts)
    assert files_of(other) == before


def test_a_shard_that_no_plan_asks_for_or_another_one_in_the_result_is_refused(whole, parts, tmp_path):
    write_shard(whole / "shards", 9, content(6), marker(9))
    refused(r"000009: not one of the 7 shards of its cache's plans; move it away", tmp_path / "out", [whole])
    merge(tmp_path / "out", parts)
    shutil.rmtree(tmp_path / "out" / "shards" / "000002")
    write_shard(tmp_path / "out" / "shards", 2, content(6, seed=99), marker(2))
    refused(r"out/shards/000002: another shard than .*part-2/shards/000002", tmp_path / "out", parts)


PHASES = {
    "between plans and manifest": ("x2static.schemas.cache:write_plan", "after", 1),
    "after the manifest": ("x2static.pipeline.caches:begin_cache", "after", 1),
    "between two files of a shard": ("x2static.pipeline.caches:link_or_copy", "after", 8),
    "before a shard has its name": ("x2static.pipeline.caches:commit_folder", "before", 3),
    "between two shards": ("x2static.pipeline.caches:commit_folder", "after", 3),
}


@pytest.mark.parametrize("corpora", [1, 2])
@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_merge_is_no_complete_cache_and_goes_on(phase, corpora, parts, tmp_path):
    out, inputs = tmp_path / "out", parts if corpora == 1 else two_corpora(tmp_path)
    status, said = shared_forks().run("cache", "merge", *map(str, inputs), "--out", str(out), kill=PHASES[phase])
    assert status == -9, said
    if (out / "manifest.json").is_file():
        assert Cache.open(out).missing()
    merge(out, inputs)
    merge(tmp_path / "once", inputs)
    assert files_of(out) == files_of(tmp_path / "once")
    assert not list(out.rglob(".tmp-*"))


def test_caches_are_merged_sampled_and_trained_on_where_the_libraries_of_stage_one_are_not(whole, parts, tmp_path):
    code = (
        "import sys\n"
        "for name in ('transformers', 'datasets', 'tokenizers', 'sentencex'): sys.modules[name] = None\n"
        "from x2static.pipeline.cli import run\n"
        "others = 'cache sample out --out s --first 2', 'train --cache out --out run --min-count 1'\n"
        "sys.exit(run(['cache', 'merge', '--out', 'out', *sys.argv[1:]]) or max(run(each.split()) for each in others))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, parts)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert data_of(tmp_path / "out") == data_of(whole)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Seven shards of two corpora, four and three."""
    path = make_cache(tmp_path / "source", shards=4, plans=[plan_of("a.txt", 4), plan_of("b.txt", 3, 4)])
    for index in range(4, 7):
        write_shard(path / "shards", index, content(6, seed=index), marker(index, plan=1, last=index == 6))
    return path


SAMPLES = [(every(n=2), [0, 2, 4, 6]), (every(n=3), [0, 3, 6]), (every(n=7), [0]), (first(n=5), [0, 1, 2, 3, 4])]


@pytest.mark.parametrize(("taken", "shards"), SAMPLES)
def test_a_sample_holds_its_units_and_is_complete(taken, shards, source, tmp_path):
    corpora = ["a.txt", "b.txt"] if max(shards) >= 4 else ["a.txt"]
    figures = sample(source, tmp_path / "out", taken)
    out, whole = Cache.open(tmp_path / "out"), Cache.open(source)
    assert (figures["shards"], figures["complete"], out.verify(), out.missing()) == (len(shards), True, [], [])
    assert out.indices() == list(range(len(shards)))
    assert [plan.corpus for plan in out.plans()] == corpora
    for index, number in enumerate(shards):
        assert out.shard(index).contexts().tobytes() == whole.shard(number).contexts().tobytes()
        assert out.shard(index).marker.unit == whole.shard(number).marker.unit
        assert out.plans()[out.shard(index).marker.plan].corpus == ("a.txt" if number < 4 else "b.txt")
    units = [unit for plan in out.plans() for unit in plan.units or ()]
    wanted = [unit for plan in whole.plans() for unit in plan.units or ()]
    assert units == [wanted[number] for number in shards]
    lasts = [shard.marker.last for shard in out.shards()]
    assert (lasts.count(True), lasts[-1]) == (len(corpora), True)


def test_a_sample_and_a_sample_of_it_say_what_they_are(source, tmp_path, capsys):
    figures = run_here(capsys, ["cache", "sample", source, "--out", tmp_path / "out", "--every", "3", "--json"]).json
    assert (figures["command"], figures["shards"], figures["shards_linked"]) == ("cache sample", 3, 3)
    info = run_here(capsys, ["cache", "info", tmp_path / "out", "--json"])
    assert "sample      one unit in 3 of a larger cache\n" in info.err
    assert "shards      3, complete\n" in info.err
    assert info.json["sampled"] == ["one unit in 3"]
    sample(tmp_path / "out", tmp_path / "two", first(n=3))
    assert {plan.sampled for plan in Cache.open(tmp_path / "two").plans()} == {(every(n=3), first(n=3))}
    assert Cache.open(tmp_path / "two").verify() == []
    sample(source, tmp_path / "all", every(n=1))
    refused(r"corpus \(a\.txt\), .*\(sampled: \[\] != \[\{", tmp_path / "merged", [source, tmp_path / "all"])


def test_a_cache_is_sampled_while_it_is_being_encoded(source, tmp_path):
    shutil.rmtree(source / "shards" / "000005")
    assert sample(source, tmp_path / "out", first(n=5))["complete"]
    with pytest.raises(X2StaticError, match=r"1 are missing \(the first is 000005\); finish .* --first 5 units"):
        sample(source, tmp_path / "other", first(n=6))
    assert sample(source, tmp_path / "even", every(n=2))["shards"] == 4


def test_another_sample_is_not_mixed_in_and_no_more_units_are_taken_than_there_are(source, tmp_path):
    sample(source, tmp_path / "out", every(n=2))
    before = files_of(tmp_path / "out")
    with pytest.raises(X2StaticError, match="holds another cache"):
        sample(source, tmp_path / "out", first(n=4))
    with pytest.raises(X2StaticError, match=r"it has 7 units; --first 8 asks for more"):
        sample(source, tmp_path / "other", first(n=8))
    with pytest.raises(X2StaticError, match="which is only read; name a new folder"):
        sample(source, source, first(n=4))
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("options", [[], ["--every", "2", "--first", "2"], ["--every", "0"], ["--first", "x"]])
def test_a_sample_is_asked_for_by_one_number(options, source, tmp_path, capsys):
    assert cli.run(["cache", "sample", str(source), "--out", str(tmp_path / "out"), *options]) == 2
    assert "--first" in capsys.readouterr().err or "--every" in options
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["merge"], ["sample", "--first", "2"]])
def test_nothing_is_written_into_an_input_and_the_earlier_order_of_arguments_is_wrong_usage(
    command, whole, tmp_path, capsys
):
    before = files_of(tmp_path)
    for place, where in ((whole, "is"), (whole / "shards" / "new", "lies in"), (tmp_path, "contains")):
        done = run_here(capsys, ["cache", *command, whole, "--out", place])
        assert (done.status, f"error: --out {place}: {where} {whole}, which is only read" in done.err) == (1, True)
    for places in ([whole, tmp_path / "new"], [tmp_path / "new", whole], [whole], []):
        done = run_here(capsys, ["cache", *command, *places])
        assert (done.status, f"x2static cache {command[0]} IN" in done.err.splitlines()[-1]) == (2, True)
        assert "--out OUT" in done.err
    assert files_of(tmp_path) == before


def test_a_finished_result_that_was_damaged_is_mended_or_named(whole, tmp_path):
    merge(tmp_path / "out", [whole], copy=True)
    for name in ("shards/000002/words.arrow", "shards/zarr.json"):
        flip_byte(tmp_path / "out" / name)
    (tmp_path / "out" / "plans" / ".tmp-0.json-7").touch()
    assert merge(tmp_path / "out", [whole], copy=True)["shards_resumed"] == 6
    assert files_of(tmp_path / "out") == files_of(whole)
    flip_byte(tmp_path / "out" / "word_segmentation.json")
    refused(r"out/word_segmentation\.json: not the rules", tmp_path / "out", [whole])


def test_a_cache_that_is_made_of_others_gets_an_index_of_its_own(whole, parts, tmp_path, monkeypatch):
    monkeypatch.setattr("x2static.schemas.index.FEWEST", 1)
    monkeypatch.setattr("x2static.schemas.index.TICK_NS", 0)
    time.sleep(0.02)  # a tick of the disk's clock
    Cache.open(whole).write_index()
    for _ in range(2):  # of the first time's last shard the clock could not tell its age
        merge(tmp_path / "out", parts)
        sample(whole, tmp_path / "small", every(n=3))
    for made in (tmp_path / "out", tmp_path / "small"):
        assert read_index(made).keys() == {*Cache.open(made).indices()}
        assert read_index(made).items().isdisjoint(read_index(whole).items())
        assert Cache.open(made).verify() == []
    assert content_of(Cache.open(tmp_path / "out").shards()) == content_of(Cache.open(whole).shards())
