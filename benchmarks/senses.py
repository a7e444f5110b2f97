"""How well senses are found, and picked by a sentence's other words; one JSON line last.

    python -m benchmarks.senses pseudo --cache CACHE --vectors RUN [--pairs 50] [--seed 0] [--occurrences 64]
    python -m benchmarks.senses coarse --vectors RUN --data FOLDER [--seed 0]

- pseudo: two frequent words that are unrelated are made one, of which the truth is known. The cache keeps all
  occurrences (`encode --occurrences 1000000`); those with the lowest draws are the sample of the pair, as if it had
  been one word. The V-measure of the groups that are found in the sample, and of k-means with k = 2 on all states,
  against which word it was; how many of the pairs get 1, 2, 3 groups, and as many single words beside them; and how
  often the other words of the sentence pick the right one of the two for occurrences outside of the sample. `apart`
  is the same where each word's own mean is taken from its states first, so that the teacher's knowing the word does
  not help.
- coarse: CoarseWSD-20 (Loureiro, Rezaee, Pilehvar and Camacho-Collados, 2021; CC BY-NC 4.0) in a folder, or any other
  of its form: FOLDER/WORD/{train,test}.{data,gold}.txt. Senses that were found without labels are named after the
  label that most of the training sentences have that they are picked for; accuracy and macro F1 on the test sentences,
  beside the most frequent label of the training sentences. The mean over the words.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import accuracy_score, f1_score, v_measure_score

from x2static.schemas.cache import Cache
from x2static.schemas.occurrences import Sample, n_of, sample_of
from x2static.schemas.senses import Sense, Senses
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.senses import States, grouped, other_words, unit

LEAST, MOST = 100, 3000  # occurrences of a word of a pair
UNRELATED = 0.1  # cosine
SENTENCES = 300  # of a word, of either part of CoarseWSD-20, drawn at random


def pseudo_words(vectors: WordVectors, cache: Cache, n_pairs: int, n: int, seed: int) -> dict[str, Any]:
    """Return the figures of pairs that are made one."""
    draw, shards = np.random.default_rng(seed), cache.shards()
    held = max(of_pool for name in shards[0].marker.pools if (of_pool := n_of(name)))
    candidates = [word for word in vectors if word.isalpha() and len(word) > 3]
    candidates = [word for word in candidates if LEAST <= vectors.counts[vectors.index[word]] <= MOST]
    words = [str(word) for word in draw.choice(candidates, min(len(candidates), 8 * n_pairs), replace=False)]
    sample, pairs = sample_of(shards, words, held), list[tuple[int, int]]()
    free = list(range(len(words)))
    while len(free) > 1 and len(pairs) < n_pairs:
        one = free.pop()
        other = next((two for two in free if abs(vectors.similarity(words[one], words[two])) < UNRELATED), None)
        if other is not None:
            free.remove(other)
            pairs.append((one, other))
    counts = np.bincount(sample.words, minlength=len(words))
    means = np.stack([sample.states[sample.of(word)].mean(0, dtype=np.float32) for word in range(len(words))])
    states = States(means, counts)
    known = replaced(sample, vectors, words)
    figures: dict[str, list[float]] = {}
    groups, single, order = [], [], np.arange(len(sample.words))
    for pair in pairs:
        rows = np.concatenate([order[sample.of(word)] for word in pair])
        truth = sample.words[rows] == pair[0]
        all_states = states.of(sample.states[rows])
        own = np.stack([all_states[truth].mean(0), all_states[~truth].mean(0)])[1 - truth.astype(int)]
        some = draw.permutation(len(rows))[:n]  # draws of occurrences are as good
        rest = np.setdiff1d(np.arange(len(rows)), some)[:500]
        for name, of_pair in (("", unit(all_states)), ("apart_", unit(all_states - own))):
            plain = KMeans(2, n_init=10, random_state=seed).fit_predict(of_pair)
            labels = grouped(of_pair[some])
            figures.setdefault(f"{name}v_all_states_2_means", []).append(v_measure_score(truth, plain))
            figures.setdefault(f"{name}v_senses", []).append(v_measure_score(truth[some], labels))
            if not name:
                groups.append(int(labels.max()) + 1)
                around = unit(other_words(vectors, shards, known, rows[np.concatenate([some, rest])]))
                if groups[-1] > 1:
                    figures.setdefault("picked", []).append(picked(labels, truth[some], truth[rest], around))
        single += [int(grouped(unit(states.of(sample.states[sample.of(word)][:n]))).max()) + 1 for word in pair]
    result: dict[str, Any] = {name: round(float(np.mean(values)), 4) for name, values in figures.items()}
    result |= {"pairs": len(pairs), "pairs_by_groups": tally(groups), "single_words_by_groups": tally(single)}
    return result


def replaced(sample: Sample, vectors: WordVectors, words: list[str]) -> Sample:
    """Return a sample whose words are rows of the vectors."""
    rows = np.array([vectors.index[word] for word in words])
    return Sample(rows[sample.words], sample.shards, sample.contexts, sample.states)


def picked(labels: np.ndarray, truth: np.ndarray, rest: np.ndarray, around: np.ndarray) -> float:
    """Return how often the other words pick a sense that is the right word's, for occurrences outside of the sample."""
    n, around_rest = len(labels), around[len(labels) :]
    names = [str(number) for number in range(int(labels.max()) + 1)]
    senses = [
        Sense(name, float((labels == number).mean()), around[0], [], [], around[:n][labels == number].mean(axis=0))
        for number, name in enumerate(names)
    ]
    of_sense = {name: truth[labels == number].mean() > 0.5 for number, name in enumerate(names)}
    chooser = Senses({"pair": senses})
    right = [of_sense[chooser.pick("pair", one).name] == two for one, two in zip(around_rest, rest, strict=True)]
    return float(np.mean(right))


