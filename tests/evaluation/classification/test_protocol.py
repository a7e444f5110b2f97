"""Both classifiers learn what can be learned and choose without the test part; the linear one is at its optimum."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from tests.evaluation.made import random_vectors, trigram_rows, write
from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification import network, protocol
from x2static.evaluation.classification.protocol import (
    evaluate_classification_runs,
    evaluate_sentence_classification,
    over_runs,
)


def test_a_class_decided_by_the_order_of_three_words_is_learned(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(400))
    (score,) = evaluate_classification_runs([random_vectors(dim=32)], tmp_path)
    assert score.accuracy > 0.95
    assert score.macro_f1 > 0.95
    assert (score.task, score.runs, score.accuracy_deviation, score.covered) == ("A", 1, None, score.total)


def test_nothing_depends_on_the_test_part_and_the_last_training_takes_the_validation_part_in(tmp_path, monkeypatch):
    trained = []

    def train(matrix, examples, *options):
        trained.append(len(examples.labels))
        return network.train(matrix, examples, *options)

    monkeypatch.setattr(protocol, "train", train)
    rows, test_rows = trigram_rows(200), trigram_rows(60, seed=1)
    for folder, of_test in {"one": test_rows, "other": [(1 - label, text) for label, text in test_rows]}.items():
        for name, of_name in {"train": rows[40:], "dev": rows[:40], "test": of_test}.items():
            write(tmp_path / folder / f"A/{name}.tsv", of_name)
    sets = [random_vectors(dim=32)]
    one, other = (evaluate_classification_runs(sets, tmp_path / name)[0] for name in ("one", "other"))
    assert (one.lr, one.epochs) == (other.lr, other.epochs)
    assert one.accuracy == pytest.approx(1 - other.accuracy)  # the same predictions, of turned labels
    assert one.accuracy != other.accuracy
    assert trained == [160, 160, 160, 200] * 2


def test_the_best_rate_and_epoch_on_the_validation_part_are_chosen_and_of_equals_the_fewest_epochs(monkeypatch):
    right = {(3e-4, 7): 9, (3e-4, 12): 5, (1e-3, 10): 5, (1e-4, 10): 5}  # 7 epochs are too few to be asked for
    monkeypatch.setattr(protocol, "train", lambda _, __, ___, lr, seed: ((lr, epoch) for epoch in range(1, 100)))
    monkeypatch.setattr(protocol, "predict", lambda setting, *_: np.arange(9) >= right.get(setting, 0))
    assert protocol.choose(None, None, network.Examples(None, None, np.zeros(9, bool)), 2, 0) == (1e-4, 10)


def test_runs_are_one_classifier_for_each_set_of_vectors_made_together_or_one_at_a_time(tmp_path):
    for name in "BA":
        write(tmp_path / f"{name}/all.tsv", trigram_rows(100, shuffled=True))
    sets, reports = [random_vectors(seed=1), random_vectors(seed=1), random_vectors(seed=2)], []
    together = evaluate_classification_runs(sets, tmp_path, seed=5, tasks=["A"], report=reports.append)
    alone = []
    for run, one in enumerate(sets):
        alone += evaluate_classification_runs([one], tmp_path, 5, tasks=["A"], first_run=run)
    assert alone[0].macro_f1 != alone[1].macro_f1, "each run has draws of its own"
    assert together == [over_runs(alone)]
    expected = [(0, 3, "A"), (1, 3, "A"), (2, 3, "A"), (3, 3, "")]
    assert [(report.done, report.total, report.detail) for report in reports] == expected
    assert evaluate_classification_runs(sets[:1], tmp_path, seed=6, tasks=["A"]) != alone[:1]


def test_what_is_wrong_with_the_last_task_or_set_is_said_before_the_first_is_trained(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(20))
    foreign, reports = random_vectors([f"x{number}" for number in range(60)]), []
    with pytest.raises(X2StaticError, match="A: 0 of its"):
        evaluate_classification_runs([random_vectors(), foreign], tmp_path, report=reports.append)
    write(tmp_path / "B/all.tsv", [(number % 2, "foreign words") for number in range(20)])
    with pytest.raises(X2StaticError, match="B: 0 of its 40 words"):
        evaluate_classification_runs([random_vectors()], tmp_path, report=reports.append)
    assert reports == []


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1_equals_a_naive_loop(seed):
    random = np.random.default_rng(seed)
    labels, predicted = random.integers(0, 5, (2, int(random.integers(1, 30))))
    f1s = []
    for of_class in set(labels.tolist()) | set(predicted.tolist()):  # one that is nowhere has none
        hits = int(((labels == of_class) & (predicted == of_class)).sum())
        f1s.append(2 * hits / int((labels == of_class).sum() + (predicted == of_class).sum()))
    assert protocol.macro_f1(labels, predicted) == pytest.approx(sum(f1s) / len(f1s), abs=1e-12)
    assert protocol.accuracy(labels, predicted) == np.mean(labels == predicted)


def test_runs_are_averaged_with_their_standard_deviation():
    run = protocol.ClassificationScore("A", 0.5, 0.3, 1e-3, 9, 5, 6)
    both = over_runs([run, replace(run, accuracy=0.7, macro_f1=0.3, lr=1e-4, epochs=8)])
    deviations = {"accuracy_deviation": pytest.approx(0.02**0.5), "macro_f1_deviation": 0.0}
    assert both == replace(run, accuracy=0.6, runs=2, **deviations)
    assert over_runs([run]) == run


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
