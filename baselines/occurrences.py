"""One more pass of a teacher over a cache's corpus: every occurrence of the vocabulary's words, resumable by unit."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from x2static.baselines.request import Request
from x2static.baselines.teacher import check_memory, opened
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically, remove_leftovers
from x2static.durable.tensors import write_arrays
from x2static.machine.device import to_device
from x2static.machine.progress import Progress
from x2static.stage1_encode.corpora.sources import Source
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.plan.remaining import Work, read_remaining
from x2static.stage1_encode.pools.occurrences import Occurrences
from x2static.stage1_encode.text.preparation import pick_workers, units_ahead
from x2static.stage1_encode.text.windows import PreparedText

# A large state takes seconds to write, a unit on an accelerator takes seconds to read: a share of the time goes into
# saving, whatever the two take.
SAVING_SHARE = 0.05

Arrays = dict[str, npt.NDArray[Any]]


class Pool(ABC):
    """What is kept of each word's contextual vectors, however many there are.

    Attributes:
        tensors: all of it by name, on the teacher's device.
    """

    tensors: dict[str, Tensor]

    @abstractmethod
    def n_bytes(self, n_layers: int, n_words: int, dim: int) -> int:
        """Return what the tensors will take."""

    @abstractmethod
    def check_layer(self, n_layers: int) -> None:
        """See that the teacher has the layer that is asked for.

        Args:
            n_layers: of the teacher, its embeddings included.

        Raises:
            X2StaticError: there is no such layer.
        """

    @abstractmethod
    def begin(self, n_layers: int, n_words: int, dim: int, device: torch.device) -> None:
        """Make the tensors of a pool that has seen nothing.

        Args:
            n_layers: of the teacher, its embeddings included.
            n_words: words of the vocabulary.
            dim: width of the states.
            device: the teacher's.
        """

    @abstractmethod
    def add(self, found: Occurrences, layers: Sequence[Tensor]) -> None:
        """Take in the occurrences of a batch.

        Args:
            found: the occurrences.
            layers: of each layer, the states, (rows, width, dim).
        """

    @abstractmethod
    def end_unit(self) -> bool:
        """Bring the tensors up to date at the end of a unit; return whether all in them is finite."""


@dataclass(frozen=True)
class StateFile:
    """A pool on disk, with the units that are in it.

    Attributes:
        path: where it is.
    """

    path: Path

    def units(self) -> set[int]:
        """Return the units that are in it; none where it is not there.

        Raises:
            X2StaticError: it is damaged.
        """
        return set(self._read(lambda file: json.loads(file.metadata()["units"]))) if self.path.is_file() else set()

    def arrays(self) -> Arrays:
        """Return all of it.

        Raises:
            X2StaticError: it is damaged.
        """
        found: Arrays = self._read(lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        return found

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return one array.

        Raises:
            X2StaticError: it is damaged.
        """
        found: npt.NDArray[Any] = self._read(lambda file: file.get_tensor(name))
        return found

    def part(self, name: str, number: int) -> npt.NDArray[Any]:
        """Return one row of one array.

        Raises:
            X2StaticError: it is damaged.
        """
        found: npt.NDArray[Any] = self._read(lambda file: file.get_slice(name)[number : number + 1])[0]
        return found

    def length(self, name: str) -> int:
        """Return the rows of one array.

        Raises:
            X2StaticError: it is damaged.
        """
        return int(self._read(lambda file: file.get_slice(name).get_shape()[0]))

    def write(self, units: set[int], tensors: dict[str, Tensor]) -> None:
        """Write it anew: a reader, or a run after a crash, finds the old one or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomically(self.path) as file:
            arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
            write_arrays(file, arrays, {"units": json.dumps(sorted(units))})

    def _read(self, get: Any) -> Any:
        try:
            with safe_open(self.path, framework="numpy") as file:
                return get(file)
        except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise X2StaticError(
                f"{self.path}: damaged ({error}); remove it and run the same command again: the teacher reads the "
                "units again that were in it"
            ) from error


def gather(request: Request, words: Sequence[str], pool: Pool, state: StateFile) -> int:
    """Fill a pool with every occurrence of some words in the cache's corpus, or go on where an earlier call stopped.

    Afterwards the state holds all units, and the pool's tensors are those of the state.

    Args:
        request: for the cache, and where its teacher and text are now.
        words: their numbers are those of the pool's rows.
        pool: what is filled.
        state: where it is kept.

    Returns:
        The units that were in the state before.

    Raises:
        X2StaticError: teacher or text are not found as they were; the pool does not fit into memory; a state is not
            finite.
    """
    remove_leftovers(state.path.parent)
    markers = request.needed_cache().committed()[0]
    held = state.units() & markers.keys()
    missing = markers.keys() - held
    if not missing:
        pool.tensors = {name: torch.from_numpy(array) for name, array in state.arrays().items()}
        return len(held)
    with opened(request, words, missing) as (encoder, sources):
        teacher = encoder.teacher
        shape = (teacher.n_layers + 1, len(words), teacher.dim)
        check_memory(pool.n_bytes(*shape), teacher.device, f"{request.config.name}: what is kept of the words would")
        pool.check_layer(teacher.n_layers + 1)
        if held:  # empty tensors beside these would take twice the memory that was checked
            pool.tensors = {name: to_device(array, teacher.device) for name, array in state.arrays().items()}
        else:
            pool.begin(*shape, teacher.device)
        _fill(request, encoder, sources, pool, Saver(state, set(held)))
    return len(held)


class Saver:
    """Writes a state now and then.

    Attributes:
        units: those that the pool holds.
    """

    def __init__(self, state: StateFile, units: set[int]) -> None:
        """Begin with the units that are saved already."""
        self.units, self._state = units, state
        self._due, self._saved = 0.0, len(units)

    def save(self, pool: Pool, last: bool) -> None:
        """Write the pool if it is time to, or there will be no other."""
        began = time.monotonic()
        if (began < self._due and not last) or len(self.units) == self._saved:
            return
        self._state.write(self.units, pool.tensors)
        ended = time.monotonic()
        self._due, self._saved = ended + (ended - began) / SAVING_SHARE, len(self.units)


def _fill(request: Request, encoder: Encoder, sources: list[Source], pool: Pool, saver: Saver) -> None:
    began = time.perf_counter()
    markers = request.needed_cache().committed()[0]
    total = sum(marker.unit.paragraphs for marker in markers.values())
    n_read = sum(markers[shard].unit.paragraphs for shard in saver.units)
    request.report(Progress(n_read, total, "paragraphs"))
    before = encoder.n_tokens
    for work, portions in _units(request, encoder, sources, saver.units):
        _take_in(encoder, portions, f"unit {work.shard}", pool)
        saver.units.add(work.shard)
        saver.save(pool, last=len(saver.units) == len(markers))
        n_read += work.text.unit.paragraphs
        rate = f"{(encoder.n_tokens - before) / (time.perf_counter() - began):,.0f} tokens/s"
        request.report(Progress(n_read, total, "paragraphs", rate))


def _units(
    request: Request, encoder: Encoder, sources: list[Source], held: set[int]
) -> Iterator[tuple[Work, Iterator[PreparedText]]]:
    """Read and prepare the missing units, ahead of the teacher and in the cache's order."""
    cache = request.needed_cache()
    markers = cache.committed()[0]
    works = read_remaining(cache.plans(), sources, markers, None, markers.keys() - held)
    units = ((work, work.text.paragraphs) for work in works)
    device = encoder.teacher.device
    return units_ahead(units, encoder.preparer, pick_workers(None, device), device)


def _take_in(encoder: Encoder, portions: Iterator[PreparedText], what: str, pool: Pool) -> None:
    with closing(encoder.read(portions, what)) as batches:
        for batch, layers in batches:
            found = Occurrences(batch, layers[0].shape[1], layers[0].device)
            if len(found.words):
                pool.add(found, layers)
    if not pool.end_unit():
        raise X2StaticError(f"{what}: a layer's states are not finite; try --precision float32")
