"""`x2static cache repair`."""

from pathlib import Path

import click

from x2static.pipeline.options import common, finish, option
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.encoding import EncodeConfig


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@option(EncodeConfig, "model", "Where the teacher is now, if it has moved.", required=False, default=None)
@option(
    EncodeConfig,
    "corpus",
    "Where a corpus is now, if it has moved. May be given several times.",
    type=str,
    multiple=True,
    required=False,
)
@option(EncodeConfig, "part", "3/16: only the shards of this part, in a cache that was made with the same --part.")
@option(EncodeConfig, "device", "Where the teacher runs.")
@option(EncodeConfig, "trust_remote_code", "Let a model run Python code of its own.")
@common
@click.pass_context
def repair(
    context: click.Context,
    folder: Path,
    model: str | None,
    corpus: tuple[str, ...],
    part: str | None,
    device: str,
    trust_remote_code: bool,
) -> None:
    """Hash a cache, and encode again the shards that are damaged or missing, and nothing else.

    Teacher, corpora and settings are those that the cache records. Run the same command again to go on where it
    stopped.
    """
    from x2static.stage1_encode.plan.origin import Origin
    from x2static.stage1_encode.repair import repair as run

    with ProgressLine("repair") as report:
        figures = run(folder, Origin(model, corpus, device, trust_remote_code, part), report)
    click.echo(
        f"{folder}: {figures['shards']:,} shards, {len(figures['damaged']):,} of them were damaged, "
        f"{figures['shards_encoded']:,} encoded in {duration(figures['seconds'])}"
    )
    finish(context, figures)
