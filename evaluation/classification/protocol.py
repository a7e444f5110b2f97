"""Classification: word vectors and sentence vectors on labelled texts, accuracy and macro-F1.

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
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification.data import read_tasks
from x2static.evaluation.classification.network import Examples, Inputs, Rows, predict, train
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.vectors import WordVectors

LEARNING_RATES = (1e-4, 3e-4, 1e-3)
EPOCHS = range(8, 17)
STRENGTHS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of the penalty, for vectors at a mean square distance of 1 from their mean
MOST_STEPS = 500  # of L-BFGS

Encode = Callable[[list[str]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class ClassificationScore:
    """The result of one task."""

    task: str  # name of the data set
    accuracy: float  # share of the test texts that got their label, 0 to 1; the mean over the runs
    macro_f1: float  # mean of the classes' F1, 0 to 1; the mean over the runs
    lr: float  # learning rate chosen in the first run; of a linear classifier, strength of its L2 penalty
    epochs: int  # chosen in the first run; 0 of a linear classifier
    covered: int  # tokens of the task's texts that have a vector (in the first run)
    total: int  # tokens of the task's texts
    too_few: bool = False  # whether it rests on too few test texts to say much
    runs: int = 1
    accuracy_deviation: float | None = None  # standard deviation over the runs (by n - 1); None of a single run
    macro_f1_deviation: float | None = None  # the same of the macro-F1


def accuracy(labels: Rows, predicted: Rows) -> float:
    """Return the share of predictions, (n,), that are right."""
    return float((labels == predicted).mean())


def macro_f1(labels: Rows, predicted: Rows) -> float:
    """Return the mean over the classes of F1 = 2 TP / (2 TP + FP + FN); labels and predictions are (n,), from 0.

    A class that is neither among the labels nor among the predictions has none and is left out, as in scikit-learn.
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
    means = replace(runs[0], accuracy=fmean(accuracies), macro_f1=fmean(f1s), runs=len(runs))
    return replace(means, accuracy_deviation=stdev(accuracies), macro_f1_deviation=stdev(f1s))


def evaluate_classification_runs(
    vectors: Sequence[WordVectors],
    data: Path | None,
    seed: int = 0,
    report: Report = silent,
    tasks: Sequence[str] | None = None,
    first_run: int = 0,
) -> list[ClassificationScore]:
    """Score word vectors on classification tasks by the paper's convolutional classifier.

    Vectors are one set for each run: several times the same or, as in the paper's table 5, of several trainings. All
    runs share the splits of `read_tasks`. `report` hears how many classifiers are done, one a task and run. Runs that
    are made one at a time, with `first_run` as their number, have the draws of those made together.
    """
    read = read_tasks(data, seed, tasks)
    # What is wrong with the last task or set is said before the first is trained. One set may have many runs.
    distinct = {id(of_run): of_run for of_run in vectors}
    inputs = [{key: Inputs.of(of_run, task) for key, of_run in distinct.items()} for task in read]
    scores: list[ClassificationScore] = []
    total = len(read) * len(vectors)
    for task, of_task in zip(read, inputs, strict=True):
        runs: list[ClassificationScore] = []
        for run, of_run in enumerate(vectors, start=first_run):
            report(Progress(len(scores) * len(vectors) + len(runs), total, "classifiers", task.name))
            draw = int(np.random.SeedSequence([seed, run]).generate_state(1)[0])
            given, n_classes = of_task[id(of_run)], len(task.classes)
            lr, epochs = choose(given.matrix, given.train, given.validation, n_classes, draw)
            both = Examples(*map(np.concatenate, zip(given.train, given.validation, strict=True)))
            network = next(islice(train(given.matrix, both, n_classes, lr, draw), epochs - 1, None))
            compared = given.test.labels, predict(network, given.matrix, given.test)
            figures = accuracy(*compared), macro_f1(*compared)
            runs.append(ClassificationScore(task.name, *figures, lr, epochs, given.covered, given.total, task.too_few))
        scores.append(over_runs(runs))
    report(Progress(total, total, "classifiers"))
    return scores


