"""What is exported gives, in the real library at the other end, the vectors that x2static gives."""

import logging
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from tests.pipeline.ran import run_here
from x2static.durable.errors import X2StaticError
from x2static.pipeline.export import static_model
from x2static.pipeline.export.formats import FORMATS, export
from x2static.pipeline.export.smaller import Smaller
from x2static.schemas.multiword import Multiword
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import default_words

TEXTS = [
    "The cat sat on the mat, and the café's naïve Straße was ΣΟΦΟΣ.",
    "don't  stop\u200b— 3.14 % of _x_ ▁ ▁the 🙂",
    "世界人民 and नमस्ते दुनिया שלום עולם",
    "nothing known here zzzz qqqq",
    "",
    "the " * 700,
]
WORDS = ["the", "cat", "mat", ",", ".", "café", "cafe", "naïve", "straße", "σοφος", "don", "'", "t", "3", "14", "_x_"]
WORDS += ["▁", "世", "界", "नमस्ते", "שלום", "🙂", "a", "and", "s", "%", "sat"]
SIZES = [Smaller(), Smaller(dtype="float16"), Smaller(dim=5), Smaller(top=9), Smaller(codebook=6)]


def vectors_of(words: list[str], dim: int = 12, rules: WordSegmentation | None = None) -> WordVectors:
    draw = np.random.default_rng(0)
    matrix = (draw.normal(size=(len(words), dim)) * draw.uniform(0.1, 3, (len(words), 1))).astype(np.float32)
    return WordVectors(words, matrix, np.arange(len(words), 0, -1), rules or default_words())


@pytest.fixture(scope="module")
def vectors() -> WordVectors:
    return vectors_of(WORDS)


def as_read(vectors: WordVectors, smaller: Smaller) -> WordVectors:
    """What a reader makes of the arrays: row i is embeddings[mapping[i]] * weights[i]."""
    arrays = smaller.arrays(vectors.matrix)
    matrix = arrays["embeddings"].astype(np.float32)[arrays.get("mapping", slice(None))]
    return replace(vectors, matrix=matrix * arrays.get("weights", np.ones(len(vectors), np.float32))[:, None])


def near(theirs: np.ndarray, ours: np.ndarray, dtype: str = "float32") -> None:
    np.testing.assert_allclose(theirs, ours, atol=1e-6 if dtype == "float32" else 2e-3)


@pytest.mark.parametrize("smaller", SIZES, ids=str)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_sentence_transformers_and_model2vec_encode_as_we_do(vectors, tmp_path, smaller):
    from model2vec import StaticModel
    from sentence_transformers import SentenceTransformer

    assert export(vectors, "sentence-transformers", tmp_path / "st", smaller=smaller) == []
    expected = as_read(smaller.reduced(vectors), smaller).encode(TEXTS)
    theirs = SentenceTransformer(str(tmp_path / "st"), device="cpu").encode(TEXTS)
    near(theirs, expected, smaller.dtype)
    assert not theirs[3].any()  # unknown words add nothing
    near(StaticModel.from_pretrained(tmp_path / "st").encode(TEXTS), expected, smaller.dtype)


def test_int8_is_for_model2vec(vectors, tmp_path):
    from model2vec import StaticModel

    codes = Smaller(dtype="int8")
    export(vectors, "model2vec", tmp_path / "m", smaller=codes)
    assert load_file(tmp_path / "m" / "model.safetensors")["embeddings"].dtype == np.int8
    theirs = StaticModel.from_pretrained(tmp_path / "m").encode(TEXTS)
    near(theirs, as_read(vectors, codes).encode(TEXTS))
    np.testing.assert_allclose(theirs, vectors.encode(TEXTS), atol=np.abs(vectors.matrix).max() / 127)
    with pytest.raises(X2StaticError, match="--dtype int8: sentence-transformers holds float32 or float16"):
        export(vectors, "sentence-transformers", tmp_path / "s", smaller=codes)
    with pytest.raises(
        X2StaticError, match="--codebook: in word2vec every word has a row of its own; choose from sent"
    ):
        export(vectors, "word2vec", tmp_path / "w", smaller=Smaller(codebook=3))


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40), known=st.booleans())
def test_the_tokenizer_gives_the_rows_of_the_known_words_and_nothing_else(text, known):
    words = list(dict.fromkeys([*WORDS, *(default_words().split(text) if known else [])]))
    import json

    tokenizer = Tokenizer.from_str(json.dumps(static_model.tokenizer_json(vectors_of(words, 2))))
    rows = {word: row for row, word in enumerate(words)}
    expected = [rows[word] for word in default_words().split(text) if word in rows]
    assert tokenizer.encode(text, add_special_tokens=False).ids == expected


