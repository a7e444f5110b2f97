"""Files of word vectors that others made, against gensim's own readers."""

import gzip
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model

from tests.baselines.caches import cache_of, counted, request_of
from x2static.baselines import pretrained
from x2static.baselines.pretrained import FASTTEXT_MAGIC
from x2static.baselines.request import Result
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.demo import gensim_data

WORDS = ["the", "</s>", "naïve", "1", "새", "of", "2.5", "</t>"]
MATRIX = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)
KINDS = ("word2vec", "word2vec-bin", "glove")


def write(path: Path, kind: str) -> Path:
    keyed = KeyedVectors(MATRIX.shape[1])
    keyed.add_vectors(WORDS, MATRIX)
    keyed.save_word2vec_format(str(path), binary=kind == "word2vec-bin", write_header=kind != "glove", sort_attr="none")
    return path


@pytest.fixture
def load(tmp_path: Path):
    """Load a file, or some bytes as a file; (words of the vocabulary, settings)."""

    def load(file: Path | bytes | None, words: list[str] | None = None, **settings: object) -> Result:
        if isinstance(file, bytes):
            (tmp_path / "vectors").write_bytes(file)
            file = tmp_path / "vectors"
        vocabulary = Counter(dict.fromkeys(words or [], 0))
        request = request_of(tmp_path / "request", None, vocabulary, name="load", vectors=file, **settings)
        return pretrained.make(request)

    return load


@pytest.fixture
def fasttext(tmp_path: Path) -> Path:
    """A .bin as fastText writes it: a trained model, one word of which is </s>."""
    return save_fasttext(tmp_path, min_n=2)


def save_fasttext(folder: Path, min_n: int) -> Path:
    sentences = [["walking", "walked", "naïve", "</s>", "새"], ["a", "walking", "of", "</s>"]] * 20
    model = FastText(sentences, vector_size=7, bucket=50, min_n=min_n, max_n=4, min_count=1, epochs=1, workers=1)
    save_facebook_model(model, str(folder / "model.bin"))
    return folder / "model.bin"


@pytest.mark.parametrize(
    "name", [*KINDS, "euclidean_vectors.bin", "high_precision.kv.bin", "lee_fasttext.vec", "test_glove.txt"]
)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # gensim's
def test_the_content_tells_the_format_and_the_vectors_are_as_gensim_reads_them(tmp_path, load, name):
    path = write(tmp_path / "vectors.xyz", name) if name in KINDS else gensim_data() / name
    made = load(path)
    kind = made.origin["file"]["format"]
    assert kind == {"test_glove.txt": "glove", "lee_fasttext.vec": "word2vec"}.get(
        name, name if name in KINDS else kind
    )
    keyed = KeyedVectors.load_word2vec_format(path, binary=kind == "word2vec-bin", no_header=kind == "glove")
    assert made.words == keyed.index_to_key
    np.testing.assert_array_equal(made.matrix, keyed.vectors)
    assert made.counts.tolist() == [0] * len(made.words)
    np.testing.assert_array_equal(load(gzip.compress(path.read_bytes())).matrix, made.matrix)


@pytest.mark.parametrize("name", ["lee_fasttext_new.bin", "crime-and-punishment.bin", "toy-model.bin", "own", "minn 0"])
def test_a_bin_of_fasttext_gives_the_vectors_with_ngrams_and_the_counts(fasttext, load, name, tmp_path):
    path = fasttext if name == "own" else gensim_data() / name
    if name == "minn 0":
        path = save_fasttext(tmp_path, min_n=0)
    made, keyed = load(path), load_facebook_vectors(path)
    assert made.origin["file"]["format"] == "fasttext-bin"
    assert made.words == keyed.index_to_key
    # gensim adds n-grams to </s> too, which fastText does not.
    rows = [row for row, word in enumerate(made.words) if word != "</s>"]
    np.testing.assert_allclose(made.matrix[rows], keyed.vectors[rows], rtol=1e-6, atol=1e-7)
    assert made.counts.tolist() == [keyed.get_vecattr(word, "count") for word in keyed.index_to_key]
    if name == "own":
        end = made.words.index("</s>")
        np.testing.assert_array_equal(made.matrix[end], keyed.vectors_vocab[end])


