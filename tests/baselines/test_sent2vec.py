"""The window of sent2vec is the whole sentence."""

import random

from tests.baselines.texts import cache_of, counted, request_of
from x2static.baselines import sent2vec, word2vec
from x2static.baselines.request import Request
from x2static.schemas.vectors import WordVectors

FAR = 12  # words between a name and what tells its kind: more than CBOW's window


def named_kinds() -> list[list[str]]:
    """Sentences that begin with a name and end with its kind, and say nothing of it in between."""
    drawn = random.Random(1)
    between = [f"and{number}" for number in range(40)]
    kinds = {"sea": "wet", "hill": "high"}
    return [
        [f"{name}{drawn.randrange(4)}", *drawn.choices(between, k=FAR), kind]
        for name, kind in (drawn.choice(list(kinds.items())) for _ in range(600))
    ]


def test_words_at_both_ends_of_a_long_sentence_are_context_of_each_other(tmp_path):
    sentences = named_kinds()
    cache = cache_of(tmp_path / "cache", sentences)

    def gap(name: str) -> float:
        settings = {"name": name, "epochs": 20, "dim": 16, "window": 5, "subsample": 0, "threads": 1}
        request: Request = request_of(tmp_path / name, cache, counted(sentences), **settings)
        made = (sent2vec if name == "sent2vec" else word2vec).make(request)
        if name == "sent2vec":
            assert made.origin["window"] == FAR + 2
            assert made.origin["missing"]
        vectors = WordVectors(made.words, made.matrix, made.counts)
        return vectors.similarity("sea0", "sea1") - vectors.similarity("sea0", "hill1")

    assert gap("sent2vec") > 0.3
    assert gap("cbow") < 0.2
