"""Word vectors are saved whole, read back as they were, and looked up exactly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors import numpy as safetensors
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.schemas.caches import change
from x2static import WordVectors as PublicWordVectors
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import write_atomically
from x2static.schemas import vectors as module
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.vectors import WordVectors

BROKEN = (None, b"", 0.5, b"x" * 999)  # missing, empty, half of it, something else
UNEQUAL = [(2, 3, (3, 4)), (3, 2, (3, 4)), (3, 3, (2, 4)), (3, 3, (3,)), (3, 3, (3, 1, 4))]  # words, counts, shape


def random_vectors(n: int = 50, dim: int = 7, seed: int = 0) -> WordVectors:
    matrix = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return WordVectors([f"word{i}" for i in range(n)], matrix, np.arange(n, 0, -1))


def lower_casing_rules() -> str:
    tokenizer = Tokenizer(models.WordLevel({}, unk_token=""))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str()


def test_what_is_saved_is_loaded(tmp_path):
    words = ["the", "naïve", "새", "a\nb", "", " ", "\x00", "</s>"]
    matrix = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32).T  # not contiguous
    matrix[0] = [np.finfo(np.float32).tiny, -0.0, np.finfo(np.float32).max]
    saved = WordVectors(words, matrix, np.arange(8), WordSegmentation(lower_casing_rules()), {"loss": 0.5, "ü": [1]})
    saved.save(str(tmp_path / "new" / "run"))
    loaded = WordVectors.load(str(tmp_path / "new" / "run"))
    assert (loaded.words, loaded.counts.tolist(), loaded.run) == (words, list(range(8)), {"loss": 0.5, "ü": [1]})
    assert (loaded.matrix.dtype, loaded.matrix.tobytes()) == (np.float32, matrix.tobytes())
    assert loaded.segmentation is not None
    assert loaded.segmentation.rules == lower_casing_rules()
    assert not list((tmp_path / "new" / "run").glob(".tmp-*"))


def test_vectors_without_rules_load_without_rules_and_split_nothing(tmp_path):
    random_vectors().save(tmp_path)
    vectors = PublicWordVectors.load(tmp_path)
    assert (type(vectors), vectors.segmentation) == (WordVectors, None)
    for use in (vectors.split, vectors.encode):
        with pytest.raises(X2StaticError, match="without word segmentation rules"):
            use(["word1"])


@pytest.mark.parametrize("which", [module.MATRIX, module.VOCABULARY, module.RUN])
def test_a_save_that_fails_leaves_no_vectors_to_load_by_mistake(tmp_path, monkeypatch, which):
    random_vectors(seed=1).save(tmp_path)
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if target.name == which:
            raise OSError("disk full")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        random_vectors(seed=2).save(tmp_path)
    with pytest.raises(X2StaticError, match="training has not finished"):
        WordVectors.load(tmp_path)


def saved_vocabulary(**columns: list) -> bytes:
    table, sink = pa.table(columns), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        *((module.MATRIX, data, "damaged") for data in BROKEN),
        *((module.VOCABULARY, data, "damaged") for data in BROKEN),
        (module.MATRIX, safetensors.save({"other": np.zeros((50, 7), np.float32)}), "damaged.*vectors"),
        (module.VOCABULARY, saved_vocabulary(count=[1] * 50), "damaged.*word"),
        (module.VOCABULARY, saved_vocabulary(word=["a", "b"], count=[2, 1]), r"2 words, 2 counts, .* \(50, 7\)"),
        (module.RUN, b"{", r"run\.json: not valid JSON"),
        (module.RUN, None, "training has not finished"),
        (".", None, r"nowhere: no word vectors here \(there is no such folder\)"),
    ],
)
@pytest.mark.parametrize("hashed", [True, False])
def test_damaged_files_are_refused_also_those_of_0_1_0_which_kept_no_hashes(tmp_path, name, to, message, hashed):
    folder = tmp_path / "nowhere"
    random_vectors().save(folder)
    if not hashed:
        write_atomically(folder / module.RUN, b"{}")
    elif name in (module.MATRIX, module.VOCABULARY):
        message = rf"{name}: (missing|has changed since it was written)"
    change(folder / name, to)
    with pytest.raises(X2StaticError, match=message):
        WordVectors.load(folder)


@pytest.mark.parametrize(
    ("words", "counts", "shape", "message"),
    [
        *(("abc"[:n], m, shape, f"{n} words, {m} counts") for n, m, shape in UNEQUAL),
        ("abcb", 4, (4, 2), "'b' more than once"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(words, counts, shape, message):
    with pytest.raises(X2StaticError, match=message):
        WordVectors(list(words), np.ones(shape, np.float32), np.ones(counts, np.int64))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_value_that_is_not_finite_is_refused_and_its_word_named(value):
    with pytest.raises(X2StaticError, match="vector of 'b'"):
        WordVectors(["a", "b"], np.array([[1, 1], [1, value]], np.float32), np.ones(2, np.int64))


def test_lookup_follows_the_rows():
    vectors = random_vectors()
    assert (len(vectors), vectors.dim, "word3" in vectors, "nothing" in vectors) == (50, 7, True, False)
    assert vectors["word3"].tolist() == vectors.matrix[3].tolist()
    with pytest.raises(KeyError):
        vectors["nothing"]


def test_similarity_is_the_cosine():
    vectors = WordVectors(list("abc"), np.array([[3, 0], [4, 4], [0, 0]], np.float32), np.ones(3, np.int64))
    assert vectors.similarity("a", "b") == pytest.approx(0.5**0.5)
    assert vectors.similarity("a", "c") == 0
    assert vectors.unit_matrix.dtype == np.float32


def test_most_similar_agrees_with_brute_force_and_never_returns_the_word_itself():
    vectors = random_vectors()
    others = [word for word in vectors.words if word != "word5"]
    expected = sorted(others, key=lambda word: -vectors.similarity("word5", word))
    for n in (12, 100):
        assert [word for word, _ in vectors.most_similar("word5", topn=n)] == expected[:n]
    for word, cosine in vectors.most_similar("word5"):
        assert cosine == pytest.approx(vectors.similarity("word5", word), abs=1e-6)


def test_texts_become_the_mean_of_their_known_words():
    vectors = replace(random_vectors(), segmentation=WordSegmentation(lower_casing_rules()))
    texts = ["Word1 nothing WORD2, word2", "", "nothing here", "word49"]
    means = vectors.encode(texts)
    assert vectors.split("The cat's HAT") == ["the", "cat", "'", "s", "hat"]
    assert (means.dtype, means.shape) == (np.float32, (4, 7))
    assert means[0] == pytest.approx((vectors["word1"] + 2 * vectors["word2"]) / 3, abs=1e-6)
    assert not means[1:3].any()
    assert means[3].tolist() == vectors["word49"].tolist()
    np.testing.assert_array_equal(means, [vectors.encode(text) for text in texts])
    assert vectors.encode([]).shape == (0, 7)


def test_what_is_no_text_or_no_list_of_words_is_refused_and_a_generator_is_as_good_as_a_list():
    vectors = replace(random_vectors(), segmentation=WordSegmentation(lower_casing_rules()))
    for wrong in (None, b"word1", 3, {"word1": 1}, {"word1"}, ["word1", None], ["word1", b"word2"]):
        with pytest.raises(TypeError, match=r"^encode takes "):
            vectors.encode(wrong)
    for text in ("word1", b"word1"):
        with pytest.raises(TypeError, match=r"^mean takes words, not a "):
            vectors.mean(text)
    assert vectors.encode(f"word{number}" for number in range(3)).shape == (3, 7)
    assert not vectors.encode("").any()


def test_a_misspelt_unknown_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="unknown is 'skip' or 'subwords', not 'subword'"):
        WordVectors.load(tmp_path, unknown="subword")  # type: ignore[arg-type]