def test_the_folder_needs_safetensors_and_tokenizers_alone(vectors, tmp_path):
    export(vectors, "sentence-transformers", tmp_path / "st")
    script = """
import sys
from safetensors.numpy import load_file
from tokenizers import Tokenizer
matrix = load_file("st/model.safetensors")["embeddings"]
ids = Tokenizer.from_file("st/tokenizer.json").encode(sys.argv[1]).ids
print(*matrix[ids].mean(axis=0).tolist())
assert "x2static" not in sys.modules and "torch" not in sys.modules
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, TEXTS[0]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    near(np.array([float(number) for number in ran.stdout.split()]), vectors.encode(TEXTS[0]))


def test_gensim_has_the_same_neighbours_and_counts(vectors, tmp_path):
    from gensim.models import KeyedVectors

    export(vectors, "gensim", tmp_path / "v.kv")
    keyed = KeyedVectors.load(str(tmp_path / "v.kv"))
    assert keyed.index_to_key == vectors.words
    assert keyed.vectors.tobytes() == vectors.matrix.tobytes()
    for word in ("the", "नमस्ते"):
        theirs, ours = keyed.most_similar(word, topn=5), vectors.most_similar(word, topn=5)
        assert [one for one, _ in theirs] == [one for one, _ in ours]
        near(np.array([cosine for _, cosine in theirs]), np.array([cosine for _, cosine in ours]))
        assert keyed.get_vecattr(word, "count") == vectors.counts[vectors.index[word]]


# gensim leaves a text without header open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("to", "header"), [("glove", False), ("fasttext", True)])
def test_texts_of_glove_and_fasttext_read_back_in_gensim(vectors, tmp_path, to, header):
    from gensim.models import KeyedVectors

    export(vectors, to, tmp_path / "v.txt")
    keyed = KeyedVectors.load_word2vec_format(str(tmp_path / "v.txt"), no_header=not header)
    assert keyed.index_to_key == vectors.words
    assert keyed.vectors.tobytes() == vectors.matrix.tobytes()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_spacy_gives_a_token_its_vector(vectors, tmp_path):
    import spacy

    export(vectors, "spacy", tmp_path / "spacy")
    tokens = spacy.load(tmp_path / "spacy")("The CAT , zzzz café")
    for token in tokens:
        expected = vectors[token.lower_] if token.lower_ in vectors else np.zeros(vectors.dim)
        np.testing.assert_array_equal(token.vector, expected)
        assert token.has_vector == (token.lower_ in vectors)
    assert [token.has_vector for token in tokens] == [True, True, True, False, True]


def test_onnx_gives_the_vector_of_a_sentence(vectors, tmp_path):
    import onnxruntime

    export(vectors, "onnx", tmp_path / "onnx")
    tokenizer = Tokenizer.from_file(str(tmp_path / "onnx" / "tokenizer.json"))
    tokenizer.enable_padding()
    read = tokenizer.encode_batch(TEXTS)
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    names = {"input_ids": "ids", "attention_mask": "attention_mask"}
    inputs = {name: np.array([getattr(one, of) for one in read], np.int64) for name, of in names.items()}
    np.testing.assert_allclose(session.run(None, inputs)[0], vectors.encode(TEXTS), atol=1e-5)


def test_words_that_a_library_cuts_have_no_tokenizer_and_it_says_so(vectors, tmp_path):
    pytest.importorskip("rjieba")
    from x2static.stage1_encode.text.segmentation import choose_words

    chinese = vectors_of(["世界", "人民"], rules=choose_words(None, "zh"))
    for to in ("sentence-transformers", "model2vec", "onnx"):
        with pytest.raises(X2StaticError, match=r"rjieba .* cut the words, which no tokenizer JSON can hold"):
            export(chinese, to, tmp_path / "out")
    without = WordVectors(vectors.words, vectors.matrix, vectors.counts)
    with pytest.raises(X2StaticError, match="came without word segmentation rules, so no tokenizer"):
        export(without, "model2vec", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    export(chinese, "word2vec", tmp_path / "out")


JOINED = (
    ("the", "cat"),
    ("the", "cat", "and"),
    ("cat", "and"),
    ("don", "'", "t"),
    ("世", "界"),
    ("_x_", "cat"),
    ("the", "the"),
)
SAID = [*TEXTS, "The Cat and the cat, the. cat the\u00a0cat\ncat", "Don't don’t 世界 the the the _x_ cat the_cat"]


@pytest.fixture(scope="module")
def joined() -> WordVectors:
    return vectors_of([*WORDS, *map("_".join, JOINED)], rules=default_words().joining(Multiword(JOINED)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_several_words_as_one_are_one_in_every_tool_that_cuts_text(joined, tmp_path, capsys):
    import onnxruntime
    from model2vec import StaticModel
    from sentence_transformers import SentenceTransformer

    expected = joined.encode(SAID)
    assert np.abs(expected - vectors_of(joined.words).encode(SAID)).max() > 0.1
    export(joined, "sentence-transformers", tmp_path / "st")
    export(joined, "onnx", tmp_path / "onnx")
    near(SentenceTransformer(str(tmp_path / "st"), device="cpu").encode(SAID), expected)
    near(StaticModel.from_pretrained(tmp_path / "st").encode(SAID), expected)
    tokenizer = Tokenizer.from_file(str(tmp_path / "onnx" / "tokenizer.json"))
    rows = [tokenizer.encode(text).ids for text in SAID]
    assert rows == [[joined.index[word] for word in joined.split(text) if word in joined] for text in SAID]
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    inputs = {"input_ids": np.array(rows[:1]), "attention_mask": np.ones((1, len(rows[0])), np.int64)}
    near(session.run(None, inputs)[0], expected[:1])

    assert run_here(capsys, ["import", str(tmp_path / "st"), "--out", str(tmp_path / "back")]).status == 0
    back = WordVectors.load(tmp_path / "back")
    assert back.words == joined.words
    np.testing.assert_array_equal(back.encode(SAID), expected)
    export(joined, "model2vec", tmp_path / "fewer", smaller=Smaller(top=len(WORDS)))
    single = WordVectors(WORDS, joined.matrix[: len(WORDS)], joined.counts[: len(WORDS)], default_words())
    near(StaticModel.from_pretrained(tmp_path / "fewer").encode(SAID), single.encode(SAID))


def test_a_tool_that_joins_nothing_is_named(joined, tmp_path, caplog):
    from x2static.stage1_encode.text.segmentation import SPACELESS, _rules

    for to in ("word2vec", "gensim", "spacy"):
        export(joined, to, tmp_path / to)
        assert f"7 entries of several words are plain words in {to}, such as the_cat" in caplog.text
    caplog.clear()
    thai = WordSegmentation(_rules(SPACELESS["th"].alone, None)).joining(Multiword(JOINED))
    export(vectors_of(joined.words, rules=thai), "model2vec", tmp_path / "thai")
    assert (
        "7 entries of several words are not joined in it, since no tokenizer JSON can cut by these rules" in caplog.text
    )
    tokenizer = Tokenizer.from_file(str(tmp_path / "thai" / "tokenizer.json"))
    assert tokenizer.encode("the cat").ids == [joined.index["the"], joined.index["cat"]]
    caplog.clear()
    export(joined, "sentence-transformers", tmp_path / "st")
    assert "entries" not in caplog.text


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=30), spread=st.lists(st.sampled_from(JOINED), max_size=4))
def test_the_tokenizer_gives_the_rows_of_several_words(text, spread):
    import json

    text = text.join(" ".join(entry) for entry in spread)
    words = dict.fromkeys([*WORDS, *map("_".join, JOINED), *default_words().split(text)])
    ours = vectors_of(list(words), 2, default_words().joining(Multiword(JOINED)))
    tokenizer = Tokenizer.from_str(json.dumps(static_model.tokenizer_json(ours)))
    assert tokenizer.encode(text, add_special_tokens=False).ids == [ours.index[word] for word in ours.split(text)]


def test_fewer_dimensions_are_a_projection_whose_first_columns_serve_by_themselves(vectors):
    five, three = (Smaller(dim=dim).reduced(vectors).matrix for dim in (5, 3))
    np.testing.assert_array_equal(five[:, :3], three)
    left, sizes, _ = np.linalg.svd(vectors.matrix.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(five @ five.T, (left[:, :5] * sizes[:5] ** 2) @ left[:, :5].T, atol=1e-4)
    with pytest.raises(X2StaticError, match="--dim 12: the vectors have 12 dimensions; ask for fewer"):
        Smaller(dim=12).reduced(vectors)
    with pytest.raises(X2StaticError, match="--codebook 27: there are 27 words"):
        Smaller(codebook=27).arrays(vectors.matrix)
    with pytest.raises(X2StaticError, match="--dtype float16: a value is beyond 65,504"):
        Smaller(dtype="float16").arrays(vectors.matrix * np.float32(1e6))


def test_a_folder_has_a_card_that_says_how_it_is_used(vectors, tmp_path):
    for to, line in (("sentence-transformers", 'SentenceTransformer("out")'), ("spacy", 'spacy.load("out")')):
        export(vectors, to, tmp_path / "out", force=True)
        card = (tmp_path / "out" / "README.md").read_text()
        assert line in card
        assert "27 words, 12 dimensions" in card
        assert "from_pretrained" not in card  # these folders are other tools'
        shutil.rmtree(tmp_path / "out")


def test_a_folder_is_replaced_only_where_nothing_else_is_in_it(vectors, tmp_path, caplog):
    out = tmp_path / "st"
    export(vectors, "sentence-transformers", out)
    with pytest.raises(X2StaticError, match="is there already; remove it, or replace it with --force"):
        export(vectors, "sentence-transformers", out)
    export(vectors, "sentence-transformers", out, force=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(X2StaticError, match=r"holds notes\.txt, which --force would remove"):
        export(vectors, "sentence-transformers", out, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["st"]
    with pytest.raises(X2StaticError, match="is a file; --out takes the name of a folder"):
        export(vectors, "model2vec", out / "notes.txt", force=True)
    with caplog.at_level(logging.WARNING):
        assert not caplog.records


def test_the_command_scores_what_is_smaller_before_and_after(vectors, tmp_path, capsys):
    words = [f"w{i}" for i in range(60)]
    vectors_of(words).save(tmp_path / "run")
    pairs = "".join(f"w{i}\tw{i * 7 % 60}\t{i % 11}\n" for i in range(1, 60))
    (tmp_path / "data" / "wordsim").mkdir(parents=True)
    (tmp_path / "data" / "wordsim" / "simlex999.tsv").write_text(pairs)
    command = ["export", str(tmp_path / "run"), "--to", "model2vec", "--out", str(tmp_path / "m"), "--json"]
    ran = run_here(capsys, [*command, "--dtype", "int8", "--dim", "4", "--data", str(tmp_path / "data")])
    assert ran.status == 0, ran.err
    assert {"as trained", "as exported"} == ran.json["scores"]["word-similarity"].keys()
    assert "no scores of sentence-similarity" in ran.err


@pytest.mark.parametrize("to", [name for name, form in FORMATS.items() if form.is_folder])
def test_words_without_utf8_or_letters_are_left_out_of_folders_and_named(tmp_path, to, caplog):
    hostile = vectors_of(["new york", "", "the", "\ud800", "a\nb", '"\\', "</s>", "\x00", "cat"])
    with caplog.at_level(logging.WARNING):
        assert export(hostile, to, tmp_path / "out") == ["", "\ud800"]
    assert "2 words left out, not to be held by" in caplog.text
    with pytest.raises(X2StaticError, match="can hold none of 1 word; nothing was written"):
        export(vectors_of([""]), to, tmp_path / "none")
    if to != "spacy":
        tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
        assert tokenizer.encode("zzz The unknown cat").ids == [1, 6]


@pytest.mark.parametrize("to", [name for name in FORMATS if name != "gensim"])
def test_what_is_exported_is_imported_again(vectors, tmp_path, to, capsys):
    export(vectors, to, tmp_path / "out")
    ran = run_here(capsys, ["import", str(tmp_path / "out"), "--out", str(tmp_path / "back"), "--json"])
    assert ran.status == 0, ran.err
    back = WordVectors.load(tmp_path / "back")
    assert back.words == vectors.words
    assert back.matrix.tobytes() == vectors.matrix.tobytes()
    if to in ("sentence-transformers", "model2vec", "onnx"):
        assert back.segmentation.rules == vectors.segmentation.rules
        np.testing.assert_array_equal(back.encode(TEXTS), vectors.encode(TEXTS))
    again = run_here(capsys, ["import", str(tmp_path / "out"), "--out", str(tmp_path / "back"), "--json"])
    assert again.json["finished_before"]


@pytest.mark.parametrize("smaller", [Smaller(codebook=6), Smaller(dtype="int8"), Smaller(dtype="float16")], ids=str)
def test_smaller_vectors_are_imported_as_a_reader_has_them(vectors, tmp_path, smaller, capsys):
    export(vectors, "model2vec", tmp_path / "out", smaller=smaller)
    assert run_here(capsys, ["import", str(tmp_path / "out"), "--out", str(tmp_path / "back")]).status == 0
    assert WordVectors.load(tmp_path / "back").matrix.tobytes() == as_read(vectors, smaller).matrix.tobytes()


def test_pieces_of_words_are_no_words_when_a_model_of_pieces_is_imported(tmp_path, capsys):
    from model2vec import StaticModel
    from tokenizers import models, pre_tokenizers

    pieces = {"[UNK]": 0, "walk": 1, "##ing": 2, "river": 3}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[UNK]"])
    StaticModel(np.arange(8, dtype=np.float32).reshape(4, 2), tokenizer).save_pretrained(tmp_path / "m")
    assert run_here(capsys, ["import", str(tmp_path / "m"), "--out", str(tmp_path / "back")]).status == 0
    back = WordVectors.load(tmp_path / "back")
    assert (back.words, back.matrix.tolist()) == (["walk", "river"], [[2, 3], [6, 7]])


def test_folders_that_are_none_or_damaged_and_pickles_are_refused(vectors, tmp_path, capsys):
    def refused(path: object, message: str) -> None:
        ran = run_here(capsys, ["import", str(path), "--out", str(tmp_path / "back")])
        assert ran.status == 1
        assert message in ran.err
        assert not (tmp_path / "back" / "run.json").exists()

    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no folder of sentence-transformers")
    for to, name in (("model2vec", "model.safetensors"), ("onnx", "model.onnx"), ("model2vec", "tokenizer.json")):
        export(vectors, to, tmp_path / to, force=True)
        file = tmp_path / to / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        refused(tmp_path / to, "damaged")
    export(vectors, "gensim", tmp_path / "v.kv")
    refused(tmp_path / "v.kv", "is a pickle")
