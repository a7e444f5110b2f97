"""One more pass of a teacher over a cache's corpus: every occurrence of the vocabulary's words, resumable by unit."""

import json
import time
from abc import abstractmethod
from collections.abc import Sequence
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
from x2static.stage1_encode.pools.pool import Accumulator, Shape
from x2static.stage1_encode.text.preparation import pick_workers, units_ahead

# A large state takes seconds to write, a unit on an accelerator takes seconds to read: a share of the time goes into
# saving, whatever the two take.
SAVING_SHARE = 0.05


class WordState(Accumulator):
    """What is kept of each word's contextual vectors, however many there are."""

    tensors: dict[str, Tensor]  # all of it by name, on the teacher's device

    @abstractmethod
    def n_bytes(self, shape: Shape, n_words: int) -> int:
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
    def begin(self, shape: Shape, n_words: int) -> None:
        """Make the tensors of words without an occurrence."""

    @abstractmethod
    def end_unit(self) -> bool:
        """Bring the tensors up to date at the end of a unit; return whether all in them is finite."""


@dataclass(frozen=True)
class StateFile:
    """A state on disk, with the units that are in it and the words that its rows are of."""

    path: Path  # where it is

    def units(self) -> set[int]:
        """Return the units that are in it; none where it is not there."""
        return set(self._read(lambda file: json.loads(file.metadata()["units"]))) if self.path.is_file() else set()

    def words(self) -> list[str]:
        """Return the words, in the order of the rows."""
        words: list[str] = self._read(lambda file: json.loads(file.metadata()["words"]))
        return words

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all of it."""
        arrays: dict[str, npt.NDArray[Any]] = self._read(
            lambda file: {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        )
        return arrays

    def part(self, name: str, number: int) -> npt.NDArray[Any]:
        """Return one row of one array."""
        array: npt.NDArray[Any] = self._read(lambda file: file.get_slice(name)[number : number + 1])[0]
        return array

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return one array."""
        array: npt.NDArray[Any] = self._read(lambda file: file.get_tensor(name))
        return array

    def length(self, name: str) -> int:
        """Return the rows of one array."""
        return int(self._read(lambda file: file.get_slice(name).get_shape()[0]))

    def write(self, units: set[int], words: Sequence[str], tensors: dict[str, Tensor]) -> None:
        """Write it anew: a reader, or a run after a crash, finds the old one or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"units": json.dumps(sorted(units)), "words": json.dumps(list(words))}
        with open_atomically(self.path) as file:
            write_arrays(file, {name: tensor.cpu().numpy() for name, tensor in tensors.items()}, metadata)

    def _read(self, get: Any) -> Any:
        """Return what a function reads. Raises X2StaticError: the file is damaged."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                return get(file)
        except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise X2StaticError(
                f"{self.path}: damaged ({error}); remove it and run the same command again: the teacher reads the "
                "units again that were in it"
            ) from error


def gather(request: Request, words: Sequence[str], state: WordState, file: StateFile) -> int:
    """Fill a state with every occurrence of some words in the cache's corpus, or go on where an earlier call stopped.

    Afterwards the file holds all units, and the state's tensors are those of the file.

    Args:
        request: for the cache, and where its teacher and text are now.
        words: their numbers are those of the state's rows.
        state: what is filled.
        file: where it is kept.

    Returns:
        The units that were in the file before.

    Raises:
        X2StaticError: teacher or text are not found as they were; the state does not fit into memory; a layer is not
            finite.
    """
    remove_leftovers(file.path.parent)
    shards = request.needed_cache().committed()[0].keys()
    held = file.units() & shards
    missing = shards - held
    if not missing:
        state.tensors = {name: torch.from_numpy(array) for name, array in file.arrays().items()}
        return len(held)
    with opened(request, words, missing) as (encoder, sources):
        n_bytes = state.n_bytes(encoder.shape, len(words))
        device = encoder.teacher.device
        check_memory(n_bytes, device, f"{request.config.name}: what is kept of the words would")
        state.check_layer(encoder.shape.n_layers)
        if held:  # empty tensors beside these would take twice the memory that was checked
            state.tensors = {name: to_device(array, device) for name, array in file.arrays().items()}
        else:
            state.begin(encoder.shape, len(words))
        encoder.expect(n_bytes)
        _fill(request, encoder, sources, state, Saver(file, words, set(held)))
    return len(held)


class Saver:
    """Writes a state now and then.

    Attributes:
        units: those that the state holds.
    """

    def __init__(self, file: StateFile, words: Sequence[str], units: set[int]) -> None:
        """Begin with the units that are saved already."""
        self.units, self._file, self._words = units, file, words
        self._due, self._n_saved = 0.0, len(units)

    def save(self, state: WordState, last: bool) -> None:
        """Write the state if it is time to, or there will be no other."""
        began = time.monotonic()
        if (began < self._due and not last) or len(self.units) == self._n_saved:
            return
        self._file.write(self.units, self._words, state.tensors)
        ended = time.monotonic()
        self._due, self._n_saved = ended + (ended - began) / SAVING_SHARE, len(self.units)


def _fill(request: Request, encoder: Encoder, sources: list[Source], state: WordState, saver: Saver) -> None:
    """Read and prepare the missing units, ahead of the teacher and in the cache's order, and take them in."""
    began = time.perf_counter()
    cache = request.needed_cache()
    markers, plans = cache.committed()[0], cache.plans()
    corpora = {number: source.corpus for source in sources for number in source.plans}
    for number, corpus in corpora.items():
        corpus.connect(plans[number].identity)
    total = sum(marker.unit.paragraphs for marker in markers.values())
    n_read = sum(markers[shard].unit.paragraphs for shard in saver.units)
    request.report(Progress(n_read, total, "paragraphs"))
    missing = [(shard, marker) for shard, marker in sorted(markers.items()) if shard not in saver.units]
    units = ((shard, corpora[marker.plan].read(marker.unit).paragraphs) for shard, marker in missing)
    device = encoder.teacher.device
    for shard, portions in units_ahead(units, encoder.preparer, pick_workers(None, device), device):
        encoder.read(portions, f"unit {shard}", [state], all_layers=True)
        if not state.end_unit():
            raise X2StaticError(f"unit {shard}: a layer's states are not finite; try --precision float32")
        saver.units.add(shard)
        saver.save(state, last=len(saver.units) == len(markers))
        n_read += markers[shard].unit.paragraphs
        rate = f"{encoder.n_tokens / (time.perf_counter() - began):,.0f} tokens/s"
        request.report(Progress(n_read, total, "paragraphs", rate))
