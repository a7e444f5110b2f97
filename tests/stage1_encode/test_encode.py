"""Stage one as a whole: what it refuses, what it leaves behind, what it goes on with, and what it estimates."""

import json
import shutil
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel

from tests.pipeline.ran import run_here
from tests.stage1_encode.conftest import Readers
from tests.stage1_encode.runs import as_options, changed, config_of, files_of, no_teacher, paragraphs, run, write_lines
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.processes import ahead
from x2static.machine.progress import Progress
from x2static.pipeline.caches import merge, sample
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import UnitSample
from x2static.schemas.segmentation import DEFAULT_RULES
from x2static.schemas.training import TrainConfig
from x2static.stage1_encode.cache_folder import settled
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.encoder import MAX_TOKENS
from x2static.stage1_encode.plan.estimate import estimate
from x2static.stage2_train.trainer import train


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_progress_is_told_after_each_batch_and_an_interrupt_names_what_is_saved(teacher, corpus, cache, monkeypatch):
    monkeypatch.setitem(MAX_TOKENS, "cpu", 64)
    reports: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        reports.append(progress)
        if progress.done > 7:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=rf"{cache}: interrupted; 1 of 2 units saved \(5 of 10 paragraphs\)"):
        encode(config_of(teacher, corpus, cache, unit=5, limit=10), interrupt)
    done = [progress.done for progress in reports]
    assert len({number for number in done if 0 < number < 5}) > 1
    assert done == sorted(done)
    assert all(progress.total == 10 for progress in reports)
    assert run(teacher, corpus, cache, limit=10)["shards_resumed"] == 1, "the units are those that it was begun with"


def test_more_of_a_corpus_comes_in_units_that_go_with_it(teacher, corpus, cache):
    run(teacher, corpus, cache, limit=6, unit=4)
    assert run(teacher, corpus, cache, limit=10)["shards"] == 3
    assert [plan.unit for plan in Cache.open(cache).plans()] == [4, 1024]
    with pytest.raises(X2StaticError, match=r"unit: 1024 != 4"):
        run(teacher, corpus, cache, limit=12, unit=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": "sentence"}, r"context: 'paragraph' != 'sentence'"),
        ({"compat": "paper"}, r"compat: None != 'paper'; words: '\w{12}\.\.\.' != '\w{12}\.\.\.'"),
        ({"precision": "bfloat16", "min_characters": 9}, r"min_characters: 0 != 9; precision: 'float32' != 'bfloat16'"),
        ({"dtype": "int8"}, r"dtype: 'float16' != 'int8'"),
    ],
)
def test_a_cache_of_another_encoding_is_refused_before_loading(change, message, teacher, corpus, cache, monkeypatch):
    run(teacher, corpus, cache, limit=2)
    before = files_of(cache)
    no_teacher(monkeypatch)
    with pytest.raises(X2StaticError, match=rf"was made otherwise \(cache != asked for\): {message}.* Ask for"):
        run(teacher, corpus, cache, **change)
    with pytest.raises(X2StaticError, match=message):
        estimate(config_of(teacher, corpus, cache, **change))
    assert files_of(cache) == before


def test_another_teacher_is_refused_by_name_and_hashes_not_one_that_moved(teacher, readers, corpus, cache, tmp_path):
    other = readers("gpt2").teacher.folder
    run(teacher, corpus, cache, limit=2)
    hashes = "; ".join(
        rf"{name}: '\w{{12}}\.\.\.' != '\w{{12}}\.\.\.'" for name in ("weights", "teacher_config", "tokenizer")
    )
    with pytest.raises(X2StaticError, match=rf"asked for\): model: '{teacher}' != '{other}'; {hashes}\. Ask"):
        run(other, corpus, cache)
    shutil.copytree(teacher, tmp_path / "moved")
    assert run(tmp_path / "moved", corpus, cache)["shards"] == 2


def test_a_second_encoder_of_a_cache_is_refused_while_the_first_runs(forks, teacher, corpus, cache, tmp_path):
    config = config_of(teacher, corpus, cache, unit=5)
    answers = []
    # At the first report the cache has been made, and nothing is encoded yet.
    encode(config, lambda _: answers or answers.append(forks.run(*as_options(config))))
    ((status, output),) = answers
    assert status == 1
    assert f"\nerror: {cache}: another x2static process is writing to this cache" in output
    run(teacher, corpus, tmp_path / "alone", unit=5)
    assert files_of(cache) == files_of(tmp_path / "alone")
    assert forks.run(*as_options(config))[0] == 0  # the lock is gone with its holder


