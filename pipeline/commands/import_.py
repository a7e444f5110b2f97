"""`x2static import`: word vectors of other tools, as `export` writes them and as others do."""

from pathlib import Path

import click

from x2static.machine.screen import quantity
from x2static.pipeline.options import FOLDER, Command, common, finish
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.baseline import BaselineConfig


@click.command("import", cls=Command, epilog="Example: x2static import vectors.bin --out runs/imported")
@click.argument("source", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Folder of the vectors.")
@click.option("--max-vocab", type=click.IntRange(min=1), default=750_000, show_default=True, help="The first so many.")
@common
def import_(context: click.Context, /, source: Path, out: Path, max_vocab: int) -> None:
    """Read word vectors of word2vec, GloVe, fastText, sentence-transformers, model2vec, spaCy or ONNX.

    It is `x2static baseline load` without a cache; that one can also keep to the words of a cache.
    """
    from x2static.pipeline.baselines import make

    config = BaselineConfig(name="load", out=out, vectors=source, max_vocab=max_vocab)
    with ProgressLine("import") as report:
        result = make(config, report)
    done = "finished before" if result["finished_before"] else f"in {duration(result['seconds'])}"
    finish(context, result, f"{out}: {quantity(result['vocabulary'], 'word')}, {result['dim']} dimensions, {done}")
