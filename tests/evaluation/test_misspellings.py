"""Misspellings are one letter away, unknown, and scored by whether the meant word is nearest."""

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.ran import run_here
from x2static.durable.errors import X2StaticError
from x2static.evaluation import misspellings as module
from x2static.evaluation.misspellings import Misspelling, make_misspellings, read_misspellings, score_misspellings
from x2static.schemas.subwords import Subwords, ngrams_of
from x2static.schemas.vectors import WordVectors

WORDS = ["receive", "government", "because", "weather", "receiver", "the", "été", "x2static", "beginning", "Ottawa"]


def spelt(words: list[str], seed: int = 0) -> WordVectors:
    """Vectors that are what the n-grams of the words say, and so those of misspellings are near."""
    ngrams = sorted({ngram for word in words for ngram in ngrams_of(word)})
    matrix = np.random.default_rng(seed).normal(size=(len(ngrams), 64)).astype(np.float16)
    subwords = Subwords(ngrams, matrix, 0.5)
    rows = np.array([subwords.vector(word) for word in words])
    return WordVectors(words, rows, np.arange(len(words), 0, -1), subwords=subwords)


def edits(word: str) -> list[set[str]]:
    """All that one edit of each kind makes of a word, its first and last letters untouched by the first three."""
    places, letters = range(1, len(word) - 1), set("".join(WORDS))
    return [
        {word[:i] + word[i + 1 :] for i in places},
        {word[: i + 1] + word[i:] for i in places},
        {word[:i] + other + word[i + 1 :] for i in places for other in letters},
        {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in places},
    ]


def test_misspellings_are_one_edit_of_a_frequent_word_that_all_know_and_no_word_themselves():
    one, other = spelt(WORDS), spelt(WORDS[:5])
    seen = set()
    for seed in range(20):
        made = make_misspellings([one, other], seed)
        assert made == make_misspellings([one, other], seed)
        for number, (written, meant) in enumerate(made):
            assert meant in {"receive", "government", "because", "weather", "receiver"}
            assert written in edits(meant)[number % 4]
            assert written not in WORDS
            seen.add((meant, number % 4))
    assert len(seen) == 20
    assert {meant for _, meant in make_misspellings([one], 0)} <= {*WORDS} - {"the", "été", "x2static"}


def test_the_share_is_of_those_whose_nearest_candidate_is_the_meant_word():
    vectors = spelt(WORDS)
    pairs = [Misspelling("recieve", "receive"), Misspelling("goverment", "government"), Misspelling("qqq", "the")]
    pairs += [Misspelling("weather", "because"), Misspelling("recieve", "unknown")]  # wrong; nobody knows the word
    score = score_misspellings(vectors, "task", pairs)
    assert (score.score, score.covered, score.total) == (2 / 4, 3, 4)
    plain = WordVectors(vectors.words, vectors.matrix, vectors.counts)
    score = score_misspellings(plain, "task", pairs)
    assert (score.score, score.covered, score.total) == (0, 1, 4)
    assert score_misspellings(vectors, "task", pairs[-1:]).score is None


def test_a_rare_word_is_no_answer_unless_it_is_meant(monkeypatch):
    monkeypatch.setattr(module, "CANDIDATES", 3)
    vectors = spelt(WORDS)
    assert score_misspellings(vectors, "", [Misspelling("receiverr", "receive")]).score == 1  # receiver is the 5th word
    assert score_misspellings(vectors, "", [Misspelling("receiverr", "receiver")]).score == 1


def test_the_command_makes_some_or_takes_a_file(tmp_path, capsys):
    spelt(WORDS).save(tmp_path / "vectors")
    file = tmp_path / "common.tsv"
    file.write_text("recieve\treceive\nbecuase\tbecause\n", encoding="utf-8")
    arguments = ["evaluate", tmp_path / "vectors", "--task", "misspellings", "--unknown", "subwords"]
    ran = run_here(capsys, [*arguments, "--data", file, "--json"])
    assert ran.json["tasks"]["common"] == {"score": 1.0, "covered": 2, "total": 2, "too_few": True}
    assert "misspellings" in run_here(capsys, arguments).out
    ran = run_here(capsys, arguments[:-2])
    assert (ran.status, "give --unknown subwords, or --data with a file" in ran.err) == (1, True)
    ran = run_here(capsys, ["evaluate", tmp_path / "vectors", "--task", "misspellings", "--data", file])
    assert (ran.status, "none of the 2 misspellings" in ran.err) == (1, True)


@pytest.mark.parametrize("line", ["recieve", "a\tb\tc", "recieve\t", "\treceive"])
def test_a_line_that_is_no_pair_is_named(tmp_path, line):
    file = Path(tmp_path / "bad.tsv")
    file.write_text(f"teh\tthe\n{line}\n", encoding="utf-8")
    with pytest.raises(X2StaticError, match=f"{file}.*2: expected misspelling<TAB>word"):
        read_misspellings(file, [spelt(WORDS)], 0)
