"""Shards in which some words that follow one another are one word: counted and trained as any other.

The cache stays as it is. An entry of `schemas/multiword.py` that would get no vector, because it is too rare, is not
joined at all, or the texts that hold it would lose its words.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from x2static.schemas.multiword import SHOWN, Multiword, name_of
from x2static.schemas.shard import LEXICON_SCHEMA, WORDS_SCHEMA, Shard, ranges
from x2static.stage2_train.vocabulary import Vocabulary

Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JoinedShard(Shard):
    """A shard whose words are joined as it is read; its lexicon has the entries behind the shard's own words."""

    base: Shard = field(kw_only=True)
    multiword: Multiword = field(kw_only=True)

    @classmethod
    def of(cls, base: Shard, multiword: Multiword) -> "JoinedShard":
        """Return a shard with entries joined."""
        return cls(base.folder, base.marker, base.checked, base=base, multiword=multiword)

    def words(self) -> pa.Table:
        """Return what the shard's own words are, joined, as `Shard.words`. Raises DamagedShard."""
        table, (offsets, ids) = self.base.words(), self._joined()
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(ids, pa.int32()))
        return pa.table([table["paragraph"], lists], schema=WORDS_SCHEMA).combine_chunks()

    def lexicon(self) -> pa.Table:
        """Return the words that are left, and the entries, with their counts. Raises DamagedShard."""
        table, entries = self.base.lexicon(), self.multiword.entries
        names = pa.concat_arrays([*table["word"].chunks, pa.array(map(name_of, entries), pa.string())])
        counts = np.append(table["count"].to_numpy(), np.zeros(len(entries), np.int64))
        rows, changes = self._changes
        counts[rows] += changes
        return pa.table([names, counts], schema=LEXICON_SCHEMA)

    def _joined(self) -> tuple[Ints, Ids]:
        """Return offsets and words of the contexts; of a large cache they are too many to be kept."""
        lists = self.base.words()["word_ids"].combine_chunks()
        return join(
            np.append(0, np.cumsum(lists.value_lengths().to_numpy())), lists.flatten().to_numpy(), *self._entries
        )

    @cached_property
    def _entries(self) -> tuple[list[Ints], int]:
        """The entries as rows of the shard's lexicon, -1 for words that it has not, and how many words it has."""
        lexicon, entries = self.base.lexicon(), self.multiword.entries
        parts = pa.array([word for entry in entries for word in entry], pa.string())
        rows = pc.fill_null(pc.index_in(parts, value_set=lexicon["word"].combine_chunks()), -1).to_numpy()
        return np.split(rows, np.cumsum([len(entry) for entry in entries])[:-1]), len(lexicon)

    @cached_property
    def _changes(self) -> tuple[Ints, Ints]:
        """Rows of the lexicon whose counts change, and by how much; the few that are kept, and not all counts."""
        entries, n_words = self._entries
        before = self.base.lexicon()["count"].to_numpy()
        after = np.bincount(self._joined()[1], minlength=n_words + len(entries))
        changes = after - np.append(before, np.zeros(len(entries), np.int64))
        rows = np.flatnonzero(changes)
        return rows, changes[rows]


def join(offsets: Ints, ids: Ids, entries: list[Ints], n_words: int) -> tuple[Ints, Ids]:
    """Return contexts with entries joined: their offsets, (n_contexts + 1,), and their words, int32.

    Context i is ids[offsets[i]:offsets[i + 1]], the first from 0, the last to the end. Entry k, words as `ids` has
    them, becomes n_words + k; none that holds -1. From left to right in a context, the longest at each place, as in
    `Multiword.places`.
    """
    starts, stops, which = _matches(offsets, ids, entries, n_words)
    taken = _taken(starts, stops)
    starts, stops, which = starts[taken], stops[taken], which[taken]
    joined, left = ids.copy(), np.ones(len(ids), bool)
    joined[starts] = n_words + which
    gone = ranges(starts + 1, stops - starts - 1)
    left[gone] = False
    return offsets - np.searchsorted(gone, offsets), joined[left]


