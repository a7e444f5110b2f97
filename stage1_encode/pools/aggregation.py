"""Aggregated embeddings: chosen words' contextual vectors, summed at every layer while the teacher reads."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from x2static.durable.errors import X2StaticError
from x2static.machine.device import Fetched, ResultStream, to_device
from x2static.schemas.aggregated import Aggregated, WordSums
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.pools.occurrences import Occurrences
from x2static.stage1_encode.text.segmentation import choose_words
from x2static.stage1_encode.text.windows import Window

logger = logging.getLogger(__name__)


def wanted_words(config: EncodeConfig, listed: Sequence[str]) -> tuple[str, ...]:
    """Return listed words as the word segmentation rules write them, each once, sorted; others are left out and told.

    Raises:
        X2StaticError: none is left, or the mode is one in which words and pieces do not meet.
    """
    if not listed:
        return ()
    if config.compat:
        raise X2StaticError(
            f"--ase does not go with --compat {config.compat}: that mode joins words anew before the teacher reads "
            "them, and keeps words that the teacher never reads; leave one of the two out"
        )
    rules = choose_words(config.compat, config.language)
    cut = [(word, rules.split(word)) for word in listed]
    others = [word for word, words in cut if len(words) != 1]
    found = sorted({words[0] for _, words in cut if len(words) == 1})
    if not found:
        raise X2StaticError(f"--ase: none of the {len(listed)} entries is a single word; list one word a line")
    if others:
        logger.warning("--ase: %d entries are not single words and left out (%s)", len(others), ", ".join(others[:3]))
    return tuple(found)


def open_aggregated(cache: Cache, wanted: tuple[str, ...]) -> Aggregated | None:
    """Return where the sums of the wanted words are kept in a cache; None where none are wanted.

    Raises:
        X2StaticError: the cache holds the sums of other words.
    """
    found = Aggregated.open(cache.path)
    if not wanted:
        if found:
            logger.info("%s holds aggregated embeddings, which are not continued without --ase", cache.path)
        return None
    if found is None:
        return Aggregated.create(cache.path, wanted, cache.manifest.fingerprint)
    if found.words != wanted:
        raise X2StaticError(
            f"{found.folder}: it holds the sums of other words ({len(set(found.words) - set(wanted))} that are not "
            f"asked for, {len(set(wanted) - set(found.words))} of those asked for are not there); ask for the same "
            "words, or remove this folder: the teacher then reads all again"
        )
    found.sweep()
    return found


@dataclass(frozen=True)
class FetchedSums:
    """Sums of a unit on their way to the host."""

    sums: Fetched
    rests: Fetched
    counts: torch.Tensor

    def read(self) -> WordSums:
        """Wait for them."""
        return WordSums(self.sums.numpy(), self.rests.numpy(), self.counts.numpy())


class LayerSums:
    """Float32 sums, with what they lose to rounding beside them, of one unit's occurrences, on the teacher's device.

    A word that occurs ten thousand times in a unit is added up batch after batch; plain float32 would lose the last
    digits of the late ones. The loss of each addition is computed exactly (Knuth's two-sum) and kept.
    """

    def __init__(self, n_layers: int, n_words: int, dim: int, device: torch.device) -> None:
        """Start with zeros.

        Args:
            n_layers: layers of the teacher, the embedding layer's output included.
            n_words: words that are added up.
            dim: width of the states.
            device: the teacher's.
        """
        self.sums = torch.zeros((n_layers, n_words, dim), dtype=torch.float32, device=device)
        self.rests = torch.zeros_like(self.sums)
        self.counts = torch.zeros(n_words, dtype=torch.int64)

    @property
    def n_bytes(self) -> int:
        """Bytes that they take."""
        return self.sums.nbytes + self.rests.nbytes

    def add(self, batch: list[Window], layers: tuple[torch.Tensor, ...]) -> None:
        """Add the occurrences of a batch; an occurrence's vector is the mean of the states of its pieces.

        Args:
            batch: the windows, in the order of the rows.
            layers: of each layer, the states, (len(batch), width, dim).
        """
        device = layers[0].device
        found = Occurrences(batch, layers[0].shape[1], device)
        if not len(found.words):
            return
        words, place = np.unique(found.words, return_inverse=True)
        owners, rows = found.of_pieces(place), to_device(words, device)
        for layer, states in enumerate(layers):
            pieces = found.pieces(states)
            added = torch.zeros((len(words), pieces.shape[1]), device=device).index_add_(0, owners, pieces)
            before = self.sums[layer].index_select(0, rows)
            after = before + added
            shift = after - before
            lost = (before - (after - shift)) + (added - shift)
            self.sums[layer].index_copy_(0, rows, after)
            self.rests[layer].index_add_(0, rows, lost)
        self.counts += torch.from_numpy(np.bincount(found.words, minlength=len(self.counts)))

    def fetch(self, results: ResultStream) -> FetchedSums:
        """Begin to copy the sums to the host."""
        return FetchedSums(results.fetch(self.sums), results.fetch(self.rests), self.counts)
