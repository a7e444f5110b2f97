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
from x2static.durable.storage import claim, end_of_links, only_writer
from x2static.machine.packages import package_version, require
from x2static.machine.screen import quantity
from x2static.pipeline.compare.plan import COMPARED, CompareConfig
from x2static.pipeline.options import FOLDER, TEXT, Command, build, common, finish, given, option, options
from x2static.pipeline.terminal import duration
from x2static.schemas.baseline import METHODS

if TYPE_CHECKING:
    from x2static.pipeline.compare.comparison import Comparison

BASELINES = f"all, none, or some of {', '.join(COMPARED)}"


@click.command(cls=Command, epilog="Example: x2static compare --cache cache/mine --out comparisons/mine")
@click.argument("runs", type=FOLDER, nargs=-1)
@option(CompareConfig, "cache", "Cache that all methods learn from.")
@option(CompareConfig, "out", "Folder of the comparison.")
@click.option("--baselines", type=TEXT, default="all", show_default=True, help=f"{BASELINES}, with commas.")
@option(CompareConfig, "seeds", "Seeds of X2Static and of skip-gram; one for the rest.")
@click.option("--layers", type=TEXT, default="last", show_default=True, help="Layers of ase, with commas.")
@option(CompareConfig, "only", "Work on this part alone; may be given several times.")
@click.option("--no-classification", is_flag=True, help="Leave out classification (table 4).")
@click.option("--sizes", type=TEXT, help="Units of the cache at the sizes of figure 1, with commas.")
@click.option("--words", type=TEXT, help="Words whose neighbours are shown, with commas.")
@option(
    CompareConfig,
    "data",
    "Folder of wordsim/, classification/, sentence-similarity/, retrieval/; else gensim's.",
)
@option(CompareConfig, "reference", "Folder of the paper's figures: word_similarity.csv, classification.csv.")
@click.option("--results", type=FOLDER, help="Write the Markdown page there too.")
@options(
    CompareConfig,
    min_count="Leave out rarer words.",
    max_vocab="Keep at most so many words.",
    corpus="Where the cache's corpus is now. May be given several times.",
    model="Where the cache's teacher is now.",
    threads="Threads of gensim's methods.",
    device="Where teacher and training run.",
    precision="Number format of the teacher.",
    trust_remote_code="Let a model run Python code of its own.",
)
@common
def compare(context: click.Context, /, no_classification: bool, results: Path | None, **values: Any) -> None:
    """Compare finished runs, or X2Static trained from a cache, with the competing methods.

    What is missing is made; run the same command again to go on where it stopped.
    """
    config = _config(context, values, no_classification)
    if results is not None and (results.is_dir() or not end_of_links(results).suffix):
        raise click.UsageError(f"--results {results}: name a file that ends in .md; its pictures go beside it")
    teachers = ["encode"] if any("model" in METHODS[name].reads for name in config.baselines) else []
    require("train", "compare", *teachers)  # now, not after hours of training
    from x2static.pipeline.compare.comparison import COMPARISON, Comparison
    from x2static.pipeline.compare.report import Report

    started = time.monotonic()
    comparison = Comparison(config)  # refuses before the folder is claimed
    with only_writer(config.out, "comparison"):
        claim(config.out, COMPARISON, "comparison", comparison.identity)
        comparison.run()
        report = Report(comparison, _facts(comparison))
        report.write(config.out, results)
    seconds = time.monotonic() - started
    n_tables = len(report.figures) + len(report.neighbours)
    line = f"{config.out / 'compare.html'}: {quantity(n_tables, 'table')}, in {duration(seconds)}"
    tables = {figures.name: figures.values() for figures in report.figures}
    finish(context, {"tables": tables, "failures": comparison.failures, "seconds": round(seconds, 3)}, line)
    if comparison.failures:
        what = f"{len(comparison.failures)} of the steps failed: {', '.join(comparison.failures)}"
        raise X2StaticError(f"{config.out}: {what}; the page says why, the same command tries them again")


def _config(context: click.Context, values: dict[str, Any], no_classification: bool) -> CompareConfig:
    """Return the configuration. Raises click.UsageError: what is asked for is not possible."""
    lists = {}
    for name in ("baselines", "layers", "sizes", "words"):
        if values[name] is not None:
            parts = (part.strip() for part in values[name].split(","))
            lists[name] = tuple(dict.fromkeys(part for part in parts if part))
    baselines = set(lists["baselines"])
    if not baselines <= {*COMPARED, "all", "none"} or (len(baselines) > 1 and baselines & {"all", "none"}):
        elsewhere = "vectors from elsewhere are made by `x2static baseline load` and given as a RUN"
        raise click.UsageError(f"--baselines {values['baselines']}: give {BASELINES}; {elsewhere}")
    lists["baselines"] = {"all": COMPARED, "none": ()}.get(values["baselines"], lists["baselines"])
    config = build(CompareConfig, {**given(context, values), **lists, "classification": not no_classification})
    if config.cache is None and (config.baselines or not config.runs):
        raise click.UsageError("give --cache, from which methods are made; or finished runs and --baselines none")
    if no_classification and "table4" in config.only:
        raise click.UsageError("--only table4 is classification, which --no-classification leaves out")
    return config


def _facts(comparison: "Comparison") -> dict[str, str]:
    """Return what a reader wants to know first, by what it is."""
    facts = {}
    if comparison.whole is not None and comparison.sizes:
        size, manifest = comparison.sizes[-1], comparison.whole.manifest
        corpora = dict.fromkeys(Path(plan.corpus).name for plan in comparison.whole.plans())
        facts["corpus"] = f"{', '.join(corpora)}: {size.paragraphs:,} paragraphs, {size.words:,} words"
        facts["teacher"] = f"{manifest.teacher}, layer {manifest.encoding.layer}, {manifest.encoding.dim} dimensions"
        config = comparison.config
        if comparison.lacking and not config.runs:
            facts["left out"] = f"what is made of views; {comparison.lacking}"
        facts["vocabulary"] = f"words with a count of at least {config.min_count:,}, at most {config.max_vocab:,} words"
    names = ("x2static", "torch", "numpy", "scipy", "gensim")
    facts["written by"] = shlex.join(["x2static", *sys.argv[1:]])
    facts["versions"] = ", ".join(f"{name} {package_version(name)}" for name in names)
    facts["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    facts["date"] = datetime.now(UTC).date().isoformat()
    return facts
