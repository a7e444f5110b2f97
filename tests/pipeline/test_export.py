"""What is exported reads back in gensim exactly as it was."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from x2static.durable.errors import X2StaticError
from x2static.pipeline import export as module
from x2static.pipeline.export import export
from x2static.schemas.vectors import WordVectors

FORMATS = ("word2vec", "word2vec-bin")
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
    row = [
        info.max,
        info.min,
        info.tiny,
        info.smallest_subnormal,
        -0.0,
        0.0,
        0.1,
        1 / 3,
        np.nextafter(np.float32(1), 2),
    ]
    vectors = WordVectors(["edge"], np.array([row], np.float32), np.ones(1, np.int64))
    assert_same(load(export(vectors, to, tmp_path / "v").path, to), vectors)


@pytest.mark.parametrize("to", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_can_be_written_reads_back(to, data):
    words = data.draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    dim = data.draw(st.integers(1, 4))
    matrix = data.draw(arrays.arrays(np.float32, (len(words), dim), elements=finite))
    vectors = WordVectors(words, matrix, np.ones(len(words), np.int64))
    kept = [
        row
        for row, word in enumerate(words)
        if not any(c.isspace() or ord(c) < 32 or 127 <= ord(c) < 160 for c in word)
    ]
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
    monkeypatch.setattr(module, "BLOCK_ROWS", 3)
    vectors = make_vectors([f"w{i}" for i in range(10)])
    assert_same(load(export(vectors, to, tmp_path / "v").path, to), vectors)


def test_text_has_a_header_and_a_line_a_word(tmp_path):
    vectors = WordVectors(["a", "b"], np.array([[0.5, -2], [1e-10, 3]], np.float32), np.ones(2, np.int64))
    export(vectors, "word2vec", tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_text() == "2 2\na 0.5 -2\nb 1.00000001e-10 3\n"


def test_binary_is_little_endian_with_a_newline_after_each_vector(tmp_path):
    vectors = WordVectors(["a", "b"], np.array([[1], [-2]], np.float32), np.ones(2, np.int64))
    export(vectors, "word2vec-bin", tmp_path / "v.bin")
    assert (tmp_path / "v.bin").read_bytes() == b"2 1\na \x00\x00\x80\x3f\nb \x00\x00\x00\xc0\n"


def test_nothing_to_write_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(X2StaticError, match="word2vec can hold none of the 2 words"):
        export(make_vectors(["a b", ""]), "word2vec", tmp_path / "v")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_unless_forced(tmp_path):
    out = tmp_path / "v"
    out.write_text("mine")
    with pytest.raises(X2StaticError, match="is there already; remove it, or replace it with --force"):
        export(make_vectors(["a"]), "word2vec", out)
    assert out.read_text() == "mine"
    export(make_vectors(["a"]), "word2vec", out, force=True)
    assert load(out, "word2vec").index_to_key == ["a"]


def test_an_export_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    out = tmp_path / "v"
    out.write_text("mine")

    def fail(*_: object) -> list[bytes]:
        raise OSError("disk full")

    monkeypatch.setattr(module, "_text_lines", fail)
    with pytest.raises(OSError, match="disk full"):
        export(make_vectors(["a"]), "word2vec", out, force=True)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(X2StaticError, match="is a folder"):
        export(make_vectors(["a"]), "word2vec", tmp_path, force=True)


def test_an_unknown_format_is_refused_and_the_known_ones_named(tmp_path):
    with pytest.raises(X2StaticError, match="choose from word2vec, word2vec-bin"):
        export(make_vectors(["a"]), "glove", tmp_path / "v")
