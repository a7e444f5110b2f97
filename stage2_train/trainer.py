"""Stage two as a whole: a cache in, a folder of word vectors out."""

import logging
import time
from functools import cache as once
from typing import Any

import torch
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer
from x2static.machine.device import pick_device
from x2static.machine.packages import package_version
from x2static.machine.progress import Report, silent
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import learner as arithmetic
from x2static.stage2_train.buffer import CPU
from x2static.stage2_train.checkpoint import SETTINGS, TRANSFORM, RunFolder, TrainingState, shards_begun_with
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.moments import Moments, fit_transform, gather
from x2static.stage2_train.objectives.objective import BaseObjective, load_objective
from x2static.stage2_train.predecessor import Predecessor
from x2static.stage2_train.sampling import Position, draws_of
from x2static.stage2_train.schedule import Schedule, check_warmup
from x2static.stage2_train.shards import ShardChoice, choose_shards
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.training import AfterEpoch, Training
from x2static.stage2_train.transform import IDENTITY, Transform
from x2static.stage2_train.vocabulary import Vocabulary, WordList, build_vocabulary

# What cannot change the vectors, or is known by its content (vocab, cache, continue, partial) or what it sets (compat).
# `epochs` may grow, unless the schedule depends on the end. A device, like a number of threads, changes the order of
# additions, and an accelerator draws other numbers; it is recorded but not refused: a run may move to another machine.
NO_SETTINGS = {
    "cache",
    "out",
    "vocab",
    "epochs",
    "device",
    "compat",
    "continue_run",
    "partial",
    "checkpoint_minutes",
}
# Below it, little is learned: 690 steps over ten million words gave an average similarity of 0.24, 3,450 gave 0.44
# (docs/LOG.md, 2026-11-21).
FEW_STEPS = 1000

logger = logging.getLogger(__name__)


def go_on_training(losses: list[float]) -> None:
    """Do nothing after an epoch."""


def train(config: TrainConfig, report: Report = silent, after_epoch: AfterEpoch = go_on_training) -> dict[str, Any]:
    """Train word vectors from a cache, or go on where an earlier call was stopped.

    The folder `config.out` afterwards holds vectors.safetensors, vocabulary.arrow, word_segmentation.json (where the
    cache has it) and, written last, run.json; beside them settings.json and checkpoints/.

    Args:
        config: what to do.
        report: hears how many words were read.
        after_epoch: hears the mean losses after each epoch but the last, its checkpoint written (an objective without
            steps has no epochs); what it raises ends the training, which can go on later.

    Returns:
        vocabulary, dim, epochs, steps, targets, loss (mean of the last epoch; None without steps), seconds,
        words_per_second (of the vocabulary, those subsampled away too), data_wait (share of the seconds spent waiting
        for data); `resumed`, whether this call went on from a checkpoint; `finished_before`, whether there was nothing
        left to do, and then nothing was touched.

    Raises:
        X2StaticError: input that cannot be used; the message says what, where and what to do.
        Interrupted: by SIGINT or SIGTERM, after the state was saved.
        OSError: the result or a checkpoint cannot be written.
    """
    device = pick_device(config.device)
    cache = Cache.open(config.cache)
    objective = load_objective(config.objective)(config)
    if objective.takes_steps:
        check_warmup(config.warmup, config.epochs)
    choice = choose_shards(cache, config.partial, shards_begun_with(config.out) if config.partial else None)
    _refuse_more_dimensions(config, cache.manifest.encoding.dim)
    cache.segmentation()  # refused now, not after the training
    allowed = WordList.load(config.vocab) if config.vocab is not None else None
    predecessor = _predecessor(config, objective, cache)
    run = RunFolder(config.out, _settings(config, objective, cache, choice, allowed, predecessor))
    figures = run.figures()
    if figures is not None and objective.takes_steps:
        _refuse_fewer_epochs(config, figures["epochs"])
    if figures is not None and (figures["epochs"] == config.epochs or not objective.takes_steps):
        logger.info("%s: this run has finished before", config.out)
        return {**figures, "resumed": False, "finished_before": True}
    # Before the folder is claimed: a vocabulary that is empty must not leave settings behind that refuse the next try.
    vocabulary = build_vocabulary(config.cache, choice.shards, config.min_count, config.max_vocab, allowed)
    continued = {} if predecessor is None else {"continued": predecessor.record(vocabulary)}
    with only_writer(config.out, "run"):
        run.claim()
        if predecessor is not None:
            predecessor.hand_down(run.path)
        stream = Stream(
            cache,
            choice.shards,
            vocabulary,
            seed=config.seed,
            batch_size=config.batch_size,
            buffer_megabytes=config.buffer_megabytes,
            device=device if objective.takes_steps else CPU,
        )
        try:
            vectors, state, resumed = _fit(config, objective, run, stream, vocabulary, predecessor, report, after_epoch)
        except torch.OutOfMemoryError as error:
            raise X2StaticError(
                f"{config.out}: the device's memory does not hold {len(vocabulary):,} vectors, their moments and a "
                f"buffer of {config.buffer_megabytes} MB; lower --max-vocab, --dim or --buffer-megabytes, or give "
                "--device cpu"
            ) from error
        epochs = config.epochs if objective.takes_steps else 1
        figures = _figures(vocabulary, vectors.shape[1], epochs, state)
        record = {
            **figures,
            "losses": state.losses,
            "words": vocabulary.total,
            "configuration": config.model_dump(mode="json"),
            "cache": cache.origin(run.settings["cache_content"]),
            "versions": {name: package_version(name) for name in ("x2static", "torch", "numpy")},
            "threads": torch.get_num_threads(),
            "device": device.type,
            **continued,
        }
        if choice.listed is not None:
            record["cache"]["shards"] = choice.listed
        WordVectors(
            words=vocabulary.words.to_pylist(),
            matrix=vectors.cpu().numpy(),
            counts=vocabulary.counts,
            segmentation=cache.segmentation(),
            run=record,
        ).save(run.path)
        logger.info("%s: %s vectors of %d dimensions", run.path, f"{len(vectors):,}", vectors.shape[1])
    return {**figures, "resumed": resumed, "finished_before": False}


