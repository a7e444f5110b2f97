"""Stage two as a whole: a cache in, a folder of word vectors out."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache as once
from functools import partial
from itertools import chain, islice
from typing import Any

import torch

from x2static.durable.errors import Interrupted, X2StaticError
from x2static.durable.storage import only_writer, recorded_settings
from x2static.machine.device import pick_device
from x2static.machine.packages import package_version
from x2static.machine.processes import ahead
from x2static.machine.progress import Progress, Report, StopRequest, silent
from x2static.machine.screen import quantity
from x2static.schemas.cache import Cache, content_of
from x2static.schemas.masked import MaskedShard, content_of_masked
from x2static.schemas.multiword import Multiword
from x2static.schemas.shard import Shard
from x2static.schemas.training import TrainConfig, identifying
from x2static.schemas.vectors import RUN, WordVectors, check_run
from x2static.stage2_train.checkpoint import (
    PARTS,
    RUN_OF_TRAIN,
    SETTINGS,
    TRANSFORM,
    Predecessor,
    RunFolder,
    TrainingState,
    checkpoints,
    parts_begun,
)
from x2static.stage2_train.joining import join_shards
from x2static.stage2_train.learner import ContextMap, Learner, Targets, compiling, pays
from x2static.stage2_train.objectives.objective import BaseObjective, load_objective
from x2static.stage2_train.objectives.views import settled
from x2static.stage2_train.sampling import Draws, Position
from x2static.stage2_train.shards import choose_shards, list_numbers
from x2static.stage2_train.stream import CPU, Stream
from x2static.stage2_train.transform import IDENTITY, Moments, Transform, centred_by_language, fit_transform
from x2static.stage2_train.vocabulary import WHOLE, Part, WordList, build_vocabulary

# What cannot change the vectors, or is known by its content (vocab, cache, continue, partial) or what it sets (compat).
# `epochs` may grow, unless the schedule depends on the end. A device, like a number of threads, changes the order of
# additions, and an accelerator draws other numbers; it is recorded but not refused: a run may move to another machine.
NO_SETTINGS = {"cache", "out", "vocab", "epochs", "device", "compat", "continue_run", "partial", "checkpoint_minutes"}
NO_SETTINGS |= {"test_pairs"}  # of which the objective gives the content
NO_SETTINGS |= {"multiword"}  # known by its content, where there is one: so runs of before there were any go on
# Drawn together: a thread for each takes 0.8 ms of a step's 7 (docs/LOG.md, 2026-11-21).
BATCHES_AHEAD = 8
# Below it, little is learned: 690 steps over ten million words gave an average similarity of 0.24, 3,450 gave 0.44
# (docs/LOG.md, 2026-11-21).
FEW_STEPS = 1000

AfterEpoch = Callable[[list[float]], None]  # hears the mean loss of each epoch so far
Learn = Callable[["Training"], None]  # takes the steps of a training that has begun

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """What a configuration asks for, opened: all that can be refused at once has been."""

    config: TrainConfig  # settled
    objective: BaseObjective
    cache: Cache
    shards: dict[int, Shard]  # to train on, by number
    allowed: WordList | None
    multiword: Multiword
    run: RunFolder
    sources: dict[str, Any]  # what the objective learns from beside the shards

    @classmethod
    def by(cls, config: TrainConfig) -> "Opened":
        """Open it. Raises X2StaticError: it cannot be done, or the folder is another run's."""
        cache = Cache.open(config.cache)
        begun = (recorded_settings(config.out, SETTINGS, RUN_OF_TRAIN) if config.partial else None) or {}
        # First: what is not whole lacks views, too.
        shards = choose_shards(cache, config.partial, begun.get("shards"))
        config = settled(config, cache)
        if config.contexts == "masked":
            config = config.model_copy(update={"subsample": 0.0})  # of a word, only so many were chosen
            shards = {number: MaskedShard.of(shard) for number, shard in shards.items()}
        objective = load_objective(config.objective)(config)
        _refuse_impossible(config, objective, cache)
        allowed = WordList.load(config.vocab) if config.vocab is not None else None
        multiword = Multiword.load(config.multiword, cache.segmentation())
        if multiword.entries and (n_words := cache.manifest.encoding.context_words):
            what = f"its contexts have {n_words} words each (--context-words), which cuts entries in two"
            raise X2StaticError(f"{cache.path}: {what}; leave out --multiword, or encode contexts of whole sentences")
        predecessor = None
        if config.continue_run is not None:
            predecessor = Predecessor.open(config.continue_run)
            mapped = config.context_map > 0
            predecessor.check(config.out, cache, config.transform, config.dim, mapped, multiword.identity)
        # What identifies the run: all that can change its vectors. The number of epochs counts only where earlier steps
        # depend on it, the shards' numbers only where not all are meant.
        settings = identifying(config.model_dump(mode="json", exclude=NO_SETTINGS), config.objective, config.init)
        settings |= {"cache_content": content_of(list(shards.values())), "encoding": cache.manifest.fingerprint}
        settings["vocab"] = allowed.sha256 if allowed is not None else None
        settings |= (sources := objective.sources(cache.path) | multiword.identity)
        if config.contexts == "masked" or settings.get("masked"):
            settings["masked_contexts"] = content_of_masked(shards.values())
        if predecessor is not None:
            settings["continue"] = predecessor.content
        if objective.takes_steps and config.schedule != "constant":
            settings["epochs"] = config.epochs
        if config.partial:
            settings["shards"] = list_numbers(shards)
        run = RunFolder(config.out, settings, predecessor)
        return cls(config, objective, cache, shards, allowed, multiword, run, sources)

    def stream(self, device: torch.device) -> Stream:
        """Return the batches of this run, on a device. Raises X2StaticError: no word is left."""
        config = self.config
        build = partial(
            build_vocabulary,
            self.cache.path,
            # Masked contexts are few, and of words that were frequent enough when they were read.
            min_count=config.min_count if config.contexts == "all" else 1,
            max_vocab=config.max_vocab,
            allowed=self.allowed,
        )
        shards, vocabulary = join_shards(self.shards, self.multiword, config.min_count, build)
        reading = {name: getattr(config, name) for name in ("seed", "batch_size", "buffer_megabytes")}
        return Stream(self.cache, list(shards.values()), vocabulary, **reading, device=device)


