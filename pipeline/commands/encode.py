"""`x2static encode`: stage one."""

from typing import Any

import click

from pipeline.options import build, common, finish, option
from pipeline.terminal import ProgressLine, duration, size
from schemas.encoding import EncodeConfig


@click.command()
@option(EncodeConfig, "model", "Hugging Face model id, local model folder, or demo.")
@option(
    EncodeConfig,
    "corpus",
    "Text file (.txt, .gz, .bz2, .xz, .zst; one paragraph a line), hf://name/config:split#column, "
    "or demo. May be given several times.",
    type=str,
    multiple=True,
)
@option(EncodeConfig, "cache", "Folder that the cache is written to.")
@option(EncodeConfig, "context", "What the teacher reads at once.")
@option(
    EncodeConfig,
    "layer",
    "Layer whose states are averaged: last, 0 for the embeddings, n for block n, -1 and down from the end.",
    type=str,
)
@option(EncodeConfig, "limit", "At most so many paragraphs of each corpus, before the filter; raise it to go on.")
@option(EncodeConfig, "compat", "Reproduce the paper's reference implementation.")
@option(EncodeConfig, "dtype", "Number format of the stored vectors.")
@option(EncodeConfig, "precision", "Number format of the teacher.")
@option(EncodeConfig, "device", "Where the teacher runs.")
@option(EncodeConfig, "unit", "Paragraphs in a unit, and so in a shard.")
@option(EncodeConfig, "language", "Language of the text, for the sentence splitter.")
@option(EncodeConfig, "min_sentences", "Drop paragraphs with fewer sentences.")
@option(EncodeConfig, "min_characters", "Drop paragraphs with fewer characters.")
@option(EncodeConfig, "on_bad_text", "What to do about text that is not UTF-8, or a line that is too long.")
@option(EncodeConfig, "max_paragraph_bytes", "A longer line is bad text.")
@option(EncodeConfig, "revision", "Commit, tag or branch of a model on the hub.")
@option(EncodeConfig, "trust_remote_code", "Let a model run Python code of its own.")
@click.option("--plan", is_flag=True, help="Print what the run would take, and do nothing.")
@common
@click.pass_context
def encode(context: click.Context, /, plan: bool, **values: Any) -> None:
    """Run a corpus through the teacher once and write averaged context vectors to a cache.

    Run the same command again to go on where it stopped.
    """
    config = build(EncodeConfig, values)
    if plan:
        from stage1_encode.estimate import estimate

        figures = estimate(config)
        click.echo(_plan_text(figures))
        finish(context, figures)
        return
    from stage1_encode import encode as run

    with ProgressLine("encode") as report:
        result = run(config, report)
    click.echo(
        f"{config.cache}: {result['shards']:,} shards ({result['shards_resumed']:,} were there), "
        f"{result['contexts']:,} contexts, {result['words']:,} words, {size(result['cache_bytes'])}, "
        f"in {duration(result['seconds'])}"
    )
    finish(context, result)


def _plan_text(figures: dict[str, Any]) -> str:
    def count(name: str) -> str:
        return "unknown" if figures[name] is None else f"{figures[name]:,}"

    time = "unknown" if figures["seconds"] is None else duration(figures["seconds"])
    space = "unknown" if figures["cache_bytes"] is None else size(figures["cache_bytes"])
    return "\n".join(
        [
            f"units          {count('units')} ({count('units_left')} to do)",
            f"paragraphs     {count('paragraphs')}",
            f"sentences      {count('sentences')}",
            f"teacher tokens {count('teacher_tokens')} ({figures['tokens_per_second']:,.0f} a second here)",
            f"time           {time}",
            f"cache          {space}, free {size(figures['free_bytes'])}",
        ]
    )