def _refuse_more_dimensions(config: TrainConfig, contexts: int) -> None:
    if config.dim is not None and config.dim > contexts:
        raise X2StaticError(
            f"{config.cache}: --dim {config.dim} asked for, but its contexts have {contexts} dimensions; give "
            f"{contexts} or less, or leave out --dim"
        )


def _refuse_fewer_epochs(config: TrainConfig, begun: int) -> None:
    if begun > config.epochs:
        raise X2StaticError(
            f"{config.out}: --epochs {config.epochs} asked for, but this run has begun or finished epoch {begun}; ask "
            f"for {begun} or more, or give another --out"
        )


def _predecessor(config: TrainConfig, objective: BaseObjective, cache: Cache) -> Predecessor | None:
    """Return the run that --continue names, once it is known to fit."""
    if config.continue_run is None:
        return None
    predecessor = Predecessor.open(config.continue_run)
    if not objective.takes_steps:
        raise X2StaticError(
            f"--continue {predecessor.folder}: {config.objective} begins from nothing; leave out --continue"
        )
    predecessor.check(config.out, cache, config.transform, config.dim)
    if not (config.out / SETTINGS).is_file():  # a damaged one is found before the folder is claimed for it
        logger.info("beginning with %s", predecessor.tensors)
    return predecessor


def _settings(
    config: TrainConfig,
    objective: BaseObjective,
    cache: Cache,
    choice: ShardChoice,
    allowed: WordList | None,
    predecessor: Predecessor | None,
) -> dict[str, Any]:
    """Return what identifies a run: all that can change its vectors.

    The number of epochs counts only where earlier steps depend on it, the shards' numbers only where not all are meant.
    """
    settings = {
        **config.model_dump(mode="json", exclude=NO_SETTINGS),
        "vocab": allowed.sha256 if allowed is not None else None,
        "cache_content": content_of(choice.shards),
        "encoding": cache.manifest.fingerprint,
    }
    if objective.takes_steps and config.schedule != "constant":
        settings["epochs"] = config.epochs
    if choice.listed is not None:
        settings["shards"] = choice.listed
    if predecessor is not None:
        settings["continue"] = predecessor.content
    return settings