def test_a_folder_of_other_things_is_refused_and_not_touched(teacher: Path, corpus: Path, cache: Path) -> None:
    (cache / "plans").mkdir(parents=True)
    (cache / "plans" / "2027.txt").write_text("go south")
    for ask in (encode, estimate):
        with pytest.raises(X2StaticError, match=r"holds other things \(plans/2027\.txt\); name a new or"):
            ask(config_of(teacher, corpus, cache))
    assert [path.name for path in cache.rglob("*")] == ["plans", "2027.txt"]
    with pytest.raises(X2StaticError, match="this is a file; name a folder"):
        run(teacher, corpus, cache / "plans" / "2027.txt")


def test_a_run_killed_between_plans_and_manifest_starts_anew(forks, teacher, corpus, cache, tmp_path):
    arguments = as_options(config_of(teacher, corpus, cache, unit=1))
    status, output = forks.run(*arguments, kill=("x2static.schemas.cache:write_plan", "after", 1))
    assert status == -9, output
    assert (cache / "plans" / "0.json").is_file()
    assert not (cache / "manifest.json").exists()
    for leftover in (".tmp-manifest.json", "plans/.tmp-0.json", "zarr.0123abc.partial"):
        (cache / leftover).write_text("half")
    run(teacher, corpus, cache, unit=6)
    run(teacher, corpus, tmp_path / "once", unit=6)
    assert files_of(cache) == files_of(tmp_path / "once")


@pytest.mark.parametrize("damaged", ["shard.json", "words.arrow"])
def test_a_damaged_shard_is_encoded_again_alike(damaged, teacher, corpus, cache, log):
    run(teacher, corpus, cache, unit=4)
    before = files_of(cache)
    (cache / "shards" / "000001" / damaged).unlink()
    (cache / "shards" / ".tmp-000002").mkdir()
    figures = run(teacher, corpus, cache, unit=4)
    assert (figures["shards"], figures["shards_resumed"]) == (3, 2)
    assert files_of(cache) == before
    assert "shard 000001 is encoded again: " in log.text
    assert "going on after 2 units" in log.text
    assert not list((cache / "shards").glob(".tmp-*"))


def test_shards_of_another_encoding_or_without_a_manifest_are_refused_and_kept(teacher, corpus, cache):
    run(teacher, corpus, cache, unit=4)
    changed(cache / "shards" / "000001", "shard.json", encoding="0" * 64)
    before = files_of(cache)
    with pytest.raises(X2StaticError, match=r"000001: the shard belongs to another encoding"):
        run(teacher, corpus, cache, unit=4)
    assert files_of(cache) == before
    (cache / "manifest.json").unlink()
    with pytest.raises(X2StaticError, match=r"holds other things \(shards/000000"):
        run(teacher, corpus, cache)
    assert len(files_of(cache)) == len(before) - 1


def test_a_finished_cache_asked_for_again_loads_no_teacher(teacher, corpus, cache, monkeypatch, log):
    first = run(teacher, corpus, cache)
    before = files_of(cache)
    no_teacher(monkeypatch)
    second = run(teacher, corpus, cache)
    assert (second["shards_resumed"], second["tokens_per_second"]) == (1, 0)
    for name in ("shards", "paragraphs", "contexts", "words", "teacher_tokens", "cache_bytes"):
        assert first[name] == second[name] > 0
    assert f"{cache}: finished already, 1 unit" in log.text
    assert files_of(cache) == before


def test_paragraphs_below_the_filter_are_counted_and_nothing_left_is_an_error_each_time(
    teacher, cache, tmp_path, log, capsys
):
    corpus = write_lines(tmp_path / "text.txt", ["Short. Text."] * 4 + ["One. Two. Three."] * 3)
    figures = run(teacher, corpus, cache, unit=2, min_sentences=3)
    assert (figures["shards"], figures["paragraphs"], figures["contexts"]) == (4, 3, 9)
    assert [marker.n_contexts for marker in Cache.open(cache).committed()[0].values()] == [0, 0, 6, 3]
    assert (figures["paragraphs_read"], figures["min_sentences"], figures["min_characters"]) == (7, 3, 0)
    kept = "3 of 7 paragraphs kept (4 have fewer than 3 sentences: --min-sentences)"
    assert f"{cache}: only {kept}" in log.messages
    info = run_here(capsys, ["cache", "info", cache, "--json"])
    assert f"paragraphs  {kept}\n" in info.err
    assert (info.json["paragraphs"], info.json["paragraphs_read"]) == (3, 7)
    for _ in range(2):
        with pytest.raises(X2StaticError, match=r"the filter left nothing of 7 paragraphs \(at least 4 sentences and "):
            run(teacher, corpus, tmp_path / "nothing", min_sentences=4)


