"""Word vectors and classification tasks that are made up; vectors as gensim has them, the cosine by definition."""

from pathlib import Path

import numpy as np

from x2static.schemas.vectors import WordVectors

WORDS = [f"w{number}" for number in range(60)]
TRIGRAMS = {0: "w1 w2 w3", 1: "w3 w2 w1"}  # the same words: only their order tells


def random_vectors(words: list[str] = WORDS, dim: int = 8, seed: int = 0) -> WordVectors:
    """Random vectors of many lengths; of few dimensions, so that some questions are answered rightly by chance."""
    draw = np.random.default_rng(seed)
    matrix = draw.normal(size=(len(words), dim)) * draw.uniform(0.1, 9, size=(len(words), 1))
    return WordVectors(words, matrix.astype(np.float32), np.arange(len(words), 0, -1))


def of_gensim(vectors: WordVectors):
    from gensim.models import KeyedVectors  # takes seconds

    keyed = KeyedVectors(vectors.dim)
    keyed.add_vectors(vectors.words, vectors.matrix)
    return keyed


def cosine(vectors: WordVectors, one: str, other: str) -> float:
    u, v = vectors[one].astype(float), vectors[other].astype(float)
    return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))


def trigram_rows(n: int, seed: int = 0, shuffled: bool = False) -> list[tuple[int, str]]:
    """Texts of which one place holds the trigram of the class; `shuffled`, labels that mean nothing."""
    random = np.random.default_rng(seed)
    rows = []
    for label in np.resize([0, 1], n).tolist():
        text = random.choice(WORDS[4:], random.integers(0, 12)).tolist()
        text.insert(int(random.integers(0, len(text) + 1)), TRIGRAMS[label])
        rows.append((label, " ".join(text)))
    if shuffled:
        labels = random.permutation([label for label, _ in rows]).tolist()
        rows = [(label, text) for label, (_, text) in zip(labels, rows, strict=True)]
    return rows


def write(file: Path, rows: list[tuple[int, str]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    return file
