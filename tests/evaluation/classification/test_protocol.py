"""The protocol learns what can be learned, chooses without the test part, and repeats itself."""

from dataclasses import astuple

import numpy as np
import pytest

from tests.evaluation.classification.tasks import trigram_rows, vectors, write
from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification import protocol
from x2static.evaluation.classification.protocol import evaluate_classification, evaluate_classification_runs, over_runs


def splits(folder, rows, test_rows):
    for name, of_name in {"train": rows[40:], "dev": rows[:40], "test": test_rows}.items():
        write(folder / f"{name}.tsv", of_name)


def test_a_class_decided_by_the_order_of_three_words_is_learned(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(400))
    (score,) = evaluate_classification(vectors(), tmp_path)
    assert score.accuracy > 0.95
    assert score.macro_f1 > 0.95
    assert (score.task, score.runs, score.accuracy_deviation, score.covered) == ("A", 1, None, score.total)


def test_labels_that_mean_nothing_stay_at_chance(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(600, shuffled=True))
    (score,) = evaluate_classification(vectors(), tmp_path)
    assert score.accuracy == pytest.approx(0.5, abs=0.14)  # 120 test texts: three standard deviations


def test_the_setting_and_the_classifier_do_not_depend_on_the_test_part(tmp_path):
    rows, test_rows = trigram_rows(200), trigram_rows(60, seed=1)
    splits(tmp_path / "one/A", rows, test_rows)
    splits(tmp_path / "other/A", rows, [(1 - label, text) for label, text in test_rows])
    one, other = (evaluate_classification(vectors(), tmp_path / name)[0] for name in ("one", "other"))
    assert (one.lr, one.epochs) == (other.lr, other.epochs)
    assert one.accuracy == pytest.approx(1 - other.accuracy)  # the same predictions, of turned labels
    assert one.accuracy != other.accuracy


def test_the_test_part_is_read_once_by_the_last_classifier(tmp_path, monkeypatch):
    splits(tmp_path / "A", trigram_rows(140), trigram_rows(60, seed=1))
    trained, predicted = [], []

    def train(matrix, examples, n_classes, lr, seed):
        trained.append(len(examples))
        return real_train(matrix, examples, n_classes, lr, seed)

    def predict(network, matrix, examples):
        predicted.append(len(examples))
        return real_predict(network, matrix, examples)

    real_train, real_predict = protocol.train, protocol.predict
    monkeypatch.setattr(protocol, "train", train)
    monkeypatch.setattr(protocol, "predict", predict)
    evaluate_classification(vectors(), tmp_path)
    assert trained == [100, 100, 100, 140]
    assert predicted == [40] * 27 + [60]


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


def test_the_same_seed_gives_the_same_scores_and_another_seed_others(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(150, shuffled=True))
    first, again, other = (evaluate_classification(vectors(), tmp_path, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_runs_are_one_classifier_for_each_set_of_vectors(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(150, shuffled=True))
    sets = [vectors(seed=1), vectors(seed=2)]
    (both,) = evaluate_classification_runs(sets, tmp_path, seed=5)
    (first,) = evaluate_classification_runs(sets[:1], tmp_path, seed=5)
    assert both.runs == 2
    assert both.accuracy_deviation > 0
    second = 2 * both.accuracy - first.accuracy
    assert both.accuracy_deviation == pytest.approx(abs(first.accuracy - second) / 2**0.5)
    (twice,) = evaluate_classification(sets[0], tmp_path, runs=2, seed=5)
    (repeated,) = evaluate_classification_runs([sets[0]] * 2, tmp_path, seed=5)
    assert astuple(twice) == astuple(repeated)
    assert over_runs([first]) == first


def test_runs_made_one_at_a_time_have_the_draws_of_those_made_together(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(150, shuffled=True))
    sets = [vectors(seed=1)] * 3
    together = evaluate_classification_runs(sets, tmp_path, seed=5)
    alone = [evaluate_classification_runs([one], tmp_path, seed=5, first_run=run)[0] for run, one in enumerate(sets)]
    assert len({score.accuracy for score in alone}) > 1, "each run has draws of its own"
    assert [over_runs(alone)] == together


def test_words_are_looked_up_for_every_set_before_the_first_is_trained(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(20))
    foreign, reports = vectors([f"x{number}" for number in range(60)]), []
    with pytest.raises(X2StaticError, match="A: 0 of its"):
        evaluate_classification_runs([vectors(), foreign], tmp_path, report=reports.append)
    assert reports == []


def test_progress_counts_classifiers_and_names_the_task(tmp_path):
    for name in "BA":
        write(tmp_path / f"{name}/all.tsv", trigram_rows(20))
    reports = []
    evaluate_classification(vectors(), tmp_path, report=reports.append, tasks=["B", "A"])
    assert [(report.done, report.total, report.detail) for report in reports] == [(0, 2, "B"), (1, 2, "A"), (2, 2, "")]


def test_what_is_wrong_with_the_last_task_is_said_before_the_first_is_trained(tmp_path):
    write(tmp_path / "A/all.tsv", trigram_rows(20))
    write(tmp_path / "B/all.tsv", [(number % 2, "foreign words") for number in range(20)])
    reports = []
    with pytest.raises(X2StaticError, match="B: 0 of its 40 words"):
        evaluate_classification(vectors(), tmp_path, report=reports.append)
    assert reports == []


def test_no_runs_are_refused(tmp_path):
    with pytest.raises(X2StaticError, match="0 runs"):
        evaluate_classification(vectors(), tmp_path, runs=0)
