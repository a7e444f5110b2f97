"""What is exported reads back in gensim exactly as it was."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import example, given, settings
from hypothesis import strategies as st

from x2static.durable.errors import X2StaticError
from x2static.pipeline.export import word2vec
from x2static.pipeline.export.formats import export
from x2static.pipeline.export.smaller import Smaller
from x2static.schemas.vectors import WordVectors

NASTY = ["new york", "a\nb", "", "\u3000x", "\x00", "x\u2028", "a\x85b", "tab\t", "\x7f", "\ud800", "nb\xa0sp", "\r"]
HARMLESS = ["the", "</s>", "1e5", "nan", "-1.5", "새", "naïve", "𝔘", "e\u0301", "\u200b", "#", '"', "0", "\ufeff"]
F32 = np.finfo(np.float32)
EDGES = [F32.max, F32.min, F32.tiny, F32.smallest_subnormal, -0.0, 0.1, 1 / 3, np.nextafter(np.float32(1), 2)]


def make_vectors(words: list[str], numbers: list[float] | None = None) -> WordVectors:
    matrix = np.random.default_rng(0).normal(size=(len(words), 5)).astype(np.float32)
    matrix.flat[: len(numbers or [])] = (numbers or [])[: matrix.size]
    return WordVectors(words, matrix, np.ones(len(words), np.int64))


def assert_reads_back(path: Path, to: str, vectors: WordVectors, rows: list[int]) -> None:
    keyed = KeyedVectors.load_word2vec_format(str(path), binary=to == "word2vec-bin")
    assert keyed.index_to_key == [vectors.words[row] for row in rows]
    assert keyed.vectors.dtype == np.float32
    assert keyed.vectors.tobytes() == vectors.matrix[rows].tobytes()


@pytest.mark.parametrize("to", ["word2vec", "word2vec-bin"])
@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True),
    numbers=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5),
)
@example(words=HARMLESS, numbers=EDGES)
def test_whatever_can_be_written_reads_back(to, words, numbers):
    vectors = make_vectors(words, numbers)
    unwritable = [any(c.isspace() or ord(c) < 32 or 127 <= ord(c) < 160 for c in word) for word in words]
    kept = np.flatnonzero(~np.array(unwritable)).tolist()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(word2vec, "BLOCK_ROWS", 3)  # blocks join without a seam
        out = Path(folder, "new", "v")
        if not kept:
            with pytest.raises(X2StaticError, match="can hold none"):
                export(vectors, to, out)
            return
        assert export(vectors, to, out) == [word for row, word in enumerate(words) if row not in kept]
        assert_reads_back(out, to, vectors, kept)


@pytest.mark.parametrize("to", ["word2vec", "word2vec-bin"])
def test_words_that_the_format_cannot_hold_are_left_out_and_named_in_one_line(tmp_path, to, caplog):
    words = [word for pair in zip(NASTY, HARMLESS, strict=False) for word in pair]
    vectors = make_vectors(words)
    with caplog.at_level(logging.WARNING):
        assert export(vectors, to, tmp_path / "v") == NASTY
    assert_reads_back(tmp_path / "v", to, vectors, list(range(1, len(words), 2)))
    assert f"{len(NASTY)} words left out" in caplog.text
    assert repr("new york") in caplog.text
    assert caplog.text.count("\n") == 1


@pytest.mark.parametrize(
    ("to", "content"),
    [
        ("word2vec", b"2 2\na 0.5 -2\nb 1.00000001e-10 3\n"),
        ("word2vec-bin", b"2 2\na \0\0\x00\x3f\0\0\0\xc0\nb \xff\xe6\xdb\x2e\0\0\x40\x40\n"),
    ],
)
def test_the_bytes_are_those_of_the_format(tmp_path, to, content):
    vectors = WordVectors(["a", "b"], np.array([[0.5, -2], [1e-10, 3]], np.float32), np.ones(2, np.int64))
    export(vectors, to, tmp_path / "v")
    assert (tmp_path / "v").read_bytes() == content


def test_what_cannot_be_written_is_refused_and_leaves_all_as_it_was(tmp_path, monkeypatch):
    out = tmp_path / "v"
    out.write_text("mine")
    for words, to, path, message in (
        (["a b", ""], "word2vec", tmp_path / "new", "can hold none of 2 words"),
        (["a"], "word2vec", out, "is there already; remove it, or replace it with --force"),
        (["a"], "word2vec", tmp_path, "is a folder"),
        (["a"], "numpy", tmp_path / "new", "choose from word2vec, word2vec-bin, glove"),
    ):
        with pytest.raises(X2StaticError, match=message):
            export(make_vectors(words), to, path)
    monkeypatch.setattr(word2vec, "BLOCK_ROWS", 1)
    with pytest.raises(UnicodeEncodeError):  # in the second block
        word2vec.write_binary(make_vectors(["a", "\ud800"]), out, Smaller())
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_text() == "mine"
    export(make_vectors(["a"]), "word2vec", out, force=True)
    assert_reads_back(out, "word2vec", make_vectors(["a"]), [0])
