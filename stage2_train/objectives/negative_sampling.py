"""The paper's training (eq. 1): epochs of batches, with checkpoints that a killed run goes on from."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.background import ahead
from x2static.machine.progress import Progress, Report
from x2static.schemas.training import TrainConfig
from x2static.stage2_train import checkpoint, compiled
from x2static.stage2_train.checkpoint import TrainingState
from x2static.stage2_train.draws import Position
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.objective import Targets
from x2static.stage2_train.objectives.shared import SharedTargets
from x2static.stage2_train.outcome import Outcome
from x2static.stage2_train.run_folder import RunFolder
from x2static.stage2_train.sampling import Drawn, sampling
from x2static.stage2_train.schedule import Schedule
from x2static.stage2_train.stop import StopRequest
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.vocabulary import Vocabulary

# Below it, little is learned: 690 steps over ten million words gave an average similarity of 0.24, 3,450 gave 0.44
# (docs/LOG.md, 2026-11-21).
FEW_STEPS = 1000

# Drawn together: a thread for each takes 0.8 ms of a step's 7 (docs/LOG.md, 2026-11-21).
BATCHES_AHEAD = 8

AfterEpoch = Callable[[list[float]], None]  # hears the mean loss of each epoch so far

logger = logging.getLogger(__name__)


def go_on_training(losses: list[float]) -> None:
    """Do nothing after an epoch."""


@dataclass
class NegativeSampling:
    """A training under way.

    Attributes:
        config: what was asked for.
        run: the folder it owns.
        stream: the cache as batches.
        vocabulary: the words.
        draw: begins to draw batches, from a position on.
        schedule: the learning rate.
        learner: vectors and optimiser.
        state: where it is.
        report: hears how many words were read.
        after_epoch: called after each epoch but the last, its checkpoint written; what it raises ends the training.
    """

    config: TrainConfig
    run: RunFolder
    stream: Stream
    vocabulary: Vocabulary
    draw: Callable[[Position], Iterator[Drawn]]
    schedule: Schedule
    learner: Learner
    state: TrainingState
    report: Report
    after_epoch: AfterEpoch

    def go_on(self) -> None:
        """Train from the state to the last epoch's end.

        Raises:
            Interrupted: by a signal, after a checkpoint was written.
            X2StaticError: a value is not finite, an epoch kept no target, or the cache is damaged.
            OSError: a checkpoint cannot be written.
        """
        started = time.monotonic() - self.state.seconds
        waited = self.state.seconds_waited - self.stream.seconds_waited
        saved = time.monotonic()
        with StopRequest() as stop:
            drawn = self.draw(self.state.position)
            several = ahead(iter(lambda: list(islice(drawn, BATCHES_AHEAD)), []))
            if compiled.pays(self.learner.vectors):
                compiled.compiling().result()
            for position, n_words, targets, after in chain.from_iterable(self.stream.waited(several)):
                self._learn(n_words, targets)
                self.state.position = after
                ended = after.epoch > position.epoch
                if ended:
                    self._end_epoch(position.epoch)
                self.state.seconds = time.monotonic() - started
                self.state.seconds_waited = waited + self.stream.seconds_waited
                self._report()
                asked = stop.signal
                if ended or asked or time.monotonic() - saved >= 60 * self.config.checkpoint_minutes:
                    path = checkpoint.save(self.run.checkpoints, self.state, self.learner, self.run.settings)
                    saved = time.monotonic()
                    if asked and after.epoch < self.config.epochs:
                        raise Interrupted(
                            f"stopped by {asked.name}; the state is saved in {path}, run the same command again to "
                            f"go on"
                        )
                if ended and after.epoch < self.config.epochs:
                    self.after_epoch(self.state.losses)

    def _learn(self, n_words: int, targets: Targets | SharedTargets) -> None:
        """Take one step, unless subsampling left the batch no target."""
        self.state.batches += 1
        middle = self.state.words + n_words / 2
        self.state.words += n_words
        n_targets = len(targets.words)
        if not n_targets:
            return
        self.learner.adam.lr = self.schedule.at(middle)
        loss = self.learner.learn(targets)
        if not math.isfinite(loss):
            raise X2StaticError(
                f"the loss is not finite in epoch {self.state.position.epoch + 1}, step {self.learner.adam.steps + 1}; "
                f"the learning rate {self.config.lr:g} is probably too high: lower --lr, and give another --out"
            )
        self.state.steps = self.learner.adam.steps
        self.state.targets += n_targets
        self.state.epoch_loss += loss
        self.state.epoch_targets += n_targets

    def _end_epoch(self, epoch: int) -> None:
        """Note the loss of an epoch, once all is as it should be."""
        expected = self.vocabulary.total * (epoch + 1)
        if self.state.words != expected:
            raise X2StaticError(
                f"{self.config.cache}: the shards hold {self.state.words} words of the vocabulary in {epoch + 1} "
                f"epochs, their lexicons count {expected}; the cache is damaged, run `x2static cache verify`"
            )
        if not self.state.epoch_targets:
            raise X2StaticError(
                f"epoch {epoch + 1} kept no target: --subsample {self.config.subsample:g} is too low for "
                f"{self.vocabulary.total} words; raise it, or give 0 to keep all"
            )
        low, high = self.learner.vectors.aminmax()  # NaN goes through; isfinite would take one and a half matrices more
        if not math.isfinite(low) or not math.isfinite(high):
            raise X2StaticError(
                f"a vector is not finite after epoch {epoch + 1}; the learning rate {self.config.lr:g} is probably too "
                f"high: lower --lr, and give another --out"
            )
        loss = self.state.epoch_loss / self.state.epoch_targets
        self.state.losses.append(loss)
        logger.info("epoch %d: loss %.4f over %s targets", epoch + 1, loss, f"{self.state.epoch_targets:,}")
        self.state.epoch_loss, self.state.epoch_targets = 0.0, 0

    def _report(self) -> None:
        state = self.state
        if state.epoch_targets:
            loss = f"loss {state.epoch_loss / state.epoch_targets:.3f}"
        else:
            loss = f"loss {state.losses[-1]:.3f}" if state.losses else ""
        self.report(Progress(state.words, self.vocabulary.total * self.config.epochs, "words", loss))


def resume_or_begin(config: TrainConfig, run: RunFolder, learner: Learner) -> tuple[TrainingState, bool]:
    """Return the state of the newest checkpoint, its vectors in the learner, or that of a new run.

    Returns:
        The state, and whether it is a checkpoint's.

    Raises:
        X2StaticError: the run is past the epochs asked for.
    """
    state = checkpoint.load(run.checkpoints, run.settings, learner)
    if state is None:
        return TrainingState(), False
    begun = state.position.epoch + (state.position > Position(state.position.epoch))
    if begun > config.epochs:
        raise too_few_epochs(config, begun)
    logger.info("going on at epoch %d, step %s", state.position.epoch + 1, f"{state.steps:,}")
    return state, True


def too_few_epochs(config: TrainConfig, done: int) -> X2StaticError:
    """Return the error for a run that has gone further than is now asked for."""
    return X2StaticError(
        f"{config.out}: --epochs {config.epochs} asked for, but this run has begun or finished epoch {done}; ask for "
        f"{done} or more, or give another --out"
    )


def fit(
    config: TrainConfig,
    run: RunFolder,
    stream: Stream,
    vocabulary: Vocabulary,
    learner: Learner,
    begin: Callable[[Learner], float],
    report: Report,
    after_epoch: AfterEpoch,
) -> Outcome:
    """Train by the paper's objective, from the newest checkpoint if there is one.

    Args:
        config: what was asked for.
        run: its folder, whose lock the caller holds.
        stream: the cache as batches.
        vocabulary: the words.
        learner: fresh vectors.
        begin: gives a new run's learner the vectors, moments and step count to begin with, and returns the seconds that
            it took; not called where it goes on.
        report: hears how many words were read.
        after_epoch: see `NegativeSampling`.

    Raises:
        Interrupted: by a signal, after a checkpoint was written.
        X2StaticError: see `NegativeSampling.go_on`, and where the run is past the epochs asked for.
    """
    state, resumed = resume_or_begin(config, run, learner)
    if not resumed:
        state.seconds = begin(learner)
        state.steps = state.steps_before = learner.adam.steps
    draw = sampling(config, stream, vocabulary, learner.vectors)
    schedule = Schedule.of(config, vocabulary.total)
    training = NegativeSampling(config, run, stream, vocabulary, draw, schedule, learner, state, report, after_epoch)
    training.go_on()
    if state.steps < FEW_STEPS and config.init != "closed-form" and config.continue_run is None:
        logger.warning(
            "%d steps are too few to learn much from; train for more --epochs, or by --objective closed-form "
            "--transform whiten",
            state.steps,
        )
    return Outcome(
        vectors=learner.vectors.cpu().numpy(),
        epochs=config.epochs,
        steps=state.steps - state.steps_before,
        targets=state.targets,
        seconds=state.seconds,
        seconds_waited=state.seconds_waited,
        losses=state.losses,
        resumed=resumed,
    )
