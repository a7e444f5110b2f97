"""Stage two as a whole: a cache in, a folder of word vectors out."""

import logging
from typing import Any

import torch

from schemas.cache import Cache, missing_shards
from schemas.device import pick_device
from schemas.errors import X2StaticError
from schemas.progress import Report, silent
from schemas.shard import Shard
from schemas.storage import only_writer
from schemas.training import TrainConfig
from schemas.vectors import WordVectors
from stage2_train import closed_form, negative_sampling
from stage2_train.learner import Learner
from stage2_train.negative_sampling import AfterEpoch, go_on_training
from stage2_train.outcome import Outcome, record
from stage2_train.run_folder import RunFolder, settings_of
from stage2_train.stream import Stream
from stage2_train.vocabulary import Vocabulary, WordList, build_vocabulary

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
        words_per_second; `resumed`, whether this call went on from a checkpoint; `finished_before`, whether there was
        nothing left to do, and then nothing was touched.

    Raises:
        X2StaticError: input that cannot be used; the message says what, where and what to do.
        Interrupted: by SIGINT or SIGTERM, after the state was saved.
        OSError: the result or a checkpoint cannot be written.
    """
    device = pick_device(config.device)
    cache = Cache.open(config.cache)
    shards = complete_shards(cache)
    cache.segmentation()  # refused now, not after the training
    allowed = WordList.load(config.vocab) if config.vocab is not None else None
    run = RunFolder(config.out, settings_of(config, cache, shards, allowed))
    figures = _finished(run, config)
    if figures is not None:
        logger.info("%s: this run has finished before", config.out)
        return {**figures, "resumed": False, "finished_before": True}
    # Before the folder is claimed: a vocabulary that is empty must not leave settings behind that refuse the next try.
    vocabulary = build_vocabulary(shards, config, allowed)
    with only_writer(config.out, "run"):
        run.claim()
        outcome = _fit(config, run, Stream(cache, shards, vocabulary, config), vocabulary, device, report, after_epoch)
        _save(outcome, vocabulary, cache, run, config, device)
    return {**outcome.figures(vocabulary), "resumed": outcome.resumed, "finished_before": False}


def complete_shards(cache: Cache) -> list[Shard]:
    """Return the shards of a cache that is whole.

    Raises:
        X2StaticError: there are none, some are missing or damaged, or the corpus was not read to its end.
    """
    shards = dict(zip(cache.indices(), cache.shards(), strict=True))
    missing = missing_shards(cache.plans(), {index: shard.marker for index, shard in shards.items()})
    if not shards:
        raise X2StaticError(f"{cache.path}: the cache holds no shards; finish `x2static encode` first")
    if missing is None:
        raise X2StaticError(
            f"{cache.path}: the cache is incomplete, its corpus was not read to its end; finish `x2static encode` first"
            f" (the same command goes on where it stopped)"
        )
    if missing:
        raise X2StaticError(
            f"{cache.path}: the cache is incomplete, {len(missing)} of {len(shards) + len(missing)} shards are missing "
            f"(the first is {missing[0]}); finish `x2static encode` first (the same command goes on where it stopped)"
        )
    return list(shards.values())


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
    after_epoch: AfterEpoch,
) -> Outcome:
    if config.objective == "closed-form":
        return closed_form.fit(stream, vocabulary, stream.dim, config.transform, report)
    learner = Learner.from_seed((len(vocabulary), stream.dim), config.lr, config.seed, device)
    return negative_sampling.fit(config, run, stream, vocabulary, learner, report, after_epoch)


def _save(
    outcome: Outcome,
    vocabulary: Vocabulary,
    cache: Cache,
    run: RunFolder,
    config: TrainConfig,
    device: torch.device,
) -> None:
    content = run.settings["cache_content"]
    vectors = WordVectors(
        words=vocabulary.words.to_pylist(),
        matrix=outcome.vectors,
        counts=vocabulary.counts,
        segmentation=cache.segmentation(),
        run={**record(outcome, vocabulary, cache, content, config), "device": device.type},
    )
    run.finish(vectors)
    logger.info("%s: %s vectors of %d dimensions", run.path, f"{len(vectors):,}", vectors.dim)