def train(
    config: TrainConfig,
    report: Report = silent,
    after_epoch: AfterEpoch = lambda _: None,
    learn: Learn | None = None,
) -> dict[str, Any]:
    """Train word vectors from a cache, or go on where an earlier call was stopped.

    The folder `config.out` afterwards holds what `WordVectors.save` writes; beside it settings.json and checkpoints/.
    `report` hears how many words were read, `after_epoch` the mean losses after each epoch but the last, its checkpoint
    written (an objective without steps has no epochs); what it raises ends the training, which can go on later. `learn`
    takes the steps elsewhere (stage2_train/parts.py), and the device is left to it.

    Returns vocabulary, dim, epochs, steps, targets, loss (mean of the last epoch; None without steps), seconds,
    words_per_second (of the vocabulary, those subsampled away too), data_wait (share of the seconds spent waiting for
    data); `resumed`, whether this call went on from a checkpoint; `finished_before`, whether there was nothing left to
    do, and then nothing was touched.
    Raises X2StaticError: input that cannot be used; Interrupted: by SIGINT or SIGTERM, after the state was saved;
    OSError: the result or a checkpoint cannot be written.
    """
    device = CPU if learn else pick_device(config.device)
    opened = Opened.by(config)
    config, objective, cache, run = opened.config, opened.objective, opened.cache, opened.run
    figures = run.figures()
    if figures is not None:
        if objective.takes_steps:
            _refuse_fewer_epochs(config, figures["epochs"])
        if figures["epochs"] == config.epochs or not objective.takes_steps:
            before, now = check_run(config.out, RUN).get("words_read"), objective.words_read(cache.path)
            if before is not None and before != now:
                what = f"made of {before:,} words that the teacher had read alone, the cache has {now:,} now"
                logger.warning("%s: %s; give another --out to train with them", config.out, what)
            return {**figures, "resumed": False, "finished_before": True}
    if not learn and (begun := parts_begun(config.out)):
        what = f"{quantity(len(begun), 'part')} of this run under way"
        hint = f"give --parts {begun[0].of} to go on with them, or remove {config.out / PARTS} to train without"
        raise X2StaticError(f"{config.out}: {what}; {hint}")
    # Before the folder is claimed: a vocabulary that is empty must not leave settings behind that refuse the next try.
    stream = opened.stream(device if objective.takes_steps else CPU)
    vocabulary, predecessor = stream.vocabulary, run.predecessor
    continued = {} if predecessor is None else {"continued": predecessor.record(vocabulary)}
    with only_writer(config.out, "run"):
        run.claim()
        with memory_of_device(config, len(vocabulary)):
            training = Training(config, objective, run, stream, report)
            if learn:
                learn(training)
            elif objective.takes_steps:
                training.go_on(after_epoch)
        figures = training.figures()
        record = {
            **figures,
            "losses": training.state.losses,
            "words": vocabulary.total,
            "configuration": config.model_dump(mode="json"),
            "cache": cache.origin(run.settings["cache_content"]),
            "versions": {name: package_version(name) for name in ("x2static", "torch", "numpy")},
            "threads": torch.get_num_threads(),
            "device": device.type,
            "checkpoint": run.newest_tensors(),
            "words_read": objective.words_read(cache.path),
            **training.facts,
            **continued,
            **opened.sources,
        }
        if config.partial:
            record["cache"]["shards"] = run.settings["shards"]
        words, matrix = vocabulary.words.to_pylist(), training.vectors.cpu().numpy()
        if config.centre_languages:
            matrix = centred_by_language(words, matrix)
        others = [name for name in (SETTINGS, TRANSFORM) if (run.path / name).is_file()]
        rules = cache.segmentation().joining(vocabulary.multiword)
        WordVectors(words, matrix, vocabulary.counts, rules, record).save(run.path, *others)
    return {**figures, "resumed": training.resumed, "finished_before": False}


