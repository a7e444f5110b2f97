"""A vocabulary that is trained in parts, which do not talk to each other, and is joined.

Contexts stay as they are, so what moves a word's vector are the contexts of its targets and those that it is drawn for
as a negative, and no other word's vector. Draws depend on nothing but their position (sampling.py): a part draws what
one process draws, for all words, and learns the rows of its own. So the parts together are that process, up to the
rounding of sums. Each reads the whole cache; docs/SCALE.md says when that pays.

The run's folder holds where they begin, as a checkpoint of all words, and below PARTS a folder for each part, with
checkpoints of its own. Their last ones are joined into a checkpoint of the run, and the parts go.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from x2static.durable import storage
from x2static.durable.errors import X2StaticError
from x2static.machine.device import pick_device
from x2static.machine.progress import Report, silent
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.checkpoint import (
    PARTS,
    SETTINGS,
    Checkpoint,
    RunFolder,
    TrainingState,
    checkpoints,
    copy_rows,
    parts_begun,
    read_checkpoint,
    whole_tensors,
)
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.objective import load_objective
from x2static.stage2_train.sampling import Position
from x2static.stage2_train.trainer import Opened, Training, memory_of_device, train
from x2static.stage2_train.vocabulary import Part

# Trains some parts of a run, each by a call of `train_part` in a process that can be killed and started again. Raises
# Interrupted where a signal stopped them, X2StaticError where one cannot come to its end.
RunParts = Callable[[TrainConfig, list[Part]], None]

logger = logging.getLogger(__name__)


def train_in_parts(config: TrainConfig, of: int, run_parts: RunParts, report: Report = silent) -> dict[str, Any]:
    """Train as `train` does, in so many parts; what it returns, and what it leaves, are the same.

    Raises X2StaticError: this objective cannot be trained in parts, or other parts of this run are under way.
    """
    if not (objective := load_objective(config.objective)).by_word:
        why = "what moves a word's vector are other words' vectors, too"
        if not objective.takes_steps:
            why = "it takes no steps, and parts would save nothing"
        hint = "leave out --parts, or give --objective negative-sampling"
        raise X2StaticError(f"--parts {of}: {config.objective} cannot be trained in parts ({why}); {hint}")
    if config.context_map:
        why = "all words move the map of the contexts"
        raise X2StaticError(f"--parts {of}: --context-map cannot be learned in parts ({why}); leave one of them out")
    return train(config, report, learn=partial(_learn, of, run_parts))


def _learn(of: int, run_parts: RunParts, training: Training) -> None:
    """Train a run that has begun to its end, in parts."""
    run, config, n_words = training.run, training.config, len(training.stream.vocabulary)
    if of > n_words:
        raise X2StaticError(f"{run.path}: --parts {of} asked for, but the vocabulary has {n_words} words; ask for less")
    if not training.resumed:
        run.save(training.state, training.learner)
    _remove_others(run)
    if (begun := parts_begun(run.path)) and begun[0].of != of:
        hint = f"give --parts {begun[0].of} to go on with them, or remove {run.path / PARTS} to begin them anew"
        raise X2StaticError(f"{run.path}: --parts {of} asked for, but parts of {begun[0].of} are under way; {hint}")
    training.facts["parts"] = of
    if training.state.position < Position(config.epochs):
        parts = [Part(number, of) for number in range(of)]
        training.learner = Learner.zeros((0, 0), training.stream.device)  # the memory is the parts'
        run_parts(config, [part for part in parts if not _finished(config, part)])
        _join(training, parts)
    if (run.path / PARTS).is_dir():
        storage.remove(run.path / PARTS)
    training.go_on(lambda _: None)  # nothing is left to learn; it says what there is to say of the whole


def train_part(config: TrainConfig, part: Part, report: Report = silent) -> None:
    """Train a part of a run that has begun, or go on with it: what a process of an engine calls.

    Raises X2StaticError: the run, its cache or its first checkpoint is not there, or another one; other parts have
    other draws; Interrupted: by SIGINT or SIGTERM, after the state was saved.
    """
    device = pick_device(config.device)
    # An accelerator's draws depend on its model.
    draws = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    opened = Opened.by(config)
    whole, stream = opened.run, opened.stream(device)
    newest = checkpoints(whole.path)[-1]
    first = read_checkpoint(newest)
    settings = whole.settings | {"part": str(part), "begins": first.tensors, "draws": draws}
    run = RunFolder(folder_of(config, part), settings, None, space_of=whole.path)
    with storage.only_writer(run.path, "part"):
        run.claim()
        for other in parts_begun(whole.path):
            if (theirs := storage.read_sealed(folder_of(config, other) / SETTINGS).get("draws")) != draws:
                hint = f"train all on one kind (--device), after removing {run.path}"
                raise X2StaticError(f"{run.path}: drawn on {draws}, but part {other} on {theirs}; {hint}")
        begin = partial(_begin, newest, first, part, len(stream.vocabulary))
        with memory_of_device(config, len(stream.vocabulary) // part.of):
            Training(opened.config, opened.objective, run, stream, report, part, begin).go_on(lambda _: None)


def folder_of(config: TrainConfig, part: Part) -> Path:
    """Return the folder of a part of a run."""
    return config.out / PARTS / str(part)


def _begin(folder: Path, first: Checkpoint, part: Part, n_words: int, learner: Learner) -> TrainingState:
    """Fill in the part's rows of the checkpoint that all parts begin with; return its state."""
    rows = torch.full((n_words,), -1)
    rows[part.rows(n_words)] = torch.arange(len(learner.vectors))
    copy_rows(whole_tensors(folder, first), learner.tensors(), rows)
    learner.steps = first.state.steps
    # Losses are added up over the parts in the end: what there was before counts once.
    mine = first.state.epoch_loss if part.number == 0 else 0.0
    return first.state.model_copy(update={"losses": [], "epoch_loss": mine})