def choose(matrix: Tensor, examples: Examples, validation: Examples, n_classes: int, seed: int) -> tuple[float, int]:
    """Return the learning rate and number of epochs with the highest accuracy on the validation part.

    One training a learning rate, tried after each epoch. Of equals the fewest epochs win, then the lowest rate.
    `matrix` holds the word vectors, (n_words + 1, dim) float32.
    """
    qualities: dict[tuple[float, int], float] = {}
    for lr in LEARNING_RATES:
        for epoch, network in enumerate(islice(train(matrix, examples, n_classes, lr, seed), EPOCHS[-1]), start=1):
            if epoch in EPOCHS:
                qualities[lr, epoch] = accuracy(validation.labels, predict(network, matrix, validation))
    return min(qualities, key=lambda setting: (-qualities[setting], setting[1], setting[0]))


def fit_linear(vectors: Tensor, labels: Tensor, n_classes: int, strength: float) -> Tensor:
    """Return the weights of multinomial logistic regression, (dim + 1, n_classes) float64, constants in the last row.

    They minimise the mean cross-entropy + strength / 2 times the sum of squares of the weights, constants excepted. The
    vectors, (n, dim) float64, are centred and scaled to a mean square length of 1 for that, so that a strength means
    the same for vectors of any length. The problem is convex; L-BFGS over all the data solves it.
    """
    mean = vectors.mean(dim=0)
    scale = float((vectors - mean).square().sum(dim=1).mean().sqrt()) or 1.0  # all equal: the constants decide
    inputs = (vectors - mean) / scale
    weights = torch.zeros(vectors.shape[1] + 1, n_classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=MOST_STEPS, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = inputs @ weights[:-1] + weights[-1]
        value = F.cross_entropy(scores, labels) + strength / 2 * weights[:-1].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    slopes = weights[:-1].detach() / scale
    return torch.cat([slopes, weights[-1:].detach() - mean @ slopes])


def predict_linear(weights: Tensor, vectors: Tensor) -> Rows:
    """Return the class of each vector, (n,) int64 for (n, dim) float64."""
    return np.asarray((vectors @ weights[:-1] + weights[-1]).argmax(dim=1).numpy())


def evaluate_sentence_classification(
    encode: Encode, data: Path | None, seed: int = 0, tasks: Sequence[str] | None = None
) -> list[ClassificationScore]:
    """Score sentence vectors on classification tasks by multinomial logistic regression.

    `encode` returns the vectors of sentences, (n, dim) float32; some sentences may be empty. What is chosen is the
    strength of the penalty, `lr` in the scores. Raises X2StaticError: the encoder returns something else.
    """
    scores = []
    for task in read_tasks(data, seed, tasks):
        texts = [text for part in task.parts for text in part.texts]
        vectors = np.array(encode(texts), np.float64)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            shape = f"an array of shape {vectors.shape} for {len(texts)} sentences"
            raise X2StaticError(f"{task.name}: the encoder gave {shape}")
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            bad = texts[int(np.argmin(finite))][:80]
            raise X2StaticError(f"{task.name}: the vector of the sentence {bad!r} holds values that are not finite")
        known, validation, test = torch.split(torch.from_numpy(vectors), list(map(len, task.parts)))
        labels = [torch.from_numpy(np.searchsorted(task.classes, part.labels)) for part in task.parts]
        qualities = {}
        for strength in STRENGTHS:
            weights = fit_linear(known, labels[0], len(task.classes), strength)
            qualities[strength] = accuracy(labels[1].numpy(), predict_linear(weights, validation))
        strength = max(qualities, key=lambda one: qualities[one])  # of equals the strongest
        weights = fit_linear(torch.cat([known, validation]), torch.cat(labels[:2]), len(task.classes), strength)
        compared = labels[2].numpy(), predict_linear(weights, test)
        figures = accuracy(*compared), macro_f1(*compared)
        total = sum(len(text.split()) for text in texts)
        scores.append(ClassificationScore(task.name, *figures, strength, 0, total, total, task.too_few))
    return scores
