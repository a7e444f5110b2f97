"""`x2static compare`: X2Static and the competing methods, on one page."""

import os
import platform
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer, write_atomically
from x2static.machine.packages import package_version
from x2static.pipeline.compare.methods import COMPARED
from x2static.pipeline.compare.settings import PARTS, CompareConfig
from x2static.pipeline.options import build, common, finish, given, option
from x2static.pipeline.terminal import ProgressLine, duration

if TYPE_CHECKING:
    from x2static.pipeline.compare.comparison import Comparison
    from x2static.pipeline.compare.sections import Report

LISTS = ("baselines", "layers", "sizes", "words")


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1)
@option(CompareConfig, "cache", "Cache that all methods learn from.")
@option(CompareConfig, "out", "Folder of the comparison.")
@option(
    CompareConfig,
    "baselines",
    f"all, none, or some of {', '.join(COMPARED)}, with commas.",
    type=str,
    default="all",
    show_default=True,
)
@option(CompareConfig, "seeds", "Seeds of X2Static and of skip-gram; one for the rest.")
@option(CompareConfig, "layers", "Layers of ase, with commas.", type=str, default="last", show_default=True)
@option(
    CompareConfig,
    "only",
    "Work on this part alone; may be given several times.",
    type=click.Choice(PARTS),
    multiple=True,
)
@click.option("--no-classification", is_flag=True, help="Leave out classification (table 4).")
@option(CompareConfig, "sizes", "Units of the cache at the sizes of figure 1, with commas.", type=str, default=None)
@option(CompareConfig, "words", "Words whose neighbours are shown, with commas.", type=str, default=None)
@option(CompareConfig, "data", "Evaluation data: a folder with wordsim/ and classification/; else gensim's sets.")
@option(CompareConfig, "reference", "Folder of the paper's figures: word_similarity.csv, classification.csv.")
@click.option("--results", type=click.Path(path_type=Path), help="Write the Markdown page there too.")
@option(CompareConfig, "min_count", "Leave out rarer words.")
@option(CompareConfig, "max_vocab", "Keep at most so many words.")
@option(
    CompareConfig, "corpus", "Where the cache's corpus is now. May be given several times.", type=str, multiple=True
)
@option(CompareConfig, "model", "Where the cache's teacher is now.")
@option(CompareConfig, "threads", "Threads of gensim's methods.")
@option(CompareConfig, "device", "Where teacher and training run.")
@option(CompareConfig, "precision", "Number format of the teacher.")
@option(CompareConfig, "trust_remote_code", "Let a model run Python code of its own.")
@common
@click.pass_context
def compare(context: click.Context, /, no_classification: bool, results: Path | None, **values: Any) -> None:
    """Compare finished runs, or X2Static trained from a cache, with the competing methods.

    What is missing is made; run the same command again to go on where it stopped.
    """
    config = _config(context, values, no_classification)
    from x2static.pipeline.cli import message
    from x2static.pipeline.compare import folder
    from x2static.pipeline.compare.comparison import Comparison

    started = time.monotonic()
    identity = folder.identity(config)
    comparison = Comparison(config, ProgressLine, message)  # refuses before the folder is claimed
    with only_writer(config.out, "comparison"):
        folder.claim(config.out, identity)
        comparison.run()
        report = _write(comparison, results)
    seconds = time.monotonic() - started
    click.echo(f"{config.out / 'compare.html'}: {len(report.tables)} tables, in {duration(seconds)}")
    finish(context, _told(comparison, report, seconds))
    if comparison.failures:
        names = ", ".join(comparison.failures)
        raise X2StaticError(
            f"{config.out}: {len(comparison.failures)} of the steps failed: {names}; the page says why, the same "
            "command tries them again"
        )


def _config(context: click.Context, values: dict[str, Any], no_classification: bool) -> CompareConfig:
    """Return the configuration.

    Raises:
        click.UsageError: what is asked for is not possible.
    """
    asked = {**given(context, values), "classification": not no_classification}
    listed = {name: _listed(values[name]) for name in LISTS if values[name] is not None}
    unknown = set(listed["baselines"]) - {*COMPARED, "all", "none"}
    if unknown or (len(listed["baselines"]) > 1 and {"all", "none"} & set(listed["baselines"])):
        raise click.UsageError(
            f"--baselines {values['baselines']}: give all, none, or some of {', '.join(COMPARED)}; vectors from "
            "elsewhere are made by `x2static baseline load` and given as a RUN",
            context,
        )
    every = {"all": COMPARED, "none": ()}
    listed["baselines"] = every.get(values["baselines"], listed["baselines"])
    config = build(CompareConfig, {**asked, **listed})
    if config.cache is None and (config.baselines or not config.runs):
        raise click.UsageError(
            "give --cache, from which methods are made; or finished runs and --baselines none", context
        )
    if no_classification and "table4" in config.only:
        raise click.UsageError("--only table4 is classification, which --no-classification leaves out", context)
    return config


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _write(comparison: "Comparison", results: Path | None) -> "Report":
    """Write all files of the report and return it."""
    from x2static.pipeline.compare.kept import Kept
    from x2static.pipeline.compare.markdown import write_markdown
    from x2static.pipeline.compare.page import page
    from x2static.pipeline.compare.report import report as report_of
    from x2static.pipeline.compare.tables import csv_of

    out = comparison.config.out
    report = report_of(Kept(comparison), _facts(comparison))
    write_atomically(out / "compare.html", page(report).encode())
    write_atomically(out / "compare.csv", csv_of(report.tables))
    for file in [out / "compare.md", *([results] if results is not None else [])]:
        write_markdown(report, file)
    return report


def _facts(comparison: "Comparison") -> dict[str, str]:
    """Return what a reader wants to know first, by what it is."""
    facts = {}
    if comparison.whole is not None and comparison.sizes:
        size, manifest = comparison.sizes[-1], comparison.whole.manifest
        corpora = dict.fromkeys(Path(plan.corpus).name for plan in comparison.whole.plans())
        facts["corpus"] = f"{', '.join(corpora)}: {size.paragraphs:,} paragraphs, {size.words:,} words"
        facts["teacher"] = f"{manifest.teacher}, layer {manifest.encoding.layer}, {manifest.encoding.dim} dimensions"
        config = comparison.config
        facts["vocabulary"] = f"words with a count of at least {config.min_count:,}, at most {config.max_vocab:,} words"
    names = ("x2static", "torch", "numpy", "scipy", "gensim")
    facts["written by"] = shlex.join(["x2static", *sys.argv[1:]])
    facts["versions"] = ", ".join(f"{name} {package_version(name)}" for name in names)
    facts["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    facts["date"] = datetime.now(UTC).date().isoformat()
    return facts


def _told(comparison: "Comparison", report: "Report", seconds: float) -> dict[str, Any]:
    """Return what --json says."""
    tables = {
        table.name: {
            row.label: dict(zip(table.heads[1:], (cell.value for cell in row.cells), strict=True))
            for row in table.rows
            if row.source != "paper"
        }
        for table in report.tables
        if not table.words
    }
    return {"tables": tables, "failures": comparison.failures, "seconds": round(seconds, 3)}
