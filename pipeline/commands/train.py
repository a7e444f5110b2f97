"""`x2static train`: stage two."""

from typing import Any

import click

from x2static.machine.packages import require
from x2static.pipeline.options import build, common, finish, given, option
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.training import TrainConfig


@click.command()
@option(TrainConfig, "cache", "Cache to train from.")
@option(TrainConfig, "out", "Folder of the run: vectors, run.json, checkpoints.")
@option(TrainConfig, "objective", "The paper's training, or the closed form: one pass, good on little text.")
@option(TrainConfig, "transform", "Space of the contexts: as they are, centred, or whitened.")
@option(TrainConfig, "dim", "Dimensions, by PCA of the contexts; all of the teacher's by default.")
@option(TrainConfig, "init", "How the vectors begin.")
@option(TrainConfig, "epochs", "Passes over the cache.")
@option(TrainConfig, "lr", "Learning rate.")
@option(TrainConfig, "schedule", "How the learning rate falls.")
@option(TrainConfig, "warmup", "Epochs in which the learning rate rises.")
@option(TrainConfig, "negatives", "Negatives for each target.")
@option(TrainConfig, "negatives_mode", "Fresh negatives for each target, or a pool for each batch.")
@option(TrainConfig, "pool", "Words in a shared pool.")
@option(TrainConfig, "noise_power", "Negatives are drawn by count to this power.")
@option(TrainConfig, "subsample", "Threshold of the subsampling of frequent words; 0 keeps all.")
@option(TrainConfig, "min_count", "Leave out rarer words.")
@option(TrainConfig, "max_vocab", "Keep at most so many words.")
@option(TrainConfig, "vocab", "File of words, one a line: only these.")
@option(TrainConfig, "batch_size", "Paragraphs (or sentences) in a batch.")
@option(TrainConfig, "seed", "Seed of every draw.")
@option(TrainConfig, "device", "Where training runs.")
@option(TrainConfig, "compat", "Keep the paper's settings.")
@option(
    TrainConfig, "continue", "Begin with the vectors of a finished run, carried over by word.", field="continue_run"
)
@option(TrainConfig, "partial", "Train on what is committed of a cache that is not finished.")
@option(TrainConfig, "checkpoint_minutes", "Time between checkpoints; 0 saves after every batch.")
@option(TrainConfig, "buffer_megabytes", "Contexts held in memory (the device's) and shuffled together.")
@common
@click.pass_context
def train(context: click.Context, /, **values: Any) -> None:
    """Train word vectors from a cache; the teacher is not needed.

    Run the same command again to go on where it stopped.
    """
    config = build(TrainConfig, given(context, values))
    require("train")
    from x2static.stage2_train.trainer import train as run

    with ProgressLine("train") as report:
        result = run(config, report)
    loss = "" if result["loss"] is None else f", loss {result['loss']:.4f}"
    done = "finished before" if result["finished_before"] else f"in {duration(result['seconds'])}"
    click.echo(f"{config.out}: {result['vocabulary']:,} words, {result['dim']} dimensions{loss}, {done}")
    finish(context, result)
