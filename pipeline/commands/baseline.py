"""`x2static baseline`: the competing methods."""

from typing import Any

import click

from x2static.machine.screen import quantity
from x2static.pipeline.options import Command, build, common, finish, given, options
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.baseline import METHODS, BaselineConfig


@click.command(cls=Command, epilog="Example: x2static baseline skipgram --cache cache/mine --out runs/skipgram")
@click.argument("name", type=click.Choice(list(METHODS)))
@options(
    BaselineConfig,
    out="Folder of the vectors.",
    cache="Cache whose vocabulary, text and teacher are used.",
    corpus="Text to read instead of the cache's words; or where the cache's corpus is now. May be given several times.",
    model="Where the cache's teacher is now.",
    layer="Layer of the teacher: last, 0 for the embeddings, n for block n.",
    pooling="How a word's contextual vectors become one (ase).",
    dim="Dimensions, where the method can choose.",
    min_count="Leave out rarer words.",
    max_vocab="Keep at most so many words.",
    vocab="File of words, one a line: only these.",
    epochs="Passes over the text (skipgram, cbow, fasttext, sent2vec).",
    window="Words on either side of the target (skipgram, cbow, fasttext, ppmi).",
    negatives="Negatives for each target (skipgram, cbow, fasttext, sent2vec).",
    subsample="Threshold of the subsampling of frequent words (likewise).",
    vectors="File of word vectors to read (load).",
    seed="Seed of every draw.",
    threads="Threads of gensim's methods; they repeat exactly with 1 alone.",
    device="Where the teacher runs.",
    precision="Number format of the teacher.",
    trust_remote_code="Let a model run Python code of its own.",
)
@common
def baseline(context: click.Context, /, name: str, **values: Any) -> None:
    """Make word vectors by another method, on the corpus and vocabulary of a cache."""
    config = build(BaselineConfig, {"name": name, **given(context, values)})
    from x2static.pipeline.baselines import make

    with ProgressLine(name) as report:
        result = make(config, report)
    done = "finished before" if result["finished_before"] else f"in {duration(result['seconds'])}"
    words = quantity(result["vocabulary"], "word")
    finish(context, result, f"{config.out}: {words}, {result['dim']} dimensions, {done}")
