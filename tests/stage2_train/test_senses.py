"""Senses: groups that are there are found, and their vectors, examples and picking are those of plain numpy."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import silhouette_score, v_measure_score

from tests.schemas.caches import ShardContent
from tests.stage2_train.caches import write_cache
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.schemas.occurrences import pool_of, sample_of, write_occurrences
from x2static.schemas.senses import PRIOR, SENSES, Sense, Senses
from x2static.schemas.shard import Shard, commit_pools, stage_shard
from x2static.schemas.vectors import WordVectors, add_senses
from x2static.stage1_encode.text.segmentation import choose_words
from x2static.stage2_train import senses as module
from x2static.stage2_train.senses import LEAST_SHARE, find_senses, grouped, make_senses, sentence_at, unit

DIM = 24
AROUND = {"bank": (("money", "loan"), ("river", "water")), "king": (("crown", "queen"),), "and": (("money", "river"),)}
WORDS = ["bank", "king", "and", "money", "loan", "river", "water", "crown", "queen"]


def clusters(sizes: tuple[int, ...], noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    rows = draw.normal(size=(len(sizes), DIM))[truth] + noise * draw.normal(size=(len(truth), DIM))
    return unit(rows.astype(np.float32)), truth


@pytest.mark.parametrize("sizes", [(64,), (40, 24), (30, 20, 14), (20, 18, 16, 10)])
def test_as_many_groups_are_found_as_there_are(sizes):
    for seed in range(5):
        rows, truth = clusters(sizes, 0.3, seed)
        labels = grouped(rows)
        assert labels.max() + 1 == len(sizes)
        inside = labels >= 0  # a few stand alone
        assert inside.mean() > 0.9
        assert len(sizes) == 1 or v_measure_score(truth[inside], labels[inside]) == 1
        assert (np.diff(np.bincount(labels[inside])) <= 0).all(), "numbered by falling size"


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_wards_with_the_best_silhouette_of_those_that_are_large(seed):
    rows, _ = clusters((30, 20, 10, 2), 0.9, seed)
    best, expected = 0.0, np.zeros(len(rows), int)
    for n in range(2, 6):
        labels = AgglomerativeClustering(n, linkage="ward").fit_predict(rows)
        large = [label for label in range(n) if (labels == label).mean() >= LEAST_SHARE]
        inside = np.isin(labels, large)
        sound = len(large) > 1 and inside.mean() >= 1 - LEAST_SHARE
        score = silhouette_score(rows[inside], labels[inside], metric="cosine") if sound else 0
        if score > best:
            best, expected = score, np.where(inside, labels, -1)
    labels = grouped(rows, 0.05)
    assert best > 0.05
    assert v_measure_score(expected, labels) == pytest.approx(1)
    assert ((labels == -1) == (expected == -1)).all()


def test_occurrences_that_stand_alone_are_no_sense_and_a_higher_least_leaves_one():
    rows, _ = clusters((60, 2), 0.5)
    assert set(grouped(rows)) == {0}
    rows, _ = clusters((30, 30), 0.5)
    assert set(grouped(rows, 0.99)) == {0}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache in whose 120 contexts "bank" has two senses and everything else one, with the states of occurrences."""
    draw = np.random.default_rng(3)
    texts = [(word, kind, around) for word, kinds in AROUND.items() for kind, around in enumerate(kinds)]
    texts = [texts[number % len(texts)] for number in range(160)]
    ids = [[WORDS.index(word), *(WORDS.index(one) for one in around)] for word, _, around in texts]
    counts = np.bincount(np.concatenate(ids), minlength=len(WORDS))
    offsets = np.arange(0, 3 * len(ids) + 1, 3).astype(np.int32)
    contexts = draw.normal(size=(len(ids), DIM)).astype(np.float16)
    content = ShardContent(
        contexts=contexts,
        paragraphs=np.arange(len(ids), dtype=np.int32),
        word_offsets=offsets,
        word_ids=np.concatenate(ids).astype(np.int32),
        lexicon=WORDS,
        counts=counts.astype(np.int64),
        n_paragraphs=len(ids),
        n_tokens=3 * len(ids),
    )
    folder = write_cache(tmp_path / "cache", [content], dim=DIM)
    centres = {(word, kind): draw.normal(size=DIM) for word in WORDS for kind in (0, 1)}
    listed = []
    for word in WORDS:
        places = [number for number, text in enumerate(ids) if WORDS.index(word) in text]
        for place in draw.permutation(places)[:64]:
            kind = texts[place][1] if word == texts[place][0] else 0
            listed.append((WORDS.index(word), place, len(listed), centres[word, kind] + 0.4 * draw.normal(size=DIM)))
    rows = [np.array([row[column] for row in listed]) for column in range(3)]
    states = np.array([row[3] for row in listed], np.float32)

    def write(staged: Path) -> None:
        write_occurrences(staged, pool_of(64), rows, states)

    shards, marker = folder / "shards", Shard.open(folder / "shards" / "000000").marker
    stage_shard(shards, 0, marker, {pool_of(64): write}, {pool_of(64): "x" * 64}, None)
    commit_pools(shards, 0, [pool_of(64)])
    return Cache.open(folder)


