"""Classification: word vectors and sentence vectors on labelled texts, accuracy and macro-F1 over one or several runs.

The paper's protocol (§4.3), for both classifiers: the setting is chosen on the validation part, the classifier trained
again with that part, and tested once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification.data import ClassificationTask, read_tasks
from x2static.evaluation.classification.linear import STRENGTHS, Linear
from x2static.evaluation.classification.network import Examples, Inputs, predict, train
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.vectors import WordVectors

LEARNING_RATES = (1e-4, 3e-4, 1e-3)
EPOCHS = range(8, 17)

Classes = npt.NDArray[np.int64]
Encode = Callable[[list[str]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class ClassificationScore:
    """The result of one task."""

    task: str  # name of the data set
    accuracy: float  # share of the test texts that got their label, 0 to 1; the mean over the runs
    macro_f1: float  # mean of the classes' F1, 0 to 1; the mean over the runs
    accuracy_deviation: float | None  # standard deviation over the runs (by n - 1); None of a single run
    macro_f1_deviation: float | None  # the same of the macro-F1
    runs: int  # how many there were
    lr: float  # learning rate chosen in the first run; of a linear classifier, strength of its L2 penalty
    epochs: int  # chosen in the first run; 0 of a linear classifier
    covered: int  # tokens of the task's texts that have a vector (in the first run)
    total: int  # tokens of the task's texts


def accuracy(labels: Classes, predicted: Classes) -> float:
    """Return the share of predictions, (n,), that are right."""
    return float((labels == predicted).mean())


def macro_f1(labels: Classes, predicted: Classes) -> float:
    """Return the mean over the classes of F1 = 2 TP / (2 TP + FP + FN).

    A class that is neither among the labels nor among the predictions has none and is left out, as in scikit-learn.
    Classes are from 0; labels and predictions are (n,).
    """
    n_classes = int(max(labels.max(), predicted.max())) + 1
    right = np.bincount(labels[labels == predicted], minlength=n_classes)
    # 2 TP + FP + FN: how often the class is a label and how often a prediction.
    often = np.bincount(labels, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    return float((2 * right[often > 0] / often[often > 0]).mean())


def over_runs(runs: Sequence[ClassificationScore]) -> ClassificationScore:
    """Return the mean and the deviation of one or more runs of one task, each a single one."""
    if len(runs) == 1:
        return runs[0]
    accuracies, f1s = [run.accuracy for run in runs], [run.macro_f1 for run in runs]
    return replace(
        runs[0],
        accuracy=fmean(accuracies),
        macro_f1=fmean(f1s),
        accuracy_deviation=stdev(accuracies),
        macro_f1_deviation=stdev(f1s),
        runs=len(runs),
    )


def evaluate_classification(
    vectors: WordVectors,
    data: Path | None,
    runs: int = 1,
    seed: int = 0,
    report: Report = silent,
    tasks: Sequence[str] | None = None,
) -> list[ClassificationScore]:
    """Score word vectors on classification tasks by the paper's convolutional classifier.

    Args:
        vectors: the word vectors; they are not trained further.
        data: where the tasks are, see `read_tasks`.
        runs: how many classifiers to train for each task, each with its own draws and its own setting.
        seed: of the splits, which all runs share, and of the classifiers.
        report: hears how many classifiers are done, one a task and run.
        tasks: names of the tasks; None for all.

    Raises:
        X2StaticError: the data cannot be used, or no word of a task is known.
    """
    return evaluate_classification_runs([vectors] * runs, data, seed, report, tasks)


def evaluate_classification_runs(
    vectors: Sequence[WordVectors],
    data: Path | None,
    seed: int = 0,
    report: Report = silent,
    tasks: Sequence[str] | None = None,
    first_run: int = 0,
) -> list[ClassificationScore]:
    """Score a method by vectors of several trainings, with one classifier for each, as the paper's table 5 does.

    Args:
        vectors: of one method, one set or more; the i-th run is the i-th set's.
        data: see `evaluate_classification`, as `seed`, `report` and `tasks`.
        seed: of the splits and classifiers.
        report: hears how many classifiers are done.
        tasks: names of the tasks; None for all.
        first_run: number of the first run; runs that are made one at a time have the draws of those made together.

    Raises:
        X2StaticError: as there, or there are no vectors.
    """
    if not vectors:
        raise X2StaticError("classification: 0 runs were asked for; it takes at least one")
    read = read_tasks(data, seed, tasks)
    # What is wrong with the last task or set is said before the first is trained. One set may have many runs.
    distinct = {id(of_run): of_run for of_run in vectors}
    inputs = [{key: Inputs.of(of_run, task) for key, of_run in distinct.items()} for task in read]
    numbers = range(first_run, first_run + len(vectors))
    draws = [int(np.random.SeedSequence([seed, run]).generate_state(1)[0]) for run in numbers]
    scores = []
    for position, task in enumerate(read):
        runs = []
        for run, (of_run, draw) in enumerate(zip(vectors, draws, strict=True)):
            report(Progress(position * len(vectors) + run, len(read) * len(vectors), "classifiers", task.name))
            runs.append(_run(inputs[position][id(of_run)], task, draw))
        scores.append(over_runs(runs))
    report(Progress(len(read) * len(vectors), len(read) * len(vectors), "classifiers"))
    return scores


def choose(matrix: Tensor, examples: Examples, validation: Examples, n_classes: int, seed: int) -> tuple[float, int]:
    """Return the learning rate and number of epochs with the highest accuracy on the validation part.

    One training a learning rate, tried after each epoch. Of equals the fewest epochs win, then the lowest rate.
    `matrix` holds the word vectors, (n_words + 1, dim) float32.
    """
    qualities: dict[tuple[float, int], float] = {}
    for lr in LEARNING_RATES:
        networks = train(matrix, examples, n_classes, lr, seed)
        for epoch, network in enumerate(islice(networks, EPOCHS[-1]), start=1):
            if epoch in EPOCHS:
                qualities[lr, epoch] = accuracy(validation.labels, predict(network, matrix, validation))
    return min(qualities, key=lambda setting: (-qualities[setting], setting[1], setting[0]))


def _run(inputs: Inputs, task: ClassificationTask, seed: int) -> ClassificationScore:
    n_classes = len(task.classes)
    lr, epochs = choose(inputs.matrix, inputs.train, inputs.validation, n_classes, seed)
    both = inputs.train + inputs.validation
    network = next(islice(train(inputs.matrix, both, n_classes, lr, seed), epochs - 1, None))
    predicted = predict(network, inputs.matrix, inputs.test)
    return _score(task.name, inputs.test.labels, predicted, lr, epochs, inputs.covered, inputs.total)


def evaluate_sentence_classification(
    encode: Encode, data: Path | None, seed: int = 0, tasks: Sequence[str] | None = None
) -> list[ClassificationScore]:
    """Score sentence vectors on classification tasks by multinomial logistic regression.

    What is chosen is the strength of the penalty, `lr` in the scores, of which `epochs` is 0. The splits are those of
    `evaluate_classification` with the same seed.

    Args:
        encode: returns the vectors of sentences, (n, dim) float32; some sentences may be empty.
        data: where the tasks are, see `read_tasks`.
        seed: of the splits.
        tasks: names of the tasks; None for all.

    Raises:
        X2StaticError: the data cannot be used, or the encoder returns something else.
    """
    scores = []
    for task in read_tasks(data, seed, tasks):
        vectors = _encoded(encode, task)
        labels = [torch.from_numpy(np.searchsorted(task.classes, part.labels)) for part in task.parts]
        classifiers = {
            strength: Linear.fit(vectors[0], labels[0], len(task.classes), strength) for strength in STRENGTHS
        }
        qualities = {
            strength: accuracy(labels[1].numpy(), classifier.predict(vectors[1]))
            for strength, classifier in classifiers.items()
        }
        strength = max(STRENGTHS, key=lambda one: qualities[one])  # of equals the strongest
        both = torch.cat(vectors[:2]), torch.cat(labels[:2])
        predicted = Linear.fit(*both, len(task.classes), strength).predict(vectors[2])
        n_tokens = sum(len(text.split()) for part in task.parts for text in part.texts)
        scores.append(_score(task.name, labels[2].numpy(), predicted, strength, 0, n_tokens, n_tokens))
    return scores


def _encoded(encode: Encode, task: ClassificationTask) -> list[Tensor]:
    """Return the vectors of the three parts, (n, dim) float64."""
    texts = [text for part in task.parts for text in part.texts]
    vectors = np.asarray(encode(texts))
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise X2StaticError(
            f"{task.name}: the encoder gave an array of shape {vectors.shape} for {len(texts)} sentences, "
            f"not ({len(texts)}, dim)"
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        text = texts[int(np.argmin(finite))]
        raise X2StaticError(f"{task.name}: the vector of the sentence {text[:80]!r} holds values that are not finite")
    ends = np.cumsum([len(part) for part in task.parts])[:-1]
    return [torch.from_numpy(part) for part in np.split(vectors.astype(np.float64), ends)]


def _score(
    task: str, labels: Classes, predicted: Classes, lr: float, epochs: int, covered: int, total: int
) -> ClassificationScore:
    f1 = macro_f1(labels, predicted)
    return ClassificationScore(
        task, accuracy(labels, predicted), f1, None, None, runs=1, lr=lr, epochs=epochs, covered=covered, total=total
    )
