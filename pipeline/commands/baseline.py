"""`x2static baseline`: the competing methods."""

from typing import Any

import click

from x2static.pipeline.options import build, common, finish, given, option
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.baseline import METHODS, BaselineConfig


@click.command()
@click.argument("name", type=click.Choice(list(METHODS)))
@option(BaselineConfig, "out", "Folder of the vectors.")
@option(BaselineConfig, "cache", "Cache whose vocabulary, text and teacher are used.")
@option(
    BaselineConfig,
    "corpus",
    "Text to read instead of the cache's words; or where the cache's corpus is now. May be given several times.",
    type=str,
    multiple=True,
)
@option(BaselineConfig, "model", "Where the cache's teacher is now.")
@option(BaselineConfig, "layer", "Layer of the teacher: last, 0 for the embeddings, n for block n.", type=str)
@option(BaselineConfig, "pooling", "How a word's contextual vectors become one (ase).")
@option(BaselineConfig, "dim", "Dimensions, where the method can choose.")
@option(BaselineConfig, "min_count", "Leave out rarer words.")
@option(BaselineConfig, "max_vocab", "Keep at most so many words.")
@option(BaselineConfig, "vocab", "File of words, one a line: only these.")
@option(BaselineConfig, "epochs", "Passes over the text (skipgram, cbow, fasttext, sent2vec).")
@option(BaselineConfig, "window", "Words on either side of the target (skipgram, cbow, fasttext).")
@option(BaselineConfig, "negatives", "Negatives for each target (skipgram, cbow, fasttext, sent2vec).")
@option(BaselineConfig, "subsample", "Threshold of the subsampling of frequent words (likewise).")
@option(BaselineConfig, "vectors", "File of word vectors to read (load).")
@option(BaselineConfig, "seed", "Seed of every draw.")
@option(BaselineConfig, "threads", "Threads of gensim's methods; they repeat exactly with 1 alone.")
@option(BaselineConfig, "device", "Where the teacher runs.")
@option(BaselineConfig, "precision", "Number format of the teacher.")
@option(BaselineConfig, "trust_remote_code", "Let a model run Python code of its own.")
@common
@click.pass_context
def baseline(context: click.Context, /, name: str, **values: Any) -> None:
    """Make word vectors by another method, on the corpus and vocabulary of a cache."""
    config = build(BaselineConfig, {"name": name, **given(context, values)})
    from x2static.pipeline.baselines import make

    with ProgressLine(name) as report:
        result = make(config, report)
    done = "finished before" if result["finished_before"] else f"in {duration(result['seconds'])}"
    click.echo(f"{config.out}: {result['vocabulary']:,} words, {result['dim']} dimensions, {done}")
    finish(context, result)
