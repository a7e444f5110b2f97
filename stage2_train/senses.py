"""Senses of words, found in the states of their occurrences (`x2static encode --occurrences`), for finished vectors.

Of each of the TOP words that has LEAST sampled occurrences or more, their states are taken less their mean over the
occurrences of all words and without the first principal components, as own states are in `objectives/views.py`, and
made unit length. Ward's clustering (scipy) cuts them into 2, 3 ... MOST groups; groups of less than LEAST_SHARE of them
are dropped as outliers, if they are no more together. The number of groups with the best silhouette (scikit-learn)
counts, if that is above SILHOUETTE; else the word has one sense, as most have.

A sense's vector is the word's plus what the linear map that takes the words' mean states to their vectors, by ridge
regression over the words, makes of the difference of the mean state of the sense to that of the word. So it lies in
the space of the vectors, however these were made, and the senses' mean by their shares is the word's vector.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer, remove_leftovers
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.occurrences import Sample, n_of, sample_of
from x2static.schemas.senses import SILHOUETTE, TOP, Sense, Senses, sense_name
from x2static.schemas.shard import Shard
from x2static.schemas.vectors import WordVectors, add_senses, require_finished
from x2static.stage2_train.objectives.views import without_components

LEAST = 20  # occurrences of a word whose senses are looked for
COMPONENTS = 3
MOST = 5  # groups
LEAST_SHARE = 0.08  # of a word's occurrences that are a sense
RIDGE = 1e-3  # of the mean square of a dimension
N_NEIGHBOURS, N_EXAMPLES = 10, 3

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def grouped(states: Floats, silhouette: float = SILHOUETTE) -> Ids:
    """Return the group of each of a word's unit states, (n, dim), numbered by falling size; -1 for outliers.

    All are of group 0 where no groups are so far apart that their silhouette, from -1 to 1, is above the least.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from sklearn.metrics import silhouette_score

    distances = np.maximum(1 - states @ states.T, 0)
    np.fill_diagonal(distances, 0)
    tree, best, result = linkage(states, "ward"), silhouette, np.zeros(len(states), np.int64)
    for n_groups in range(2, min(MOST, len(states) - 1) + 1):
        labels = fcluster(tree, n_groups, "maxclust")
        sizes = np.bincount(labels)
        large = [label for label in np.argsort(-sizes, kind="stable") if sizes[label] >= LEAST_SHARE * len(labels)]
        inside = np.isin(labels, large)
        if len(large) < 2 or inside.mean() < 1 - LEAST_SHARE:  # else what is far from the rest would be dropped
            continue
        score = float(silhouette_score(distances[np.ix_(inside, inside)], labels[inside], metric="precomputed"))
        if score > best:
            places = np.full(len(sizes), -1)
            places[large] = range(len(large))
            best, result = score, places[labels]
    return result


class States:
    """What the states of occurrences are compared by: less the mean, without the first components, of unit length."""

    def __init__(self, means: Floats, counts: Ids) -> None:
        """Take the mean state of each word, (n_words, dim), and its occurrences in the corpus, 0 where it has none."""
        self.of_words = without_components(torch.from_numpy(means), torch.from_numpy(counts), COMPONENTS).numpy()
        known = counts > 0
        shares = counts[known] / counts.sum()
        self.centre = (shares @ means[known]).astype(np.float32)
        centred = torch.from_numpy(means[known].astype(np.float64) - shares @ means[known])
        self._axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -COMPONENTS:].numpy().astype(np.float32)

    def of(self, states: npt.NDArray[np.floating]) -> Floats:
        """Return states, (n, dim), less the mean and without the components, not yet of unit length."""
        centred = states.astype(np.float32) - self.centre
        return np.asarray(centred - (centred @ self._axes) @ self._axes.T)


