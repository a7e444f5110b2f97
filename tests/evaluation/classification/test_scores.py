"""Accuracy, macro-F1 and deviations are what their definitions say."""

from dataclasses import replace

import numpy as np
import pytest

from x2static.evaluation.classification.protocol import ClassificationScore, accuracy, macro_f1, over_runs


def naive_macro_f1(labels, predicted):
    f1s = []
    for of_class in sorted(set(labels) | set(predicted)):
        hits = sum(1 for label, guess in zip(labels, predicted, strict=True) if label == guess == of_class)
        precision = hits / predicted.count(of_class) if of_class in predicted else 0.0
        recall = hits / labels.count(of_class) if of_class in labels else 0.0
        f1s.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return sum(f1s) / len(f1s)


@pytest.mark.parametrize("seed", range(20))
def test_macro_f1_equals_a_naive_loop(seed):
    random = np.random.default_rng(seed)
    labels, predicted = random.integers(0, 5, (2, int(random.integers(1, 30))))
    assert macro_f1(labels, predicted) == pytest.approx(naive_macro_f1(labels.tolist(), predicted.tolist()), abs=1e-12)


def test_macro_f1_counts_a_class_that_is_never_predicted_and_leaves_out_one_that_is_nowhere():
    labels, predicted = np.array([0, 0, 0, 3]), np.zeros(4, np.int64)
    assert macro_f1(labels, predicted) == pytest.approx((6 / 7 + 0) / 2)
    assert accuracy(labels, predicted) == 0.75


def test_runs_are_averaged_with_their_standard_deviation():
    run = ClassificationScore("A", 0.5, 0.3, None, None, 1, 1e-3, 9, 5, 6)
    both = over_runs([run, replace(run, accuracy=0.7, macro_f1=0.3, lr=1e-4, epochs=8)])
    assert both == ClassificationScore("A", 0.6, 0.3, pytest.approx(0.02**0.5), 0.0, 2, 1e-3, 9, 5, 6)
    assert over_runs([run]) == run
