"""The protocol learns what can be learned, chooses without the test part, and repeats itself."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.classification.tasks import trigram_rows, vectors, write
from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification import network, protocol
from x2static.evaluation.classification.protocol import evaluate_classification_runs, over_runs


def splits(folder, rows, test_rows):
    for name, of_name in {"train": rows[40:], "dev": rows[:40], "test": test_rows}.items():
        write(folder / f"{name}.tsv", of_name)


def test_a_class_decided_by_the_order_of_three_words_is_learned(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(400))
    (score,) = evaluate_classification_runs([vectors()], tmp_path)
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
    splits(tmp_path / "one/A", rows, test_rows)
    splits(tmp_path / "other/A", rows, [(1 - label, text) for label, text in test_rows])
    one, other = (evaluate_classification_runs([vectors()], tmp_path / name)[0] for name in ("one", "other"))
    assert (one.lr, one.epochs) == (other.lr, other.epochs)
    assert one.accuracy == pytest.approx(1 - other.accuracy)  # the same predictions, of turned labels
    assert one.accuracy != other.accuracy
    assert trained == [160, 160, 160, 200] * 2


def test_the_best_rate_and_epoch_on_the_validation_part_are_chosen_and_of_equals_the_fewest_epochs(monkeypatch):
    right = {(3e-4, 7): 9, (3e-4, 12): 5, (1e-3, 10): 5, (1e-4, 10): 5}  # 7 epochs are too few to be asked for

    def train(matrix, examples, n_classes, lr, seed):
        return ((lr, epoch) for epoch in range(1, 100))

    def predict(network, matrix, examples):
        return np.arange(9) >= right.get(network, 0)

    class Validation:
        labels = np.zeros(9, bool)

    monkeypatch.setattr(protocol, "train", train)
    monkeypatch.setattr(protocol, "predict", predict)
    assert protocol.choose(None, None, Validation, 2, 0) == (1e-4, 10)


def test_runs_are_one_classifier_for_each_set_of_vectors_made_together_or_one_at_a_time(tmp_path):
    for name in "BA":
        write(tmp_path / f"{name}/all.tsv", trigram_rows(100, shuffled=True))
    sets, reports = [vectors(seed=1), vectors(seed=1), vectors(seed=2)], []
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
    foreign, reports = vectors([f"x{number}" for number in range(60)]), []
    with pytest.raises(X2StaticError, match="A: 0 of its"):
        evaluate_classification_runs([vectors(), foreign], tmp_path, report=reports.append)
    write(tmp_path / "B/all.tsv", [(number % 2, "foreign words") for number in range(20)])
    with pytest.raises(X2StaticError, match="B: 0 of its 40 words"):
        evaluate_classification_runs([vectors()], tmp_path, report=reports.append)
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
