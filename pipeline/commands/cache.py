"""`x2static cache`: what a cache is, whether it is whole, its repair, and caches made of caches."""

import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import click

from x2static.durable.errors import X2StaticError
from x2static.machine.screen import quantity
from x2static.pipeline.commands.encode import DICTIONARY, LICENCE, read_words_alone
from x2static.pipeline.options import CACHE, FOLDER, Group, common, finish, option, options
from x2static.pipeline.terminal import ProgressLine, duration, named, size
from x2static.schemas.cache import Cache, kept_of, missing_shards, totals
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import UnitSample
from x2static.schemas.phrases import newest_blocks
from x2static.schemas.training import TrainConfig
from x2static.schemas.word_states import NAME

logger = logging.getLogger(__name__)

SHOWN_RANGES = 8  # of missing shards; --json has them all
OUT = click.option("--out", type=FOLDER, help="Folder of the new cache.")
COPY = click.option("--copy", is_flag=True, help="Copy the files, also where they could be linked.")


MODEL = option(EncodeConfig, "model", "Where the teacher is now, if it has moved.", required=False, default=None)
CORPUS = option(
    EncodeConfig, "corpus", "Where a corpus is now, if it has moved. May be given several times.", required=False
)


@click.group(cls=Group)
def cache() -> None:
    """Look at a cache, check and repair it; make caches of caches."""


@cache.command(epilog="Example: x2static cache info cache/mine")
@click.argument("folder", type=CACHE)
@common
def info(context: click.Context, folder: Path) -> None:
    """Say what a cache is."""
    opened = Cache.open(folder)
    committed, damaged = opened.committed()
    markers, plans = list(committed.values()), opened.plans()
    missing = missing_shards(plans, committed)
    manifest, encoding = opened.manifest, opened.manifest.encoding
    corpora = list(dict.fromkeys(plan.corpus for plan in plans))
    languages = ", ".join(dict.fromkeys(f"{plan.language} ({plan.corpus})" for plan in plans if plan.language))
    languages = (languages or encoding.language) + (", words marked" if encoding.mark_language else "")
    sampled = [str(taken) for taken in plans[0].sampled] if plans else []
    pools = dict(sorted(Counter(name for marker in markers for name in marker.pools).items()))
    figures: dict[str, Any] = {"teacher": manifest.teacher, "fingerprint": manifest.fingerprint, "corpora": corpora}
    figures |= {"sampled": sampled, "shards": len(markers), "damaged": list(damaged.values()), "missing": missing}
    figures |= {"complete": not missing, **totals(markers), "cache_bytes": opened.n_bytes()}
    figures |= {"free_bytes": shutil.disk_usage(folder).free, "encoding": encoding.model_dump(), "pools": pools}
    figures["phrases"] = sum(block.marker.words for block in newest_blocks(folder, of_dictionary=False))
    meanings = [block.marker for block in newest_blocks(folder, of_dictionary=True)]
    outside = meanings[-1].dictionary if meanings else None
    figures["dictionary"] = outside and {**outside.model_dump(), "words": sum(marker.words for marker in meanings)}
    alone = f"none; `x2static cache phrases {folder}` reads the words"
    alone = quantity(figures["phrases"], "word") if figures["phrases"] else alone
    done = "complete" if not missing else f"not complete ({len(missing):,} to do)"
    read = f"{encoding.dim} dimensions, {encoding.computed}, windows of {encoding.window} pieces"
    lines = [
        f"teacher     {manifest.teacher}, {read}",
        f"context     {encoding.pooled}" + (f", compat {encoding.compat}" if encoding.compat else ""),
        f"corpus      {', '.join(corpora)}",
        f"language    {languages}",
        *(f"sample      {taken} of a larger cache" for taken in sampled),
        f"shards      {len(markers):,}, {done}",
        f"paragraphs  {kept_of(figures, encoding.min_sentences, encoding.min_characters)}",
        f"contexts    {figures['contexts']:,}, {encoding.dtype}",
        f"words       {figures['words']:,}",
        f"size        {size(figures['cache_bytes'])}",
        f"fingerprint {manifest.fingerprint[:12]}...",
        *(f"pool        {name}, of {quantity(count, 'shard')}" for name, count in pools.items()),
        *([f"phrases     {alone}"] if figures["phrases"] or NAME in pools else []),
        *([f"dictionary  {outside.name}, {quantity(figures['dictionary']['words'], 'word')}"] if outside else []),
        *([f"missing     {_ranges(missing)}"] if missing else []),
        *(f"damaged     {reason}" for reason in damaged.values()),
    ]
    finish(context, figures, *lines)


