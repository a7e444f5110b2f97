"""Views: what the teacher itself makes of a word, from several sides, put together; no step, no draw.

    A   own states: the mean of the states of a word's own pieces over its occurrences, centred over the occurrences
        of all words, without the first principal components; of several layers, if asked for, the sum of the unit
        vectors of each
    T   carrier phrases: the mean over all states of "a definition of w" and its like, each phrase centred over the
        vocabulary and made unit length, added up
    D   a dictionary, if asked for: the same of "word: gloss" and "word, synonyms: gloss"
    R   the regression of sentences on their words, if asked for: `stage2_train/regression.py`
    C   the closed form in the whitened space, if asked for: S^-1/2 (m_w - m) of `closed_form.py`
    M   masked contexts, if asked for: the mean of a word's, centred over them all; `schemas/masked.py`
    v   unit(A) + weight unit(T) + weight unit(D) + weight unit(R) + weight unit(C) + weight unit(M), made unit length;
        then, if asked
        for, drawn to its synonyms in the dictionary: a multiple of their mean is added; then drawn to its nearest
        neighbours: a multiple of their mean, weighted by the softmax of their cosines at TEMPERATURE, is added
    length  a / (a + p) for a word that is the share p of all (SIF; Arora, Liang and Ma, ICLR 2017), so that the plain
        mean of vectors is good for a sentence; cosines of words do not change

Several words that are one (`--multiword`) have no states of their own in a cache: their A is made of the mean of the
words' mean states, all of one weight; so is T, of what the words are in each phrase, where the cache has not read the
entry itself (`x2static cache phrases --multiword`).

The own states alone are ASE's mean (Bommasani, Davis and Cardie, ACL 2020); what each part adds is in docs/LOG.md,
2026-11-28, the dictionary's, the regression's and the closed form's 2026-11-29.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.nn import functional

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, lines_of
from x2static.schemas.cache import Cache
from x2static.schemas.masked import masked_means
from x2static.schemas.multiword import name_of
from x2static.schemas.phrases import PHRASES, Block, newest_blocks
from x2static.schemas.training import PRIOR, TrainConfig
from x2static.schemas.vectors import sif_weights
from x2static.schemas.views import lacking_views, pools_of_layers
from x2static.schemas.word_states import NAME, word_means
from x2static.stage2_train.objectives.closed_form import whitened_slopes
from x2static.stage2_train.objectives.objective import BaseObjective, load_objective
from x2static.stage2_train.regression import sentence_regression
from x2static.stage2_train.stream import Stream
from x2static.stage2_train.transform import Moments, Transform
from x2static.stage2_train.vocabulary import Vocabulary

TEMPERATURE = 0.05
ROWS_AT_ONCE = 1024  # words whose cosines to all others are held at a time
# Words are drawn to frequent ones alone: among 750,000 it would take fifteen times as long.
AMONG = 50_000

logger = logging.getLogger(__name__)


def settled(config: TrainConfig, cache: Cache) -> TrainConfig:
    """Return a configuration in which `init` and `prior` are chosen, by what the cache holds.

    `state_layers` that are the cache's own are as good as none. Raises X2StaticError: the cache lacks one that is used.
    """
    init = config.init
    if init == "auto":
        init = "closed-form"
        if load_objective(config.objective).takes_steps:
            lacking = lacking_views(cache, phrases=bool(config.phrases))
            if lacking and config.state_layers is None:  # whoever names layers asks for views
                logger.warning("%s: vectors begin at the closed form; %s", cache.path, lacking)
            else:
                init = "views"
    begins = (config.objective, init) == ("negative-sampling", "views")
    prior = config.prior if config.prior is not None else PRIOR if begins else 0.0
    layers = config.state_layers
    if layers is not None and "views" in (config.objective, init):
        pools_of_layers(cache, layers)  # now, not after the folder is claimed
        layers = None if layers == cache.manifest.encoding.layer else layers
    return config.model_copy(update={"init": init, "prior": prior, "state_layers": layers})


class Objective(BaseObjective):
    """The views that a cache holds, and their weights."""

    takes_steps = draws = in_space = False

    def __init__(self, config: TrainConfig) -> None:
        self.phrases, self.components, self.sif = config.phrases, config.components, config.sif
        self.state_layers = config.state_layers
        self.neighbours, self.neighbour_weight = config.neighbours, config.neighbour_weight
        self.dictionary, self.synonyms = config.dictionary, config.synonyms
        self.regression, self.closed_form = config.regression, config.closed_form
        self.masked = config.masked
        self.needs_words, self.min_count = bool(config.closed_form), config.min_count
        if config.test_pairs is not None and not self.synonyms:
            raise X2StaticError(
                f"--test-pairs {config.test_pairs}: only --synonyms uses it; give that, or leave it out"
            )
        self.test_pairs = read_pairs(config.test_pairs) if config.test_pairs is not None else None

    def sources(self, cache: Path) -> dict[str, Any]:
        """Return the dictionary as the text from outside that it is, and the hash of the pairs that are left out."""
        if not (self.dictionary or self.synonyms):
            return {}
        outside = self._blocks(cache, of_dictionary=True)[-1].marker.dictionary
        pairs = None if self.test_pairs is None else sha256(canonical_json(sorted(self.test_pairs))).hexdigest()
        return {"outside_text": outside and outside.model_dump(), "test_pairs": pairs}

    def words_read(self, cache: Path) -> int | None:
        """Return how many words the blocks hold that phrases and dictionary are taken from."""
        kinds = [kind for kind, wanted in ((False, self.phrases), (True, self.dictionary)) if wanted]
        return sum(block.marker.words for kind in kinds for block in newest_blocks(cache, kind))

    def _blocks(self, cache: Path, of_dictionary: bool) -> list[Block]:
        """Return the blocks of a view. Raises X2StaticError: there are none."""
        if blocks := newest_blocks(cache, of_dictionary):
            return blocks
        if of_dictionary:
            hint = f"run `x2static cache phrases {cache} --dictionary FILE`, or leave out --dictionary and --synonyms"
            raise X2StaticError(f"{cache}: no dictionary here, with which its words are read; {hint}")
        hint = f"run `x2static cache phrases {cache}`, or give --phrases 0"
        raise X2StaticError(f"{cache}: no {PHRASES} here, in which its words are read alone; {hint}")

    def begin(self, vectors: Tensor, stream: Stream, transform: Transform, moments: Callable[[], Moments]) -> None:
        """Write the vectors. Raises X2StaticError: the cache lacks a view."""
        vectors.copy_(self.put_together(stream, moments))

    def put_together(self, stream: Stream, moments: Callable[[], Moments]) -> Tensor:
        """Return the vectors, (n_words, teacher's dim) float32 on the CPU. Raises X2StaticError: there is no view."""
        if self.components >= stream.dim:
            raise X2StaticError(
                f"--components {self.components}: the states have but {stream.dim} dimensions; ask for fewer"
            )
        result = self._own_states(stream)
        if self.phrases:
            result += self.phrases * unit(self._read_alone(stream, of_dictionary=False))
        if self.dictionary:
            result += self.dictionary * unit(self._read_alone(stream, of_dictionary=True))
        if self.regression:
            result += self.regression * unit(sentence_regression(stream))
        if self.closed_form:
            result += self.closed_form * unit(whitened_slopes(moments()))
        if self.masked:
            result += self.masked * unit(self._masked(stream))
        result = unit(result)
        if self.synonyms:
            result = unit(result + self.synonyms * self._synonyms(stream, result))
        if min(self.neighbours, len(result) - 1) and self.neighbour_weight:
            result = drawn_to_neighbours(result, self.neighbours, self.neighbour_weight)
        if self.sif:
            result *= torch.from_numpy(sif_weights(stream.vocabulary.counts, self.sif))[:, None]
        return result

    def _own_states(self, stream: Stream) -> Tensor:
        """Return unit(A) of each word, (n_words, dim) float32; zeros for a word that no shard keeps."""
        names, pools = Names.of(stream.vocabulary), [NAME]
        if self.state_layers is not None:
            pools = pools_of_layers(Cache.open(stream.cache), self.state_layers)
        of_layers = []
        for pool in pools:
            means, counts = word_means(stream.shards, names.read, pool)
            there = names.compose(means, counts > 0)
            states, counts = torch.from_numpy(means[: len(there)]), np.where(there, stream.vocabulary.counts, 0)
            # Centred over occurrences: a mean over words is one of rare words, and moves with the vocabulary's end.
            of_layers.append(unit(without_components(states, torch.from_numpy(counts), self.components)))
        if missing := int((counts == 0).sum()):  # in every layer the same ones
            logger.warning("%s: %d of %d words have no states of their own", stream.cache, missing, len(counts))
        return of_layers[0] if len(of_layers) == 1 else unit(torch.stack(of_layers).sum(0))

    def _read_alone(self, stream: Stream, of_dictionary: bool) -> Tensor:
        """Return T or D of each word, (n_words, dim) float32; zeros for a word that was not read."""
        names, blocks = Names.of(stream.vocabulary), self._blocks(stream.cache, of_dictionary)
        read = np.zeros((len(names.read), len(blocks[0].marker.phrases), blocks[0].marker.dim), np.float32)
        there = np.zeros(len(read), bool)
        places = pa.array(names.read, pa.string())
        for block in blocks:
            rows = pc.fill_null(pc.index_in(block.table["word"], value_set=places), -1).to_numpy()
            here = np.flatnonzero(rows >= 0)
            read[rows[here]], there[rows[here]] = block.vectors()[here], True
        if of_dictionary:
            there = there[: len(stream.vocabulary)]
        else:
            if composed := sum(not there[row] for row in names.parts):
                hint = f"`x2static cache phrases {stream.cache} --multiword FILE` reads them"
                what = f"{composed:,} of {len(names.parts):,} entries of several words are put together of their words"
                logger.info("%s: in phrases, %s; %s", stream.cache, what, hint)
            there = names.compose(read, there)
        read = read[: len(there)]
        missing = int((~there).sum())
        if of_dictionary:
            logger.info("%s: the dictionary has %d of %d words", stream.cache, len(there) - missing, len(there))
        elif missing:
            hint = f"run `x2static cache phrases {stream.cache} --min-count {self.min_count}`"
            logger.warning("%s: %d of %d words are not read in phrases; %s", stream.cache, missing, len(there), hint)
        known, total = torch.from_numpy(there), torch.zeros(len(there), read.shape[2])
        for number in range(read.shape[1]):
            total += unit(without_components(torch.from_numpy(read[:, number]), known, 0))
        return total

    def _masked(self, stream: Stream) -> Tensor:
        """Return M of each word, (n_words, dim) float32; zeros for a word without masked contexts."""
        names = Names.of(stream.vocabulary)
        means, counts = masked_means(stream.shards, names.read)
        there = names.compose(means, counts > 0)
        if missing := int((~there).sum()):
            logger.warning("%s: %d of %d words have no masked contexts", stream.cache, missing, len(there))
        weights = np.where(there, np.maximum(counts[: len(there)], 1), 0)
        return without_components(torch.from_numpy(means[: len(there)]), torch.from_numpy(weights), 0)

    def _synonyms(self, stream: Stream, vectors: Tensor) -> Tensor:
        """Return the mean of the vectors of each word's synonyms, (n_words, dim); zeros for a word without.

        Two words are synonyms if the dictionary has one among those of the other, and no test pair is of the two.
        """
        words, edges = stream.vocabulary.words, set[tuple[int, int]]()
        for block in self._blocks(stream.cache, of_dictionary=True):
            column = block.table["synonyms"].combine_chunks()
            rows = stream.vocabulary.id_map(block.table)[column.value_parent_indices().to_numpy()]
            others = pc.utf8_lower(column.flatten().cast(words.type))  # words of a vocabulary are lower-cased
            edges.update(zip(rows.tolist(), pc.fill_null(pc.index_in(others, words), -1).to_pylist(), strict=True))
        edges = {(one, other) for one, other in edges if min(one, other) >= 0 and one != other}
        edges |= {(other, one) for one, other in edges}
        if self.test_pairs is not None:
            index = {word: row for row, word in enumerate(words.to_pylist())}
            tested = {(index[one], index[other]) for one, other in self.test_pairs if one in index and other in index}
            tested = edges & (tested | {(other, one) for one, other in tested})
            logger.info("%d of %d pairs of synonyms are test pairs", len(tested) // 2, len(edges) // 2)
            edges -= tested
        owners, synonyms = torch.tensor(sorted(edges), dtype=torch.int64).reshape(-1, 2).T.contiguous()
        begins = torch.searchsorted(owners, torch.arange(len(words)))
        return functional.embedding_bag(synonyms, vectors, begins, mode="mean")


@dataclass(frozen=True)
class Names:
    """What a cache calls the words of a vocabulary, whose views it keeps."""

    n_words: int  # of the vocabulary
    read: list[str]  # of each word, an entry of several with spaces; behind them words of entries that have no vector
    parts: dict[int, list[int]]  # the row of each entry, and the places of its words in `read`

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Names":
        """Return the names of a vocabulary's words."""
        places = {word: row for row, word in enumerate(vocabulary.words.to_pylist())}
        entries = {places[name_of(entry)]: entry for entry in vocabulary.multiword.entries}
        parts = {row: [places.setdefault(word, len(places)) for word in entry] for row, entry in entries.items()}
        read = list(places)
        for row, entry in entries.items():
            read[row] = " ".join(entry)
        return cls(len(vocabulary), read, parts)

    def compose(self, views: npt.NDArray[np.float32], there: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Fill in the mean of its words for each entry that is not there, and return which words are there then.

        `views` are (len(read), ...), changed in place; `there` is (len(read),), what is returned (len(vocabulary),).
        """
        result = there.copy()
        for row, places in self.parts.items():
            known = [place for place in places if there[place]]
            if known and not there[row]:
                views[row], result[row] = views[known].mean(axis=0), True
        return result[: self.n_words]


def read_pairs(path: Path) -> set[tuple[str, str]]:
    """Return the pairs of words that stand in one line, of a file or all .tsv, .csv and .txt files of a folder.

    Every two texts of a line are a pair, lower-cased, the smaller first, so any layout of word pairs will do. Raises
    X2StaticError: there are none.
    """
    files = [path] if path.is_file() else [file for end in ("tsv", "csv", "txt") for file in path.glob(f"*.{end}")]
    pairs: set[tuple[str, str]] = set()
    for file in files:
        for line in lines_of(file, "a file of word pairs"):
            pairs.update(combinations(sorted(set(re.split(r"[\s;,]+", line.lower()))), 2))
    if not pairs:
        expected = "a file of word pairs, or a folder of them as .tsv, .csv or .txt (wordsim of the evaluation data)"
        raise X2StaticError(f"--test-pairs {path}: no word pairs here; give {expected}")
    return pairs


def unit(vectors: Tensor) -> Tensor:
    """Return rows of length 1, (n, dim); zeros stay."""
    return functional.normalize(vectors, eps=torch.finfo(torch.float32).tiny)


def without_components(vectors: Tensor, weights: Tensor, n: int) -> Tensor:
    """Return vectors, (n_words, dim), less their mean by weights, (n_words,), and without n principal components.

    Words of no weight are zeros. All but the top (Mu and Viswanath, ICLR 2018).
    """
    known, shares = weights > 0, weights.double() / weights.sum()
    some = vectors[known].double()
    centred = some - shares[known] @ some
    if n:
        axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -n:]
        centred -= (centred @ axes) @ axes.T
    result = torch.zeros_like(vectors)
    result[known] = centred.to(vectors.dtype)
    return result


def drawn_to_neighbours(vectors: Tensor, n: int, weight: float) -> Tensor:
    """Return each v + weight * (mean of its n nearest neighbours), unit rows in and out, (n_words, dim) float32.

    A neighbour is one of the AMONG most frequent words, which come first, and has the softmax of its cosine as weight.
    """
    among = vectors[:AMONG]
    result = torch.empty_like(vectors)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        cosines = vectors[rows] @ among.T
        own = torch.arange(start, min(start + ROWS_AT_ONCE, len(vectors)))
        inside = own < len(among)
        cosines[inside.nonzero()[:, 0], own[inside]] = -2  # no word is its own neighbour
        nearest, places = cosines.topk(min(n, len(among) - 1), dim=1)
        shares = torch.softmax(nearest / TEMPERATURE, 1)
        mean = functional.embedding_bag(places, among, per_sample_weights=shares, mode="sum")
        result[rows] = unit(vectors[rows] + weight * mean)
    return result
