"""`x2static teacher`: static vectors beside the teacher itself."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.evaluation.classification.data import find_tasks
from x2static.evaluation.files import Pair
from x2static.evaluation.measures import known_mean
from x2static.evaluation.sentence_similarity import read_sentence_pairs
from x2static.machine.packages import require, require_modules
from x2static.pipeline import teacher_speed
from x2static.pipeline.options import FOLDER, TEXT, VECTORS, Command, common, finish, options, say
from x2static.pipeline.tables import over_some
from x2static.pipeline.terminal import ProgressLine
from x2static.report.table import Cell, Column, Table
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.vectors import WordVectors

if TYPE_CHECKING:
    from x2static.pipeline.teacher_reference import Comparison, TaskFigures

PAIRS = "A file of sentence<TAB>sentence<TAB>score, too. May be given several times."


@click.command(cls=Command, epilog="Example: x2static teacher runs/mine --pairs pairs.tsv")
@click.argument("vectors", type=VECTORS)
@click.option(
    "--model", type=TEXT, default="demo", show_default=True, help="The teacher: a folder, an id on the hub, or demo."
)
@click.option("--data", type=FOLDER, help="A folder of classification tasks.")
@click.option("--tasks", type=TEXT, multiple=True, help="Only this task. May be given several times, or with commas.")
@click.option("--pairs", type=FOLDER, multiple=True, help=PAIRS)
@click.option("--out", type=FOLDER, help="Folder that keeps each result, to go on after a kill.")
@click.option("--fine-tune", is_flag=True, help="Fine-tune the teacher on each task, too (minutes to hours).")
@click.option("--speed", is_flag=True, help="Time both on one core (half a minute).")
@click.option("--text", type=FOLDER, help="Sentences for --speed, one a line; else the tasks'.")
@options(
    BaselineConfig,
    seed="Seed of splits, classifiers and fine-tuning.",
    device="Where the teacher runs; --speed is measured on the CPU.",
    precision="Number format of the teacher; it is fine-tuned in float32.",
    trust_remote_code="Let a model run Python code of its own.",
)
@common
def teacher(context: click.Context, /, vectors: Path, **values: Any) -> None:
    """Score static vectors and their teacher on classification: what share is kept, and at what speed.

    Both get the same linear classifier, on one vector a sentence: the mean of its words' vectors, and the mean of the
    teacher's last layer.
    """
    _refuse_unused(values)
    require("encode")
    if values["pairs"]:
        require_modules("evaluate", "scipy")
    tasks = [name.strip() for names in values["tasks"] for name in names.split(",") if name.strip()] or None
    pairs = _pairs(values, tasks)  # all data is read before anything is scored
    sentences: list[str] = []
    if values["text"]:
        sentences = teacher_speed.sample(teacher_speed.read_sentences(values["text"]), values["seed"])
    comparison = _comparison(vectors, values)
    result: dict[str, Any] = {"model": values["model"], "precision": comparison.sentences.precision}
    rows = comparison.compare_tasks(tasks) if values["data"] is not None else []
    rows += [comparison.compare_pairs(name, of_file) for name, of_file in pairs.items()]
    if rows:
        say(context, table_of(rows).terminal())
        # Shares of accuracies and of correlations have no common mean.
        shares: dict[str, list[float | None]] = {}
        for row in rows:
            shares.setdefault(row.measure, []).append(row.share_of(row.teacher))
        means = {measure: known_mean(of_measure) for measure, of_measure in shares.items()}
        result |= {"tasks": {row.task: row.figures() for row in rows}, "share": means}
    if values["speed"]:
        sentences = sentences or teacher_speed.sample(comparison.test_texts(tasks), values["seed"])
        result["speed"] = speed = _speed(vectors, comparison, values, sentences)
        say(
            context,
            f"one core: {speed['static_per_second']:,.0f} sentences/s by static vectors, "
            f"{speed['teacher_per_second']:,.0f} by the teacher ({speed['precision']}): {speed['ratio']:,.0f} times",
        )
    finish(context, result)


def _refuse_unused(values: dict[str, Any]) -> None:
    """Refuse options that lack another one. Raises click.UsageError: the option, and what to give."""
    if values["data"] is None and not values["pairs"] and not values["text"]:
        raise click.UsageError("give --data a folder of classification tasks, --pairs, or --speed --text FILE")
    if values["speed"] and values["data"] is None and not values["text"]:
        raise click.UsageError("--speed needs sentences; give --text FILE, or --data")
    if values["text"] and not values["speed"]:
        raise click.UsageError("--text holds the sentences for --speed; give both")
    for name in ("fine_tune", "tasks"):
        if values[name] and values["data"] is None:
            raise click.UsageError(f"--{name.replace('_', '-')} is for classification; give --data, too")


def _pairs(values: dict[str, Any], tasks: list[str] | None) -> dict[str, list[Pair]]:
    """Return the sentence pairs of each file, by its name without its ending; refuse two results of one name."""
    folders = find_tasks(values["data"]) if values["data"] is not None else {}
    paths = {name: folder for name, folder in folders.items() if tasks is None or name in tasks}
    pairs = {}
    for path in dict.fromkeys(values["pairs"]):
        if path.stem in paths:
            raise X2StaticError(f"{paths[path.stem]} and {path}: two tasks of one name; rename one")
        paths[path.stem] = path
        pairs[path.stem] = read_sentence_pairs(path)
    return pairs


def _comparison(vectors: Path, values: dict[str, Any]) -> "Comparison":
    loaded = WordVectors.load(vectors)  # before the libraries of the teacher, so that a wrong name is told at once
    from x2static.baselines.fine_tuning import FineTuning
    from x2static.baselines.teacher import TeacherSentences
    from x2static.pipeline.teacher_reference import Comparison

    settings = {name: values[name] for name in ("model", "device", "precision", "trust_remote_code")}
    sentences = TeacherSentences.load(**settings)
    tuning = FineTuning(seed=values["seed"]) if values["fine_tune"] else None
    return Comparison(loaded, sentences, values["data"], values["out"], tuning, values["seed"])


def _speed(vectors: Path, comparison: "Comparison", values: dict[str, Any], sentences: list[str]) -> dict[str, Any]:
    from x2static.pipeline.teacher_reference import saved_result

    settings = {name: values[name] for name in ("model", "precision", "trust_remote_code")}
    measurement = teacher_speed.Measurement(vectors, **settings, sentences=sentences)

    def compute() -> dict[str, Any]:
        with ProgressLine("speed") as report:
            return teacher_speed.measure(measurement, report=report)

    read = sha256(canonical_json(sentences)).hexdigest()
    origin = {"asked": values["precision"], "sentences": read, "machine": teacher_speed.machine()}
    return saved_result(values["out"], "speed", comparison.origin() | origin, compute)


def table_of(rows: "list[TaskFigures]") -> Table:
    """Return the scores, a row a task, and the share of the teacher's that the static vectors keep."""
    heads = ["teacher", "static", "kept"]
    if any(row.fine_tuned for row in rows):
        heads += ["fine-tuned", "kept"]
    lines: list[tuple[str, str, list[float | None]]] = []
    for row in rows:
        title = row.task if row.total is None else f"{row.task} ({row.covered}/{row.total})"
        tuned = row.fine_tuned[row.measure] if row.fine_tuned else None
        numbers = [row.teacher[row.measure], row.static[row.measure], row.share_of(row.teacher)]
        lines.append((title, row.measure, [*numbers, tuned, row.share_of(row.fine_tuned)]))
    for measure in dict.fromkeys(row.measure for row in rows):
        alike = [numbers for _, of_line, numbers in lines if of_line == measure]
        if len(alike) > 1:
            # Of teacher and static vectors over the same tasks: those that have a share.
            counting = [numbers for numbers in alike if numbers[2] is not None]
            means = [known_mean(numbers[place] for numbers in counting) for place in range(5)]
            lines.append((over_some("average", len(counting), len(alike)), measure, means))
    cells = []
    for title, name, numbers in lines:
        columns = zip(heads, numbers, strict=False)  # the last two only where something was fine-tuned
        shares = [Cell(n, f"{n:.1%}") if head == "kept" and n is not None else n for head, n in columns]
        cells.append((title, name, *shares))
    notes = ["by one linear classifier, or by cosine, on sentence vectors; the static ones are means of words"]
    if any(row.total is not None for row in rows):
        notes.append("in brackets: pairs of which each sentence has a known word/total; both are scored on those")
    return Table([Column("", "left"), Column("", "left"), *map(Column, heads)], cells, notes=notes)
