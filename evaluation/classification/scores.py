"""What a classification is worth: accuracy and macro-F1, over one or several runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ClassificationScore:
    """The result of one task.

    Attributes:
        task: name of the data set.
        accuracy: share of the test texts that got their label, 0 to 1; the mean over the runs.
        macro_f1: mean of the classes' F1, 0 to 1; the mean over the runs.
        accuracy_deviation: standard deviation over the runs (by n - 1); None of a single run.
        macro_f1_deviation: the same of the macro-F1.
        runs: how many there were.
        lr: learning rate chosen in the first run; of a linear classifier, strength of its L2 penalty.
        epochs: chosen in the first run; 0 of a linear classifier.
        covered: tokens of the task's texts that have a vector (in the first run).
        total: tokens of the task's texts.
    """

    task: str
    accuracy: float
    macro_f1: float
    accuracy_deviation: float | None
    macro_f1_deviation: float | None
    runs: int
    lr: float
    epochs: int
    covered: int
    total: int


def accuracy(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> float:
    """Return the share of predictions that are right.

    Args:
        labels: (n,), the classes.
        predicted: (n,), what they were taken for.
    """
    return float((labels == predicted).mean())


def macro_f1(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> float:
    """Return the mean over the classes of F1 = 2 TP / (2 TP + FP + FN).

    A class that is neither among the labels nor among the predictions has none and is left out, as in scikit-learn.

    Args:
        labels: (n,), the classes, from 0.
        predicted: (n,), what they were taken for.
    """
    n_classes = int(max(labels.max(), predicted.max())) + 1
    right = np.bincount(labels[labels == predicted], minlength=n_classes)
    # 2 TP + FP + FN: how often the class is a label and how often a prediction.
    often = np.bincount(labels, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    return float((2 * right[often > 0] / often[often > 0]).mean())


def over_runs(runs: Sequence[ClassificationScore]) -> ClassificationScore:
    """Return the mean and the deviation of several runs of one task, each a single one.

    Args:
        runs: one or more.
    """
    accuracies, f1s = [run.accuracy for run in runs], [run.macro_f1 for run in runs]
    several = len(runs) > 1
    return ClassificationScore(
        task=runs[0].task,
        accuracy=fmean(accuracies),
        macro_f1=fmean(f1s),
        accuracy_deviation=stdev(accuracies) if several else None,
        macro_f1_deviation=stdev(f1s) if several else None,
        runs=len(runs),
        lr=runs[0].lr,
        epochs=runs[0].epochs,
        covered=runs[0].covered,
        total=runs[0].total,
    )
