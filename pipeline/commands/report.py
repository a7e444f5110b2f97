"""`x2static report`: one page about a run."""

from pathlib import Path

import click

from x2static.durable.storage import end_of_links, refuse_to_replace, write_atomically
from x2static.machine.packages import require
from x2static.machine.screen import quantity
from x2static.pipeline.evaluations.registry import EVALUATIONS
from x2static.pipeline.options import FOLDER, Command, common, finish
from x2static.pipeline.terminal import size


@click.command(cls=Command, epilog="Example: x2static report runs/mine --data data")
@click.argument("vectors", metavar="RUN", type=FOLDER)
@click.option("--out", type=FOLDER, help="File to write.  [default: report.html in RUN]")
@click.option("--data", type=FOLDER, help="Folder of evaluation data: adds scores.")
@click.option(
    "--task",
    type=click.Choice(list(EVALUATIONS)),
    multiple=True,
    help="Score on this. May be given several times.  [default: all whose data is there but classification, which "
    "takes minutes]",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@common
def report(
    context: click.Context, vectors: Path, out: Path | None, data: Path | None, task: tuple[str, ...], force: bool
) -> None:
    """Write one page about a run: what went in, what it cost, loss, scores, neighbours, vocabulary, how to cite.

    RUN may be any folder of word vectors, those of `x2static baseline` too. The page is one HTML file, which needs
    nothing beside itself.
    """
    if task and data is None:
        raise click.UsageError("--task says what is scored on --data; give --data, too")
    file = vectors / "report.html" if out is None else out
    refuse_to_replace(file, force)
    require("train", "sweep")  # zarr; matplotlib and Jinja2
    from x2static.pipeline.run_report import RunReport

    made = RunReport(vectors, data, task)
    page = made.page(file).html().encode()
    end = end_of_links(file)
    end.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(end, page)
    scores = made.scores.figures if made.scores else {}
    figures = {"path": str(file), "bytes": len(page), "vocabulary": len(made.vectors), "dim": made.vectors.dim}
    figures |= {"cache": made.source.note, "scores": scores}
    scored = f"scored on {quantity(len(scores), 'task')}" if scores else "without scores; --data adds them"
    finish(context, figures, f"{file}: {size(len(page))}, {scored}")
