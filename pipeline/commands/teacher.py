"""`x2static teacher`: static vectors beside the teacher itself."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.evaluation.classification.data import find_tasks
from x2static.evaluation.measures import mean_of_known
from x2static.evaluation.sentence_similarity import SentencePair, read_sentence_pairs
from x2static.pipeline import teacher_speed
from x2static.pipeline.options import common, finish, option
from x2static.pipeline.tables import over_some
from x2static.pipeline.teacher_speed import Measurement, machine, read_sentences, sample
from x2static.pipeline.terminal import ProgressLine
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.vectors import WordVectors

if TYPE_CHECKING:
    from x2static.pipeline.teacher_reference import Beside, Comparison


@click.command()
@click.argument("vectors", type=click.Path(path_type=Path))
@click.option("--model", default="demo", show_default=True, help="The teacher: a folder, an id on the hub, or demo.")
@click.option("--data", type=click.Path(path_type=Path), help="A folder of classification tasks.")
@click.option("--tasks", multiple=True, help="Only this task. May be given several times, or with commas.")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file of sentence<TAB>sentence<TAB>score, too. May be given several times.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder that keeps each result, to go on after a kill.")
@click.option("--fine-tune", is_flag=True, help="Fine-tune the teacher on each task, too (minutes to hours).")
@click.option("--speed", is_flag=True, help="Time both on one core (half a minute).")
@click.option("--text", type=click.Path(path_type=Path), help="Sentences for --speed, one a line; else the tasks'.")
@option(BaselineConfig, "seed", "Seed of splits, classifiers and fine-tuning.")
@option(BaselineConfig, "device", "Where the teacher runs; --speed is measured on the CPU.")
@option(BaselineConfig, "precision", "Number format of the teacher; it is fine-tuned in float32.")
@option(BaselineConfig, "trust_remote_code", "Let a model run Python code of its own.")
@common
@click.pass_context
def teacher(context: click.Context, /, vectors: Path, **values: Any) -> None:
    """Score static vectors and their teacher on classification: what share is kept, and at what speed.

    Both get the same linear classifier, on one vector a sentence: the mean of its words' vectors, and the mean of the
    teacher's last layer.
    """
    if values["data"] is None and not values["pairs"] and not values["text"]:
        raise click.UsageError("give --data a folder of classification tasks, --pairs, or --speed --text FILE", context)
    if values["speed"] and values["data"] is None and not values["text"]:
        raise click.UsageError("--speed needs sentences; give --text FILE, or --data", context)
    if values["text"] and not values["speed"]:
        raise click.UsageError("--text holds the sentences for --speed; give both", context)
    for name in ("fine_tune", "tasks"):
        if values[name] and values["data"] is None:
            raise click.UsageError(f"--{name.replace('_', '-')} is for classification; give --data, too", context)
    pairs = _pairs(values)  # all that is asked for is read before anything is scored
    sentences = sample(read_sentences(values["text"]), values["seed"]) if values["text"] else []
    comparison = _comparison(vectors, values)
    told: dict[str, Any] = {"model": values["model"], "precision": comparison.sentences.precision}
    found = comparison.run(_names(values["tasks"]), ProgressLine) if values["data"] is not None else []
    found += [comparison.compare_pairs(name, of_file) for name, of_file in pairs.items()]
    if found:
        click.echo(_table(found))
        told |= {"tasks": {row.task: row.figures() for row in found}, "share": _shares(found)}
    if values["speed"]:
        sentences = sentences or sample(comparison.test_texts(_names(values["tasks"])), values["seed"])
        told["speed"] = _speed(vectors, comparison, values, sentences)
        click.echo(_speed_line(told["speed"]))
    finish(context, told)


def _pairs(values: dict[str, Any]) -> dict[str, list[SentencePair]]:
    """Return the sentence pairs of each file, by its name without its ending.

    Raises:
        X2StaticError: a file cannot be used, or two results would have one name.
    """
    taken = _task_folders(values)
    pairs = {}
    for path in dict.fromkeys(values["pairs"]):
        if path.stem in taken:
            raise X2StaticError(f"{taken[path.stem]} and {path}: two tasks of one name; rename one")
        taken[path.stem] = path
        pairs[path.stem] = read_sentence_pairs(path)
    return pairs


def _task_folders(values: dict[str, Any]) -> dict[str, Path]:
    if values["data"] is None:
        return {}
    names = _names(values["tasks"])
    return {name: folder for name, folder in find_tasks(values["data"]).items() if names is None or name in names}


def _comparison(vectors: Path, values: dict[str, Any]) -> "Comparison":
    loaded = WordVectors.load(vectors)  # before the libraries of the teacher, so that a wrong name is told at once
    from x2static.baselines.fine_tuning import FineTuning
    from x2static.baselines.teacher_sentences import TeacherSentences
    from x2static.pipeline.kept_results import KeptResults
    from x2static.pipeline.teacher_reference import Comparison

    sentences = TeacherSentences.load(
        values["model"], values["device"], values["precision"], trust_remote_code=values["trust_remote_code"]
    )
    tuning = FineTuning(seed=values["seed"]) if values["fine_tune"] else None
    return Comparison(loaded, sentences, values["data"], KeptResults(values["out"]), tuning, values["seed"])


def _speed(vectors: Path, comparison: "Comparison", values: dict[str, Any], sentences: list[str]) -> dict[str, Any]:
    measurement = Measurement(vectors, values["model"], values["precision"], values["trust_remote_code"], sentences)

    def make() -> dict[str, Any]:
        with ProgressLine("speed") as report:
            return teacher_speed.measure(measurement, report=report)

    read = sha256(canonical_json(sentences)).hexdigest()
    origin = {**comparison.origin(), "asked": values["precision"], "sentences": read, "machine": machine()}
    return comparison.kept.get("speed", origin, make)


def _names(tasks: tuple[str, ...]) -> list[str] | None:
    return [name.strip() for given in tasks for name in given.split(",") if name.strip()] or None


def _table(found: "list[Beside]") -> str:
    """Return the scores, a row a task, and the share of the teacher's that the static vectors keep."""
    tuned = any(row.fine_tuned for row in found)
    heads = ["teacher", "static", "kept"] + (["fine-tuned", "kept"] if tuned else [])
    rows: list[tuple[str, str, list[float | None]]] = [
        (_title(row), row.measure, _numbers(row)[: len(heads)]) for row in found
    ]
    for kind in dict.fromkeys(row.measure for row in found):
        alike = [cells for _, measure, cells in rows if measure == kind]
        if len(alike) > 1:
            rows.append(_average(kind, alike))
    width = max(len(task) for task, _, _ in rows)
    lines = [f"{'':{width}}{'':>10}" + "".join(f"{head:>12}" for head in heads)]
    for task, measure, cells in rows:
        shown = [_shown(cell, head == "kept") for head, cell in zip(heads, cells, strict=True)]
        lines.append(f"{task:{width}}{measure:>10}" + "".join(f"{cell:>12}" for cell in shown))
    lines.append("by one linear classifier, or by cosine, on sentence vectors; the static ones are means of words")
    if any(row.total is not None for row in found):
        lines.append("in brackets: pairs of which each sentence has a known word/total; both are scored on those")
    return "\n".join(lines)


