"""The benchmark of senses: figures of words whose senses are known by their form."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.senses import coarse, picked, tally
from x2static.schemas.senses import Sense, Senses
from x2static.schemas.vectors import WordVectors, add_senses
from x2static.stage1_encode.text.segmentation import choose_words


def test_senses_are_named_after_labels_and_counted_beside_the_most_frequent_one(tmp_path: Path) -> None:
    matrix = np.eye(4, dtype=np.float32)
    vectors = WordVectors(["bank", "money", "river", "tree"], matrix, np.ones(4, np.int64), choose_words(None, "en"))
    vectors.save(tmp_path / "run")
    senses = [Sense(f"bank#{n}", 0.5, matrix[n], [], [], matrix[n]) for n in (1, 2)]
    add_senses(tmp_path / "run", Senses({"bank": senses}), silhouette=0.25)
    for word in ("bank", "tree"):
        (tmp_path / "data" / word).mkdir(parents=True)
        for part in ("train", "test"):
            rows = [("money", 0), ("river", 1), ("money", 0), ("river", 1), ("money", 0)]
            lines = "".join(f"0\t{word} of {other}\n" for other, _ in rows)
            (tmp_path / "data" / word / f"{part}.data.txt").write_text(lines)
            (tmp_path / "data" / word / f"{part}.gold.txt").write_text("".join(f"{label}\n" for _, label in rows))
    figures = coarse(WordVectors.load(tmp_path / "run"), tmp_path / "data", 0)
    assert figures["words"]["bank"]["accuracy"] == 1
    assert figures["words"]["tree"]["accuracy"] == 0.6
    assert (figures["accuracy"], figures["frequent_accuracy"]) == (0.8, 0.6)


def test_a_sense_is_right_where_most_of_its_sample_are_of_the_word_that_it_is_picked_for() -> None:
    around = np.eye(2, dtype=np.float32)[[0, 0, 1, 1, 0, 1, 1]]
    truth, rest = np.array([True, True, False, False]), np.array([True, False, True])
    assert picked(np.array([0, 0, 1, 1]), truth, rest, around) == pytest.approx(2 / 3)
    assert tally([2, 1, 2]) == {"1": 1, "2": 2}
