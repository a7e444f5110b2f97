"""`x2static demo`: on some of its texts what it shows, and on all of them the score that the README promises."""

import pytest

from tests.pipeline.ran import run_here
from tests.stage1_encode.runs import files_of
from x2static.pipeline.commands import demo
from x2static.schemas.vectors import WordVectors


@pytest.mark.exhaustive
def test_a_second_demo_finds_everything_done_and_both_say_where_it_is(tmp_path, monkeypatch, capsys):
    whole = demo.encode_config
    monkeypatch.setattr(demo, "encode_config", lambda folder: whole(folder).model_copy(update={"limit": 150}))
    folder = tmp_path / "demo"
    first = run_here(capsys, ["demo", "--out", folder, "--json"])
    assert first.status == 0, first.err
    before = files_of(folder)
    second = run_here(capsys, ["demo", "--out", folder, "--json"])
    assert second.status == 0, second.err
    assert (first.json["finished_before"], second.json["finished_before"]) == (False, True)
    assert "Everything was done before" in second.out
    assert second.json["tasks"] == first.json["tasks"]
    assert files_of(folder) == before
    vectors = WordVectors.load(folder / "vectors")
    for said in (first.out, second.out):
        assert all((f"\n  {word} " in said) == (word in vectors) for word in demo.NEIGHBOURS_OF)
        assert str(folder / "vectors") in said
        assert str(folder / "cache") in said


@pytest.mark.exhaustive
def test_the_demo_reaches_half_on_wordsim_353(tmp_path, capsys):
    done = run_here(capsys, ["demo", "--out", tmp_path / "demo", "--json"])
    assert done.status == 0, done.err
    task = done.json["tasks"]["wordsim353"]
    assert task["score"] >= 0.50
    assert task["covered"] >= 0.6 * task["total"]
    assert done.json["tasks"]["simlex999"]["covered"] > 500
    vectors = WordVectors.load(tmp_path / "demo" / "vectors")
    assert all(word in vectors for word in demo.NEIGHBOURS_OF)
    near = {word for word, _ in vectors.most_similar("king")}
    assert {"queen", "prince", "throne", "crown", "emperor", "kings"} & near