@contextmanager
def memory_of_device(config: TrainConfig, n_words: int) -> Iterator[None]:
    """Say what to do where the memory of a device does not hold a training of so many words."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        what = f"{n_words:,} vectors, their moments and a buffer of {config.buffer_megabytes} MB"
        hint = "lower --max-vocab, --dim or --buffer-megabytes, or give --device cpu"
        if load_objective(config.objective).by_word:
            hint += ", or more --parts on as many devices"
        raise X2StaticError(f"{config.out}: the device's memory does not hold {what}; {hint}") from error


def _refuse_impossible(config: TrainConfig, objective: BaseObjective, cache: Cache) -> None:
    """Refuse what would be found only after a while, or never."""
    dim, epochs, contexts = config.dim, config.epochs, cache.manifest.encoding.dim
    if dim is not None and dim > contexts:
        hint = f"give {contexts} or less, or leave out --dim"
        raise X2StaticError(f"{cache.path}: --dim {dim} asked for, but its contexts have {contexts} dimensions; {hint}")
    if dim is not None and not objective.in_space:
        raise X2StaticError(f"--dim {dim}: {config.objective} has the dimensions of the teacher's states; leave it out")
    if config.centre_languages and not cache.manifest.encoding.mark_language:
        what = "its words are not kept apart by language (encode --mark-language)"
        raise X2StaticError(f"{cache.path}: {what}; leave out --centre-languages")
    if config.prior and (config.objective, config.init) != ("negative-sampling", "views"):
        what = f"--prior {config.prior:g}: {config.objective} from --init {config.init} is drawn to no views"
        raise X2StaticError(f"{what}; give --objective negative-sampling --init views, or leave it out")
    if config.context_map and (config.compat or config.objective != "negative-sampling"):
        what = f"--compat {config.compat}" if config.compat else config.objective
        raise X2StaticError(f"--context-map {config.context_map:g}: {what} learns no map of the contexts; leave it out")
    if objective.takes_steps and config.warmup >= epochs:
        hint = "it counts epochs: ask for less (0.1 is a tenth of an epoch), or for more epochs"
        raise X2StaticError(f"--warmup {config.warmup:g} is not shorter than the training (--epochs {epochs}); {hint}")
    if config.continue_run is not None and not objective.takes_steps:
        raise X2StaticError(f"{config.objective} begins from nothing; leave out --continue {config.continue_run}")
    cache.segmentation()


def _refuse_fewer_epochs(config: TrainConfig, begun: int) -> None:
    if begun > config.epochs:
        where = f"{config.out}: --epochs {config.epochs} asked for, but this run has begun or finished epoch {begun}"
        raise X2StaticError(f"{where}; ask for {begun} or more, or give another --out")


def learning_rate(words: float, peak: float, kind: str, warmup: float, total: int) -> float:
    """Return the rate at a position, which is in words of the vocabulary seen, like the warm-up and the whole training.

    Words that are subsampled away count: so the rate does not depend on draws.
    """
    if words < warmup:
        return peak * words / warmup
    if kind == "constant":
        return peak
    done = min(1.0, (words - warmup) / (total - warmup))
    return peak * (1 - done) if kind == "linear" else peak * (1 + math.cos(math.pi * done)) / 2


class Training:
    """A training under way."""

    def __init__(
        self,
        config: TrainConfig,
        objective: BaseObjective,
        run: RunFolder,
        stream: Stream,
        report: Report,
        part: Part = WHOLE,
        begin: Callable[[Learner], TrainingState] | None = None,
    ) -> None:
        """Go on from the newest checkpoint in the run's folder, whose lock the caller holds, or begin.

        One pass over the cache serves the transform and the first vectors; a run that goes on needs none, nor does a
        part, whose vectors and moments `begin` fills in.
        """
        self.config, self.objective, self.run, self.stream, self.report = config, objective, run, stream, report
        self.part, self.facts = part, dict[str, Any]()  # what else is recorded of it
        vocabulary = stream.vocabulary
        self.words, self.epochs = vocabulary.total, config.epochs if objective.takes_steps else 1  # words in an epoch
        began = time.monotonic()
        if objective.takes_steps and pays(stream.device, len(vocabulary) * stream.dim):
            compiling()  # while the cache is read for the first time
        moments = once(lambda: stream.moments(report, objective.needs_words))
        self.transform = self._space(moments)
        self.learner = self.zeros()
        state = run.load(self.learner)
        self.resumed = state is not None
        if state is None and begin is not None:
            state = begin(self.learner)
        elif state is None:
            objective.begin(self.learner.vectors, stream, self.transform, moments)
            if self.learner.prior is not None:
                self.learner.prior.copy_(self.vectors)
            if run.predecessor is not None:
                run.predecessor.carry_over(self.learner, vocabulary)
            steps, targets = self.learner.steps, 0 if objective.takes_steps else self.words
            state = TrainingState(steps=steps, steps_before=steps, targets=targets)
            state.seconds, state.seconds_waited = time.monotonic() - began, stream.seconds_waited
        else:
            _refuse_fewer_epochs(config, state.position.epoch + (state.position > Position(state.position.epoch)))
            logger.info("going on at epoch %d, step %s", state.position.epoch + 1, f"{state.steps:,}")
        self.state = state

    def zeros(self) -> Learner:
        """Return vectors, moments, and what they are drawn to if to anything, all zeros."""
        vocabulary, dim = self.stream.vocabulary, self.stream.dim
        rows = self.part.rows(len(vocabulary))
        shape = len(vocabulary.counts[rows]), self.transform.width(dim)
        learner, pulls = Learner.zeros(shape, self.stream.device), self.objective.pulls(vocabulary.counts)
        if pulls is not None:
            learner.draw_to(torch.zeros_like(learner.vectors[:, : self.transform.dim(dim)]), pulls[rows])
        if self.config.context_map:
            learner.map = ContextMap.identity(self.transform.dim(dim), self.config.context_map, learner.vectors)
        return learner

    @property
    def vectors(self) -> torch.Tensor:
        """The vectors without bias, (n_words, dim)."""
        return self.learner.vectors[:, : self.transform.dim(self.stream.dim)]

    def _space(self, moments: Callable[[], Moments]) -> Transform:
        config, file = self.config, self.run.path / TRANSFORM
        if not self.objective.in_space or (config.transform == "none" and config.dim is None):
            return IDENTITY
        if self.run.has_transform():
            return Transform.load(file)
        if checkpoints(self.run.path):
            logger.warning("%s: damaged or missing; fitted again", file)
        transform = fit_transform(config.transform, config.dim, moments(), self.run.settings["cache_content"])
        if self.objective.takes_steps:
            transform.save(file)
            logger.info("%s: fitted on %s words", file, f"{self.words:,}")
        return transform

    def go_on(self, after_epoch: AfterEpoch) -> None:
        """Train from the state to the last epoch's end."""
        config, counts, device = self.config, self.stream.vocabulary.counts, self.stream.device
        draws = Draws.of(config.seed, counts, config.subsample, config.noise_power, device, self.part)
        vectors, started = self.learner.vectors, time.monotonic() - self.state.seconds
        waited = self.state.seconds_waited - self.stream.seconds_waited
        saved = time.monotonic()
        with StopRequest() as stop:
            drawn = (
                (position, len(batch.words), self.objective.draw(batch, position, draws, vectors), after)
                for position, batch, after in self.stream.batches(self.state.position, self.epochs, self.transform)
            )
            several = ahead(iter(lambda: list(islice(drawn, BATCHES_AHEAD)), []))
            if pays(vectors.device, vectors.numel()):
                compiling().result()
            for position, n_words, targets, after in chain.from_iterable(self.stream.waited(several)):
                self._learn(n_words, targets)
                self.state.position = after
                ended = after.epoch > position.epoch
                if ended:
                    self._end_epoch(position.epoch)
                self.state.seconds = time.monotonic() - started
                self.state.seconds_waited = waited + self.stream.seconds_waited
                losses = self.state.losses
                if self.state.epoch_targets:
                    losses = [self.state.epoch_loss / self.state.epoch_targets]
                detail = f"loss {losses[-1]:.3f}" if losses else ""
                self.report(Progress(self.state.words, self.words * self.epochs, "words", detail))
                signal = stop.signal
                if ended or signal or time.monotonic() - saved >= 60 * self.config.checkpoint_minutes:
                    path = self.run.save(self.state, self.learner)
                    saved = time.monotonic()
                    if signal and after.epoch < self.epochs:
                        hint = "run the same command again to go on"
                        raise Interrupted(f"stopped by {signal.name}; the state is saved in {path}, {hint}")
                if ended and after.epoch < self.epochs:
                    after_epoch(self.state.losses)
        if self.state.steps < FEW_STEPS and not self.objective.needs_words and self.run.predecessor is None:
            hint = "train for more --epochs, or by --objective closed-form --transform whiten"
            logger.warning("%s: too few to learn much from; %s", quantity(self.state.steps, "step"), hint)

    def _learn(self, n_words: int, targets: Targets) -> None:
        """Take one step, unless subsampling left the batch no target."""
        state = self.state
        state.batches += 1
        # At its beginning the first step of a warm-up would have rate 0, at its end the last step of a rate that falls.
        middle = state.words + n_words / 2
        state.words += n_words
        if not len(targets):
            return
        config, words = self.config, self.words
        rate = learning_rate(middle, config.lr, config.schedule, config.warmup * words, config.epochs * words)
        loss = self.learner.learn(targets, rate)
        if not math.isfinite(loss):
            raise self._too_high(f"the loss is not finite in epoch {state.position.epoch + 1}, step {state.steps + 1}")
        state.steps = self.learner.steps
        state.targets += len(targets)
        state.epoch_loss += loss
        state.epoch_targets += len(targets)

    def _end_epoch(self, epoch: int) -> None:
        state = self.state
        if (words := state.words - self.words * epoch) != self.words:  # those of the epochs before were right
            raise self.stream.miscount(words, self.words)
        if not state.epoch_targets:
            why = f"--subsample {self.config.subsample:g} is too low for {self.words} words"
            raise X2StaticError(f"epoch {epoch + 1} kept no target: {why}; raise it, or give 0 to keep all")
        low, high = self.learner.vectors.aminmax()  # NaN goes through; isfinite would take one and a half matrices more
        if not math.isfinite(low) or not math.isfinite(high):
            raise self._too_high(f"a vector is not finite after epoch {epoch + 1}")
        loss = state.epoch_loss / state.epoch_targets
        state.losses.append(loss)
        logger.info("epoch %d: loss %.4f over %s targets", epoch + 1, loss, f"{state.epoch_targets:,}")
        state.epoch_loss, state.epoch_targets = 0.0, 0

    def _too_high(self, what: str) -> X2StaticError:
        hint = f"the learning rate {self.config.lr:g} is probably too high: lower --lr, and give another --out"
        return X2StaticError(f"{what}; {hint}")

    def figures(self) -> dict[str, Any]:
        """Return what the training came to."""
        state, seconds = self.state, max(self.state.seconds, 1e-9)
        return {
            "vocabulary": len(self.vectors),
            "dim": self.vectors.shape[1],
            "epochs": self.epochs,
            "steps": state.steps - state.steps_before,
            "targets": state.targets,
            "loss": state.losses[-1] if state.losses else None,
            "seconds": round(state.seconds, 3),
            "words_per_second": round(self.words * self.epochs / seconds),
            "data_wait": round(state.seconds_waited / seconds, 4),
        }
