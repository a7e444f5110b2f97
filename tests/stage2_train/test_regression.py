"""The regression of sentences on their words, against dense least squares and the conjugate gradients of scipy."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.linalg import cg

from tests.stage2_train.caches import bags_and_contexts, opened
from x2static.stage2_train import regression
from x2static.stage2_train.regression import RIDGE, STEPS, sentence_regression


@pytest.mark.parametrize(("min_count", "at_once"), [(20, 99), (40, 32_768)])
def test_enough_steps_solve_the_normal_equations(
    small: Path, monkeypatch: pytest.MonkeyPatch, min_count: int, at_once: int
):
    monkeypatch.setattr(regression, "STEPS", 40)
    monkeypatch.setattr(regression, "ROWS_AT_ONCE", at_once)
    _, stream, vocabulary = opened(small, min_count=min_count)
    bags, contexts = bags_and_contexts(small, vocabulary.words.to_pylist())
    x, contexts = bags / bags.sum(1, keepdims=True), contexts - contexts.mean(0)
    right = np.linalg.solve(x.T @ x + RIDGE * np.eye(len(vocabulary)), x.T @ contexts)
    np.testing.assert_allclose(sentence_regression(stream), right, atol=1e-4)


def test_few_steps_are_those_of_scipy(small: Path):
    _, stream, vocabulary = opened(small, min_count=1)
    bags, contexts = bags_and_contexts(small, vocabulary.words.to_pylist())
    x, contexts = bags / bags.sum(1, keepdims=True), contexts - contexts.mean(0)
    matrix, conditioner = x.T @ x + RIDGE * np.eye(len(vocabulary)), RIDGE + (x / bags.sum(1, keepdims=True)).sum(0)
    steps = [cg(matrix, c, rtol=0, maxiter=STEPS, M=np.diag(1 / conditioner))[0] for c in (x.T @ contexts).T]
    np.testing.assert_allclose(sentence_regression(stream), np.stack(steps, 1), atol=1e-4)
