"""`x2static demo`: from text to word vectors in a minute, with a teacher and texts that come as packages."""

import textwrap
import time
from pathlib import Path

import click

from x2static.machine.packages import require
from x2static.pipeline.commands.encode import read_words_alone
from x2static.pipeline.options import FOLDER, Command, common, finish, say
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.training import TrainConfig

NEIGHBOURS_OF = "king music war computer river doctor football animal government language city film".split()


def encode_config(folder: Path) -> EncodeConfig:
    """Return the demo's stage one: without headings and list items, as it was measured (docs/LOG.md, 2026-11-21)."""
    return EncodeConfig(model="demo", corpus=("demo",), cache=folder / "cache", min_characters=140)


@click.command(cls=Command, epilog="Example: x2static demo --out demo")
@click.option("--out", type=FOLDER, default=Path("demo"), show_default=True, help="Folder to write to.")
@common
def demo(context: click.Context, out: Path) -> None:
    """Distil all-MiniLM-L6-v2 from half a million words, score the vectors and show neighbours."""
    require("encode", "demo", "evaluate")
    from x2static.evaluation.word_similarity import evaluate_word_similarity
    from x2static.pipeline.evaluations.word_similarity import similarity_table
    from x2static.schemas.vectors import WordVectors
    from x2static.stage1_encode.encode import encode
    from x2static.stage1_encode.plan.origin import Origin
    from x2static.stage1_encode.pools.word_states import WordStates
    from x2static.stage2_train.trainer import train

    cache, folder = out / "cache", out / "vectors"
    # Of half a million words there are too few steps to learn from: the views alone (docs/LOG.md, 2026-11-28).
    config = TrainConfig(cache=cache, out=folder, objective="views", min_count=3)
    started = time.perf_counter()
    click.echo("1. encode: Wikipedia and news that come with gensim, through all-MiniLM-L6-v2", err=True)
    with ProgressLine("encode") as report:
        encoded = encode(encode_config(out), report, [WordStates()])
    read_words_alone(cache, Origin(None, (), "auto", False), config.min_count)
    click.echo("2. train: what the teacher made of each word, put together, from the cache alone", err=True)
    with ProgressLine("train") as report:
        trained = train(config, report)
    seconds = time.perf_counter() - started
    vectors = WordVectors.load(folder)
    scores = evaluate_word_similarity(vectors)
    say(context, similarity_table({"demo": scores}).terminal())
    say(context, "\nnearest neighbours")
    for word in NEIGHBOURS_OF:
        if word in vectors:
            near = ", ".join(other for other, _ in vectors.most_similar(word, topn=8))
            say(context, f"  {word:<11} " + textwrap.shorten(near, 86, placeholder=" ..."))
    before = encoded["shards"] == encoded["shards_resumed"] and trained["finished_before"]
    tasks = {score.task: {"score": score.score, "covered": score.covered, "total": score.total} for score in scores}
    finish(
        context,
        {"finished_before": before, "seconds": round(seconds, 3), "tasks": tasks},
        f"\n{'Everything was done before' if before else 'Done in ' + duration(seconds)}:",
        f"  cache   {cache} (train again with other settings: x2static train --cache {cache} ...)",
        f"  vectors {folder} ({len(vectors):,} words of {vectors.dim} dimensions)",
        f"  in Python: from x2static import WordVectors; WordVectors.load({str(folder)!r})",
    )
