"""The paper's protocol (§4.3): the setting chosen on the validation part, retrained with that part, tested once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification.data import Task, read_tasks
from x2static.evaluation.classification.examples import Examples, Inputs
from x2static.evaluation.classification.scores import ClassificationScore, accuracy, macro_f1, over_runs
from x2static.evaluation.classification.training import predict, train
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.vectors import WordVectors

LEARNING_RATES = (1e-4, 3e-4, 1e-3)
EPOCHS = range(8, 17)


@dataclass(frozen=True)
class Setting:
    """What the validation part decides."""

    lr: float
    epochs: int


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
        data: see `evaluate_classification`, as all that follow.
        seed: as there.
        report: as there.
        tasks: as there.
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
    runs_asked = range(first_run, first_run + len(vectors))
    draws = [int(np.random.SeedSequence([seed, run]).generate_state(1)[0]) for run in runs_asked]
    scores = []
    for position, task in enumerate(read):
        runs = []
        for run, (of_run, draw) in enumerate(zip(vectors, draws, strict=True)):
            report(Progress(position * len(vectors) + run, len(read) * len(vectors), "classifiers", task.name))
            runs.append(_run(inputs[position][id(of_run)], task, draw))
        scores.append(over_runs(runs))
    report(Progress(len(read) * len(vectors), len(read) * len(vectors), "classifiers"))
    return scores


def choose(matrix: Tensor, examples: Examples, validation: Examples, n_classes: int, seed: int) -> Setting:
    """Return the learning rate and number of epochs with the highest accuracy on the validation part.

    One training a learning rate, asked after each epoch. Of equals the fewest epochs win, then the lowest rate.

    Args:
        matrix: (n_words + 1, dim) float32, the word vectors.
        examples: to train on.
        validation: to choose by.
        n_classes: of the labels.
        seed: of the trainings.
    """
    found: dict[Setting, float] = {}
    for lr in LEARNING_RATES:
        networks = train(matrix, examples, n_classes, lr, seed)
        for epoch, network in enumerate(islice(networks, EPOCHS[-1]), start=1):
            if epoch in EPOCHS:
                found[Setting(lr, epoch)] = accuracy(validation.labels, predict(network, matrix, validation))
    return min(found, key=lambda setting: (-found[setting], setting.epochs, setting.lr))


def _run(inputs: Inputs, task: Task, seed: int) -> ClassificationScore:
    n_classes = len(task.classes)
    setting = choose(inputs.matrix, inputs.train, inputs.validation, n_classes, seed)
    both = inputs.train + inputs.validation
    network = next(islice(train(inputs.matrix, both, n_classes, setting.lr, seed), setting.epochs - 1, None))
    predicted = predict(network, inputs.matrix, inputs.test)
    return ClassificationScore(
        task=task.name,
        accuracy=accuracy(inputs.test.labels, predicted),
        macro_f1=macro_f1(inputs.test.labels, predicted),
        accuracy_deviation=None,
        macro_f1_deviation=None,
        runs=1,
        lr=setting.lr,
        epochs=setting.epochs,
        covered=inputs.covered,
        total=inputs.total,
    )