def _remove_others(run: RunFolder) -> None:
    """Remove parts that did not begin where the run is now: they are joined already, or of no use any more."""
    for part in parts_begun(run.path):
        folder = run.path / PARTS / str(part)
        if storage.read_sealed(folder / SETTINGS).get("begins") != run.newest_tensors():
            logger.info("%s: began at another checkpoint; removed", folder)
            storage.remove(folder)


def _finished(config: TrainConfig, part: Part) -> bool:
    """Return whether a part is at its end, and its last checkpoint whole."""
    with suppress(X2StaticError, FileNotFoundError, IndexError):
        newest = checkpoints(folder_of(config, part))[-1]
        whole_tensors(newest, checkpoint := read_checkpoint(newest))
        return checkpoint.state.position == Position(config.epochs)
    return False


def _join(training: Training, parts: list[Part]) -> None:
    """Make a checkpoint of the run of its parts' last ones, which have to be at its end."""
    config, n_words, begun = training.config, len(training.stream.vocabulary), training.state
    training.learner, states = training.zeros(), list[TrainingState]()
    for part in parts:
        newest = checkpoints(folder_of(config, part))[-1]
        checkpoint = read_checkpoint(newest)
        rows = torch.arange(n_words)[part.rows(n_words)]
        copy_rows(whole_tensors(newest, checkpoint), training.learner.tensors(), rows)
        states.append(checkpoint.state)
        training.facts["device"] = "cpu" if checkpoint.settings["draws"] == "cpu" else "cuda"
    last = {(state.position, state.steps, state.batches, state.words, state.targets) for state in states}
    if last != {(Position(config.epochs), *next(iter(last))[1:])}:
        what = f"its parts did not come to the same end {sorted(last)}"
        raise X2StaticError(f"{config.out}: {what}; remove {config.out / PARTS} and run the same command again")
    losses = [sum(of_parts) for of_parts in zip(*(state.losses for state in states), strict=True)]
    slowest = max(states, key=lambda state: state.seconds)
    training.state = slowest.model_copy(update={"losses": begun.losses + losses})
    training.learner.steps = slowest.steps
    training.run.save(training.state, training.learner)
    for epoch, loss in enumerate(losses, start=len(begun.losses) + 1):
        logger.info("epoch %d: loss %.4f, of %d parts together", epoch, loss, len(parts))