@pytest.mark.parametrize("kind", [*KINDS, "fasttext-bin"])
def test_only_the_words_of_the_vocabulary_are_loaded_in_the_files_order(tmp_path, fasttext, load, kind):
    path = fasttext if kind == "fasttext-bin" else write(tmp_path / "vectors", kind)
    whole, made = load(path), load(path, ["새", "unknown", "of"])
    rows = [row for row, word in enumerate(whole.words) if word in ("새", "of")]
    assert len(made.words) == 2
    assert made.words == [whole.words[row] for row in rows]
    np.testing.assert_array_equal(made.matrix, whole.matrix[rows])
    assert made.origin["words_absent"] == 1
    assert load(path, max_vocab=3).words == whole.words[:3]
    with pytest.raises(X2StaticError, match=r"none of the 2 words asked for is among its \d rows"):
        load(path, ["Sea", "Hill"])


def test_with_a_cache_words_and_counts_are_the_caches(tmp_path):
    sentences = [["of", "the", "sea", "the", "새", "the", "of"]]
    path, cache = write(tmp_path / "vectors", "glove"), cache_of(tmp_path / "cache", sentences)
    made = pretrained.make(request_of(tmp_path, cache, counted(sentences), name="load", vectors=path))
    assert made.words == ["the", "of", "새"]
    assert made.counts.tolist() == [3, 2, 1]
    np.testing.assert_array_equal(made.matrix, MATRIX[[WORDS.index(word) for word in made.words]])
    assert made.origin["words_absent"] == 1


@pytest.mark.parametrize("binary", [False, True])
def test_words_that_are_no_utf8_empty_or_there_twice_are_left_out_and_counted(load, caplog, binary):
    rows = [(b"a", 1.0), (b"\xff\xfe", 2.0), (b"", 3.0), (b"b", 4.0), (b"a", 5.0)]
    if binary:
        body = b"".join(word + b" " + struct.pack("<2f", value, 0) + b"\n" for word, value in rows)
    else:
        body = b"".join(word + b" %f 0\n" % value for word, value in rows)
    made = load(b"5 2\n" + body)
    assert made.words == ["a", "b"]
    assert made.matrix.tolist() == [[1, 0], [4, 0]]
    assert made.origin["file"]["rows_left_out"] == {"not UTF-8": 1, "empty": 1, "duplicate": 1}
    assert "1 row left out: the word is duplicate" in caplog.text


def test_spaces_in_and_behind_words_and_line_ends_of_windows_are_read(load):
    made = load(b"the 0.5 1 \r\n. . . 1e-3 -2\r\nat name@domain.com 3 4\r\n\r\n5 6\t7\r\n")
    assert made.words == ["the", ". . .", "at name@domain.com", "5"]
    np.testing.assert_array_equal(made.matrix, np.array([[0.5, 1], [1e-3, -2], [3, 4], [6, 7]], np.float32))
    assert load(b"the  1 2\n of  3 4\nnew york  5 6\n").words == ["the", "of", "new york"]


def test_a_phrase_may_end_in_a_number_where_a_header_gives_the_dimensions(load):
    made = load(b"3 5\nthe 1 2 3 4 5\napollo 11 1 2 3 4 6\nof 1 2 3 4 7\n")
    assert (made.words, made.matrix[1].tolist()) == (["the", "apollo 11", "of"], [1, 2, 3, 4, 6])


def test_rows_behind_the_number_in_the_header_are_left_out_with_a_warning(load, caplog):
    assert load(b"2 2\nthe 1 2\nof 3 4\n\n").words == ["the", "of"]
    assert not caplog.records
    assert load(b"2 2\nthe 1 2\nof 3 4\nand 5 6\n").words == ["the", "of"]
    assert "its header says 2 words; the rows behind them are left out" in caplog.text