def _ranges(numbers: list[int]) -> str:
    """Return ascending numbers in few words: "0 to 4, 6, 8 to 9", "1, 4, 7, 10, 13, 16, 19, 22 and others"."""
    from x2static.stage2_train.shards import list_numbers

    spans = list_numbers(numbers).split(",")
    shown = ", ".join(spans[:SHOWN_RANGES]).replace("-", " to ")
    return shown + (" and others" if len(spans) > SHOWN_RANGES else "")


@cache.command(epilog="Example: x2static cache verify cache/mine")
@click.argument("folder", type=CACHE)
@common
def verify(context: click.Context, folder: Path) -> None:
    """Hash every file of a cache; name each shard that is damaged, missing or half-written, and exit with 1."""
    opened = Cache.open(folder)
    problems = opened.verify()
    finish(context, {"shards": len(opened.indices()), "problems": problems}, *problems)
    if problems:
        repair_it = f"`x2static cache repair {folder}` encodes again what is damaged or missing, and nothing else"
        raise X2StaticError(f"{folder}: {quantity(len(problems), 'problem')}; {repair_it}")
    click.echo(named(f"{folder}: {quantity(len(opened.indices()), 'shard')}, every hash is right"), err=True)


@cache.command(epilog="Example: x2static cache repair cache/mine")
@click.argument("folder", type=CACHE)
@MODEL
@CORPUS
@options(
    EncodeConfig,
    part="3/16: only the shards of this part, in a cache that was made with the same --part.",
    device="Where the teacher runs.",
    trust_remote_code="Let a model run Python code of its own.",
)
@common
def repair(context: click.Context, /, folder: Path, **values: Any) -> None:
    """Hash a cache, and encode again the shards that are damaged or missing, and nothing else.

    Teacher, corpora and settings are those that the cache records. Run the same command again to go on where it
    stopped.
    """
    from x2static.stage1_encode.plan.origin import Origin
    from x2static.stage1_encode.repair import repair as run

    with ProgressLine("repair") as report:
        figures = run(folder, Origin(corpora=values.pop("corpus"), **values), report)
    done = f"{figures['shards_encoded']:,} encoded in {duration(figures['seconds'])}"
    line = f"{folder}: {quantity(figures['shards'], 'shard')}, damaged before: {len(figures['damaged']):,}, {done}"
    finish(context, figures, line)
    again = "the same `x2static encode` as before, --ase and --masked included, makes it again"
    remains = [f"{lost}; {again}" for lost in figures["pools_dropped"]]
    if remains := [*remains, *(f"{stranger}; move it away" for stranger in figures["strangers"])]:
        raise X2StaticError(f"{folder}: not mended: {quantity(len(remains), 'thing')}; {remains[0]}")


@cache.command(epilog="Example: x2static cache phrases cache/mine")
@click.argument("folder", type=CACHE)
@MODEL
@options(
    EncodeConfig,
    device="Where the teacher runs.",
    trust_remote_code="Let a model run Python code of its own.",
)
@option(TrainConfig, "min_count", "Leave out rarer words.")
@option(TrainConfig, "multiword", "File of entries such as new york, one a line, to be read as single words are.")
@DICTIONARY
@LICENCE
@common
def phrases(
    context: click.Context,
    /,
    folder: Path,
    min_count: int,
    multiword: Path | None,
    dictionary: Path | None,
    licence: str | None,
    **values: Any,
) -> None:
    """Read the words of a cache alone, in carrier phrases, of which the best vectors are made.

    Run the same command again to go on where it stopped, or when the cache has grown.
    """
    Cache.open(folder)  # or what is wrong with it would be said after what is wrong with the dictionary
    logger.info("%s: its words are read alone, in phrases", folder)  # before five seconds of imports
    from x2static.stage1_encode.dictionary import open_dictionary
    from x2static.stage1_encode.plan.origin import Origin

    meanings = open_dictionary(dictionary, licence) if dictionary is not None else None
    origin = Origin(corpora=(), **values)
    read_alone = read_words_alone(folder, origin, min_count, dictionary=meanings, multiword=multiword)
    figures = read_alone["phrases"]
    read = f"{figures['words_read']:,} of {figures['words']:,} words read in {figures['phrases']} phrases"
    lines = [f"{folder}: {read}, in {duration(figures['seconds'])}"]
    if meanings is not None:
        of_dictionary = read_alone["dictionary"]
        read = f"{of_dictionary['words_read']:,} of {of_dictionary['words']:,} words of {meanings.source.name} read"
        lines.append(f"{folder}: {read}, in {duration(of_dictionary['seconds'])}")
        figures["dictionary"] = {**of_dictionary, "name": meanings.source.name, "hash": meanings.source.hash}
    finish(context, figures, *lines)