def tally(numbers: list[int]) -> dict[str, int]:
    """Return how often each number occurs."""
    return {str(number): numbers.count(number) for number in sorted(set(numbers))}


def coarse(vectors: WordVectors, folder: Path, seed: int) -> dict[str, Any]:
    """Return the figures of words whose senses are known."""
    of_words = {}
    for path in sorted(one for one in folder.iterdir() if one.is_dir()):
        word, chosen, gold = path.name, dict[str, list[str]](), dict[str, list[str]]()
        for part in ("train", "test"):
            lines = (path / f"{part}.data.txt").read_text().splitlines()
            gold[part] = (path / f"{part}.gold.txt").read_text().split()
            some = np.sort(np.random.default_rng(seed).permutation(len(lines))[:SENTENCES])
            texts, gold[part] = ([each[row] for row in some] for each in (lines, gold[part]))
            texts = [line.partition("\t")[2] for line in texts]
            chosen[part] = [vectors.pick_sense(word, text).name if word in vectors else "" for text in texts]
        train = np.array(gold["train"])
        frequent = most_frequent(train)
        names = {
            sense: most_frequent(train[np.array(chosen["train"]) == sense]) for sense in dict.fromkeys(chosen["train"])
        }
        found, plain = [names.get(sense, frequent) for sense in chosen["test"]], [frequent] * len(gold["test"])
        of_words[word] = {
            "senses": len(vectors.senses(word)) if word in vectors else 0,
            "accuracy": accuracy_score(gold["test"], found),
            "f1": f1_score(gold["test"], found, average="macro"),
            "frequent_accuracy": accuracy_score(gold["test"], plain),
            "frequent_f1": f1_score(gold["test"], plain, average="macro"),
        }
    result = {"silhouette": vectors.run["senses"]["silhouette"]}
    means = result | {
        name: round(float(np.mean([one[name] for one in of_words.values()])), 4) for name in of_words["bank"]
    }
    return {**means, "words": {word: {k: round(v, 3) for k, v in one.items()} for word, one in of_words.items()}}


def most_frequent(labels: np.ndarray) -> str:
    """Return the label that occurs most often."""
    names, counts = np.unique(labels, return_counts=True)
    return str(names[counts.argmax()])


def main() -> None:
    """Measure, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pseudo", "coarse"])
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--occurrences", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    vectors = WordVectors.load(arguments.vectors)
    if arguments.what == "coarse":
        figures = coarse(vectors, arguments.data, arguments.seed)
    else:
        cache = Cache.open(arguments.cache)
        figures = pseudo_words(vectors, cache, arguments.pairs, arguments.occurrences, arguments.seed)
    print(json.dumps({"benchmark": f"senses {arguments.what}", **figures}))


if __name__ == "__main__":
    main()