OPEN = {"min_sentences": None, "min_characters": None}


@pytest.mark.parametrize(("compat", "limits"), [(None, (1, 0)), ("paper", (3, 140))])
def test_every_paragraph_is_kept_unless_the_paper_is_followed(teacher, cache, tmp_path, compat, limits):
    corpus = write_lines(tmp_path / "text.txt", ["One. Two. Three."] * 3 + ["No stop"] * 4)
    config = config_of(teacher, corpus, cache, compat=compat, **OPEN)
    assert (settled(config).min_sentences, settled(config).min_characters) == limits
    if compat is None:
        assert encode(config)["paragraphs"] == 7


def test_a_cache_goes_on_with_the_filter_and_the_rules_that_it_was_begun_with(teacher, cache, tmp_path, log):
    corpus = write_lines(tmp_path / "text.txt", ["One ❤️. Two. Three."] * 3 + ["Short. Text."] * 4)
    of_0_1_0 = config_of(teacher, corpus, cache, unit=2, limit=3, min_sentences=3, min_characters=10, text_rules=1)
    assert encode(of_0_1_0)["paragraphs"] == 3
    figures = run(teacher, corpus, cache, unit=2, **OPEN)
    assert (figures["paragraphs"], figures["paragraphs_read"], figures["min_sentences"]) == (3, 7, 3)
    assert f"{cache}: going on with --min-sentences 3 and --min-characters 10, as it was begun" in log.messages
    assert Cache.open(cache).segmentation().sha256 == DEFAULT_RULES[0]
    assert Cache.open(cache).manifest.encoding.sentences == f"sentencex {version('sentencex')}"
    with pytest.raises(X2StaticError, match="min_sentences: 3 != 1"):
        run(teacher, corpus, cache, unit=2, min_sentences=1, min_characters=None)


@pytest.mark.parametrize(
    ("part", "value", "dtype", "message"),
    [
        ("dense", torch.nan, "float16", "the teacher's states are not finite; try --precision"),
        ("LayerNorm", 1e6, "float16", r"context vectors reach \d\.?\d*e\+0[56], beyond float16 \(65504"),
        ("LayerNorm", 1e6, "int8", r"beyond float16 \(65504\)"),  # which training reads
    ],
)
def test_states_that_cannot_be_stored_leave_nothing(part, value, dtype, message, teacher, corpus, cache, tmp_path):
    broken = shutil.copytree(teacher, tmp_path / "broken")
    model = AutoModel.from_pretrained(teacher, dtype=torch.float32)
    model.encoder.layer[1].output.get_submodule(part).weight.data.fill_(value)
    model.save_pretrained(broken)
    with pytest.raises(X2StaticError, match=rf"corpus\.txt, unit 0: .*{message}"):
        run(broken, corpus, cache, unit=4, dtype=dtype)
    assert [path.name for path in (cache / "shards").iterdir()] == ["zarr.json"]


def test_the_paper_mode_needs_a_window_as_wide_as_its_own(readers: Readers, corpus: Path, cache: Path) -> None:
    narrow = readers("bert", 256).teacher.folder
    with pytest.raises(X2StaticError, match=r"--compat paper reads 500 pieces at once, this teacher holds 256; leave"):
        run(narrow, corpus, cache, compat="paper")
    assert not (cache / "manifest.json").exists()
    assert run(narrow, corpus, cache, compat="paper", context="sentence")["contexts"] > 0


