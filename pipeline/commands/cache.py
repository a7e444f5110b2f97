"""`x2static cache`: what a cache is, and whether it is whole."""

import shutil
from pathlib import Path
from typing import Any

import click

from pipeline.options import common, finish
from pipeline.terminal import size
from schemas.cache import Cache, totals
from schemas.errors import X2StaticError
from schemas.storage import folder_bytes

SHOWN_RANGES = 8  # of missing shards
FOLDER = click.Path(path_type=Path)


@click.group()
def cache() -> None:
    """Look at a cache and check it."""


@cache.command()
@click.argument("folder", type=FOLDER)
@common
@click.pass_context
def info(context: click.Context, folder: Path) -> None:
    """Say what a cache is."""
    opened = Cache.open(folder)
    committed, damaged = opened.committed()
    markers = list(committed.values())
    missing = opened.missing()
    encoding = opened.manifest.encoding
    figures: dict[str, Any] = {
        "teacher": opened.manifest.teacher,
        "fingerprint": opened.manifest.fingerprint,
        "corpora": list(dict.fromkeys(plan.corpus for plan in opened.plans())),
        "shards": len(markers),
        "damaged": list(damaged.values()),
        "complete": missing == [],
        "missing": missing,
        **totals(markers),
        "cache_bytes": folder_bytes(folder),
        "free_bytes": shutil.disk_usage(folder).free,
        "encoding": encoding.model_dump(),
    }
    left = "to an unknown end" if missing is None else f"{len(missing):,} to do"
    lines = [
        f"teacher     {opened.manifest.teacher}, {encoding.dim} dimensions, {encoding.precision}, "
        f"windows of {encoding.window} pieces",
        f"context     {encoding.context}" + (f", compat {encoding.compat}" if encoding.compat else ""),
        f"corpus      {', '.join(figures['corpora'])}",
        f"shards      {len(markers):,}, " + ("complete" if figures["complete"] else f"not complete ({left})"),
        f"paragraphs  {figures['paragraphs']:,} kept",
        f"contexts    {figures['contexts']:,}",
        f"words       {figures['words']:,}",
        f"size        {size(figures['cache_bytes'])}",
        f"fingerprint {opened.manifest.fingerprint}",
    ]
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
            f"{folder}: {len(problems)} problems; delete the folders of the shards whose files have changed, then run "
            "the same `x2static encode` again: it encodes what is missing"
        )
    click.echo(f"{folder}: {len(opened.indices()):,} shards, every hash is right", err=True)
