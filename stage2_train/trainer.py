"""Stage two as a whole: a cache in, a folder of word vectors out."""

import logging
import time
from dataclasses import replace
from typing import Any

import torch

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer
from x2static.machine.device import pick_device
from x2static.machine.progress import Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import compiled
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives import closed_form, negative_sampling
from x2static.stage2_train.objectives.negative_sampling import AfterEpoch, go_on_training
from x2static.stage2_train.outcome import Outcome, record
from x2static.stage2_train.predecessor import Predecessor
from x2static.stage2_train.preparation import Preparation
from x2static.stage2_train.run_folder import SETTINGS, RunFolder, settings_of, shards_begun_with
from x2static.stage2_train.schedule import check_warmup
from x2static.stage2_train.shard_choice import choose_shards
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.transform import refuse_more_dimensions
from x2static.stage2_train.vocabulary import Vocabulary, WordList, build_vocabulary

logger = logging.getLogger(__name__)


def train(config: TrainConfig, report: Report = silent, after_epoch: AfterEpoch = go_on_training) -> dict[str, Any]:
    """Train word vectors from a cache, or go on where an earlier call was stopped.

    The folder `config.out` afterwards holds vectors.safetensors, vocabulary.arrow, word_segmentation.json (where the
    cache has it) and, written last, run.json; beside them settings.json and checkpoints/.

    Args:
        config: what to do.
        report: hears how many words were read.
        after_epoch: hears the mean losses after each epoch but the last, its checkpoint written (the closed form has
            no epochs); what it raises ends the training, which can go on later.

    Returns:
        vocabulary, dim, epochs, steps, targets, loss (mean of the last epoch; None for the closed form), seconds,
        words_per_second, data_wait (share of the seconds spent waiting for data); `resumed`, whether this call went on
        from a checkpoint; `finished_before`, whether there was nothing left to do, and then nothing was touched.

    Raises:
        X2StaticError: input that cannot be used; the message says what, where and what to do.
        Interrupted: by SIGINT or SIGTERM, after the state was saved.
        OSError: the result or a checkpoint cannot be written.
    """
    device = pick_device(config.device)
    cache = Cache.open(config.cache)
    check_warmup(config)
    choice = choose_shards(cache, config.partial, shards_begun_with(config.out) if config.partial else None)
    refuse_more_dimensions(config, cache.manifest.encoding.dim)
    cache.segmentation()  # refused now, not after the training
    allowed = WordList.load(config.vocab) if config.vocab is not None else None
    predecessor = _predecessor(config, cache)
    settings = settings_of(config, cache, choice, allowed)
    if predecessor is not None:
        settings["continue"] = predecessor.content
    run = RunFolder(config.out, settings)
    figures = _finished(run, config)
    if figures is not None:
        logger.info("%s: this run has finished before", config.out)
        return {**figures, "resumed": False, "finished_before": True}
    # Before the folder is claimed: a vocabulary that is empty must not leave settings behind that refuse the next try.
    vocabulary = build_vocabulary(choice.shards, config, allowed)
    history = _history(predecessor, vocabulary)
    with only_writer(config.out, "run"):
        run.claim()
        if predecessor is not None:
            predecessor.hand_down(run.path)
        stream = Stream(cache, choice.shards, vocabulary, config)
        try:
            outcome = _fit(config, run, stream, vocabulary, device, report, predecessor, after_epoch)
        except torch.OutOfMemoryError as error:
            raise X2StaticError(
                f"{config.out}: the device's memory does not hold {len(vocabulary):,} vectors, their moments and a "
                f"buffer of {config.buffer_megabytes} MB; lower --max-vocabulary, --dim or --buffer-megabytes, or "
                "give --device cpu"
            ) from error
        _save(outcome, vocabulary, cache, run, config, {"device": device.type, **history})
    return {**outcome.figures(vocabulary), "resumed": outcome.resumed, "finished_before": False}


def _predecessor(config: TrainConfig, cache: Cache) -> Predecessor | None:
    """Return the run that --continue names, once it is known to fit.

    Raises:
        X2StaticError: it cannot be continued so.
    """
    if config.continue_run is None:
        return None
    predecessor = Predecessor.open(config.continue_run)
    predecessor.check(config, cache)
    if not (config.out / SETTINGS).is_file():  # a damaged one is found before the folder is claimed for it
        logger.info("beginning with %s", predecessor.tensors)
    return predecessor


def _history(predecessor: Predecessor | None, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return what run.json says of the run that is continued, if one is.

    Raises:
        X2StaticError: no word is in both vocabularies.
    """
    if predecessor is None:
        return {}
    record = predecessor.record(vocabulary)
    names = ("words_carried_over", "words_new", "words_dropped")
    logger.info("%s: %s words carried over, %s new, %s dropped", predecessor.folder, *(record[name] for name in names))
    return {"continued": record}


def _finished(run: RunFolder, config: TrainConfig) -> dict[str, Any] | None:
    """Return the figures of a run that has nothing left to do.

    Raises:
        X2StaticError: it has done more epochs than are asked for.
    """
    figures = run.finished()
    if figures is None or config.objective == "closed-form":  # which makes one pass, whatever `epochs` says
        return figures
    if figures["epochs"] > config.epochs:
        raise negative_sampling.too_few_epochs(config, figures["epochs"])
    return figures if figures["epochs"] == config.epochs else None


def _fit(
    config: TrainConfig,
    run: RunFolder,
    stream: Stream,
    vocabulary: Vocabulary,
    device: torch.device,
    report: Report,
    predecessor: Predecessor | None,
    after_epoch: AfterEpoch,
) -> Outcome:
    if config.objective == "closed-form":
        return closed_form.fit(stream, vocabulary, config, run.settings["cache_content"], report)
    began = time.monotonic()
    if compiled.is_large(device, len(vocabulary) * stream.dim):
        compiled.compiling()  # while the cache is read for the first time
    preparation = Preparation(config, run, stream, vocabulary, report)
    transform = preparation.transform
    transformed = stream.transformed(transform)

    def begin(fresh: Learner) -> float:
        preparation.begin(fresh.vectors)
        if predecessor is not None:
            predecessor.carry_over(fresh, vocabulary)
        return time.monotonic() - began

    learner = preparation.learner(device)
    outcome = negative_sampling.fit(config, run, transformed, vocabulary, learner, begin, report, after_epoch)
    return replace(outcome, vectors=outcome.vectors[:, : transform.dim(stream.dim)])  # the bias is not exported


def _save(
    outcome: Outcome,
    vocabulary: Vocabulary,
    cache: Cache,
    run: RunFolder,
    config: TrainConfig,
    more: dict[str, Any],
) -> None:
    told = {**record(outcome, vocabulary, cache, run.settings["cache_content"], config), **more}
    if "shards" in run.settings:
        told["cache"]["shards"] = run.settings["shards"]
    vectors = WordVectors(
        words=vocabulary.words.to_pylist(),
        matrix=outcome.vectors,
        counts=vocabulary.counts,
        segmentation=cache.segmentation(),
        run=told,
    )
    run.finish(vectors)
    logger.info("%s: %s vectors of %d dimensions", run.path, f"{len(vectors):,}", vectors.dim)
