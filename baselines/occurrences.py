"""One more pass of a teacher over a cache's corpus: every occurrence of the vocabulary's words, resumable by unit."""

import json
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from x2static.baselines.request import Request
from x2static.baselines.teacher import load_teacher, origin_of
from x2static.durable.arrays import write_arrays
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import open_atomically, remove_leftovers
from x2static.machine.device import memory_of
from x2static.machine.progress import Progress
from x2static.stage1_encode.cache_folder import check_teacher
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.plan.origin import find_sources
from x2static.stage1_encode.pools.pool import Accumulator, Shape
from x2static.stage1_encode.pools.spans import ChosenWords
from x2static.stage1_encode.text.preparation import pick_workers, units_ahead
from x2static.stage1_encode.text.windows import Ids, PreparedText

# A large state takes seconds to write, a unit on an accelerator takes seconds to read: a share of the time goes into
# saving, whatever the two take.
SAVING_SHARE = 0.05
MOST_MEMORY = 0.8  # the rest is for the teacher, its batches and the system


class WordState(Accumulator):
    """What is kept of each word's contextual vectors, however many there are."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}  # on the teacher's device
        self.words = ChosenWords(())  # those that its rows are of, as the unit that is read numbers them

    def extend(self, text: PreparedText, numbers: Ids) -> None:
        """Hear of the words of a portion."""
        self.words.extend(text, numbers)

    @abstractmethod
    def empty(self, shape: Shape, n_words: int) -> dict[str, Tensor]:
        """Return the tensors of words without an occurrence."""

    @abstractmethod
    def end_unit(self) -> bool:
        """Bring the tensors up to date at the end of a unit; return whether all in them is finite."""


@dataclass(frozen=True)
class StateFile:
    """A state on disk, with the units that are in it and the words that its rows are of."""

    path: Path

    def units(self) -> set[int]:
        """Return the units that are in it; none where it is not there."""
        if not self.path.is_file():
            return set()
        with self.opened() as file:
            return set(json.loads(file.metadata()["units"]))

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open it with safetensors. Raises X2StaticError: what is read of it is damaged."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                yield file
        except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            advice = "remove it and run the same command again: the teacher reads the units again that were in it"
            raise X2StaticError(f"{self.path}: damaged ({error}); {advice}") from error

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it, on the host."""
        with self.opened() as file:
            return {name: torch.from_numpy(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118

    def write(self, units: set[int], words: Sequence[str], tensors: dict[str, Tensor]) -> None:
        """Write it anew: a reader, or a run after a crash, finds the old one or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"units": json.dumps(sorted(units)), "words": json.dumps(list(words))}
        with open_atomically(self.path) as file:
            # Sorted, as a state that was read again comes in the library's order: the same state is the same bytes.
            write_arrays(file, {name: tensors[name].cpu().numpy() for name in sorted(tensors)}, metadata)


def gather(request: Request, words: Sequence[str], state: WordState, file: StateFile) -> int:
    """Fill a state with every occurrence of some words in the cache's corpus, or go on where an earlier call stopped.

    The state's rows are those of `words`. Afterwards the file holds all units, and the state's tensors are those of the
    file. Returns the number of units that the file held before. Raises X2StaticError: teacher or text are not found as
    they were; the state does not fit into memory; a layer is not finite.
    """
    remove_leftovers(file.path.parent)
    markers = request.needed_cache().committed()[0]
    units = file.units() & markers.keys()
    n_before = len(units)
    if not (missing := sorted(markers.keys() - units)):
        state.tensors = file.tensors()
    else:
        with _opened(request, missing) as (encoder, corpora):
            _check_room(request.config.name, state, encoder, len(words))
            if units:
                state.tensors = {name: tensor.to(encoder.teacher.device) for name, tensor in file.tensors().items()}
            else:
                state.tensors = state.empty(encoder.shape, len(words))
            texts = ((shard, corpora[markers[shard].plan].read(markers[shard].unit).paragraphs) for shard in missing)
            total = sum(marker.unit.paragraphs for marker in markers.values())
            n_read = sum(markers[shard].unit.paragraphs for shard in units)
            request.report(Progress(n_read, total, "paragraphs"))
            began, due = time.monotonic(), 0.0
            device = encoder.teacher.device
            plans, options = request.needed_cache().plans(), (encoder.preparer, pick_workers(None, device), device)
            for shard, portions in units_ahead(texts, *options, lambda shard: plans[markers[shard].plan].language):
                state.words = ChosenWords(words)
                encoder.read(portions, f"unit {shard}", [state], all_layers=True)
                if not state.end_unit():
                    raise X2StaticError(f"unit {shard}: a layer's states are not finite; try --precision float32")
                units.add(shard)
                if (started := time.monotonic()) >= due or shard == missing[-1]:
                    file.write(units, words, state.tensors)
                    ended = time.monotonic()
                    due = ended + (ended - started) / SAVING_SHARE
                n_read += markers[shard].unit.paragraphs
                rate = f"{encoder.n_tokens / (time.monotonic() - began):,.0f} tokens/s"
                request.report(Progress(n_read, total, "paragraphs", rate))
    return n_before


def _check_room(method: str, state: WordState, encoder: Encoder, n_words: int) -> None:
    """Refuse a state that does not fit on the teacher's device, before it is read and before hours of work."""
    device = encoder.teacher.device
    # On the device "meta" tensors have a size, and take no memory.
    planned = state.empty(replace(encoder.shape, device=torch.device("meta")), n_words)
    n_bytes = sum(tensor.nbytes for tensor in planned.values())
    if n_bytes > MOST_MEMORY * (total := memory_of(device)):
        here = f"of the {total / 1e9:,.1f} GB of memory here {MOST_MEMORY:.0%} are for them"
        advice = "make the vocabulary smaller with --max-vocab or --min-count"
        what = f"what is kept of the words would take {n_bytes / 1e9:,.1f} GB"
        raise X2StaticError(f"{method}: {what}, and {here}; {advice}")
    encoder.expect(n_bytes)


@contextmanager
def _opened(request: Request, shards: Iterable[int]) -> Iterator[tuple[Encoder, dict[int, Corpus]]]:
    """Find the teacher of a cache, and, by the numbers of their plans, the corpora of the units that are read."""
    cache = request.needed_cache()
    if compat := cache.manifest.encoding.compat:
        why = f"made with --compat {compat}, which joins words anew before the teacher reads them"
        raise X2StaticError(f"{cache.path}: {why}; {request.config.name} needs a cache without it")
    markers, plans = cache.committed()[0], cache.plans()
    with ExitStack() as stack:
        sources = find_sources(cache, plans, (markers[shard].plan for shard in shards), origin_of(request), stack)
        encoder = load_teacher(request, occurrences=True)
        check_teacher(cache, encoder)
        corpora = {number: source.corpus for source in sources for number in source.plans}
        for number, corpus in corpora.items():
            corpus.connect(plans[number].identity)
        yield encoder, corpora