@pytest.fixture
def vectors() -> WordVectors:
    matrix = np.random.default_rng(4).normal(size=(len(WORDS), 10)).astype(np.float32)
    return WordVectors(WORDS, matrix, np.arange(900, 0, -100), choose_words(None, "en"))


def test_senses_vectors_examples_and_surroundings_are_those_of_plain_numpy(cache, vectors, monkeypatch):
    monkeypatch.setattr(module, "COMPONENTS", 1)
    senses, facts = find_senses(vectors, cache)
    assert facts == {"silhouette": module.SILHOUETTE, "words_looked_at": 9, "words_by_senses": {"1": 8, "2": 1}}
    assert list(senses.of_words) == ["bank"]
    shard = cache.shards()[0]
    text = shard.words()["word_ids"].to_pylist()
    sample = sample_of([shard], WORDS, 64)
    states = sample.states.astype(np.float64)
    means = np.array([states[sample.words == word].mean(0) for word in range(9)])
    centre = np.average(means, axis=0, weights=vectors.counts)
    axis = np.linalg.svd(means - centre)[2][:1]
    cleaned = (means - centre) - (means - centre) @ axis.T @ axis
    ridge = module.RIDGE * np.trace(cleaned.T @ cleaned) / DIM * np.eye(DIM)
    to_vectors = np.linalg.solve(cleaned.T @ cleaned + ridge, cleaned.T @ vectors.matrix)
    of_bank = np.flatnonzero(sample.words == 0)
    kinds = np.array([WORDS.index("river") in text[sample.contexts[row]] for row in of_bank])
    total = 0.0
    for sense in senses.of_words["bank"]:
        kind = WORDS.index("river") in text[sense.examples[0][1]]
        assert all((WORDS.index("river") in text[place]) == kind for _, place in sense.examples)
        own = of_bank[kinds == kind]
        assert sense.share == pytest.approx(len(own) / len(of_bank))
        difference = states[own].mean(0) - states[of_bank].mean(0)
        expected = vectors["bank"] + (difference - difference @ axis.T @ axis) @ to_vectors
        np.testing.assert_allclose(sense.vector, expected, atol=2e-3)
        assert sense.neighbours == [name for name, _ in vectors.most_similar(sense.vector) if name != "bank"]
        around = [sum(vectors.matrix[word] for word in text[sample.contexts[row]] if word) for row in own]
        right = np.mean([one / np.linalg.norm(one) for one in around], axis=0)
        np.testing.assert_allclose(sense.context, right, atol=1e-5)
        total = total + sense.share * sense.vector
    np.testing.assert_allclose(total, vectors["bank"], atol=1e-4)
    assert sentence_at(cache, *senses.of_words["bank"][0].examples[0]).split()[0] == "bank"