def test_an_estimate_from_all_of_a_file_is_what_encoding_then_takes(teacher: Path, cache: Path, tmp_path: Path) -> None:
    config = config_of(teacher, write_lines(tmp_path / "text.txt", paragraphs(400)), cache, unit=150, min_sentences=3)
    figures = estimate(config)
    assert not cache.exists()
    done = encode(config)
    assert (figures["units"], figures["units_left"], figures["paragraphs"]) == (3, 3, 400)
    assert figures["sentences"] == pytest.approx(done["contexts"], rel=0.15)
    assert figures["teacher_tokens"] == pytest.approx(done["teacher_tokens"], rel=0.15)
    arrays = [path for path in cache.glob("shards/0*/**/*") if path.is_file() and path.suffix != ".json"]
    assert figures["cache_bytes"] == pytest.approx(sum(path.stat().st_size for path in arrays), rel=0.15)
    assert figures["tokens_per_second"] > 0
    assert figures["free_bytes"] > 0


def test_an_estimate_of_what_is_left_counts_what_is_there(teacher, corpus, cache, monkeypatch):
    # So slow a machine that tenths of a second show.
    monkeypatch.setattr("x2static.stage1_encode.plan.estimate._tokens_per_second", lambda *_: 10.0)
    nothing = estimate(config_of(teacher, corpus, cache, min_characters=100_000))
    assert nothing["sentences"] == nothing["seconds"] == 0
    run(teacher, corpus, cache, unit=2, limit=6)
    before = files_of(cache)
    figures = estimate(config_of(teacher, corpus, cache, unit=2))
    assert (figures["units"], figures["units_left"], figures["paragraphs"]) == (5, 2, 10)
    assert figures["seconds"] == pytest.approx(0.4 * figures["teacher_tokens"] / 10, abs=0.06)
    assert files_of(cache) == before
    run(teacher, corpus, cache, unit=2)
    figures = estimate(config_of(teacher, corpus, cache, unit=2))
    assert (figures["units_left"], figures["seconds"]) == (0, 0)


def test_an_estimate_samples_every_unit_of_several_corpora(teacher, corpus, cache, tmp_path):
    long = write_lines(tmp_path / "long.txt", [" ".join(paragraphs(6, seed=number)) for number in range(10)])
    corpora = (corpus, (corpus, long), long)
    planned = [estimate(config_of(teacher, text, cache, unit=3)) for text in corpora]
    alone, both, only_long = (figures["teacher_tokens"] for figures in planned)
    assert only_long > 4 * alone
    assert both == alone + only_long


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_the_length_of_a_stream_without_limit_is_not_estimated(teacher: Path, cache: Path, data: Path) -> None:
    write_lines(data / "train.jsonl", [json.dumps({"text": text}) for text in paragraphs(30)])
    with pytest.raises(X2StaticError, match="needs a --limit"):
        estimate(config_of(teacher, f"hf://{data}", cache, unit=8))
    limited = estimate(config_of(teacher, f"hf://{data}", cache, unit=30, limit=30))
    assert limited["paragraphs"] == 30
    assert not cache.exists()
    assert limited["teacher_tokens"] == run(teacher, f"hf://{data}", cache, unit=30)["teacher_tokens"]


def test_the_length_of_parquet_files_is_estimated_until_they_were_read(teacher: Path, cache: Path, data: Path):
    pq.write_table(pa.table({"text": paragraphs(30)}), data / "train.parquet")
    config = config_of(teacher, f"hf://{data}", cache, unit=8)
    before = estimate(config)
    assert (before["units"], before["paragraphs"], before["paragraphs_counted"]) == (4, 30, False)
    assert before["teacher_tokens"] == pytest.approx(encode(config)["teacher_tokens"], rel=0.2)
    after = estimate(config)
    assert (after["units_left"], after["paragraphs"], after["paragraphs_counted"], after["seconds"]) == (0, 30, True, 0)


def vectors_of(cache: Path) -> np.ndarray:
    """Return all context vectors of a cache, (n_contexts, dim) float64."""
    return np.concatenate([shard.contexts().astype(float) for shard in Cache.open(cache).shards()])


