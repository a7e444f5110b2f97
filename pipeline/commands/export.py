"""`x2static export`: word vectors for other programs."""

from pathlib import Path

import click

from x2static.pipeline.export.formats import FORMATS
from x2static.pipeline.export.formats import export as write
from x2static.pipeline.options import FOLDER, common, finish
from x2static.schemas.vectors import WordVectors


@click.command()
@click.argument("vectors", type=FOLDER)
@click.option("--to", type=click.Choice(list(FORMATS)), required=True, help="Format.")
@click.option("--out", type=FOLDER, required=True, help="File to write.")
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@common
def export(context: click.Context, vectors: Path, to: str, out: Path, force: bool) -> None:
    """Write word vectors in another format."""
    loaded = WordVectors.load(vectors)
    n_left_out = len(write(loaded, to, out, force))
    n_written = len(loaded) - n_left_out
    left_out = f", {n_left_out:,} left out" if n_left_out else ""
    result = {"path": str(out), "words_written": n_written, "words_left_out": n_left_out}
    finish(context, result, f"{out}: {n_written:,} words{left_out}")
