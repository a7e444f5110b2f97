"""One unit through the teacher: text in, the content of a shard out."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.device import ResultStream, Trimmer, pick_device
from x2static.machine.packages import NOT_INSTALLED, package_version
from x2static.schemas.encoding import COUNTED, Backend, EncodeConfig
from x2static.schemas.manifest import Plan
from x2static.schemas.shard import CONTEXTS
from x2static.stage1_encode.pools.contexts import ContextMeans, Contexts
from x2static.stage1_encode.pools.pool import Accumulator, Pool, Shape, States, UnitPool
from x2static.stage1_encode.teacher.batches import Batches, cut
from x2static.stage1_encode.teacher.files import TeacherFiles
from x2static.stage1_encode.teacher.model import mean_of_layers
from x2static.stage1_encode.teacher.openvino_model import PRECISIONS, NotConvertedError
from x2static.stage1_encode.teacher.teacher import Teacher, pick_precision
from x2static.stage1_encode.text.default import DefaultPreparer
from x2static.stage1_encode.text.paper import PaperPreparer
from x2static.stage1_encode.text.preparation import CarefulPreparer
from x2static.stage1_encode.text.segmentation import SentenceSplitter, words_of
from x2static.stage1_encode.text.windows import PreparedText, Preparer, UnitWords, Window

# Pieces in a batch, padding included. On two cores 2,048 gave 20,200 pieces/s, 4,096 17,500 and 16,384 13,500
# (all-MiniLM-L6-v2, bfloat16; docs/LOG.md, 2026-11-21): larger batches fall out of the processor's cache.
MAX_TOKENS = {"cpu": 2048, "cuda": 65536}
# Batches that a CPU reads at once; more of them hold more activations. Two lanes of one core read 12,500 pieces/s where
# both cores on each batch in turn read 10,200, and are not held up by whoever takes one core for a moment (docs/LOG.md,
# 2026-11-21).
MOST_LANES = 4
# Of a corpus that OpenVINO reads unasked: it takes 3 to 8 seconds to convert a teacher, and saves a sixth of the time.
FEWEST_PARAGRAPHS = 8192

Parts = list[Any]  # what each accumulator has of a batch
# Called after each batch of a unit, with the paragraphs of it that the teacher has read, about, and the pieces.
AfterBatch = Callable[[int, int], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedUnit:
    """A unit that the teacher has read, or is still reading on an accelerator."""

    words: UnitWords  # its words and contexts
    pools: dict[str, UnitPool]  # what each pool has of it, by the pool's name, on its way to the host
    n_read: int  # pieces that the teacher read, without padding
    n_padded: int  # the same, with padding

    def contexts(self) -> npt.NDArray[Any]:
        """Wait for the context vectors and return them, (n_contexts, dim), whatever they are."""
        return cast(ContextMeans, self.pools[CONTEXTS]).read()


@contextmanager
def shared_cores(lanes: int) -> Iterator[None]:
    """Give each of some lanes an equal share of the threads that torch computes with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // lanes))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def lanes_on(device: torch.device) -> int:
    """Return how many batches are read at once on a device."""
    return min(MOST_LANES, torch.get_num_threads()) if device.type == "cpu" else 1


