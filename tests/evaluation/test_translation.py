"""Words are translated as MUSE counts it: against a plain computation, a word at a time."""

import math

import numpy as np
import pytest

from tests.evaluation.made import cosine
from tests.pipeline.ran import run_here
from tests.stage1_encode.runs import write_lines
from x2static.durable.errors import X2StaticError
from x2static.evaluation import translation as module
from x2static.evaluation.translation import Dictionary, read_dictionaries, score_translation
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.segmentation import choose_words


def two_languages(n: int = 40, dim: int = 6, seed: int = 0) -> WordVectors:
    """Vectors of n words of each language: numbers in English, moved a little in German, three of them equal there."""
    draw = np.random.default_rng(seed)
    english = draw.normal(size=(n, dim))
    german = english + draw.normal(size=(n, dim)) * 0.7 + 0.5
    german[5], german[6] = german[4], german[4]  # ties
    words = [f"{language}:w{number}" for number in range(n) for language in ("en", "de")]
    matrix = np.stack([english, german], axis=1).reshape(2 * n, dim).astype(np.float32)
    return WordVectors(words, matrix, np.arange(2 * n, 0, -1), choose_words(None, "de+en", marked=True))


PAIRS = tuple(
    (f"w{number}", f"w{number + other}") for number in range(35) for other in ((0, 3) if number % 3 == 0 else (0,))
)
PAIRS += (("w1", "unknown"), ("unknown", "w1"), ("w36", "neither"))


def precision(vectors: WordVectors, pairs: tuple[tuple[str, str], ...], k: int, csls: bool) -> float:
    """Precision at k, a word at a time, by the definitions."""
    source = [word for word in vectors.words if word.startswith("en:")]
    target = [word for word in vectors.words if word.startswith("de:")]

    def mean_of_nearest(word: str, others: list[str]) -> float:
        return sum(sorted((cosine(vectors, word, other) for other in others), reverse=True)[:10]) / 10

    right: dict[str, set[str]] = {}
    for one, other in pairs:
        if f"en:{one}" in source and f"de:{other}" in target:
            right.setdefault(f"en:{one}", set()).add(f"de:{other}")
    r_target = {word: mean_of_nearest(word, source) for word in target}
    hits = 0
    for word, translations in right.items():
        r_source = mean_of_nearest(word, target)
        values = {}
        for place, other in enumerate(target):
            value = cosine(vectors, word, other)
            value = 2 * value - r_source - r_target[other] if csls else value
            values[other] = (-round(value, 6), place)  # equals by frequency
        hits += bool(translations & set(sorted(target, key=values.__getitem__)[:k]))
    return hits / len(right)


@pytest.mark.parametrize("seed", range(3))
def test_precision_is_that_of_a_plain_computation_with_ties_and_several_right_ones(monkeypatch, seed):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    vectors = two_languages(seed=seed)
    score = score_translation(vectors, "en-de", Dictionary("en", "de", PAIRS))
    expected = [precision(vectors, PAIRS, k, csls) for csls in (True, False) for k in (1, 5)]
    assert [score.score, score.at_5, score.cosine_at_1, score.cosine_at_5] == pytest.approx(expected)
    assert 0 < score.score < 1
    assert (score.covered, score.total, score.pairs_covered, score.pairs) == (35, 37, 47, 50)


def test_of_equally_near_words_the_more_frequent_comes_first():
    matrix = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    rules = choose_words(None, "de+en", marked=True)
    vectors = WordVectors(["en:a", "de:x", "de:y", "de:z"], matrix, np.array([4, 3, 2, 1]), rules)
    scores = [score_translation(vectors, "", Dictionary("en", "de", (("a", one),))).cosine_at_1 for one in "xyz"]
    assert scores == [1, 0, 0]


