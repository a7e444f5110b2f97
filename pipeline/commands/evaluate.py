"""`x2static evaluate`: word vectors on word-similarity sets."""

from pathlib import Path

import click

from pipeline.options import common, finish
from pipeline.tables import similarity_table
from schemas.vectors import WordVectors


@click.command()
@click.argument("vectors", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--data", type=click.Path(path_type=Path), help="A file of pairs, or a folder of them; else gensim's sets."
)
@click.option("--task", type=click.Choice(["word-similarity"]), default="word-similarity", show_default=True)
@common
@click.pass_context
def evaluate(context: click.Context, vectors: tuple[Path, ...], data: Path | None, task: str) -> None:
    """Score word vectors; pairs with unknown words are left out and counted."""
    from evaluation.word_similarity import average, evaluate_word_similarity

    results = {str(folder): evaluate_word_similarity(WordVectors.load(folder), data) for folder in vectors}
    click.echo(similarity_table(results))
    figures = {
        name: {
            "tasks": {
                score.task: {"score": score.score, "covered": score.covered, "total": score.total} for score in scores
            },
            "average": average(scores),
        }
        for name, scores in results.items()
    }
    only = next(iter(figures.values())) if len(figures) == 1 else {}  # one set of vectors: its tasks stand at the top
    finish(context, {"task": task, **only, "vectors": figures})