def _fit(
    config: TrainConfig,
    objective: BaseObjective,
    run: RunFolder,
    stream: Stream,
    vocabulary: Vocabulary,
    predecessor: Predecessor | None,
    report: Report,
    after_epoch: AfterEpoch,
) -> tuple[Tensor, TrainingState, bool]:
    """Return the vectors without their bias, (vocabulary, dim), the state at the end, and whether the run went on."""
    if objective.takes_steps and arithmetic.pays(stream.device, len(vocabulary) * stream.dim):
        arithmetic.compiling()  # while the cache is read for the first time
    transform, learner, state, resumed = _begin(config, objective, run, stream, vocabulary, predecessor, report)
    vectors = learner.vectors[:, : transform.dim(stream.dim)]
    if not objective.takes_steps:
        state.targets = vocabulary.total
        return vectors, state, resumed
    words, epochs = vocabulary.total, config.epochs
    training = Training(
        run=run,
        objective=objective,
        draws=draws_of(config.seed, vocabulary.counts, config.subsample, config.noise_power, stream.device),
        stream=stream,
        transform=transform,
        learner=learner,
        state=state,
        schedule=Schedule(config.lr, config.schedule, config.warmup * words, epochs * words),
        epochs=epochs,
        words=words,
        checkpoint_seconds=60 * config.checkpoint_minutes,
        report=report,
    )
    training.go_on(after_epoch)
    if state.steps < FEW_STEPS and not objective.needs_words and predecessor is None:
        logger.warning(
            "%d steps are too few to learn much from; train for more --epochs, or by --objective closed-form "
            "--transform whiten",
            state.steps,
        )
    return vectors, state, resumed


def _begin(
    config: TrainConfig,
    objective: BaseObjective,
    run: RunFolder,
    stream: Stream,
    vocabulary: Vocabulary,
    predecessor: Predecessor | None,
    report: Report,
) -> tuple[Transform, Learner, TrainingState, bool]:
    """Return the space, the vectors and the state of the newest checkpoint, or of a new run; and which of the two.

    One pass over the cache serves the transform and the first vectors. A run that goes on finds the transform in its
    folder and its vectors in a checkpoint: then there is no pass. The sums are gone afterwards.
    """
    began = time.monotonic()

    @once
    def moments() -> Moments:
        return gather(stream, vocabulary, report, objective.needs_words)

    if config.transform == "none" and config.dim is None:
        transform = IDENTITY
    elif (run.path / TRANSFORM).is_file():
        transform = Transform.load(run.path / TRANSFORM)
    else:
        transform = fit_transform(config.transform, config.dim, moments(), run.settings["cache_content"])
        if objective.takes_steps:
            transform.save(run.path / TRANSFORM)
            logger.info("%s: fitted on %s words", run.path / TRANSFORM, f"{vocabulary.total:,}")
    learner = Learner.zeros((len(vocabulary), transform.width(stream.dim)), stream.device)
    state = run.load(learner)
    if state is not None:
        _refuse_fewer_epochs(config, state.position.epoch + (state.position > Position(state.position.epoch)))
        logger.info("going on at epoch %d, step %s", state.position.epoch + 1, f"{state.steps:,}")
        return transform, learner, state, True
    objective.begin(learner.vectors, vocabulary.counts, transform, moments)
    if predecessor is not None:
        predecessor.carry_over(learner, vocabulary)
    state = TrainingState(
        steps=learner.steps,
        steps_before=learner.steps,
        seconds=time.monotonic() - began,
        seconds_waited=stream.seconds_waited,
    )
    return transform, learner, state, False


def _figures(vocabulary: Vocabulary, dim: int, epochs: int, state: TrainingState) -> dict[str, Any]:
    seconds = max(state.seconds, 1e-9)
    return {
        "vocabulary": len(vocabulary),
        "dim": dim,
        "epochs": epochs,
        "steps": state.steps - state.steps_before,
        "targets": state.targets,
        "loss": state.losses[-1] if state.losses else None,
        "seconds": round(state.seconds, 3),
        "words_per_second": round(vocabulary.total * epochs / seconds),
        "data_wait": round(state.seconds_waited / seconds, 4),
    }
