"""What is exported reads back in gensim exactly as it was."""

import logging
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from x2static.durable.errors import X2StaticError
from x2static.pipeline.export import word2vec
from x2static.pipeline.export.formats import FORMATS, export
from x2static.schemas.vectors import WordVectors

NASTY = ["new york", "a\nb", "", "\u3000x", "\x00", "x\u2028", "a\x85b", "tab\t", "\x7f", "\ud800", "nb\xa0sp", "\r"]
HARMLESS = ["the", "</s>", "1e5", "nan", "-1.5", "새", "naïve", "𝔘", "e\u0301", "\u200b", "#", '"', "0", "\ufeff"]


def make_vectors(words: list[str], dim: int = 5, seed: int = 0) -> WordVectors:
    matrix = np.random.default_rng(seed).normal(size=(len(words), dim)).astype(np.float32)
    return WordVectors(words, matrix, np.ones(len(words), np.int64))


def load(path: Path, to: str) -> KeyedVectors:
    return KeyedVectors.load_word2vec_format(str(path), binary=to == "word2vec-bin")


def assert_same(keyed: KeyedVectors, vectors: WordVectors) -> None:
    assert keyed.index_to_key == vectors.words
    assert keyed.vectors.dtype == np.float32
    assert keyed.vectors.tobytes() == np.ascontiguousarray(vectors.matrix).tobytes()


@pytest.mark.parametrize("to", FORMATS)
def test_gensim_reads_back_the_same_words_and_bits(tmp_path, to):
    vectors = make_vectors(HARMLESS)
    result = export(vectors, to, tmp_path / "new" / "vectors.out")
    assert (result.words_written, result.words_left_out) == (len(HARMLESS), 0)
    assert result.path == tmp_path / "new" / "vectors.out"
    assert_same(load(result.path, to), vectors)


@pytest.mark.parametrize("to", FORMATS)
def test_numbers_at_the_edges_of_float32_read_back(tmp_path, to):
    info = np.finfo(np.float32)
    row = [info.max, info.min, info.tiny, info.smallest_subnormal, -0.0, 0.1, 1 / 3, np.nextafter(np.float32(1), 2)]
    vectors = WordVectors(["edge"], np.array([row], np.float32), np.ones(1, np.int64))
    assert_same(load(export(vectors, to, tmp_path / "v").path, to), vectors)


@pytest.mark.parametrize("to", FORMATS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_can_be_written_reads_back(to, data):
    words = data.draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    dim = data.draw(st.integers(1, 4))
    matrix = data.draw(arrays.arrays(np.float32, (len(words), dim), elements=finite))
    vectors = WordVectors(words, matrix, np.ones(len(words), np.int64))
    unwritable = [any(c.isspace() or ord(c) < 32 or 127 <= ord(c) < 160 for c in word) for word in words]
    kept = np.flatnonzero(~np.array(unwritable)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "v")
        if not kept:
            with pytest.raises(X2StaticError, match="can hold none"):
                export(vectors, to, out)
            return
        assert export(vectors, to, out).words_left_out == len(words) - len(kept)
        expected = WordVectors([words[row] for row in kept], matrix[kept], np.ones(len(kept), np.int64))
        assert_same(load(out, to), expected)


@pytest.mark.parametrize("to", FORMATS)
def test_words_that_the_format_cannot_hold_are_left_out_counted_and_named(tmp_path, to, caplog):
    words = [word for pair in zip(NASTY, HARMLESS, strict=False) for word in pair]
    vectors = make_vectors(words)
    with caplog.at_level(logging.WARNING):
        result = export(vectors, to, tmp_path / "v")
    assert (result.words_written, result.words_left_out) == (len(words) - len(NASTY), len(NASTY))
    rows = [words.index(word) for word in HARMLESS[: len(NASTY)]]
    expected = WordVectors(HARMLESS[: len(NASTY)], vectors.matrix[rows], np.ones(len(rows), np.int64))
    assert_same(load(tmp_path / "v", to), expected)
    assert f"{len(NASTY)} words left out" in caplog.text
    assert repr("new york") in caplog.text
    assert repr("a\nb") in caplog.text
    assert caplog.text.count("\n") == 1


@pytest.mark.parametrize("to", FORMATS)
def test_blocks_join_without_a_seam(tmp_path, to, monkeypatch):
    monkeypatch.setattr(word2vec, "BLOCK_ROWS", 3)
    vectors = make_vectors([f"w{i}" for i in range(10)])
    assert_same(load(export(vectors, to, tmp_path / "v").path, to), vectors)


@pytest.mark.parametrize(
    ("to", "content"),
    [
        ("word2vec", b"2 2\na 0.5 -2\nb 1.00000001e-10 3\n"),
        ("word2vec-bin", b"2 2\na \0\0\x00\x3f\0\0\0\xc0\nb \xff\xe6\xdb\x2e\0\0\x40\x40\n"),
    ],
)
def test_the_bytes_are_those_of_the_format(tmp_path, to, content):
    vectors = WordVectors(["a", "b"], np.array([[0.5, -2], [1e-10, 3]], np.float32), np.ones(2, np.int64))
    assert export(vectors, to, tmp_path / "v").path.read_bytes() == content


def test_what_cannot_be_written_is_refused_and_leaves_all_as_it_was(tmp_path):
    out = tmp_path / "v"
    out.write_text("mine")
    for words, to, path, message in (
        (["a b", ""], "word2vec", tmp_path / "new", "can hold none of the 2 words"),
        (["a"], "word2vec", out, "is there already; remove it, or replace it with --force"),
        (["a"], "word2vec", tmp_path, "is a folder"),
        (["a"], "glove", tmp_path / "new", "choose from word2vec, word2vec-bin"),
    ):
        with pytest.raises(X2StaticError, match=message):
            export(make_vectors(words), to, path)
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_text() == "mine"
    export(make_vectors(["a"]), "word2vec", out, force=True)
    assert load(out, "word2vec").index_to_key == ["a"]


def test_an_export_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    out = tmp_path / "v"
    out.write_text("mine")
    monkeypatch.setattr(word2vec, "BLOCK_ROWS", 1)
    monkeypatch.setattr(word2vec, "UNWRITABLE", re.compile("^$"))
    with pytest.raises(UnicodeEncodeError):
        export(make_vectors(["a", "\ud800"]), "word2vec-bin", out, force=True)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]
