"""`x2static subwords`: vectors for words outside the vocabulary of vectors that are finished."""

from pathlib import Path
from typing import Any

import click

from x2static.machine.packages import require
from x2static.machine.screen import quantity
from x2static.pipeline.options import FOLDER, Command, common, finish
from x2static.pipeline.terminal import ProgressLine, duration


@click.command(cls=Command, epilog="Example: x2static subwords runs/mine")
@click.argument("vectors", type=FOLDER)
@common
def subwords(context: click.Context, vectors: Path) -> None:
    """Give words outside the vocabulary vectors, by their spelling.

    VECTORS is a run, or a folder that `x2static baseline load` made of GloVe or others. Vectors of character n-grams
    are fitted to its words; `evaluate --unknown subwords` and WordVectors.load(..., unknown="subwords") use them.
    """
    result = add(vectors)
    finish(context, result, line(vectors, result))


def add(vectors: Path) -> dict[str, Any]:
    """Fit subwords to vectors, if they have none."""
    require("train")
    from x2static.stage2_train.subwords import make_subwords

    with ProgressLine("subwords") as report:
        return make_subwords(vectors, report)


def line(vectors: Path, result: dict[str, Any]) -> str:
    """Return what people read of them."""
    done = "made before" if result["finished_before"] else f"in {duration(result['seconds'])}"
    return f"{vectors}: subwords, {quantity(result['ngrams'], 'character n-gram')}, {done}"
