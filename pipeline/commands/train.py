"""`x2static train`: stage two."""

import shlex
from functools import partial
from typing import Any

import click

from x2static.machine.packages import require
from x2static.machine.screen import quantity
from x2static.pipeline.commands import subwords
from x2static.pipeline.engines.places import PLACE_OPTIONS, place, place_options
from x2static.pipeline.options import CACHE, RUN, Command, build, common, finish, given, options
from x2static.pipeline.terminal import ProgressLine, duration
from x2static.schemas.mirror import RunView
from x2static.schemas.training import PURPOSES, TrainConfig


@click.command(cls=Command, epilog="Example: x2static train --cache cache/mine --out runs/mine")
@options(
    TrainConfig,
    cache=("Cache to train from, a folder or s3://BUCKET/FOLDER (gs://, az://).", CACHE),
    out=("Folder of the run: vectors, run.json, checkpoints; or s3://BUCKET/FOLDER.", RUN),
    objective="The paper's training, its closed form, what the teacher makes of the words, or means of words.",
    transform="Space of the contexts: as they are, centred, or whitened.",
    dim="Dimensions, by PCA of the contexts; all of the teacher's by default.",
    init="How the vectors begin; auto: at the views of the words where the cache has them, else at the closed form.",
    prior="Negative sampling from views: a pseudo-count, how many targets outweigh the pull to the views [default: "
    "1000].",
    epochs="Passes over the cache.",
    lr="Learning rate.",
    schedule="How the learning rate falls.",
    warmup="Epochs in which the learning rate rises.",
    negatives="Negatives for each target.",
    negatives_mode="Fresh negatives for each target, or a pool for each batch.",
    pool="Words in a shared pool.",
    noise_power="Negatives are drawn by count to this power.",
    subsample="Threshold of the subsampling of frequent words; 0 keeps all.",
    context_map="Negative sampling: learn a linear map of the contexts, too, at so many times the learning rate; 0 for "
    "none. It helps vectors that begin --init uniform, and no others (docs/LOG.md).",
    state_layers="Views: layers whose own states are put together, such as 0+last, of those that encode --state-layers "
    "has kept [default: the cache's].",
    phrases="Views: weight of the words read in carrier phrases, beside their own states.",
    dictionary="Views: weight of the words read with what a dictionary says of them; 0 does not use it.",
    synonyms="Views: weight of the mean of a word's synonyms in the dictionary; 0 does not use them.",
    test_pairs="Views: file or folder of word pairs that are tested on; no two words of a line count as synonyms.",
    regression="Views: weight of the regression of sentences on their words.",
    closed_form="Views: weight of the closed form in the whitened space.",
    masked="Views: weight of the mean of a word's masked contexts.",
    components="Views: principal components that are taken out of the own states.",
    neighbours="Views: nearest words that each is drawn to.",
    neighbour_weight="Views: weight of their mean.",
    sif="Views: a of a vector's length a / (a + its share of the words), so that means are good sentence vectors.",
    centre_languages="Take the mean direction of each language's words out of their vectors (encode --mark-language).",
    means_of="Objective sentence: means of the words of a sentence, or of a whole paragraph.",
    contexts="What is learnt from: all sentences, or the masked contexts that encode --masked has read, a target each.",
    min_count="Leave out rarer words.",
    max_vocab="Keep at most so many words.",
    vocab="File of words, one a line: only these.",
    multiword="File of entries such as new york, one a line: each is trained as one word, new_york.",
    batch_size="Paragraphs (or sentences) in a batch.",
    seed="Seed of every draw.",
    device="Where training runs.",
    compat="Keep the paper's settings.",
    continue_run="Begin with the vectors of a finished run, carried over by word.",
    partial="Train on what is committed of a cache that is not finished.",
    checkpoint_minutes="Time between checkpoints; 0 saves after every batch.",
    buffer_megabytes="Contexts held in memory (the device's) and shuffled together.",
)
@click.option(
    "--for",
    type=click.Choice(list(PURPOSES)),
    default="words",
    show_default=True,
    help="What the vectors are for: likeness of words, or of sentences, as means of words; it chooses objective and "
    "space.",
)
@click.option(
    "--subwords",
    is_flag=True,
    help="Afterwards, give words outside the vocabulary vectors, by their spelling: see x2static subwords.",
)
@click.option(
    "--parts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Parts of the vocabulary, each trained for itself and joined to what one training gives; they share out the "
    "memory and the work, not the reading.",
)
@place_options
@click.option("--jobs", type=click.IntRange(min=1), help="Parts at a time; all by default.")
@common
def train(context: click.Context, /, **values: Any) -> None:
    """Train word vectors from a cache; the teacher is not needed.

    Run the same command again to go on where it stopped.
    """
    purpose, with_subwords = values.pop("for"), values.pop("subwords")  # "for" is no name for an argument
    parts, at_once = values.pop("parts"), values.pop("jobs")
    where = {name: values.pop(name) for name in PLACE_OPTIONS}
    if at_once and parts == 1:
        raise click.UsageError("--jobs is a number of --parts at a time; give --parts, or leave it out")
    if purpose != "words" and values["compat"]:
        raise click.UsageError(f"--for {purpose} is not what --compat {values['compat']} trains; leave one of them out")
    config = build(TrainConfig, {**PURPOSES[purpose], **given(context, values)})
    require("train")
    from x2static.stage2_train.trainer import train as run

    at_once = min(at_once or parts, parts)
    with place(at_once, config.device, **where) as machines, ProgressLine("train") as report:
        if parts == 1 and where["engine"] == "local":
            result = run(config, report)
        else:
            from x2static.pipeline.engines.parts import run_parts
            from x2static.stage2_train.parts import train_in_parts

            hand_out = partial(run_parts, place=machines, at_once=at_once, report=report)
            result = train_in_parts(config, parts, hand_out, report)
    loss = "" if result["loss"] is None else f", loss {result['loss']:.4f}"
    done = "finished before" if result["finished_before"] else f"in {duration(result['seconds'])}"
    lines = [f"{config.out}: {quantity(result['vocabulary'], 'word')}, {result['dim']} dimensions{loss}, {done}"]
    if with_subwords:
        result["subwords"] = subwords.add(config.out)
        lines.append(subwords.line(config.out, result["subwords"]))
    if view := RunView.of(config.out):
        view.push()
    finish(context, result, *lines)


def command_line(config: TrainConfig) -> str:
    """Return the command that asks for a configuration, but for --out: all that is no default under its --compat."""
    words = ["x2static", "train", "--cache", str(config.cache), "--out", "DIR"]
    if config.compat is not None:
        words += ["--compat", config.compat]
    usual = TrainConfig(cache=config.cache, out=config.out, compat=config.compat)
    for name in TrainConfig.model_fields:
        value = getattr(config, name)
        if value != getattr(usual, name):
            option = f"--{name.removesuffix('_run').replace('_', '-')}"
            words += [option] if value is True else [option, str(value)]
    return shlex.join(words)