def unit(rows: Floats) -> Floats:
    """Return rows, (n, dim), of length 1; zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, np.float32(1)), np.float32)


def linear_map(states: Floats, vectors: Floats) -> Floats:
    """Return M, (dim of states, dim of vectors): states M is nearest to vectors, a row a word, by ridge regression."""
    square = states.T.astype(np.float64) @ states
    square += RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    return np.asarray(np.linalg.solve(square, states.T.astype(np.float64) @ vectors), np.float32)


def other_words(vectors: WordVectors, shards: list[Shard], sample: Sample, rows: Ids) -> Floats:
    """Return the sum of the vectors of the other words around occurrences, some rows of a sample, (n, dim) float32."""
    result = np.zeros((len(rows), vectors.dim), np.float32)
    matrix = np.concatenate([vectors.matrix, np.zeros((1, vectors.dim), np.float32)])  # last what has no vector
    for number, shard in enumerate(shards):
        here = np.flatnonzero(sample.shards[rows] == number)
        if not len(here):
            continue
        of_word = np.array([vectors.index.get(word, -1) for word in shard.lexicon()["word"].to_pylist()])
        column = shard.words()["word_ids"].chunk(0)
        offsets, ids = column.offsets.to_numpy().astype(np.int64), column.values.to_numpy()
        for row in here.tolist():
            context = sample.contexts[rows[row]]
            around = of_word[ids[offsets[context] : offsets[context + 1]]]
            result[row] = matrix[around[around != sample.words[rows[row]]]].sum(axis=0)
    return result


def find_senses(
    vectors: WordVectors, cache: Cache, silhouette: float = SILHOUETTE, top: int = TOP, report: Report = silent
) -> tuple[Senses, dict[str, Any]]:
    """Find the senses of a vocabulary's most frequent words in a cache, and how many words have 1, 2 ... of them.

    Raises X2StaticError: the cache keeps no occurrences, or is damaged.
    """
    shards = cache.shards()
    held = [{n for name in shard.marker.pools if (n := n_of(name)) is not None} for shard in shards]
    if not (numbers := set.intersection(*held) if held else set()):
        again = "the `x2static encode` that made it, with --occurrences, adds them"
        raise X2StaticError(f"{cache.path}: no occurrences of words here; {again}")
    words = list(vectors.words[:top])
    sample = sample_of(shards, words, max(numbers))
    counts = np.bincount(sample.words, minlength=len(words))
    often = np.flatnonzero(counts >= LEAST).tolist()
    if len(often) < COMPONENTS + 2:  # nothing is left of fewer without the components
        what = f"only {len(often)} words of these vectors have {LEAST} sampled occurrences there"
        more = "take more text" if max(numbers) >= LEAST else f"it keeps {max(numbers)} of a word; keep more of them"
        raise X2StaticError(f"{cache.path}: {what}, and {COMPONENTS + 2} are needed; {more}")
    means = np.zeros((len(words), sample.states.shape[1]), np.float32)
    for word in often:
        means[word] = sample.states[sample.of(word)].mean(axis=0, dtype=np.float32)
    states = States(means, np.where(counts >= LEAST, vectors.counts[:top], 0))
    groups, n_senses = dict[int, Ids](), np.ones(len(often), np.int64)
    for place, word in enumerate(often):
        if place % 100 == 0:
            report(Progress(place, len(often), "words"))
        labels = grouped(unit(states.of(sample.states[sample.of(word)])), silhouette)
        n_senses[place] = labels.max() + 1
        if n_senses[place] > 1:
            groups[word] = labels
    report(Progress(len(often), len(often), "words"))
    to_vectors = linear_map(states.of_words[often], np.asarray(vectors.matrix[often]))
    several = np.flatnonzero(np.isin(sample.words, list(groups)))
    around = np.zeros((len(sample.words), vectors.dim), np.float32)
    around[several] = unit(other_words(vectors, shards, sample, several))
    of_words = {}
    for word, labels in groups.items():
        rows = sample.of(word)
        in_space = states.of(sample.states[rows]) @ to_vectors  # as vectors that a word of such a state has
        one = Occurring(words[word], labels, in_space, around[rows], sample.shards[rows], sample.contexts[rows])
        of_words[words[word]] = [one.sense(vectors, number) for number in range(int(labels.max()) + 1)]
    tally = np.bincount(n_senses)[1:].tolist()
    facts = {"silhouette": silhouette, "words_looked_at": len(often)}
    return Senses(of_words), {**facts, "words_by_senses": {str(n): count for n, count in enumerate(tally, 1)}}


@dataclass(frozen=True)
class Occurring:
    """The sampled occurrences of a word that has several senses; (n,) each."""

    word: str
    groups: Ids  # from `grouped`
    in_space: Floats  # (n, dim), what the linear map makes of the state of each
    around: Floats  # (n, dim), of unit length, the sum of the vectors of the other words around each
    shards: Ids
    contexts: Ids

    def sense(self, vectors: WordVectors, number: int) -> Sense:
        """Return the sense of a group."""
        own, inside = np.flatnonzero(self.groups == number), self.groups >= 0
        mean = self.in_space[own].mean(axis=0)
        vector = np.asarray(vectors[self.word] + mean - self.in_space[inside].mean(axis=0), np.float32)
        near = [name for name, _ in vectors.most_similar(vector, topn=N_NEIGHBOURS + 1) if name != self.word]
        typical = own[np.argsort(-unit(self.in_space[own]) @ mean, kind="stable")][:N_EXAMPLES]
        examples = list(zip(self.shards[typical].tolist(), self.contexts[typical].tolist(), strict=True))
        context, share = self.around[own].mean(axis=0), float(len(own) / inside.sum())
        return Sense(sense_name(self.word, number + 1), share, vector, near[:N_NEIGHBOURS], examples, context)


def make_senses(
    folder: Path, cache: Path, silhouette: float = SILHOUETTE, top: int = TOP, report: Report = silent
) -> dict[str, Any]:
    """Find senses for the vectors in a folder and add them, in the place of those that are there.

    Returns words, those that have several senses, silhouette, words_looked_at, words_by_senses and seconds. Raises
    X2StaticError: there are no vectors, they are damaged, or the cache keeps no occurrences.
    """
    require_finished(folder)
    began = time.monotonic()
    with only_writer(folder, "run"):
        remove_leftovers(folder)
        senses, facts = find_senses(WordVectors.load(folder), Cache.open(cache), silhouette, top, report)
        facts["seconds"] = round(time.monotonic() - began, 3)
        add_senses(folder, senses, **facts)
    return {"words": len(senses.of_words), **facts}


def sentence_at(cache: Cache, shard: int, context: int) -> str:
    """Return the words of a context of a cache, joined by spaces: an example of a sense."""
    opened = cache.shards()[shard]
    lexicon = opened.lexicon()["word"]
    return " ".join(lexicon[word].as_py() for word in opened.words()["word_ids"][context].as_py())