def test_int8_rows_are_near_those_of_float16_have_the_estimated_size_and_can_be_trained(teacher, corpus, tmp_path):
    estimated, sizes = [], []
    for dtype in ("float16", "int8"):
        config = config_of(teacher, corpus, tmp_path / dtype, unit=5, dtype=dtype)
        estimated.append(estimate(config)["cache_bytes"])
        encode(config)
        sizes.append(sum(path.stat().st_size for path in config.cache.glob("shards/0*/**/c/**/*") if path.is_file()))
    vectors = vectors_of(tmp_path / "float16")
    error = np.abs(vectors_of(tmp_path / "int8") - vectors)
    scales = np.abs(vectors).max(axis=1, keepdims=True) / 127
    assert (error <= scales * 0.51 + np.abs(vectors) * 2.0**-10).all()  # both are rounded to float16
    assert error.max() > 0
    rows, dim = vectors.shape
    assert sizes == [rows * 2 * dim, rows * (dim + 4)]
    assert estimated[0] - estimated[1] == rows * (dim - 4)
    wide, narrow = (Cache.open(tmp_path / dtype).shards() for dtype in ("float16", "int8"))
    for one, other in zip(wide, narrow, strict=True):
        assert (one.words(), one.lexicon()) == (other.words(), other.lexicon())
    assert train(TrainConfig(cache=tmp_path / "int8", out=tmp_path / "run", min_count=1, batch_size=4))["steps"] > 0


def test_int8_caches_are_merged_sampled_verified_and_trained_on(teacher: Path, corpus: Path, tmp_path: Path) -> None:
    other = write_lines(tmp_path / "other.txt", paragraphs(6, seed=1))
    for name, text in (("one", corpus), ("two", other)):
        run(teacher, text, tmp_path / name, unit=3, dtype="int8")
    merge(tmp_path / "merged", [tmp_path / "one", tmp_path / "two"])
    sample(tmp_path / "merged", tmp_path / "sample", UnitSample(kind="every", n=2))
    for name in ("merged", "sample"):
        assert Cache.open(tmp_path / name).verify() == []
        wish = TrainConfig(cache=tmp_path / name, out=tmp_path / f"{name}-run", min_count=1, batch_size=4)
        assert train(wish)["steps"] > 0


@pytest.mark.exhaustive  # a compiler takes its time
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles for a CPU with g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own parts
def test_a_compiled_teacher_gives_the_same_vectors_in_a_cache_of_its_own_kind(teacher: Path, tmp_path: Path) -> None:
    corpus, compiled = write_lines(tmp_path / "text.txt", paragraphs(40)), tmp_path / "compiled"
    run(teacher, corpus, tmp_path / "eager", unit=20)
    run(teacher, corpus, compiled, unit=20, limit=20, compile=True)
    with pytest.raises(X2StaticError, match=r"made otherwise \(cache != asked for\): compile: True != False"):
        run(teacher, corpus, compiled, unit=20)
    run(teacher, corpus, compiled, unit=20, compile=True)
    first, second = vectors_of(tmp_path / "eager"), vectors_of(compiled)
    cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    assert len(first) == len(second) > 40
    assert cosines.min() >= 0.9999


@pytest.mark.exhaustive  # torch takes half a minute to find out
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_without_a_compiler_the_option_to_leave_out_is_named(teacher, corpus, cache, tmp_path, monkeypatch):
    import torch._inductor.config as inductor

    torch._dynamo.reset()
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))  # nothing compiled before counts
    with pytest.raises(X2StaticError, match=r"--compile: torch cannot compile .* here \(.*\); leave --compile out"):
        run(teacher, corpus, cache, compile=True)


def test_work_ahead_keeps_its_order_and_raises_where_the_item_would_be() -> None:
    def items() -> Any:
        yield 1
        yield 2
        raise InterruptedError("at the third")

    found = []
    with pytest.raises(InterruptedError, match="at the third"):
        for item in ahead(items()):
            found.append(item)
    assert (found, list(ahead(range(5))), list(ahead([]))) == ([1, 2], [0, 1, 2, 3, 4], [])


def test_a_filter_that_drops_the_lines_of_wrapped_text_is_not_to_be_lowered(teacher, tmp_path, log):
    story = "It began with a storm, and the ship that was to bring us home was gone. " * 9
    lines = textwrap.wrap(story, 60)
    corpus = write_lines(tmp_path / "book.txt", [*lines, "", *lines[:4], "An end. Of all. Of it."])
    options = {"format": "lines", "min_sentences": 3}
    run(teacher, corpus, tmp_path / "cache", **options)
    assert "--format blank-lines joins them" in log.messages[-1]
    assert "were wrapped at 59 characters" in log.messages[-1]
    write_lines(corpus, lines)
    with pytest.raises(X2StaticError, match=r"the filter left nothing of .*blank-lines joins them, and use another"):
        run(teacher, corpus, tmp_path / "other", **options | {"min_characters": 100})
