"""Classification: the paper's classifier on word vectors, macro-F1 and accuracy."""

from dataclasses import asdict
from statistics import fmean

from x2static.evaluation.classification.data import read_tasks
from x2static.evaluation.classification.network import BATCH, MEAN_LENGTH, Inputs
from x2static.evaluation.classification.protocol import EPOCHS, LEARNING_RATES, evaluate_classification_runs
from x2static.evaluation.classification.protocol import ClassificationScore as Score
from x2static.pipeline.evaluations.registry import EvaluateConfig, Results, for_each
from x2static.pipeline.tables import score_table
from x2static.pipeline.terminal import ProgressLine
from x2static.schemas.vectors import WordVectors

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

    def score(name: str, one: WordVectors) -> list[Score]:
        with ProgressLine(f"classification, {name}") as progress:
            return evaluate_classification_runs([one] * config.runs, config.data, config.seed, progress, names)

    # What is wrong with the last set is said before the first is scored, for minutes.
    for_each(vectors, lambda _, one: [Inputs.of(one, task) for task in tasks])
    scores = for_each(vectors, score)
    columns, figures = {}, {}
    for name, of_one in scores.items():
        f1, accuracy = fmean(score.macro_f1 for score in of_one), fmean(score.accuracy for score in of_one)
        known = sum(score.covered for score in of_one) / sum(score.total for score in of_one)
        columns[name] = [*map(_cell, of_one), f"{_percent(f1)} / {_percent(accuracy)}", f"{known:.1%}"]
        of_tasks = [{"score": score.accuracy, **asdict(score)} for score in of_one]
        tasks_of = {of_task.pop("task"): of_task for of_task in of_tasks}
        figures[name] = {"tasks": tasks_of, "average": accuracy, "average_macro_f1": f1}
    how = f", mean ± standard deviation of {config.runs} runs" if config.runs > 1 else ""
    table = score_table([*names, "average", "words known"], columns, f"macro-F1 / accuracy, in %{how}")
    return Results([table], figures, {"protocol": PROTOCOL})


def _cell(score: Score) -> str:
    f1 = _percent(score.macro_f1, score.macro_f1_deviation)
    return f"{f1} / {_percent(score.accuracy, score.accuracy_deviation)}"


def _percent(share: float, deviation: float | None = None) -> str:
    return f"{100 * share:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