def test_a_run_is_scored_by_the_command_and_a_language_alone_by_other_tasks(tmp_path, capsys):
    vectors = two_languages()
    vectors.save(tmp_path / "run")
    (tmp_path / "data").mkdir()
    write_lines(tmp_path / "data" / "en-de.txt", [f"{one.upper()}\t{other}" for one, other in PAIRS])
    write_lines(tmp_path / "data" / "de-en.0-500.txt", [f"{one} {one}" for one, _ in PAIRS])
    task = ["evaluate", tmp_path / "run", "--task", "translation", "--data"]
    result = run_here(capsys, [*task, tmp_path / "data", "--json"])
    tasks = result.json["tasks"]
    assert list(tasks) == ["de-en.0-500", "en-de"]
    assert tasks["en-de"]["score"] == pytest.approx(precision(vectors, PAIRS, 1, csls=True))
    assert f"{tasks['en-de']['at_5']:.3f}" in result.err
    pairs = write_lines(tmp_path / "pairs.tsv", [f"w{one}\tw{one + 1}\t{one}" for one in range(35)])
    similarity = run_here(capsys, ["evaluate", tmp_path / "run", "--language", "de", "--data", pairs, "--json"])
    assert similarity.json["tasks"]["pairs"]["covered"] == 35

    write_lines(tmp_path / "data" / "en-fr.txt", ["one un"])
    write_lines(tmp_path / "words.txt", ["one un"])
    write_lines(tmp_path / "de-en.txt", ["eins zwei drei"])
    plain = WordVectors(["w1"], np.ones((1, 2), np.float32), np.ones(1, np.int64), choose_words(None, "en"))
    plain.save(tmp_path / "plain")
    for arguments, said in (
        (
            [*task, tmp_path / "data" / "en-fr.txt"],
            "no words of the language fr are kept apart here; those of de, en are",
        ),
        ([*task, tmp_path / "words.txt"], "its name does not say its languages; call it en-de.txt"),
        ([*task, tmp_path / "de-en.txt"], "line 1: expected a word and its translation, got 'eins zwei drei'"),
        ([*task, tmp_path / "data" / "en-de.txt", "--language", "de"], "goes by the languages of its files"),
        (
            ["evaluate", tmp_path / "plain", *task[2:], tmp_path / "data" / "en-de.txt"],
            "none are (encode --mark-language)",
        ),
        (["evaluate", tmp_path / "plain", "--language", "de"], "no words of the language de are kept apart here; none"),
    ):
        result = run_here(capsys, arguments)
        assert result.status != 0
        assert said in result.err, result.err


def test_a_dictionary_is_read_as_muse_writes_it(tmp_path):
    write_lines(tmp_path / "en-de.txt", ["Gift gift", "poison\tGift", "", "Gift  gift"])
    assert read_dictionaries(tmp_path) == {"en-de": Dictionary("en", "de", (("gift", "gift"), ("poison", "gift")))}
    with pytest.raises(X2StaticError, match="a dictionary called en-de"):
        read_dictionaries(tmp_path / "none")
    with pytest.raises(X2StaticError, match="MUSE has some"):
        read_dictionaries(None)


def test_vectors_of_a_language_have_its_words_and_rules():
    vectors = two_languages()
    german = vectors.of_language("de")
    assert (german.words[3], german["w3"].tolist()) == ("w3", vectors["de:w3"].tolist())
    assert (vectors.languages, german.languages, len(german)) == (("de", "en"), (), 40)
    text = "W3 W7"
    assert vectors.split(text, language="de") == ["de:w3", "de:w7"]
    assert vectors.encode(text, language="de").tolist() == german.encode(text).tolist()
    assert vectors.encode([text], "en")[0].tolist() == vectors.of_language("en").encode(text).tolist()
    assert math.isclose(
        float(german.encode(text)[0]), float((vectors["de:w3"] + vectors["de:w7"])[0] / 2), rel_tol=1e-6
    )
    with pytest.raises(X2StaticError, match="which language is the text"):
        vectors.encode(text)
