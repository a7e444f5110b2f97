"""Search without a teacher: sentences and a question as mean word vectors, the nearest first.

usage: python examples/search.py FOLDER QUESTION       (after examples/distil.sh FOLDER)
"""

import sys
from pathlib import Path

import numpy as np

from x2static import WordVectors

SENTENCES = [
    "The government raised taxes on fuel and tobacco.",
    "Two planes collided near the airport in heavy fog.",
    "The striker scored twice in the final minutes of the match.",
    "Doctors tested a new treatment for the disease.",
    "The court sentenced the former minister to prison.",
    "Heavy rain flooded several villages along the river.",
]


def main(folder: Path, question: str) -> None:
    """Print the sentences, the nearest to the question first, with their cosines."""
    vectors = WordVectors.load(folder / "run")
    texts = vectors.encode([*SENTENCES, question])  # (len(SENTENCES) + 1, dim) float32
    texts /= np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-12)
    cosines = texts[:-1] @ texts[-1]
    for row in np.argsort(-cosines):
        print(f"{cosines[row]:.3f}  {SENTENCES[row]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