def _matches(offsets: Ints, ids: Ids, entries: list[Ints], n_words: int) -> tuple[Ints, Ints, Ints]:
    """Return [start, stop) of the longest entry that begins at each place where one does, ascending, and which it is.

    Entries are a trie, whose branches, node * n_words + word, are looked up for all places at once, a word at a time.
    """
    branches: dict[int, int] = {}
    ends: dict[int, int] = {}
    for number, entry in enumerate(entries):
        node = 0
        for word in entry.tolist() if entry.min() >= 0 else ():
            node = branches.setdefault(node * n_words + word, len(branches) + 1)
        ends.setdefault(node, number)
    ends.pop(0, None)
    if not ends:
        none = np.zeros(0, np.int64)
        return none, none, none
    entry_of = np.full(len(branches) + 1, -1)
    entry_of[list(ends)] = list(ends.values())
    keys, nodes = (np.array(some, np.int64) for some in (list(branches), list(branches.values())))
    order = np.argsort(keys)
    keys, nodes = keys[order], nodes[order]
    first = np.zeros(n_words, np.int64)  # the node behind a word that an entry begins with; a table is quicker here
    first[keys[keys < n_words]] = nodes[keys < n_words]
    node_at = first[ids]
    places = np.flatnonzero(node_at)
    node_at, limits = node_at[places], offsets[np.searchsorted(offsets, places, side="right")]
    stops, which = places.copy(), np.full(len(places), -1)
    going, n = np.arange(len(places)), 1  # places that are on a branch, and how many words they have behind them
    while len(going := going[places[going] + n < limits[going]]):
        wanted = node_at[going] * n_words + ids[places[going] + n]
        branch = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        on = keys[branch] == wanted
        going, n = going[on], n + 1
        node_at[going] = nodes[branch[on]]
        ended = going[entry_of[node_at[going]] >= 0]
        stops[ended], which[ended] = places[ended] + n, entry_of[node_at[ended]]
    some = which >= 0
    return places[some], stops[some], which[some]


def _taken(starts: Ints, stops: Ints) -> npt.NDArray[np.bool_]:
    """Return which matches, ascending by start, are joined: each that begins behind the one that was joined before."""
    before = np.append(0, np.maximum.accumulate(stops)[:-1]) if len(stops) else stops
    taken = starts >= before  # clear of all before it
    last, previous = 0, -1
    for number in np.flatnonzero(~taken).tolist():  # few: entries that overlap
        if number - 1 != previous:
            last = int(stops[number - 1])
        taken[number] = starts[number] >= last
        if taken[number]:
            last = int(stops[number])
        previous = number
    return taken


def join_shards(
    shards: dict[int, Shard], multiword: Multiword, min_count: int, build: Callable[..., Vocabulary]
) -> tuple[dict[int, Shard], Vocabulary]:
    """Return shards in which those entries are joined that get a vector then, and their vocabulary, as `build` has it.

    It warns of the other entries: their words count for themselves. One that is left out may set words free for others,
    so they are counted again.
    """
    asked = multiword
    while multiword.entries:
        joined: dict[int, Shard] = {number: JoinedShard.of(shard, multiword) for number, shard in shards.items()}
        counts = _occurrences(joined.values(), map(name_of, multiword.entries))
        frequent = multiword.known(name for name, count in counts.items() if count >= min_count)
        if frequent == multiword:
            vocabulary = build(joined.values(), multiword=multiword)
            if (frequent := multiword.known(vocabulary.words.to_pylist())) == multiword:
                break
        multiword = frequent
    else:
        joined, vocabulary = shards, build(shards.values())
    if asked.entries:
        logger.info(
            "--multiword: %s of %s entries are joined", f"{len(multiword.entries):,}", f"{len(asked.entries):,}"
        )
    kept = set(multiword.entries)
    if left_out := [entry for entry in asked.entries if entry not in kept]:
        words = _occurrences(shards.values(), (word for entry in left_out for word in entry)).keys()
        strange = [" ".join(entry) for entry in left_out if not words >= set(entry)]
        rare = [" ".join(entry) for entry in left_out if words >= set(entry)]
        few = f"occur fewer than --min-count {min_count} times, or are not among the --max-vocab words"
        reasons = (strange, "hold a word that the corpus does not have"), (rare, few)
        said = [f"{len(some):,} {why} ({', '.join(some[:SHOWN])})" for some, why in reasons if some]
        what = f"of its {len(asked.entries):,} entries {' and '.join(said)}"
        logger.warning("--multiword: %s; their words stay single", what)
    return joined, replace(vocabulary, multiword=multiword)


def _occurrences(shards: Iterable[Shard], words: Iterable[str]) -> Counter[str]:
    """Return how often some words occur in shards; those that no shard has are not there."""
    wanted, total = pa.array(sorted(set(words)), pa.string()), Counter[str]()
    for shard in shards:
        table = shard.lexicon()
        table = table.filter(pc.is_in(table["word"], value_set=wanted))
        for word, count in zip(table["word"].to_pylist(), table["count"].to_pylist(), strict=True):
            total[word] += count
    return total
