"""Learning in steps: epochs of batches, with checkpoints that a killed run goes on from."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.processes import ahead
from x2static.machine.progress import Progress, Report, StopRequest
from x2static.stage2_train import learner as arithmetic
from x2static.stage2_train.checkpoint import RunFolder, TrainingState
from x2static.stage2_train.learner import Learner, Targets
from x2static.stage2_train.objectives.objective import BaseObjective
from x2static.stage2_train.sampling import Draws, Position
from x2static.stage2_train.schedule import Schedule
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.transform import Transform

# Drawn together: a thread for each takes 0.8 ms of a step's 7 (docs/LOG.md, 2026-11-21).
BATCHES_AHEAD = 8

AfterEpoch = Callable[[list[float]], None]  # hears the mean loss of each epoch so far

logger = logging.getLogger(__name__)


@dataclass
class Training:
    """A training under way."""

    run: RunFolder  # the folder it owns, whose lock the caller holds
    objective: BaseObjective  # what is learned
    draws: Draws  # the random draws of the run
    stream: Stream  # the cache as batches
    transform: Transform  # what becomes of the contexts
    learner: Learner  # vectors and optimiser
    state: TrainingState  # where it is
    schedule: Schedule  # the learning rate
    epochs: int  # where it ends
    words: int  # of the vocabulary, in an epoch
    checkpoint_seconds: float  # time between checkpoints
    report: Report  # hears how many words were read

    def go_on(self, after_epoch: AfterEpoch) -> None:
        """Train from the state to the last epoch's end.

        Args:
            after_epoch: called after each epoch but the last, its checkpoint written; what it raises ends the training.

        Raises:
            Interrupted: by a signal, after a checkpoint was written.
            X2StaticError: a value is not finite, an epoch kept no target, or the cache is damaged.
            OSError: a checkpoint cannot be written.
        """
        started = time.monotonic() - self.state.seconds
        waited = self.state.seconds_waited - self.stream.seconds_waited
        saved = time.monotonic()
        with StopRequest() as stop:
            drawn = self._drawn()
            several = ahead(iter(lambda: list(islice(drawn, BATCHES_AHEAD)), []))
            if arithmetic.pays(self.learner.vectors.device, self.learner.vectors.numel()):
                arithmetic.compiling().result()
            for position, n_words, targets, after in chain.from_iterable(self.stream.waited(several)):
                self._learn(n_words, targets)
                self.state.position = after
                ended = after.epoch > position.epoch
                if ended:
                    self._end_epoch(position.epoch)
                self.state.seconds = time.monotonic() - started
                self.state.seconds_waited = waited + self.stream.seconds_waited
                self._report()
                signal = stop.signal
                if ended or signal or time.monotonic() - saved >= self.checkpoint_seconds:
                    path = self.run.save(self.state, self.learner)
                    saved = time.monotonic()
                    if signal and after.epoch < self.epochs:
                        raise Interrupted(
                            f"stopped by {signal.name}; the state is saved in {path}, run the same command again to "
                            "go on"
                        )
                if ended and after.epoch < self.epochs:
                    after_epoch(self.state.losses)

    def _drawn(self) -> Iterator[tuple[Position, int, Targets, Position]]:
        """Begin to read, and yield of each batch its position, its words, its targets and the position behind it."""
        vectors = self.learner.vectors
        batches = self.stream.batches(self.state.position, self.epochs, self.transform)
        return (
            (position, len(batch.words), self.objective.draw(batch, position, self.draws, vectors), after)
            for position, batch, after in batches
        )

    def _learn(self, n_words: int, targets: Targets) -> None:
        """Take one step, unless subsampling left the batch no target."""
        state = self.state
        state.batches += 1
        middle = state.words + n_words / 2
        state.words += n_words
        if not len(targets):
            return
        loss = self.learner.learn(targets, self.schedule.at(middle))
        if not math.isfinite(loss):
            raise X2StaticError(
                f"the loss is not finite in epoch {state.position.epoch + 1}, step {self.learner.steps + 1}; "
                f"{self._too_high()}"
            )
        state.steps = self.learner.steps
        state.targets += len(targets)
        state.epoch_loss += loss
        state.epoch_targets += len(targets)

    def _end_epoch(self, epoch: int) -> None:
        """Note the loss of an epoch, once all is as it should be."""
        state, expected = self.state, self.words * (epoch + 1)
        if state.words != expected:
            raise X2StaticError(
                f"{self.stream.cache}: the shards hold {state.words} words of the vocabulary in {epoch + 1} epochs, "
                f"their lexicons count {expected}; the cache is damaged, run `x2static cache verify`"
            )
        if not state.epoch_targets:
            raise X2StaticError(
                f"epoch {epoch + 1} kept no target: --subsample {self.run.settings['subsample']:g} is too low for "
                f"{self.words} words; raise it, or give 0 to keep all"
            )
        low, high = self.learner.vectors.aminmax()  # NaN goes through; isfinite would take one and a half matrices more
        if not math.isfinite(low) or not math.isfinite(high):
            raise X2StaticError(f"a vector is not finite after epoch {epoch + 1}; {self._too_high()}")
        loss = state.epoch_loss / state.epoch_targets
        state.losses.append(loss)
        logger.info("epoch %d: loss %.4f over %s targets", epoch + 1, loss, f"{state.epoch_targets:,}")
        state.epoch_loss, state.epoch_targets = 0.0, 0

    def _too_high(self) -> str:
        rate = self.schedule.peak
        return f"the learning rate {rate:g} is probably too high: lower --lr, and give another --out"

    def _report(self) -> None:
        state = self.state
        if state.epoch_targets:
            loss = f"loss {state.epoch_loss / state.epoch_targets:.3f}"
        else:
            loss = f"loss {state.losses[-1]:.3f}" if state.losses else ""
        self.report(Progress(state.words, self.words * self.epochs, "words", loss))