def test_they_are_added_to_a_run_and_made_anew_and_damage_is_named(cache, vectors, tmp_path):
    run = tmp_path / "run"
    vectors.save(run)
    with pytest.raises(X2StaticError, match="these vectors have no senses; `x2static senses` finds some"):
        WordVectors.load(run).senses("bank")
    first = make_senses(run, cache.path)
    assert (first["words"], first["words_by_senses"]) == (1, {"1": 8, "2": 1})
    loaded = WordVectors.load(run)
    assert loaded == vectors
    assert [sense.name for sense in loaded.senses("bank")] == ["bank#1", "bank#2"]
    (alone,) = loaded.senses("king")
    assert (alone.name, alone.share, alone.vector.tolist()) == ("king#1", 1.0, vectors["king"].tolist())
    with pytest.raises(KeyError):
        loaded.senses("kign")
    loaded.save(tmp_path / "copy")
    again = WordVectors.load(tmp_path / "copy").senses("bank")
    assert [(s.share, s.neighbours, s.examples) for s in again] == [
        (s.share, s.neighbours, s.examples) for s in loaded.senses("bank")
    ]
    assert make_senses(run, cache.path, 0.99)["words"] == 0
    assert len(WordVectors.load(run).senses("bank")) == 1
    assert make_senses(run, cache.path, top=6)["words_looked_at"] == 6
    (run / SENSES).write_bytes((run / SENSES).read_bytes()[:-9])
    with pytest.raises(X2StaticError, match=r"senses\.arrow: has changed since it was written"):
        WordVectors.load(run).senses("bank")
    assert make_senses(run, cache.path)["words"] == 1
    (tmp_path / "wrong").write_bytes(b"x")
    with pytest.raises(X2StaticError, match="the senses are damaged"):
        Senses.load(tmp_path / "wrong")


def test_a_cache_without_occurrences_and_vectors_of_other_words_are_refused(cache, vectors, tmp_path):
    with pytest.raises(
        X2StaticError, match="only 0 words of these vectors have 20 sampled occurrences there, and 5 are"
    ):
        find_senses(WordVectors(["nobody"], np.ones((1, 3), np.float32), np.ones(1, np.int64)), cache)
    bare = write_cache(tmp_path / "bare", [], dim=DIM)
    with pytest.raises(X2StaticError, match="no occurrences of words here; the `x2static encode` that made it, with"):
        find_senses(vectors, Cache.open(bare))


def with_senses(vectors: WordVectors, tmp_path: Path) -> tuple[WordVectors, dict[str, list[Sense]]]:
    """Vectors of which two words have senses, and these."""
    draw = np.random.default_rng(5)
    of_words = {}
    for word, shares in (("bank", (0.7, 0.3)), ("king", (0.5, 0.5))):
        rows = draw.normal(size=(4, 10)).astype(np.float32)
        of_words[word] = [Sense(f"{word}#{n + 1}", shares[n], rows[n], [], [], rows[n + 2]) for n in (0, 1)]
    vectors.save(tmp_path / "run")
    add_senses(tmp_path / "run", Senses(of_words))
    return WordVectors.load(tmp_path / "run"), of_words


def test_encode_counts_each_word_with_the_sense_that_the_others_speak_for(vectors, tmp_path):
    loaded, of_words = with_senses(vectors, tmp_path)
    texts = ["The bank and the river", "bank loan", "king bank king money", "crown", "nothing known", "bank"]
    expected = np.zeros((len(texts), 10))
    for row, text in enumerate(texts):
        known = [word for word in text.lower().split() if word in WORDS]
        parts = []
        for word in known:
            others = sum((vectors[other] for other in known if other != word), np.zeros(10))
            length = np.linalg.norm(others) or 1
            scores = [
                sense.context @ others / length - sense.context @ sense.context / 2 + PRIOR * np.log(sense.share)
                for sense in of_words.get(word, [])
            ]
            chosen = of_words[word][int(np.argmax(scores))] if scores else None
            parts.append(chosen.vector if chosen else vectors[word])
            if chosen:
                assert loaded.pick_sense(word, text).name == chosen.name
        if parts:
            expected[row] = np.mean(parts, axis=0)
    np.testing.assert_allclose(loaded.encode(texts, senses=True), expected, atol=1e-5)
    np.testing.assert_array_equal(loaded.encode(texts[0], senses=True), loaded.encode(texts, senses=True)[0])
    np.testing.assert_array_equal(loaded.encode(texts), vectors.encode(texts))
    assert loaded.pick_sense("river", texts[0]).name == "river#1"


def test_senses_become_rows_of_their_own(vectors, tmp_path):
    loaded, of_words = with_senses(vectors, tmp_path)
    rows = loaded.with_senses()
    assert rows.words == [*WORDS, "bank#1", "bank#2", "king#1", "king#2"]
    np.testing.assert_array_equal(rows["bank#2"], of_words["bank"][1].vector)
    assert rows.counts[9:].tolist() == [630, 270, 400, 400]
