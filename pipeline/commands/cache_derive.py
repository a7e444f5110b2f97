"""`x2static cache merge` and `sample`: caches made of caches."""

from pathlib import Path
from typing import Any

import click

from x2static.pipeline.options import Command, common, finish
from x2static.pipeline.terminal import ProgressLine, size
from x2static.schemas.manifest import UnitSample

FOLDER = click.Path(path_type=Path)


def _copy(command: Command) -> Command:
    return click.option("--copy", is_flag=True, help="Copy the files, also where they could be linked.")(command)


@click.command()
@click.argument("out", type=FOLDER)
@click.argument("inputs", type=FOLDER, nargs=-1, required=True)
@_copy
@common
@click.pass_context
def merge(context: click.Context, out: Path, inputs: tuple[Path, ...], copy: bool) -> None:
    """Join caches of equal encoding into the new cache OUT.

    Parts of one cache (equal plans, made with --part) become the whole; caches of other corpora are appended in the
    order given. Run the same command again to go on where it stopped.
    """
    from x2static.pipeline.caches.merge import merge as run

    with ProgressLine("merge") as report:
        figures = run(out, list(inputs), copy, report)
    _tell(context, out, figures)


@click.command()
@click.argument("source", metavar="IN", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--every", type=click.IntRange(min=1), help="Take every n-th unit, beginning with the first.")
@click.option("--first", type=click.IntRange(min=1), help="Take the first n units.")
@_copy
@common
@click.pass_context
def sample(context: click.Context, source: Path, out: Path, every: int | None, first: int | None, copy: bool) -> None:
    """Make the smaller cache OUT of some units of the cache IN, to try settings on.

    Run the same command again to go on where it stopped.
    """
    if (every is None) == (first is None):
        raise click.UsageError("give one of --every and --first", context)
    from x2static.pipeline.caches.sample import sample as run

    taken = UnitSample(kind="first", n=first) if first is not None else UnitSample(kind="every", n=every or 1)
    with ProgressLine("sample") as report:
        figures = run(source, out, taken, copy, report)
    _tell(context, out, figures)


def _tell(context: click.Context, out: Path, figures: dict[str, Any]) -> None:
    click.echo(
        f"{out}: {figures['shards']:,} shards ({figures['shards_resumed']:,} were there, "
        f"{figures['shards_linked']:,} linked, {figures['shards_copied']:,} copied), "
        f"{figures['contexts']:,} contexts, {figures['words']:,} words, {size(figures['cache_bytes'])}, "
        + ("complete" if figures["complete"] else f"not complete: `x2static cache info {out}` says what is missing")
    )
    finish(context, figures)
