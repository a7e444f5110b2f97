"""`x2static evaluate`: word vectors on word similarity and other tasks."""

from pathlib import Path
from typing import Any

import click

from x2static.evaluation.draws import PARTITIONS, RESAMPLES
from x2static.pipeline.evaluations.registry import EVALUATIONS, EvaluateConfig, fetched_data, runner
from x2static.pipeline.options import FOLDER, LANGUAGE, UNKNOWN, VECTORS, Command, common, finish, given
from x2static.pipeline.tables import short_names


@click.command(cls=Command, epilog="Example: x2static evaluate runs/mine runs/other --common --intervals")
@click.argument("vectors", type=VECTORS, nargs=-1, required=True)
@click.option(
    "--data",
    type=FOLDER,
    help="The task's file or folder of data; else what gensim ships or, where it has none, what was fetched.",
)
@click.option("--task", type=click.Choice(list(EVALUATIONS)), default="word-similarity", show_default=True)
@click.option("--common", is_flag=True, help="Score all VECTORS on the pairs that all of them cover.")
@click.option(
    "--intervals", is_flag=True, help="Add 95 % bootstrap intervals, and the differences from the first of VECTORS."
)
@click.option(
    "--resamples",
    type=click.IntRange(min=100),
    help=f"Bootstrap resamples of the intervals (turns them on) [default: {RESAMPLES}], or of --task bias the "
    f"partitions that are drawn [default: {PARTITIONS}].",
)
@UNKNOWN
@LANGUAGE
@click.option("--runs", type=click.IntRange(min=1), default=1, show_default=True, help="Repeat with so many seeds.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every draw.")
@common
def evaluate(context: click.Context, /, vectors: tuple[Path, ...], data: Path | None, task: str, **values: Any) -> None:
    """Score word vectors; what they do not know is counted, and left out unless --unknown has vectors for it."""
    _refuse_unused(context, task, values)
    run = runner(task)
    from x2static.schemas.vectors import WordVectors

    resamples = values["resamples"] or (RESAMPLES if values["intervals"] else 0)
    config = EvaluateConfig(data or fetched_data(task), values["seed"], values["common"], resamples, values["runs"])
    short = short_names(list(dict.fromkeys(vectors)))
    loaded = {name: WordVectors.load(folder, values["unknown"]) for name, folder in short.items()}
    if (language := values["language"]) is not None:
        loaded = {name: one.of_language(language) for name, one in loaded.items()}
    folders = {name + loaded[name].outside: folder for name, folder in short.items()}
    results = run({name + one.outside: one for name, one in loaded.items()}, config)
    # A short name may change with what else is scored; a path stays what it was.
    of_folders = {str(folders[name]): of_one for name, of_one in results.vectors.items()}
    only = next(iter(of_folders.values())) if len(of_folders) == 1 else {}  # one set: its tasks are at the top
    text = "\n\n".join(table.terminal() for table in results.tables)
    finish(context, {"task": task, **results.figures, **only, "vectors": of_folders}, text)


def _refuse_unused(context: click.Context, task: str, values: dict[str, Any]) -> None:
    """Refuse options that would change nothing: the task does not use them."""
    named = given(context, values)
    if task == "word-similarity" and "seed" in named and not values["intervals"] and not values["resamples"]:
        raise click.UsageError(f"--task {task} uses --seed for intervals alone; give --intervals, too")
    if named.pop("language", None) is not None and task == "translation":
        raise click.UsageError(f"--task {task} goes by the languages of its files; leave --language out")
    for name, value in named.items():
        if name not in EVALUATIONS[task].options and value is not False:
            using = ", ".join(other for other, evaluation in EVALUATIONS.items() if name in evaluation.options)
            raise click.UsageError(f"--task {task} does not use --{name}; it is for {using}")