@cache.command(epilog="Example: x2static cache masked cache/mine --occurrences 5")
@click.argument("folder", type=CACHE)
@click.option(
    "--occurrences", type=click.IntRange(min=1), default=5, show_default=True, help="Sentences of a word, at most."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed chooses others.")
@option(TrainConfig, "min_count", "Leave out rarer words.")
@MODEL
@CORPUS
@options(
    EncodeConfig,
    device="Where the teacher runs.",
    trust_remote_code="Let a model run Python code of its own.",
)
@click.option("--plan", is_flag=True, help="Print what the run would take, and do nothing.")
@common
def masked(
    context: click.Context,
    /,
    folder: Path,
    occurrences: int,
    seed: int,
    min_count: int,
    corpus: tuple[str, ...],
    plan: bool,
    **values: Any,
) -> None:
    """Read every frequent word, in some of its sentences, with the word masked, for `train --masked` and `--contexts`.

    Run the same command again to go on where it stopped, or when the cache has grown.
    """
    opened = Cache.open(folder)
    logger.info("%s: words are masked in %d of their sentences each, at most", folder, occurrences)
    from x2static.stage1_encode.masked import plan_masked, read_masked
    from x2static.stage1_encode.plan.origin import Origin
    from x2static.stage1_encode.pools.masked import Masked

    pool = Masked(occurrences, seed, min_count)
    if plan:
        figures, done = plan_masked(opened, pool), "to read"
    else:
        with ProgressLine("masked") as report:
            figures = read_masked(opened, Origin(corpora=corpus, **values), pool, report)
        done = f"read, in {duration(figures['seconds'])}"
    share = figures["teacher_tokens"] / max(totals(opened.committed()[0].values())["teacher_tokens"], 1)
    pairs, pieces = (
        quantity(figures[name], what) for name, what in (("pairs", "sentence"), ("teacher_tokens", "piece"))
    )
    finish(
        context, figures, f"{folder}: {pairs} with a word masked {done}; {pieces}, {share:.1f} times those of the text"
    )


@cache.command(epilog="Example: x2static cache merge cache/part1 cache/part2 --out cache/whole")
@click.argument("inputs", metavar="IN...", type=FOLDER, nargs=-1)
@OUT
@COPY
@common
def merge(context: click.Context, inputs: tuple[Path, ...], out: Path | None, copy: bool) -> None:
    """Join caches of equal encoding into a new one.

    Parts of one cache (equal plans, made with --part) become the whole; caches of other corpora are appended in the
    order given. Run the same command again to go on where it stopped.
    """
    if out is None or not inputs:
        raise click.UsageError("name the caches, and the new one by --out: x2static cache merge IN... --out OUT")
    from x2static.pipeline.caches import merge as run

    with ProgressLine("merge") as report:
        _finish_derived(context, out, run(out, list(inputs), copy, report))


@cache.command(epilog="Example: x2static cache sample cache/mine --out cache/small --every 10")
@click.argument("inputs", metavar="IN", type=FOLDER, nargs=-1)
@OUT
@click.option("--every", type=click.IntRange(min=1), help="Take every n-th unit, beginning with the first.")
@click.option("--first", type=click.IntRange(min=1), help="Take the first n units.")
@COPY
@common
def sample(
    context: click.Context, inputs: tuple[Path, ...], out: Path | None, every: int | None, first: int | None, copy: bool
) -> None:
    """Make a smaller cache of some units of another, to try settings on.

    Run the same command again to go on where it stopped.
    """
    if out is None or len(inputs) != 1:
        raise click.UsageError("name one cache, and the new one by --out: x2static cache sample IN --out OUT")
    if (every is None) == (first is None):
        raise click.UsageError("give one of --every and --first")
    from x2static.pipeline.caches import sample as run

    units = UnitSample(kind="first", n=first) if first is not None else UnitSample(kind="every", n=every or 1)
    with ProgressLine("sample") as report:
        _finish_derived(context, out, run(inputs[0], out, units, copy, report))


def _finish_derived(context: click.Context, out: Path, figures: dict[str, Any]) -> None:
    resumed, linked, copied = (figures[f"shards_{become}"] for become in ("resumed", "linked", "copied"))
    shards = f"{quantity(figures['shards'], 'shard')} ({resumed:,} there before, {linked:,} linked, {copied:,} copied)"
    contexts, words = quantity(figures["contexts"], "context"), quantity(figures["words"], "word")
    held = f"{contexts}, {words}, {size(figures['cache_bytes'])}"
    done = "complete" if figures["complete"] else f"not complete: `x2static cache info {out}` says what is missing"
    finish(context, figures, f"{out}: {shards}, {held}, {done}")
