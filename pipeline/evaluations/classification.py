"""Classification: the paper's classifier on word vectors, macro-F1 and accuracy."""

import logging
from collections import Counter
from dataclasses import asdict

from x2static.evaluation.classification.data import MIN_OF_CLASS, read_tasks
from x2static.evaluation.classification.network import BATCH, MEAN_LENGTH, Inputs
from x2static.evaluation.classification.protocol import EPOCHS, LEARNING_RATES, evaluate_classification_runs
from x2static.evaluation.classification.protocol import ClassificationScore as Score
from x2static.evaluation.measures import MIN_PAIRS, known_mean
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import FEW, over_some, score_table
from x2static.pipeline.terminal import ProgressLine
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

PROTOCOL = {  # what all sets of vectors have in common
    "learning_rates": list(LEARNING_RATES),
    "epochs": [EPOCHS[0], EPOCHS[-1]],
    "batch": BATCH,
    "mean_vector_length": MEAN_LENGTH,
}


def run(vectors: dict[str, WordVectors], config: EvaluateConfig) -> Results:
    """Score each set of vectors on every task; `score` is the accuracy, with its deviation over several runs."""
    tasks = read_tasks(config.data, config.seed)
    names = [task.name for task in tasks]
    for task in tasks:
        if task.too_few:
            few = ", ".join(f"{n} of class {label}" for label, n in sorted(Counter(task.test.labels).items()))
            logger.warning("%s: only %d test texts (%s), too few to say much", task.name, len(task.test), few)

    def score(name: str, one: WordVectors) -> list[Score]:
        with ProgressLine(f"classification, {name}") as progress:
            return evaluate_classification_runs([one] * config.runs, config.data, config.seed, progress, names)

    # What is wrong with the last set is said before the first is scored, for minutes.
    for_each(vectors, lambda _, one: [Inputs.of(one, task) for task in tasks])
    scores = for_each(vectors, score)
    columns, figures = {}, {}
    for name, of_one in scores.items():
        enough = [score for score in of_one if not score.too_few]
        f1 = known_mean(score.macro_f1 for score in enough)
        accuracy = known_mean(score.accuracy for score in enough)
        known = sum(score.covered for score in of_one) / sum(score.total for score in of_one)
        mean = f"{_percent(f1)} / {_percent(accuracy)}"
        columns[name] = [*map(_cell, of_one), over_some(mean, len(enough), len(of_one)), f"{known:.1%}"]
        of_tasks = [{"score": score.accuracy, **asdict(score)} for score in of_one]
        tasks_of = {of_task.pop("task"): of_task for of_task in of_tasks}
        figures[name] = {"tasks": tasks_of, "average": accuracy, "average_macro_f1": f1}
    how = f", mean ± standard deviation of {config.runs} runs" if config.runs > 1 else ""
    few = f"{MIN_PAIRS} test texts, or {MIN_OF_CLASS} of a class"
    table = score_table([*names, "average", "words known"], columns, f"macro-F1 / accuracy, in %{how}", few=few)
    return Results([table], figures, {"protocol": PROTOCOL})


def _cell(score: Score) -> str:
    f1 = _percent(score.macro_f1, score.macro_f1_deviation)
    return f"{f1} / {_percent(score.accuracy, score.accuracy_deviation)}{FEW if score.too_few else ''}"


def _percent(share: float | None, deviation: float | None = None) -> str:
    if share is None:
        return "none"
    return f"{100 * share:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
