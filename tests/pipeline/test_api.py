"""The commands as functions, with the settings of the command line; and what gensim's users ask of vectors."""

import os
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from scipy.optimize import linprog

import x2static
from tests.pipeline.ran import run_here
from tests.stage1_encode.runs import paragraphs, write_lines
from tests.teachers import make_teacher
from x2static import WordVectors, X2StaticError


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_teacher(tmp_path_factory.mktemp("teacher"), "bert").folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "corpus.txt", paragraphs(60))


def test_distill_is_encode_and_train_and_goes_on_where_it_stopped(teacher, corpus, tmp_path, capsys, monkeypatch):
    vectors = x2static.distill(teacher, corpus, tmp_path / "mine", min_count=2, unit=30, device="cpu")
    assert capsys.readouterr().out == ""
    with monkeypatch.context() as patch:
        patch.setattr("x2static.pipeline.api.encode", None)  # nothing is asked for again
        again = x2static.distill(teacher, corpus, tmp_path / "mine", min_count=2, unit=30, device="cpu")
        assert "distilled before" in capsys.readouterr().err
    assert vectors == again
    os.utime(corpus)
    assert x2static.distill(teacher, corpus, tmp_path / "mine", min_count=2, unit=30, device="cpu") == vectors
    assert "distilled before" not in capsys.readouterr().err, "what may have changed is looked at"
    other = x2static.distill(teacher, corpus, tmp_path / "mine", min_count=3, unit=30, device="cpu")
    assert len(other) < len(vectors)

    command = ["encode", "--model", str(teacher), "--corpus", str(corpus), "--cache", str(tmp_path / "c")]
    assert run_here(capsys, [*command, "--unit", "30", "--device", "cpu"]).status == 0
    command = ["cache", "phrases", str(tmp_path / "c"), "--min-count", "2", "--device", "cpu"]
    assert run_here(capsys, command).status == 0
    command = ["train", "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "r"), "--min-count", "2"]
    assert run_here(capsys, command).status == 0
    assert WordVectors.load(tmp_path / "r") == vectors


def test_each_command_is_a_function_with_its_own_names(teacher, corpus, tmp_path, capsys):
    figures = x2static.encode(teacher, [corpus], tmp_path / "cache", word_states=False, device="cpu")
    assert (figures["paragraphs"], figures["contexts"] > 60) == (60, True)
    vectors = x2static.train(tmp_path / "cache", tmp_path / "run", min_count=2, purpose="words", init="closed-form")
    first, second, third, *_ = vectors.words
    (tmp_path / "pairs.tsv").write_text(f"{first}\t{second}\t3\n{second}\t{third}\t1\n{first}\t{third}\t2\n")
    by_hand = run_here(capsys, ["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "pairs.tsv"), "--json"])
    for given in (vectors, tmp_path / "run"):
        scores = x2static.evaluate(given, data=tmp_path / "pairs.tsv")
        assert scores["average"] == by_hand.json["average"]


def test_wrong_settings_are_named(corpus, tmp_path):
    with pytest.raises(TypeError, match="neither encode nor train has a setting min_cuont"):
        x2static.distill("demo", corpus, tmp_path / "d", min_cuont=3)
    with pytest.raises(TypeError, match="train has no setting 'layer'"):
        x2static.train(tmp_path, tmp_path / "r", layer=3)
    with pytest.raises(X2StaticError, match="--epochs -1"):
        x2static.train(tmp_path, tmp_path / "r", epochs=-1)
    with pytest.raises(X2StaticError, match="no cache here"):
        x2static.train(tmp_path / "nothing", tmp_path / "r")
    assert not (tmp_path / "d").exists()


def some_vectors(n: int = 300, dim: int = 9) -> WordVectors:
    matrix = np.random.default_rng(3).normal(size=(n, dim)).astype(np.float32)
    return WordVectors([f"word{i}" for i in range(n)], matrix, np.arange(n, 0, -1))


def test_what_gensims_users_ask_is_answered_as_gensim_answers():
    ours = some_vectors()
    theirs = KeyedVectors(9)
    theirs.add_vectors(ours.words, ours.matrix)
    assert (ours.key_to_index, ours.index_to_key) == (theirs.key_to_index, theirs.index_to_key)
    assert (ours.vector_size, list(ours), len(ours)) == (9, ours.words, 300)
    for positive, negative in (
        ("word1", ()),
        (["word1", "word2"], ["word3"]),
        ([("word1", 0.4), ours["word9"]], "word4"),
    ):
        expected = theirs.most_similar(positive, negative or None, topn=12)
        found = ours.most_similar(positive, negative, topn=12)
        assert [word for word, _ in found] == [word for word, _ in expected]
        np.testing.assert_allclose([c for _, c in found], [c for _, c in expected], atol=1e-5)
    assert ours.n_similarity(["word1", "word2"], ["word3"]) == pytest.approx(
        float(theirs.n_similarity(["word1", "word2"], ["word3"])), abs=1e-6
    )
    some = [f"word{i}" for i in range(2, 9)]
    assert ours.doesnt_match(some) == theirs.doesnt_match(some)
    for other in ("word2", "word77"):
        assert ours.rank("word1", other) == theirs.rank("word1", other)


def transported(vectors: WordVectors, first: list[str], second: list[str]) -> float:
    """The least cost of the transport problem, by a solver of linear programmes."""
    (one, shares), (two, wanted) = (np.unique(words, return_counts=True) for words in (first, second))
    units = [np.array([vectors[w] / np.linalg.norm(vectors[w]) for w in words], np.float64) for words in (one, two)]
    costs = np.linalg.norm(units[0][:, None] - units[1], axis=2)
    leave, arrive = np.kron(np.eye(len(one)), np.ones(len(two))), np.kron(np.ones(len(one)), np.eye(len(two)))
    bounds = np.concatenate([shares / len(first), wanted / len(second)])
    return float(linprog(costs.ravel(), A_eq=np.concatenate([leave, arrive]), b_eq=bounds).fun)


def test_word_movers_distance_is_the_least_transport_and_gensims():
    pytest.importorskip("ot")
    vectors, draws = some_vectors(), np.random.default_rng(1)
    keyed = KeyedVectors(vectors.dim)
    keyed.add_vectors(vectors.words, vectors.matrix)
    for n_first, n_second in ((1, 1), (1, 5), (7, 4), (30, 50)):
        first, second = (list(draws.choice(vectors.words[:40], n)) for n in (n_first, n_second))
        distance = vectors.wmdistance([*first, "no"], second)
        assert distance == pytest.approx(transported(vectors, first, second), abs=1e-6)
        assert distance == pytest.approx(keyed.wmdistance([*first, "no"], second), abs=1e-6)
        assert vectors.wmdistance(first, second, norm=False) == pytest.approx(
            keyed.wmdistance(first, second, norm=False)
        )
    assert vectors.wmdistance(["word1", "word2"], ["word2", "word1"]) == pytest.approx(0, abs=1e-6)
    assert vectors.wmdistance(["no"], ["word1"]) == vectors.wmdistance([], []) == float("inf")
    with pytest.raises(TypeError, match="expected a list of words"):
        vectors.wmdistance("a text", ["word1"])


def test_what_cannot_be_answered_is_said():
    vectors = some_vectors()
    with pytest.raises(KeyError) as raised:
        vectors["Wrd12"]
    assert str(raised.value) == "'Wrd12' is not among the 300 words; near it are 'word12'"
    with pytest.raises(ValueError, match="topn is -1"):
        vectors.most_similar("word1", topn=-1)
    with pytest.raises(TypeError, match=r"write most_similar\(\.\.\., topn=5\)"):
        vectors.most_similar("word1", 5)
    with pytest.raises(ValueError, match="nothing is asked about"):
        vectors.most_similar()
    with pytest.raises(TypeError, match="expected a list of words, not the text 'word1 word2'"):
        vectors.doesnt_match("word1 word2")
    with pytest.raises(ValueError, match="there is no word in the list"):
        vectors.n_similarity(["word1"], [])
    assert vectors.most_similar("word1", topn=0) == []
    assert len(vectors.most_similar("word1", topn=1000)) == 299


def test_vectors_show_themselves_in_short(tmp_path):
    vectors = some_vectors()
    assert repr(vectors) == "<WordVectors: words 300, dimensions 9>"
    vectors.run["cache"] = {"teacher": "<script>"}
    vectors.words[0] = "<b>"
    assert "&lt;script&gt;" in vectors._repr_html_()
    assert "<b>" not in vectors._repr_html_()
    assert vectors == some_vectors().rows(slice(None)) or vectors.words[0] == "<b>"
    assert some_vectors() == some_vectors()
    assert some_vectors() != some_vectors(200)
    assert some_vectors() != "vectors"


def test_a_mapped_matrix_is_the_same_and_is_not_read_before_it_is_looked_at(tmp_path):
    saved = some_vectors()
    saved.save(tmp_path)
    mapped = WordVectors.from_pretrained(tmp_path, mmap=True)
    assert isinstance(mapped.matrix, np.memmap)
    assert mapped == saved
    assert mapped.words == saved.words
    assert (mapped.words[7], mapped.words[-1], mapped.words[2:9:3]) == ("word7", "word299", ["word2", "word5", "word8"])
    assert mapped.rows([4, 2]).words == ["word4", "word2"]
    assert mapped.most_similar("word3") == saved.most_similar("word3")
    with pytest.raises(ValueError, match="read-only"):
        mapped.matrix[0] = 0
    file = tmp_path / "vectors.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(X2StaticError, match="the word vectors are damaged"):
        WordVectors.load(tmp_path, mmap=True)
