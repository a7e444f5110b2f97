"""`x2static cache`: what a cache is, and whether it is whole."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import click

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import folder_bytes
from x2static.pipeline.commands.cache_derive import merge, sample
from x2static.pipeline.commands.cache_repair import repair
from x2static.pipeline.options import common, finish
from x2static.pipeline.terminal import size
from x2static.schemas.cache import Cache, totals

SHOWN_RANGES = 8  # of missing shards; --json has them all
FOLDER = click.Path(path_type=Path)


@click.group()
def cache() -> None:
    """Look at a cache, check and repair it; make caches of caches."""


for command in (repair, merge, sample):
    cache.add_command(command)


@cache.command()
@click.argument("folder", type=FOLDER)
@common
@click.pass_context
def info(context: click.Context, folder: Path) -> None:
    """Say what a cache is."""
    opened = Cache.open(folder)
    committed, damaged = opened.committed()
    markers, plans = list(committed.values()), opened.plans()
    missing = opened.missing()
    encoding = opened.manifest.encoding
    figures: dict[str, Any] = {
        "teacher": opened.manifest.teacher,
        "fingerprint": opened.manifest.fingerprint,
        "corpora": list(dict.fromkeys(plan.corpus for plan in plans)),
        "sampled": [str(sampled) for sampled in plans[0].sampled] if plans else [],
        "shards": len(markers),
        "damaged": list(damaged.values()),
        "missing": missing,
        "complete": not missing,
        **totals(markers),
        "cache_bytes": folder_bytes(folder),
        "free_bytes": shutil.disk_usage(folder).free,
        "encoding": encoding.model_dump(),
    }
    lines = [
        f"teacher     {opened.manifest.teacher}, {encoding.dim} dimensions, {encoding.precision}, "
        f"windows of {encoding.window} pieces",
        f"context     {encoding.context}" + (f", compat {encoding.compat}" if encoding.compat else ""),
        f"corpus      {', '.join(figures['corpora'])}",
        *(f"sample      {sampled} of a larger cache" for sampled in figures["sampled"]),
        f"shards      {len(markers):,}, "
        + ("complete" if figures["complete"] else f"not complete ({len(missing):,} to do)"),
        f"paragraphs  {figures['paragraphs']:,} kept",
        f"contexts    {figures['contexts']:,}, {encoding.dtype}",
        f"words       {figures['words']:,}",
        f"size        {size(figures['cache_bytes'])}",
        f"fingerprint {opened.manifest.fingerprint}",
    ]
    figures["pools"] = dict(sorted(Counter(name for marker in markers for name in marker.pools).items()))
    lines += [f"pool        {name}, of {count:,} shards" for name, count in figures["pools"].items()]
    lines += [f"missing     {_ranges(missing)}"] if missing else []
    lines += [f"damaged     {reason}" for reason in damaged.values()]
    click.echo("\n".join(lines))
    finish(context, figures)


def _ranges(numbers: list[int]) -> str:
    """Return ascending numbers in few words: "0 to 4, 6, 8 to 9", "1, 4, 7, 10, 13, 16, 19, 22 and others"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    shown = ", ".join(" to ".join(map(str, ends)) for ends in ranges[:SHOWN_RANGES])
    return shown + (" and others" if len(ranges) > SHOWN_RANGES else "")


@cache.command()
@click.argument("folder", type=FOLDER)
@common
@click.pass_context
def verify(context: click.Context, folder: Path) -> None:
    """Hash every file of a cache; name each shard that is damaged, missing or half-written, and exit with 1."""
    opened = Cache.open(folder)
    problems = opened.verify()
    for problem in problems:
        click.echo(problem)
    finish(context, {"shards": len(opened.indices()), "problems": problems})
    if problems:
        raise X2StaticError(
            f"{folder}: {len(problems)} problems; `x2static cache repair {folder}` encodes again what is damaged or "
            "missing, and nothing else"
        )
    click.echo(f"{folder}: {len(opened.indices()):,} shards, every hash is right", err=True)
