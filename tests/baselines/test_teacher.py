"""The teacher of a cache: found where it is now, and refused before it reads for hours."""

from pathlib import Path

import pytest

from tests.baselines.caches import common, encoded, made, reader
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.teacher.teacher import Teacher

LAYERS = r"this teacher has layers 0 \(its embeddings\) to 2"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ase", {"layer": 9}, rf"--layer 9: {LAYERS}"),
        ("ase", {"layer": 9, "pooling": "min"}, rf"--layer 9: {LAYERS}"),
        ("pca", {"layer": 9}, rf"--layer 9: {LAYERS}"),
        ("decontextualized", {"layer": -4}, rf"--layer -4: {LAYERS}"),
        ("decontextualized", {"model": "gpt2"}, r"cache != here.*weights"),
        ("model2vec", {"model": "/nowhere"}, "needs it, name it where it is now with --model"),
    ],
)
def test_a_wrong_layer_and_another_teacher_are_refused_before_the_teacher_reads(
    name: str, options: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if options.get("model") == "gpt2":
        options = {"model": str(reader("gpt2").teacher.folder)}
    monkeypatch.setattr(Teacher, "layers", lambda *_: pytest.fail("the teacher reads"))
    with pytest.raises(X2StaticError, match=message):
        made(name, common(), tmp_path / "out", min_count=3, **options)


def test_a_cache_whose_words_and_pieces_do_not_meet_is_refused_where_they_have_to(tmp_path: Path) -> None:
    cache = encoded(tmp_path, compat="paper")
    (tmp_path / "text.txt").unlink()
    with pytest.raises(X2StaticError, match=r"made with --compat paper, .*; ase needs a cache without it"):
        made("ase", cache, tmp_path / "out")
    assert len(made("decontextualized", cache, tmp_path / "words")) > 30


def test_a_moved_corpus_and_teacher_are_named(tmp_path: Path) -> None:
    cache = encoded(tmp_path)
    (tmp_path / "text.txt").rename(tmp_path / "moved.txt")
    with pytest.raises(X2StaticError, match=r"is needed to encode its shards again, and is not found .* with --corpus"):
        made("ase", cache, tmp_path / "out")
    moved = {"model": str(reader().teacher.folder), "corpus": (str(tmp_path / "moved.txt"),)}
    assert len(made("ase", cache, tmp_path / "out", **moved)) > 30


@pytest.mark.parametrize(("name", "options"), [("ase", {}), ("ase", {"pooling": "max"}), ("pca", {})])
def test_what_memory_cannot_hold_is_refused_with_numbers(
    name: str, options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("x2static.baselines.occurrences.memory_of", lambda _: 10_000)
    with pytest.raises(X2StaticError, match=r"take 0\.0 GB, and of the 0\.0 GB of memory here 80% .* --max-vocab"):
        made(name, common(), tmp_path / "out", min_count=3, **options)
