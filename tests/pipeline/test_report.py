"""The page of a run has the figures of its record and its cache, text as text, and says what it does not know."""

import html
import os
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.pipeline.compare.conftest import write_pairs
from tests.pipeline.ran import Ran, run_here
from tests.report.test_page import tags_of
from tests.schemas.caches import amend
from tests.stage2_train.caches import make_cache
from x2static.durable.storage import folder_bytes, read_json
from x2static.machine.screen import quantity
from x2static.pipeline.publish.card import PAPER
from x2static.pipeline.run_report import sampled_words
from x2static.pipeline.terminal import duration, size
from x2static.schemas.cache import Cache, totals
from x2static.schemas.vectors import WordVectors, check_run

TRAIN = ("--objective", "negative-sampling", "--init", "zeros", "--min-count", "1", "--device", "cpu", "--epochs", "3")
HOSTILE = ["<script>alert(1)</script>", "</table>", "&amp;", '"onload=x', "\x1b[31m", "\u202eabc", "שלום", "x" * 300]
CHROMIUM = os.environ.get("X2STATIC_CHROMIUM")


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> "partial[Ran]":
    return partial(run_here, capsys)


@pytest.fixture
def made(tmp_path: Path, here, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a cache, and a run that names it by a relative path."""
    make_cache(tmp_path / "cache", shards=2, paragraphs=30, dim=4)
    monkeypatch.chdir(tmp_path)
    assert here(["train", "--cache", "cache", "--out", "run", *TRAIN]).status == 0
    return tmp_path


def save(folder: Path, words: list[str], run: dict[str, object] | None = None) -> Path:
    matrix = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32)
    WordVectors(words, matrix, np.arange(len(words), 0, -1), run=run or {}).save(folder)
    return folder


def facts_of(page: str, section: str) -> dict[str, str]:
    part = page.split(f"<h2>{section}</h2>")[1].split("<h2>")[0]
    return {html.unescape(what): html.unescape(fact) for what, fact in re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", part)}


def test_the_figures_are_those_of_the_record_and_of_the_cache(made, here, monkeypatch):
    monkeypatch.chdir("/")  # the run named its cache by a path from where it was made
    assert here(["report", made / "run"]).status == 0
    page = (made / "run" / "report.html").read_text()
    record, cache = read_json(made / "run" / "run.json"), Cache.open(made / "cache")
    held = totals(cache.committed()[0].values())

    went_in = facts_of(page, "What went in")
    assert went_in["corpus"] == "corpus.txt"
    assert went_in["corpus's licence"] == "not known to x2static"
    assert went_in["words"] == f"{held['words']:,}"
    assert went_in["contexts"].startswith(f"{held['contexts']:,} sentences, read a paragraph at a time")
    assert went_in["teacher"] == "fake, layer last, 4 dimensions, float32, windows of 512 pieces"
    assert "cache" not in went_in

    cost = facts_of(page, "What it cost")
    assert cost["teacher"].startswith(f"{held['teacher_tokens']:,} pieces")
    assert cost["cache"] == size(folder_bytes(made / "cache"))
    assert cost["training"] == f"{duration(record['seconds'])} on cpu, {quantity(record['threads'], 'thread')}"
    assert cost["speed"] == f"{record['words_per_second']:,} words/s, {record['words']:,} words read"
    assert cost["steps"] == f"{record['steps']:,} in 3 epochs, {record['targets']:,} targets"

    first, *_, last = record["losses"]
    assert f"in each of 3 epochs, from {first:.3f} to {last:.3f}." in page
    assert page.count("<img") == 1
    assert f'dir="auto">{record["configuration"]["lr"]}</td>' in page
    vectors = WordVectors.load(made / "run")
    assert facts_of(page, "Vocabulary")["occurrences"] == f"{vectors.counts.sum():,}, 100.0% of the words of the corpus"
    (near, cosine), *_ = vectors.most_similar(vectors.words[-1])
    cells = [vectors.words[-1], str(vectors.counts[-1]), f"{near} {cosine:.2f}"]
    assert "".join(cells) in re.sub("<.*?>", "", page)


def test_the_page_needs_nothing_beside_itself_and_tells_how_to_cite(made, here):
    assert here(["report", "run", "--out", "new/page.html"]).status == 0
    page = Path("new/page.html").read_text()
    assert re.findall(r' (src|srcset|href)="(?!data:image/png;base64,)', page) == []
    assert "url(" not in page
    assert html.escape(PAPER, quote=False).replace('"', "&#34;") in page
    assert PAPER in (ROOT / "README.md").read_text()


def test_words_of_a_corpus_are_text_whatever_they_are(tmp_path, here):
    pages = []
    for name, words in {"hostile": HOSTILE, "plain": [f"word{place}" for place in range(len(HOSTILE))]}.items():
        folder = save(tmp_path / name, words, {"baseline": words[0], "configuration": {words[0]: words[1]}})
        assert here(["report", folder]).status == 0
        pages.append((folder / "report.html").read_text())
    hostile, plain = pages
    assert set(tags_of(hostile)) == set(tags_of(plain))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;</td>" in hostile
    assert "\\x1b[31m" in hostile
    assert not {"\x1b", "\u202e"} & {*hostile}


def test_vectors_without_a_record_have_a_page_of_what_is_known(tmp_path, here):
    folder = save(tmp_path / "bare", ["one"])
    ran = here(["report", folder, "--json"])
    page = (folder / "report.html").read_text()
    assert (ran.status, ran.json["cache"], ran.json["vocabulary"]) == (0, "none is recorded", 1)
    assert page.count("not recorded") == 2  # the method, the versions
    assert facts_of(page, "What went in") == {"cache": "none is recorded"}
    assert "None: these vectors were not learnt in steps" in page

    loaded = {"baseline": "load", "configuration": {"vectors": "glove.txt", "cache": "cache"}}
    folder = save(tmp_path / "loaded", ["one"], loaded)
    assert here(["report", folder]).status == 0
    page = (folder / "report.html").read_text()
    assert facts_of(page, "What went in") == {"cache": "gave no more than its vocabulary", "file": "glove.txt"}
    assert "method (made elsewhere). That of X2Static" in page


def test_runs_of_0_1_0_have_a_page(tmp_path, here):
    assert here(["report", ROOT / "tests/data/0.1.0/run", "--out", tmp_path / "page.html"]).status == 0
    assert "2.263" in (tmp_path / "page.html").read_text()


def test_a_cache_that_is_gone_or_is_another_one_is_said_and_is_no_error(made, here):
    def note() -> str:
        ran = here(["report", "run", "--force", "--json"])
        assert ran.status == 0
        assert facts_of(Path("run/report.html").read_text(), "What went in").get("cache", "") == ran.json["cache"]
        return ran.json["cache"]

    assert note() == ""
    shutil.rmtree("cache/shards/000001")
    assert "has other shards now" in note()
    (Path("cache") / "manifest.json").write_text("{")
    assert "cannot be read (" in note()
    shutil.rmtree("cache")
    make_cache(Path("cache"), shards=1, paragraphs=30, dim=8)
    assert "another cache is there now" in note()
    shutil.rmtree("cache")
    assert note() == "cache: is not there any more, so little is known of what went in"
    assert facts_of(Path("run/report.html").read_text(), "What went in")["teacher"] == "fake"


def test_a_file_that_is_there_stays_without_force_and_the_run_is_as_it_was(made, here):
    page = Path("run/report.html")
    page.write_text("mine")
    ran = here(["report", "run"])
    assert (ran.status, page.read_text()) == (1, "mine")
    assert "replace it with --force" in ran.err
    assert here(["report", "run", "--force"]).status == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    check_run(Path("run"))
    again = here(["train", "--cache", "cache", "--out", "run", *TRAIN, "--json"])
    assert (again.status, again.json["finished_before"]) == (0, True)
    assert here(["report", "run", "--out", "run"]).status == 1


def test_damaged_vectors_have_no_page(made, here):
    amend(Path("run/run.json"), files={"vectors.safetensors": "0"})
    ran = here(["report", "run"])
    assert (ran.status, Path("run/report.html").exists()) == (1, False)
    assert "vectors.safetensors: has changed" in ran.err


def test_scores_are_those_of_evaluate_and_without_data_the_command_is_named(made, here):
    assert here(["report", "run"]).status == 0
    command = "x2static report run --out run/report.html --data DATA --force"
    assert command in Path("run/report.html").read_text()

    write_pairs(Path("data"), [f"w{i:02d}" for i in range(40)])
    ran = here(["report", "run", "--data", "data", "--force", "--json"])
    expected = here(["evaluate", "run", "--data", "data", "--json"]).json
    assert list(ran.json["scores"]) == ["word-similarity"]
    assert ran.json["scores"]["word-similarity"]["tasks"] == expected["tasks"]
    page = Path("run/report.html").read_text()
    assert all(f"{one['score']:.3f}" in page for one in expected["tasks"].values())
    assert command not in page


def test_damaged_data_of_a_task_is_named_and_another_task_can_be_chosen(made, here):
    write_pairs(Path("data"), [f"w{i:02d}" for i in range(40)])
    Path("data/analogy").mkdir()
    Path("data/analogy/b.txt").write_text(": section\nonly three words\n")
    ran = here(["report", "run", "--data", "data"])
    assert (ran.status, Path("run/report.html").exists()) == (1, False)
    assert "analogy: data/analogy/b.txt" in ran.err
    assert here(["report", "run", "--data", "data", "--task", "word-similarity"]).status == 0
    assert here(["report", "run", "--task", "analogy"]).status == 2


def test_words_are_drawn_alike_from_three_bands_none_twice():
    letters = "abcdefghij"
    words = [a + b + c for a in letters for b in letters for c in letters]
    bands = sampled_words(words)
    assert bands == sampled_words(words)
    ranks = [[words.index(word) for word in of_band] for of_band in bands.values()]
    assert [len(of_band) for of_band in ranks] == [5, 5, 5]
    assert [of_band == sorted(of_band) for of_band in ranks] == [True] * 3
    assert [(of_band[0] // 50, of_band[-1] // 50) for of_band in ranks] == [(0, 1), (9, 10), (18, 19)]
    assert list(sampled_words(["one"]).values()) == [["one"], [], []]
    assert list(sampled_words(["1", "2", "3"]).values()) == [["1"], ["2"], ["3"]]


@pytest.mark.skipif(CHROMIUM is None, reason="X2STATIC_CHROMIUM names no Chromium")
def test_a_phone_scrolls_no_page_sideways(tmp_path, here):
    playwright = pytest.importorskip("playwright.sync_api")
    folder = save(tmp_path / "wide", HOSTILE, {"configuration": {"cache": "/x" * 200}, "losses": [2.0, 1.0]})
    assert here(["report", folder]).status == 0
    switches = ["--no-sandbox", "--single-process", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=switches, timeout=20_000)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto((folder / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("document.querySelector('img').clientWidth") <= 390
        browser.close()