def _average(measure: str, alike: list[list[float | None]]) -> tuple[str, str, list[float | None]]:
    """Return the row of averages, of teacher and static vectors over the same tasks: those that have a share."""
    counting = [cells for cells in alike if cells[2] is not None]
    columns = zip(*counting, strict=True) if counting else [()] * len(alike[0])
    return over_some("average", len(counting), len(alike)), measure, [mean_of_known(column) for column in columns]


def _title(row: "Beside") -> str:
    return row.task if row.total is None else f"{row.task} ({row.covered}/{row.total})"


def _shares(found: "list[Beside]") -> dict[str, float | None]:
    """Return the mean share of each measure: shares of accuracies and of correlations have no common mean."""
    measures = dict.fromkeys(row.measure for row in found)
    return {measure: mean_of_known([row.share for row in found if row.measure == measure]) for measure in measures}


def _numbers(row: "Beside") -> list[float | None]:
    tuned = row.fine_tuned[row.measure] if row.fine_tuned else None
    return [row.teacher[row.measure], row.static[row.measure], row.share, tuned, row.share_of_fine_tuned]


def _shown(value: float | None, is_share: bool) -> str:
    if value is None:
        return "none"
    return f"{value:.1%}" if is_share else f"{value:.3f}"


def _speed_line(speed: dict[str, Any]) -> str:
    return (
        f"one core: {speed['static_per_second']:,.0f} sentences/s by static vectors, "
        f"{speed['teacher_per_second']:,.0f} by the teacher ({speed['precision']}): {speed['ratio']:,.0f} times"
    )
