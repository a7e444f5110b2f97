"""`make demo` as the README promises it, on the whole demo corpus."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import Ran, Run, files_of
from x2static.pipeline.commands.demo import NEIGHBOURS_OF
from x2static.schemas.vectors import WordVectors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "demo"


@pytest.fixture(scope="module")
def first(run: Run, folder: Path) -> Ran:
    return run("demo", "--out", folder, "--json")


def test_the_demo_reaches_half_on_wordsim_353(first: Ran) -> None:
    assert first.status == 0, first.stderr
    task = first.json["tasks"]["wordsim353"]
    assert task["score"] >= 0.50
    assert task["covered"] >= 0.6 * task["total"]
    assert first.json["tasks"]["simlex999"]["covered"] > 500


def test_the_demo_shows_neighbours_of_a_dozen_words_and_where_its_files_are(first: Ran, folder: Path) -> None:
    assert len(NEIGHBOURS_OF) == 12
    for word in NEIGHBOURS_OF:
        assert f"\n  {word} " in first.stdout
    assert str(folder / "vectors") in first.stdout
    assert str(folder / "cache") in first.stdout
    vectors = WordVectors.load(folder / "vectors")
    assert {"queen", "prince", "throne", "crown", "emperor", "kings"} & {
        word for word, _ in vectors.most_similar("king")
    }


def test_a_second_demo_finds_everything_done_and_says_so(first: Ran, run: Run, folder: Path) -> None:
    before = files_of(folder)
    second = run("demo", "--out", folder, "--json")
    assert second.status == 0, second.stderr
    assert second.json["finished_before"] is True
    assert first.json["finished_before"] is False
    assert "Everything was done before" in second.stdout
    assert second.json["tasks"] == first.json["tasks"]
    assert files_of(folder) == before
