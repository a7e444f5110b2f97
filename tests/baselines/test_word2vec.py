"""Skip-gram, CBOW and sent2vec against gensim used plainly; fastText's n-grams; what all four promise."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, Word2Vec
from gensim.models.fasttext import ft_ngram_hashes

from tests.baselines.caches import DIM, cache_of, counted, request_of, two_topics
from tests.conftest import ROOT
from tests.stage2_train.caches import result
from x2static.baselines import word2vec
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Progress
from x2static.pipeline.baselines import make
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.vectors import WordVectors

METHODS = ("skipgram", "cbow", "fasttext", "sent2vec")
SENTENCES = two_topics()
LEAST = 20


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rare = [["rare", *SENTENCES[0]], ["sea0", "rarer"]]
    return cache_of(tmp_path_factory.mktemp("text") / "cache", SENTENCES[:150] + rare, SENTENCES[150:])


def config_of(cache: Path | None, out: Path, name: str, **settings: object) -> BaselineConfig:
    common = {"name": name, "cache": cache, "out": out, "min_count": LEAST, "threads": 1, "epochs": 2}
    return BaselineConfig.model_validate({**common, "subsample": 0.01, **settings})


def trained(folder: Path, sentences: list[list[str]], vocabulary: Counter[str], **settings: object) -> WordVectors:
    """Vectors that a method makes of sentences with one thread."""
    cache = cache_of(folder / "cache", sentences)
    made = word2vec.make(request_of(folder, cache, vocabulary, threads=1, **settings))
    return WordVectors(made.words, made.matrix, made.counts, run=made.origin, subwords=made.subwords)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("skipgram", {"sg": 1, "window": 3, "alpha": 0.025}),
        ("cbow", {"sg": 0, "window": 3, "alpha": 0.05}),
        ("sent2vec", {"sg": 0, "window": 10_000, "shrink_windows": False, "alpha": 0.05, "ns_exponent": 0.5}),
    ],
)
def test_the_vectors_are_those_of_gensim_on_the_same_sentences(tmp_path, name, arguments):
    sentences = two_topics(90)  # one batch of gensim's: the words outside the vocabulary do not shift its learning rate
    vocabulary = counted(sentences, least=30)
    settings = {"name": name, "negatives": 4, "epochs": 1, "seed": 5, "subsample": 0.01}
    settings |= {"window": 3} if name != "sent2vec" else {}  # its window is the sentence
    vectors = trained(tmp_path, sentences, vocabulary, **settings)
    plain = Word2Vec(
        vector_size=DIM, negative=4, sample=0.01, min_count=1, seed=5, workers=1, sorted_vocab=0, **arguments
    )
    plain.build_vocab_from_freq(dict(vocabulary))
    (tmp_path / "plain.txt").write_text("".join(" ".join(sentence) + "\n" for sentence in sentences))
    plain.train(corpus_file=str(tmp_path / "plain.txt"), total_words=sum(map(len, sentences)), epochs=1)
    assert vectors.words == plain.wv.index_to_key
    np.testing.assert_array_equal(vectors.matrix, plain.wv.vectors)


@pytest.mark.exhaustive
def test_the_words_are_the_caches_and_one_thread_and_one_seed_give_the_same_bytes_in_another_process(tmp_path, cache):
    driver = (
        "import sys; from pathlib import Path; from x2static.pipeline.baselines import make; "
        "from tests.baselines.test_word2vec import METHODS, config_of\n"
        "for name in METHODS:\n    make(config_of(Path(sys.argv[1]), Path(sys.argv[2]) / name, name))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "17", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", driver, str(cache), str(tmp_path / "theirs")]
    subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    vocabulary = counted([*SENTENCES, SENTENCES[0], ["sea0"]], least=LEAST)
    for name in METHODS:
        figures = make(config_of(cache, tmp_path / name, name))
        assert result(tmp_path / name) == result(tmp_path / "theirs" / name)
        vectors = WordVectors.load(tmp_path / name)
        assert vectors.words == list(vocabulary)
        assert vectors.counts.tolist() == list(vocabulary.values())
        assert vectors.dim == figures["dim"] == DIM
        assert vectors.run["reproducible"] is True
        assert vectors.run["text_words"] == sum(vocabulary.values())
    make(config_of(cache, tmp_path / "other", "skipgram", seed=1))
    assert result(tmp_path / "other") != result(tmp_path / "skipgram")


def test_epochs_are_reported_and_a_run_that_was_stopped_begins_again_and_ends_alike(tmp_path, cache):
    seen = []
    make(config_of(cache, tmp_path / "whole", "skipgram"), seen.append)
    assert [(item.done, item.total, item.unit) for item in seen] == [(done, 2, "epochs") for done in range(3)]

    def stop(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(config_of(cache, tmp_path / "out", "skipgram"), stop)
    assert not (tmp_path / "out" / "run.json").exists()
    assert not make(config_of(cache, tmp_path / "out", "skipgram"))["finished_before"]
    assert result(tmp_path / "out") == result(tmp_path / "whole")
    assert not (tmp_path / "out" / "work").exists()


def test_text_files_alone_need_a_dimension_and_are_enough_with_one(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(" ".join(sentence) for sentence in SENTENCES))
    settings = {"corpus": [str(corpus)]}
    with pytest.raises(X2StaticError, match="cbow: without a cache, whose dimension it would take, it needs --dim"):
        make(config_of(None, tmp_path / "none", "cbow", **settings))
    make(config_of(None, tmp_path / "out", "cbow", **settings, dim=5, threads=2))
    vectors = WordVectors.load(tmp_path / "out")
    assert vectors.words == list(counted(SENTENCES, least=LEAST))
    assert vectors.dim == 5
    assert vectors.run["reproducible"] is False
    assert vectors.split("Sea0 hill1") == ["sea0", "hill1"]


NGRAM_WORDS = ["walking", "walked", "talking", "a", "naïve", "새", "</s>", "x" * 300]


@pytest.mark.parametrize("buckets", [7, 2_000_000])
def test_the_same_ngrams_share_a_vector_as_if_all_buckets_had_one(buckets):
    model = FastText(vector_size=50, min_n=3, max_n=6, bucket=1, min_count=1, sorted_vocab=0, sg=1)
    model.build_vocab_from_freq({word: 100 - rank for rank, word in enumerate(NGRAM_WORDS)})
    used = word2vec.draw_ngrams(model, buckets)
    hashes = [ft_ngram_hashes(word, 3, 6, buckets) for word in NGRAM_WORDS]
    distinct = sorted({one for row in hashes for one in row})
    assert used.tolist() == distinct
    assert len(distinct) == len(model.wv.vectors_ngrams)
    for expected, rows in zip(hashes, model.wv.buckets_word, strict=True):
        assert [distinct[row] for row in rows] == list(expected)
        assert rows.dtype == np.uint32
    assert np.abs(model.wv.vectors_ngrams).max() <= 1 / 50  # the range of gensim's
    np.testing.assert_allclose(model.wv.vectors_ngrams.std(), 1 / 50 / np.sqrt(3), rtol=0.1)


def test_words_that_share_ngrams_are_alike_though_they_never_meet_in_as_many_buckets_as_fit(tmp_path, monkeypatch):
    sentences = [["walking", "a"], ["walked", "b"], ["other", "c"]] * 100
    settings = {"name": "fasttext", "dim": 50, "epochs": 1}
    vectors = trained(tmp_path, sentences, counted(sentences), **settings)
    assert vectors.similarity("walking", "walked") > vectors.similarity("walking", "other") + 0.2
    assert vectors.run["buckets"] == 2_000_000
    assert vectors.run["buckets_used"] < 100
    monkeypatch.setattr(word2vec, "MOST_BYTES", 4 * 50 * 11)
    assert trained(tmp_path / "few", sentences, counted(sentences), **settings).run["buckets"] == 11


def test_a_word_outside_the_vocabulary_has_the_vector_that_gensim_gives_it(tmp_path, monkeypatch):
    drawn, original = [], word2vec.draw_ngrams

    def noted(model: FastText, buckets: int) -> np.ndarray:
        drawn.append((model.wv, buckets, original(model, buckets)))
        return drawn[-1][-1]

    monkeypatch.setattr(word2vec, "draw_ngrams", noted)
    monkeypatch.setattr(word2vec, "MOST_BYTES", 4 * 20 * 5000)
    sentences = [["walkings", "talked"], ["walked", "talking"], ["other", "sleep"]] * 50
    vectors = trained(tmp_path, sentences, counted(sentences), name="fasttext", dim=20, epochs=1)
    (keyed, buckets, used), *_ = drawn
    everything = np.zeros((buckets, 20), np.float32)
    everything[used] = keyed.vectors_ngrams
    keyed.vectors_ngrams, keyed.bucket = everything, buckets
    for word in ("walking", "talkings"):  # all n-grams of which are in the vocabulary
        assert word not in vectors.words
        np.testing.assert_allclose(vectors[word], keyed[word], atol=1e-4)
    assert vectors.subwords.vector("zzz") is None
