"""The linear classifier is at its optimum, and its protocol does not look at the test part."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from tests.evaluation.classification.tasks import write
from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification import protocol
from x2static.evaluation.classification.protocol import evaluate_sentence_classification

DIM, CLASSES = 4, 3
DIRECTIONS = np.random.default_rng(9).standard_normal((2, 16)).astype(np.float32)


def encode(texts):
    """A vector that says the class of a text `class number`, with noise."""
    parts = [text.split() for text in texts]
    noise = np.stack([np.random.default_rng(int(number)).standard_normal(16) for _, number in parts])
    return (100 + DIRECTIONS[[int(label) for label, _ in parts]] + noise / 4).astype(np.float32)


def rows(n, turned=False):
    return [(int(number % 2 != turned), f"{number % 2} {number}") for number in range(n)]


@pytest.mark.parametrize("strength", protocol.STRENGTHS[:2])
def test_the_weights_equal_those_that_scipy_finds(strength):
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 200)
    vectors = random.standard_normal((200, DIM)) * 5 + labels[:, None] + 30
    weights = protocol.fit_linear(torch.from_numpy(vectors), torch.from_numpy(labels), CLASSES, strength).numpy()
    mean = vectors.mean(axis=0)
    scale = np.sqrt(((vectors - mean) ** 2).sum(axis=1).mean())
    inputs = np.c_[(vectors - mean) / scale, np.ones(200)]

    def loss(flat):
        scores = inputs @ flat.reshape(DIM + 1, CLASSES)
        entropy = (logsumexp(scores, axis=1) - scores[np.arange(200), labels]).mean()
        return entropy + strength / 2 * (flat[: DIM * CLASSES] ** 2).sum()

    best = minimize(loss, np.zeros((DIM + 1) * CLASSES), method="BFGS", options={"gtol": 1e-7})
    fitted = np.r_[weights[:-1] * scale, weights[-1:] + mean @ weights[:-1]]
    assert loss(fitted.ravel()) == pytest.approx(best.fun, abs=1e-7)
    scores = inputs @ best.x.reshape(DIM + 1, CLASSES)
    predicted = protocol.predict_linear(torch.from_numpy(weights), torch.from_numpy(vectors))
    assert (predicted == scores.argmax(axis=1)).mean() > 0.99


def test_vectors_that_tell_the_class_are_learned_whatever_their_scale(tmp_path):
    write(tmp_path / "A/all.tsv", rows(200))
    (score,) = evaluate_sentence_classification(encode, tmp_path)
    assert score.accuracy > 0.95
    assert (score.epochs, score.runs, score.covered, score.total) == (0, 1, 400, 400)
    (larger,) = evaluate_sentence_classification(lambda texts: 1000 * encode(texts), tmp_path)
    assert larger == score


def test_the_strength_does_not_depend_on_the_test_part(tmp_path):
    for name, turned in {"one": False, "other": True}.items():
        write(tmp_path / name / "A/train.tsv", rows(100))
        write(tmp_path / name / "A/test.tsv", rows(40, turned))
    one, other = (evaluate_sentence_classification(encode, tmp_path / name)[0] for name in ("one", "other"))
    assert one.lr == other.lr
    assert one.accuracy == pytest.approx(1 - other.accuracy)


def test_vectors_that_are_all_equal_give_the_most_frequent_class(tmp_path):
    write(tmp_path / "A/all.tsv", [(int(number % 4 == 0), f"a {number}") for number in range(100)])
    (score,) = evaluate_sentence_classification(lambda texts: np.ones((len(texts), 3), np.float32), tmp_path)
    assert score.accuracy == 0.75


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda texts: np.zeros((3, 2)), r"A: the encoder gave an array of shape \(3, 2\) for 20 sentences"),
        (lambda texts: np.full((len(texts), 2), np.nan), "holds values that are not finite"),
    ],
)
def test_an_encoder_that_gives_something_else_is_one_clear_line(tmp_path, bad, message):
    write(tmp_path / "A/all.tsv", rows(20))
    with pytest.raises(X2StaticError, match=message):
        evaluate_sentence_classification(bad, tmp_path)
