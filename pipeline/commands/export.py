"""`x2static export`: word vectors for other programs."""

from pathlib import Path

import click

from x2static.pipeline.export.formats import FORMATS
from x2static.pipeline.export.formats import export as write
from x2static.pipeline.options import common, finish
from x2static.schemas.vectors import WordVectors


@click.command()
@click.argument("vectors", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(list(FORMATS)), required=True, help="Format.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@common
@click.pass_context
def export(context: click.Context, vectors: Path, to: str, out: Path, force: bool) -> None:
    """Write word vectors in another format."""
    result = write(WordVectors.load(vectors), to, out, force=force)
    left_out = f", {result.words_left_out:,} left out" if result.words_left_out else ""
    click.echo(f"{result.path}: {result.words_written:,} words{left_out}")
    finish(
        context,
        {"path": str(result.path), "words_written": result.words_written, "words_left_out": result.words_left_out},
    )
