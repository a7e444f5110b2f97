"""`x2static export`: word vectors for other programs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from x2static.durable.errors import X2StaticError
from x2static.machine.screen import quantity
from x2static.pipeline.export.debias import RECORD, Method, debiased
from x2static.pipeline.export.formats import FORMATS
from x2static.pipeline.export.formats import export as write
from x2static.pipeline.export.smaller import Smaller
from x2static.pipeline.options import FOLDER, LANGUAGE, VECTORS, Command, common, finish
from x2static.schemas.vectors import WordVectors

if TYPE_CHECKING:
    from x2static.report.table import Table


@click.command(cls=Command, epilog="Example: x2static export runs/mine --to sentence-transformers --out models/mine")
@click.argument("vectors", type=VECTORS)
@click.option("--to", type=click.Choice(list(FORMATS)), required=True, help="Format.")
@click.option("--out", type=FOLDER, required=True, help="File to write; a folder for some formats.")
@click.option("--top", type=click.IntRange(min=1), help="Only so many words, the most frequent.")
@click.option("--dim", type=click.IntRange(min=1), help="Only so many principal axes; the first n serve by themselves.")
@click.option("--senses", is_flag=True, help="A row for each sense of a word that has several, too, as bank#1.")
@click.option("--dtype", type=click.Choice(["float32", "float16", "int8"]), default="float32", show_default=True)
@click.option("--codebook", type=click.IntRange(min=2), help="So many rows that words share, by k-means.")
@click.option("--debias", type=click.Choice(get_args(Method)), help="Take a bias out by projection: that of gender.")
@click.option("--bias-words", type=FOLDER, help="File of words that say what else the bias is (.toml, .json).")
@click.option("--data", type=FOLDER, help="Evaluation data: scores before and after; else what gensim ships.")
@LANGUAGE
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@common
def export(
    context: click.Context,
    /,
    vectors: Path,
    to: str,
    out: Path,
    debias: Method | None,
    bias_words: Path | None,
    data: Path | None,
    force: bool,
    **values: Any,
) -> None:
    """Write word vectors in another format; smaller ones, or those without a bias, are scored before and after."""
    if bias_words and not debias:
        raise click.UsageError("--bias-words is what --debias takes out; give --debias, or leave it out")
    language, senses, loaded = values.pop("language"), values.pop("senses"), WordVectors.load(vectors)
    loaded, smaller = loaded if language is None else loaded.of_language(language), Smaller(**values)
    if senses:  # those of the words that are left
        loaded = loaded.rows(slice(smaller.top)).with_senses()
        smaller = replace(smaller, top=None)
    reduced = smaller.reduced(debiased(loaded, debias, bias_words) if debias else loaded)
    n_left_out = len(write(reduced, to, out, force, replace(smaller, top=None, dim=None)))
    n_written = len(reduced) - n_left_out
    left_out = f", {n_left_out:,} left out" if n_left_out else ""
    result = {"path": str(out), "words_written": n_written, "words_left_out": n_left_out}
    lines = [f"{out}: {quantity(n_written, 'word')}{left_out}"]
    if debias:
        result[RECORD] = record = reduced.run[RECORD]
        lines[0] += f", debiased ({debias}, {record['words']})"  # a plain file has no place to say it
    if data is not None or debias or smaller != Smaller():
        tables, result["scores"] = _scores(
            {"as trained": loaded, "as exported": _as_written(reduced, out, smaller)}, data, ("bias",) if debias else ()
        )
        lines += [table.terminal() for table in tables]
    finish(context, result, *lines)


def _as_written(vectors: WordVectors, out: Path, smaller: Smaller) -> WordVectors:
    """Return reduced vectors as whoever reads the folder has them: where numbers are held otherwise, they are read."""
    if (smaller.dtype, smaller.codebook) == ("float32", None):
        return vectors
    from x2static.baselines.folders import read_folder

    read = read_folder(out)
    return replace(vectors.rows([vectors.index[word] for word in read.words]), matrix=read.matrix)


def _scores(
    vectors: dict[str, WordVectors], data: Path | None, others: tuple[str, ...]
) -> "tuple[list[Table], dict[str, object]]":
    """Return what word and sentence similarity, and other tasks, make of vectors, in tables and figures.

    Without data of a task, without its scores.
    """
    from x2static.pipeline.evaluations.registry import EvaluateConfig, fetched_data, runner

    tables, figures = list["Table"](), dict[str, object]()
    for task in ("word-similarity", "sentence-similarity", *others):
        try:
            results = runner(task)(vectors, EvaluateConfig(data or fetched_data(task)))
        except X2StaticError as error:  # a folder of data need not hold both
            click.echo(f"no scores of {task}: {error}", err=True)
            continue
        tables += results.tables
        figures[task] = results.vectors
    return tables, figures