class Encoder:
    """What turns the text of a unit into a shard.

    On a CPU several batches are read at once, each in a thread of its own (a lane) with a share of the cores. The
    threads stay from one unit to the next and end with this object: a new one may get the heap of one that prepared
    text, and what lives longer than a batch leaves holes there (docs/LOG.md, 2026-11-21). An accelerator reads one
    batch after the other, its own queue keeps it busy.
    """

    def __init__(self, preparer: Preparer, teacher: Teacher, max_tokens: int | None = None) -> None:
        self.preparer, self.teacher = preparer, teacher
        device = teacher.device
        # pieces in a batch, padding included; halved where the device's memory runs out
        self.max_tokens = max_tokens or MAX_TOKENS[device.type]
        self.n_tokens = self.n_padded = 0  # pieces that were read, without and with padding
        self.lanes = lanes_on(device)
        self._threads = ThreadPoolExecutor(self.lanes)
        # what is read now, in the order in which it was begun
        self._reading: deque[tuple[list[Window], Future[tuple[int, Parts]]]] = deque()
        self._results = ResultStream(device)
        self._trimmer = Trimmer()

    @property
    def shape(self) -> Shape:
        """What states the teacher gives."""
        return Shape(self.teacher.n_layers + 1, self.teacher.dim, self.teacher.device)

    @property
    def behaviour(self) -> dict[str, int | str]:
        """What only a loaded teacher tells of an encoding, by the names of `Encoding`."""
        teacher, window = self.teacher, self.preparer.window
        named: dict[str, int | str] = {"window": window, "attention": teacher.attention, "dim": teacher.dim}
        return named | {"tokenizer_changes": teacher.tokenizer.changes}

    def expect(self, n_bytes: int) -> None:
        """Take so much more memory, which is going to be held whatever the batches, for what is needed."""
        self._trimmer = Trimmer(n_bytes)

    def encode(
        self,
        portions: Iterable[PreparedText],
        unit: str,
        pools: Sequence[Pool] = (Contexts(),),
        number: int = 0,
        after_batch: AfterBatch = lambda *_: None,
    ) -> EncodedUnit:
        """Run the teacher over a unit, by its number in its plan, as `read` does, and let pools take what they want.

        An accelerator may still be at it when this returns; `UnitPool.write` waits for it.
        """
        begun = {pool.name: pool.begin(self.shape, number) for pool in pools}
        n_read, n_padded = self.n_tokens, self.n_padded
        all_layers = any(pool.all_layers for pool in pools)
        words = self.read(portions, unit, list(begun.values()), all_layers, after_batch)
        for of_unit in begun.values():
            of_unit.end(self._results)
        return EncodedUnit(words, begun, self.n_tokens - n_read, self.n_padded - n_padded)

    def read(
        self,
        portions: Iterable[PreparedText],
        unit: str,
        accumulators: Sequence[Accumulator],
        all_layers: bool,
        after_batch: AfterBatch = lambda *_: None,
    ) -> UnitWords:
        """Run the teacher over a unit, give its states to accumulators, and return its words; one unit at a time.

        Each portion, in corpus order, is asked for when the teacher is about to need it. What accumulators take of a
        batch they take in its lane: the states then go where they were made, before the lane's next batch. They add it
        in one order, however many lanes there are. Raises X2StaticError: the device has not the memory for one window;
        `unit` is named.
        """
        if self._reading:
            raise RuntimeError(f"{unit}: another unit is being read")
        words, before = UnitWords(), self.n_tokens

        def begun() -> Iterator[PreparedText]:
            for text in portions:
                text.packed.spans[:, 0] += words.n_contexts  # they were counted from the portion's first
                numbers = words.add(text)
                text.packed.occurrences[:, 0] = numbers[text.packed.occurrences[:, 0]]
                for accumulator in accumulators:
                    accumulator.extend(text, numbers)
                yield text

        coming, waiting = self.batches(begun()), deque[list[Window]]()
        with shared_cores(self.lanes):
            try:
                while True:
                    while len(self._reading) <= self.lanes:  # one more than there are lanes, so that none waits
                        while not waiting and (more := next(coming, None)) is not None:
                            waiting.extend(more)
                        if not waiting:
                            break
                        batch = waiting.popleft()
                        self._reading.append((batch, self._threads.submit(self._take, batch, accumulators, all_layers)))
                    if not self._reading:
                        return words
                    wait([self._reading[0][1]])  # interrupted here, it is still one that `_drop` waits for
                    batch, result = self._reading.popleft()
                    if isinstance(result.exception(), torch.OutOfMemoryError):
                        unread = [batch, *self._drop(), *waiting]
                        del result  # with it goes what the attempt held
                        self._halve(batch, unit)
                        windows = [window for batch in unread for window in batch]
                        waiting = deque(cut(windows, self.max_tokens, self.teacher.window))
                        continue
                    n_padded, parts = result.result()
                    self.n_padded += n_padded
                    self.n_tokens += sum(len(window.pieces) for window in batch)
                    for accumulator, part in zip(accumulators, parts, strict=True):
                        accumulator.add(part)
                    del result, parts
                    self._trimmer.after_batch()
                    n_read = self.n_tokens - before
                    # Batches are sorted by length: what a paragraph is read of, is a share of the pieces.
                    after_batch(words.n_given * n_read // max(words.n_tokens, 1), n_read)
            finally:
                self._drop()

    def batches(self, portions: Iterable[PreparedText]) -> Iterator[list[list[Window]]]:
        """Yield the batches that each portion of a unit lets the teacher read, whatever else is still to come."""
        batches = Batches(self.teacher.window)
        for text in portions:
            yield batches.add(text.packed, text.last, self.max_tokens)
            if text.last:  # an error in reading on is not this unit's
                return

    def _take(self, batch: list[Window], accumulators: Sequence[Accumulator], all_layers: bool) -> tuple[int, Parts]:
        """Read a batch; return its pieces with padding, and what is taken of its states."""
        if all_layers:
            layers = self.teacher.layers(batch)
            states = States(mean_of_layers(layers, self.teacher.layer), layers)
        else:
            states = States(self.teacher.states(batch))
        rows, width, _ = states.chosen.shape
        return rows * width, [accumulator.take(batch, states) for accumulator in accumulators]

    def _drop(self) -> list[list[Window]]:
        """Drop what was begun, wait until nothing of it runs, and return the dropped batches."""
        dropped, self._reading = self._reading, deque()  # whatever interrupts the waiting, none of them comes back
        for _, future in dropped:
            future.cancel()
        wait([future for _, future in dropped])
        return [batch for batch, _ in dropped]

    def _halve(self, batch: list[Window], unit: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        longest = len(batch[0].pieces)
        if len(batch) == 1:
            problem = f"the device's memory does not hold one window of {longest} pieces"
            raise X2StaticError(f"{unit}: {problem}; choose --device cpu, or a smaller teacher")
        self.max_tokens = max(longest, len(batch) * longest // 2)
        logger.warning("out of memory on the device: going on with batches of %d pieces", self.max_tokens)


class ChosenTeacher:
    """The teacher that a configuration asks for: found, and not loaded yet."""

    def __init__(self, config: EncodeConfig, files: TeacherFiles | None = None) -> None:
        """Find it, unless its files are; raises X2StaticError: they or the device are not there."""
        self.config, self.files = config, files or TeacherFiles.find(config.model, config.revision)
        wanted = "openvino" if config.precision == "int8" and config.backend == "auto" else config.backend
        self.device = pick_device("cpu" if (wanted, config.device) == ("openvino", "auto") else config.device)
        self.precision, self.why = pick_precision(config.precision, config.compat, self.device)
        self.backend: Backend = "torch" if wanted == "auto" else wanted  # what is to compute the states
        if self.backend == "openvino" and self.device.type != "cpu":
            raise X2StaticError(f"--device {config.device}: OpenVINO reads on the processor; leave --device out")
        if self.backend == "torch" and self.precision == "int8":
            raise X2StaticError("--precision int8: OpenVINO alone computes with it; give --backend openvino")
        if self.backend == "openvino" and config.compile:
            raise X2StaticError("--compile is for PyTorch; leave it out, or give --backend torch")

    def hear_of(self, plans: Iterable[Plan]) -> None:
        """Hear what a new cache is to be of; take OpenVINO where that pays, it can, and nobody asked otherwise."""
        config, much = self.config, sum(unit.paragraphs for plan in plans for unit in plan.units) >= FEWEST_PARAGRAPHS
        unasked = config.backend == "auto" and config.compat is None and not config.compile
        can = self.device.type == "cpu" and self.precision in PRECISIONS
        if unasked and much and can and package_version("openvino") != NOT_INSTALLED:
            self.backend = "openvino"

    def load(self, occurrences: bool = False) -> Encoder:
        """Load it, and put what cuts text before it, which lists the occurrences of words where they are looked at.

        What OpenVINO cannot convert PyTorch reads, unless OpenVINO was asked for. Raises X2StaticError: it cannot be
        loaded, does not hold what `--compat paper` reads at once, or has no embeddings for special tokens, which a text
        may name there.
        """
        config, words = self.config, words_of(self.config)
        options = (config.trust_remote_code, config.layer, config.compile)
        try:
            teacher = Teacher(self.files, self.precision, self.device, *options, self.backend, lanes_on(self.device))
        except NotConvertedError as error:
            if config.backend != "auto" or self.precision == "int8":
                raise X2StaticError(f"--backend openvino: {error}; use --backend torch") from error
            logger.info("%s; PyTorch reads instead", error)
            self.backend = "torch"
            teacher = Teacher(self.files, self.precision, self.device, *options)
        tokenizer, splitter = teacher.tokenizer, SentenceSplitter(config.language, config.text_rules)
        skip = config.on_bad_text == "skip"
        limits = (config.min_sentences or 0, config.min_characters or 0)
        if config.compat is None:
            seen = (occurrences or config.pooling in COUNTED, config.context_words)
            default = DefaultPreparer(tokenizer, splitter, words, config.context, teacher.window, *limits, *seen)
            return Encoder(CarefulPreparer(default, skip), teacher)
        teacher.check_ids(parse_special=True)
        paper = PaperPreparer(tokenizer, splitter, config.context, *limits)
        if paper.window > teacher.window:
            problem = f"--compat paper reads {paper.window} pieces at once, this teacher holds {teacher.window}"
            raise X2StaticError(f"{problem}; leave --compat out, or choose another teacher")
        return Encoder(CarefulPreparer(paper, skip), teacher)
