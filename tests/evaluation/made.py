"""Word vectors that are made up, as gensim has them, and the cosine by its definition."""

import numpy as np
from gensim.models import KeyedVectors

from x2static.schemas.vectors import WordVectors


def random_vectors(words: list[str], dim: int = 8, seed: int = 0) -> WordVectors:
    """Random vectors of many lengths; of few dimensions, so that some questions are answered rightly by chance."""
    draw = np.random.default_rng(seed)
    matrix = draw.normal(size=(len(words), dim)) * draw.uniform(0.1, 9, size=(len(words), 1))
    return WordVectors(words, matrix.astype(np.float32), np.arange(len(words), 0, -1))


def of_gensim(vectors: WordVectors) -> KeyedVectors:
    keyed = KeyedVectors(vectors.dim)
    keyed.add_vectors(vectors.words, vectors.matrix)
    return keyed


def cosine(vectors: WordVectors, one: str, other: str) -> float:
    u, v = vectors[one].astype(float), vectors[other].astype(float)
    return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
