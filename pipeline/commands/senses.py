"""`x2static senses`: the senses of the words of vectors that are finished."""

from pathlib import Path

import click

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import require
from x2static.machine.screen import quantity
from x2static.pipeline.options import CACHE, FOLDER, TEXT, Command, common, finish
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.senses import SILHOUETTE, TOP


@click.command(cls=Command, epilog="Example: x2static senses runs/mine --cache cache/mine --show bank")
@click.argument("vectors", type=FOLDER)
@click.option(
    "--cache", type=CACHE, required=True, help="Cache that keeps occurrences of words (encode --occurrences)."
)
@click.option(
    "--silhouette",
    type=click.FloatRange(-1, 1),
    default=SILHOUETTE,
    show_default=True,
    help="How far apart groups of a word's occurrences are that count as senses; a lower one gives more words several.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=TOP,
    show_default=True,
    help="So many words are looked at, the most frequent; their states take 1 GB or more of memory.",
)
@click.option("--show", type=TEXT, multiple=True, help="Word whose senses are shown, with sentences of the cache.")
@common
def senses(
    context: click.Context, vectors: Path, cache: Path, silhouette: float, top: int, show: tuple[str, ...]
) -> None:
    """Find the senses of words, bank#1 and bank#2, and give each a vector.

    VECTORS is a run. Senses are groups of a word's occurrences in the cache; most words have one. WordVectors.senses
    returns them, and WordVectors.encode(..., senses=True) picks them by a sentence's other words.
    """
    require("train", "senses")
    from x2static.schemas.cache import Cache
    from x2static.schemas.vectors import WordVectors
    from x2static.stage2_train.senses import make_senses, sentence_at

    if unknown := [word for word in show if word not in WordVectors.load(vectors).index]:
        raise X2StaticError(f"--show {unknown[0]}: these vectors have no such word; leave it out")
    with ProgressLine("senses") as report:
        result = make_senses(vectors, cache, silhouette, top, report)
    looked_at = quantity(int(result["words_looked_at"]), "word")
    found = ", ".join(f"{count:,} with {n}" for n, count in result["words_by_senses"].items())
    lines = [f"{vectors}: senses of {looked_at} looked for: {found}, in {duration(result['seconds'])}"]
    loaded, opened = WordVectors.load(vectors), Cache.open(cache)
    for word in show:
        for sense in loaded.senses(word):
            lines.append(f"{sense.name}  {sense.share:.0%}  {', '.join(sense.neighbours)}")
            lines += [f"    {sentence_at(opened, *place)}" for place in sense.examples]
    finish(context, result, *lines)