def test_a_binary_file_without_line_ends_and_larger_than_a_block_is_read(load, monkeypatch):
    monkeypatch.setattr("x2static.baselines.pretrained.BLOCK", 100)
    drawn = np.random.default_rng(1).integers(0, 256, (60, 32), np.uint8).view("<f4")
    matrix = np.where(np.isfinite(drawn), drawn, np.float32(1)).astype("<f4")  # spaces and line ends among the bytes
    made = load(b"60 8\n" + b"".join(b"w%d " % row + vector.tobytes() for row, vector in enumerate(matrix)))
    assert made.words == [f"w{row}" for row in range(60)]
    np.testing.assert_array_equal(made.matrix, matrix)


REFUSED = [
    (b"", "is empty"),
    (b"just some text\nand more\n", "holds no word vectors"),
    (b"0 5\n", "its header says 0 words of 5 dimensions; there is nothing to load"),
    (b"a 1 2\nb 1\n", "line 2: expected a word and 2 numbers, found 1 after the word"),
    (b"2 2\na 1 2\nb 1 x\n", "line 3: could not convert string to float"),
    (b"a 1 2\nb 1 1e39\n", "row 2, 'b': holds values that are not finite"),
    (b"3 2\na 1 2\nb 1 2\n", "its header says 3 words, it holds 2; it was cut short"),
    (b"2 2\na " + struct.pack("<2f", 1, 2) + b"\nb " + struct.pack("<f", 1), "its header says 2 words, it holds 1"),
    (b"1 2\n\xff 1 2\n", "no word that can be used is among its 1 rows"),
    (b"2 2\na 1 x\nb 1 2\n", "line 2: could not convert string to float"),
    (b"2 5\na 1 2 3\nb 1 2 3\n", "line 2: expected a word and 5 numbers, found 3"),
    (b"2 2\na 1 2 3\nb 1 2 3\n", "its header says 2 dimensions, its rows have 3 numbers or more"),
    (b"1999 5\nOnce upon a time\n", "line 2: expected a word and 5 numbers"),
    (b"9 9\n" + bytes(range(99)), "9 words of 9 dimensions, as its header says, are more in binary than its 103 bytes"),
    (b"1 1\na " + bytes(4) + b"\nmore", "4 bytes or more stand behind the 1 words that its header says"),
    (b"2 1\na " + bytes(5) + b" b " + bytes(9), r"row 2 begins with b'\\x00', which is no word"),
    (b"\x80\x04\x95\x0b\x00", r"is a pickle .*, which can run any code"),
    (b"\x93NUMPY\x01\x00", "is an array without words"),
    (b"PK\x03\x04glove.txt", "is a zip archive; unpack it"),
    (gzip.compress(b"a 1 2\n" * 50, mtime=0)[:20], "cannot be read, or unpacked"),
    (FASTTEXT_MAGIC + b"\x0c\0\0\0", "damaged or cut short"),
    (gzip.compress(FASTTEXT_MAGIC + bytes(200), mtime=0), "a compressed .bin of fastText cannot be read in place"),
    (None, "load needs a file of word vectors: give --vectors FILE"),
    (Path("/nowhere"), "/nowhere: no such file"),
    (Path("/tmp"), "/tmp: no folder of sentence-transformers"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path, load, content, message):
    with pytest.raises(X2StaticError, match=message) as refusal:
        load(content)
    assert "\n" not in str(refusal.value)
    assert not isinstance(content, bytes) or str(tmp_path / "vectors") in str(refusal.value)


PRUNED = struct.calcsize("<4si12id3iq")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-400], "damaged or cut short"),
        (lambda data: data[:200], "damaged or cut short"),
        (lambda data: data[:4] + b"\x0d" + data[5:], "is of version 13, newer than 12"),
        (lambda data: data[:8] + b"\x08" + data[9:], "damaged or cut short"),
        (lambda data: data[:PRUNED] + b"\x05" + bytes(7) + data[PRUNED + 8 :], r"is quantised; give its \.vec file"),
    ],
)
def test_a_damaged_newer_or_quantised_bin_of_fasttext_is_refused(fasttext, load, change, message):
    with pytest.raises(X2StaticError, match=message):
        load(change(fasttext.read_bytes()))
