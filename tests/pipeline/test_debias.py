"""A bias taken out by projection is what a plain computation takes out, and no linear classifier finds it again."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gensim.models import KeyedVectors
from sklearn.linear_model import LogisticRegression

from tests.evaluation.made import of_gensim
from tests.pipeline.ran import run_here
from tests.pipeline.test_export_libraries import vectors_of
from x2static.durable.errors import X2StaticError
from x2static.pipeline.export.debias import debiased, read_words
from x2static.schemas.vectors import WordVectors

PAIRS = [("she", "he"), ("her", "his"), ("woman", "man"), ("Mary", "John")]  # names as a file may have them
SPECIFIC = ["queen", "unknown"]
DIM = 20


@pytest.fixture(scope="module")
def vectors() -> WordVectors:
    """Words that lean to either side of the pairs in two directions, of which the pairs show the first alone."""
    draw = np.random.default_rng(1)
    words = [word.lower() for pair in PAIRS for word in pair] + ["queen"] + [f"w{i}" for i in range(6000)]
    matrix = draw.normal(size=(len(words), DIM))
    sides = np.where(np.arange(len(words)) % 2, -1.0, 1.0)
    matrix[:, 0] += 3 * sides
    matrix[9:, 1] += 2 * sides[9:]
    matrix *= draw.uniform(0.1, 3, (len(words), 1))  # of a frequent word, a short vector
    return replace(vectors_of(words, DIM), matrix=matrix.astype(np.float32))


@pytest.fixture
def bias_words(tmp_path):
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"pairs": PAIRS, "specific": SPECIFIC}))
    return file


def plain_hard(vectors: WordVectors) -> np.ndarray:
    """Hard debiasing a word at a time, as section 5.1 of the paper writes it; unit vectors."""
    at = {word: vector / np.linalg.norm(vector) for word, vector in zip(vectors.words, vectors.matrix, strict=True)}
    pairs = [(one.lower(), other.lower()) for one, other in PAIRS]
    covariance = np.zeros((DIM, DIM))
    for one, other in pairs:
        middle = (at[one] + at[other]) / 2
        for word in (one, other):
            covariance += np.outer(at[word] - middle, at[word] - middle) / 2
    b = np.linalg.eigh(covariance)[1][:, -1]
    result = dict(at)
    for word in set(at) - {"queen"} - {word for pair in pairs for word in pair}:
        neutral = at[word] - (at[word] @ b) * b
        result[word] = neutral / np.linalg.norm(neutral)
    for one, other in pairs:
        mean = (at[one] + at[other]) / 2
        mean_b = (mean @ b) * b
        nu = mean - mean_b
        for word in (one, other):
            own_b = (at[word] @ b) * b
            result[word] = nu + np.sqrt(1 - nu @ nu) * (own_b - mean_b) / np.linalg.norm(own_b - mean_b)
    return np.array([result[word] for word in vectors.words])


def unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def test_hard_debiasing_is_that_of_the_paper(vectors, bias_words):
    result = debiased(vectors, "hard", bias_words)
    np.testing.assert_allclose(unit(result.matrix), plain_hard(vectors), atol=2e-6)
    lengths, before = (np.linalg.norm(one.matrix, axis=1) for one in (result, vectors))
    np.testing.assert_allclose(lengths[8:], before[8:], rtol=1e-5)
    np.testing.assert_allclose(lengths[:8], np.repeat(before[:8].reshape(4, 2).mean(axis=1), 2), rtol=1e-5)
    assert result["queen"].tolist() == pytest.approx(vectors["queen"].tolist())
    assert result.run["debias"].items() >= {"method": "hard", "words": "words.json", "pairs": 4, "specific": 9}.items()


def test_neutral_words_have_nothing_of_the_direction_and_are_equally_far_from_both_words_of_a_pair(vectors, bias_words):
    matrix = debiased(vectors, "hard", bias_words).matrix.astype(np.float64)
    neutral, pairs = matrix[9:], matrix[:8].reshape(4, 2, DIM)
    differences = pairs[:, 0] - pairs[:, 1]
    assert np.linalg.matrix_rank(differences, tol=1e-4) == 1  # the direction, and nothing else
    assert np.abs(unit(neutral) @ unit(differences).T).max() < 1e-5
    for one, other in pairs:
        distances = [np.linalg.norm(neutral - word, axis=1) for word in (one, other)]
        np.testing.assert_allclose(*distances, rtol=1e-5)


def test_hard_debiasing_is_that_of_wefe(vectors, bias_words):
    wefe = pytest.importorskip("wefe.debias.hard_debias", reason="compares with WEFE", exc_type=ImportError)
    from wefe.word_embedding_model import WordEmbeddingModel

    pairs = [[word.lower() for word in pair] for pair in PAIRS]
    model = WordEmbeddingModel(of_gensim(replace(vectors, matrix=unit(vectors.matrix))))
    theirs = wefe.HardDebias({"n_components": 1}).fit(model, definitional_pairs=pairs, equalize_pairs=pairs)
    theirs = theirs.transform(model, ignore=["queen", *np.ravel(pairs)])
    ours = unit(debiased(vectors, "hard", bias_words).matrix)
    np.testing.assert_allclose(ours, np.array([theirs[word] for word in vectors.words]), atol=1e-5)


def test_after_inlp_a_linear_classifier_is_at_chance_where_one_projection_leaves_it_something(vectors, bias_words):
    def accuracy(result: WordVectors) -> float:
        known, sides = unit(result.matrix[9:]), np.arange(9, len(result)) % 2
        learnt = LogisticRegression().fit(known[:4000], sides[:4000])
        return float(learnt.score(known[4000:], sides[4000:]))

    inlp = debiased(vectors, "inlp", bias_words)
    record = inlp.run["debias"]
    assert accuracy(vectors) > 0.95
    assert accuracy(debiased(vectors, "hard", bias_words)) > 0.85  # the second direction
    assert accuracy(inlp) < 0.6
    assert record["accuracy_before"] > 0.95
    assert record["accuracy_after"] < 0.6
    # A projection of all words alike, so that a mean of words is projected with them.
    projection, *_ = np.linalg.lstsq(vectors.matrix, inlp.matrix, rcond=None)
    np.testing.assert_allclose(vectors.matrix @ projection, inlp.matrix, atol=1e-5)
    np.testing.assert_allclose(projection @ projection, projection, atol=1e-5)
    np.testing.assert_allclose(projection, projection.T, atol=1e-5)
    assert round(np.trace(projection)) == DIM - record["directions"]


def test_the_words_of_gender_are_pairs_and_words_of_their_own():
    words, named = read_words()
    assert len(words.pairs) == 10
    assert len(set(words.specific)) == len(words.specific)
    assert not set(words.specific) & {word for pair in words.pairs for word in pair}
    assert named["words"] == "gender.toml"


@pytest.mark.parametrize("method", ["hard", "inlp"])
def test_the_command_writes_what_gensim_loads_and_scores_it_before_and_after(vectors, tmp_path, capsys, method):
    vectors.save(tmp_path / "run")
    (tmp_path / "data" / "wordsim").mkdir(parents=True)
    (tmp_path / "data" / "bias").mkdir()
    pairs = "".join(f"w{i}\tw{i * 7 % 600}\t{i % 11}\n" for i in range(1, 60))
    (tmp_path / "data" / "wordsim" / "simlex999.tsv").write_text(pairs)
    lists = {"X": [f"w{i}" for i in range(1, 12, 2)], "Y": [f"w{i}" for i in range(0, 12, 2)]}
    lists |= {"A": [one.lower() for one, _ in PAIRS], "B": [other.lower() for _, other in PAIRS]}
    (tmp_path / "data" / "bias" / "mine.json").write_text(json.dumps({"numbers": lists}))
    (tmp_path / "words.toml").write_text(f"pairs = {json.dumps(PAIRS)}\n")
    command = ["export", str(tmp_path / "run"), "--debias", method, "--bias-words", str(tmp_path / "words.toml")]
    command += ["--data", str(tmp_path / "data"), "--json"]
    ran = run_here(capsys, [*command, "--to", "gensim", "--out", str(tmp_path / "v.kv")])
    assert ran.status == 0, ran.err
    expected = debiased(vectors, method, tmp_path / "words.toml")
    keyed = KeyedVectors.load(str(tmp_path / "v.kv"))
    assert keyed.vectors.tobytes() == expected.matrix.tobytes()
    assert ran.json["debias"] == expected.run["debias"]
    effects = [ran.json["scores"]["bias"][name]["average"] for name in ("as trained", "as exported")]
    assert effects[0] > 1
    assert effects[1] is None if method == "hard" else effects[1] < 1  # None: all are as near to one as to the other
    assert "word-similarity" in ran.json["scores"]
    ran = run_here(
        capsys, [*command, "--to", "model2vec", "--out", str(tmp_path / "m"), "--dim", "5", "--dtype", "int8"]
    )
    assert ran.status == 0, ran.err
    assert "These are not the vectors as they were trained" in (tmp_path / "m" / "README.md").read_text()


def test_words_that_cannot_say_a_bias_are_refused(vectors, tmp_path, capsys):
    with pytest.raises(X2StaticError, match="a tenth of 20 words is too few to learn a bias from; it takes 300"):
        debiased(vectors.rows(slice(29)), "inlp")
    file = tmp_path / "words.toml"
    for text, message in (
        ('pairs = [["one", "two"]]', "know both words of none of 1 pairs, such as one and two"),
        ('pairs = [["she", "he"], ["she", "man"]]', "'she' stands in pairs more than once"),
        ('pairs = ["she"]', "expected a .toml or .json file of pairs"),
        ("{}", "expected a .toml or .json file of pairs"),
        (None, "No such file"),
    ):
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        with pytest.raises(X2StaticError, match=message):
            debiased(vectors, "hard", file)
    vectors.save(tmp_path / "run")
    command = [
        "export",
        str(tmp_path / "run"),
        "--to",
        "glove",
        "--out",
        str(tmp_path / "v"),
        "--bias-words",
        str(file),
    ]
    assert run_here(capsys, command).status == 2
