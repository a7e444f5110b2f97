"""Skip-gram, CBOW and sent2vec against gensim used plainly; fastText's n-grams; what all four promise."""

import hashlib
import json
import logging
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, Word2Vec
from gensim.models.fasttext import ft_ngram_hashes

from tests.baselines.texts import DIM, cache_of, counted, request_of, two_topics
from tests.conftest import ROOT
from x2static.baselines import word2vec
from x2static.durable.errors import X2StaticError
from x2static.machine import packages
from x2static.pipeline import cli
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
    asked = {"name": name, "cache": cache, "out": out, "min_count": LEAST, "threads": 1, "epochs": 2, "subsample": 0.01}
    return BaselineConfig.model_validate(asked | settings)


def hash_of(out: Path) -> str:
    return hashlib.sha256(
        (out / "vectors.safetensors").read_bytes() + (out / "vocabulary.arrow").read_bytes()
    ).hexdigest()


@pytest.mark.parametrize("name", METHODS)
def test_the_words_are_those_of_the_cache_and_the_dimension_is_the_teachers(tmp_path, cache, name):
    figures = make(config_of(cache, tmp_path / "out", name))
    vectors = WordVectors.load(tmp_path / "out")
    vocabulary = counted([*SENTENCES, SENTENCES[0], ["sea0"]], least=LEAST)
    assert vectors.words == list(vocabulary)
    assert vectors.counts.tolist() == list(vocabulary.values())
    assert vectors.dim == figures["dim"] == DIM
    assert vectors.run["reproducible"] is True
    assert vectors.run["text_words"] == sum(vocabulary.values())
    assert make(config_of(cache, tmp_path / "out", name))["finished_before"]


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
    cache = cache_of(tmp_path / "cache", sentences)
    settings = {"name": name, "negatives": 4, "epochs": 1, "seed": 5, "threads": 1, "subsample": 0.01}
    settings |= {"window": 3} if name != "sent2vec" else {}  # its window is the sentence
    made = word2vec.make(request_of(tmp_path, cache, vocabulary, **settings))
    plain = Word2Vec(
        vector_size=DIM, negative=4, sample=0.01, min_count=1, seed=5, workers=1, sorted_vocab=0, **arguments
    )
    plain.build_vocab_from_freq(dict(vocabulary))
    (tmp_path / "plain.txt").write_text("".join(" ".join(sentence) + "\n" for sentence in sentences))
    plain.train(corpus_file=str(tmp_path / "plain.txt"), total_words=sum(map(len, sentences)), epochs=1)
    assert made.words == plain.wv.index_to_key
    np.testing.assert_array_equal(made.matrix, plain.wv.vectors)


@pytest.mark.parametrize("name", METHODS)
def test_words_of_one_topic_come_to_lie_together(tmp_path, name):
    cache = cache_of(tmp_path / "cache", SENTENCES)
    request = request_of(tmp_path, cache, counted(SENTENCES), name=name, epochs=20, dim=16, subsample=0, threads=1)
    made = word2vec.make(request)
    vectors = WordVectors(made.words, made.matrix, made.counts)
    same = np.mean([vectors.similarity(f"{topic}0", f"{topic}{i}") for topic in ("sea", "hill") for i in range(1, 8)])
    other = np.mean([vectors.similarity(f"sea{i}", f"hill{j}") for i in range(8) for j in range(8)])
    assert same > other + 0.1


def test_one_thread_and_one_seed_give_the_same_bytes_in_another_process(tmp_path, cache):
    driver = (
        "import sys; from pathlib import Path; from x2static.pipeline.baselines import make; "
        "from tests.baselines.test_word2vec import METHODS, config_of, hash_of\n"
        "for name in METHODS:\n"
        "    out = Path(sys.argv[2]) / name\n"
        "    make(config_of(Path(sys.argv[1]), out, name)); print(hash_of(out))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "17", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", driver, str(cache), str(tmp_path / "theirs")]
    theirs = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    for name, expected in zip(METHODS, theirs.stdout.split(), strict=True):
        make(config_of(cache, tmp_path / name, name))
        assert hash_of(tmp_path / name) == expected
    make(config_of(cache, tmp_path / "other", "skipgram", seed=1))
    assert hash_of(tmp_path / "other") != hash_of(tmp_path / "skipgram")


def test_a_run_that_was_stopped_begins_again_and_ends_alike(tmp_path, cache, monkeypatch):
    make(config_of(cache, tmp_path / "whole", "skipgram"))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(word2vec._Epochs, "on_epoch_end", stopped)
        with pytest.raises(KeyboardInterrupt):
            make(config_of(cache, tmp_path / "out", "skipgram"))
    assert not (tmp_path / "out" / "run.json").exists()
    assert not make(config_of(cache, tmp_path / "out", "skipgram"))["finished_before"]
    assert hash_of(tmp_path / "out") == hash_of(tmp_path / "whole")
    assert not (tmp_path / "out" / "work").exists()


def test_several_threads_are_said_not_to_be_reproducible(tmp_path, cache, caplog):
    caplog.set_level(logging.INFO, logger="x2static.baselines")
    logging.getLogger("x2static.baselines").addHandler(caplog.handler)
    make(config_of(cache, tmp_path / "out", "cbow", threads=2))
    logging.getLogger("x2static.baselines").removeHandler(caplog.handler)
    assert WordVectors.load(tmp_path / "out").run["reproducible"] is False
    assert "2 threads: gensim is reproducible with --threads 1 alone" in caplog.messages


def test_epochs_are_reported(tmp_path, cache):
    heard = []
    make(config_of(cache, tmp_path / "out", "cbow", epochs=3), heard.append)
    assert [(item.done, item.total, item.unit) for item in heard] == [(done, 3, "epochs") for done in range(4)]


def test_text_files_alone_need_a_dimension_and_are_enough_with_one(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(" ".join(sentence) for sentence in SENTENCES))
    settings = {"corpus": [str(corpus)]}
    with pytest.raises(X2StaticError, match="cbow: without a cache, whose dimension it would take, it needs --dim"):
        make(config_of(None, tmp_path / "none", "cbow", **settings))
    make(config_of(None, tmp_path / "out", "cbow", **settings, dim=5))
    vectors = WordVectors.load(tmp_path / "out")
    assert vectors.words == list(counted(SENTENCES, least=LEAST))
    assert vectors.dim == 5
    assert vectors.split("Sea0 hill1") == ["sea0", "hill1"]
    with pytest.raises(X2StaticError, match="corpus"):
        make(config_of(None, tmp_path / "out", "cbow", corpus=["other.txt"], dim=5))


def test_without_gensim_it_says_what_to_install(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda module: None)
    with pytest.raises(X2StaticError, match=r"needs gensim: pip install 'x2static\[baselines\]'"):
        make(config_of(cache, tmp_path / "out", "skipgram"))


def test_the_command_makes_them(tmp_path, cache, capsys):
    arguments = ["--cache", str(cache), "--out", str(tmp_path / "out"), "--min-count", "20", "--threads", "1", "--json"]
    assert cli.run(["baseline", "skipgram", *arguments]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["vocabulary"], result["dim"], result["finished_before"]) == (20, DIM, False)
    assert cli.run(["baseline", "skipgram", *arguments, "--window", "4"]) == 1
    assert "window" in capsys.readouterr().err


NGRAM_WORDS = ["walking", "walked", "talking", "a", "naïve", "새", "</s>", "x" * 300]


def model_of(dim: int = 4, buckets: int = 1) -> FastText:
    model = FastText(vector_size=dim, min_n=3, max_n=6, bucket=buckets, min_count=1, sorted_vocab=0, sg=1)
    model.build_vocab_from_freq({word: 100 - rank for rank, word in enumerate(NGRAM_WORDS)})
    return model


@pytest.mark.parametrize("buckets", [7, 2_000_000])
def test_the_same_ngrams_share_a_vector_as_if_all_buckets_had_one(buckets):
    model = model_of()
    used = word2vec.draw_ngrams(model, buckets)
    hashes = [ft_ngram_hashes(word, 3, 6, buckets) for word in NGRAM_WORDS]
    distinct = sorted({one for row in hashes for one in row})
    assert used == len(distinct) == len(model.wv.vectors_ngrams)
    for expected, found in zip(hashes, model.wv.buckets_word, strict=True):
        assert [distinct[row] for row in found] == list(expected)
        assert found.dtype == np.uint32


def test_ngrams_are_drawn_from_the_range_of_gensims():
    model = model_of(dim=50)
    word2vec.draw_ngrams(model, 2_000_000)
    drawn = model.wv.vectors_ngrams
    assert np.abs(drawn).max() <= 1 / 50
    np.testing.assert_allclose(drawn.std(), 1 / 50 / np.sqrt(3), rtol=0.02)


def test_words_that_share_ngrams_are_alike_though_they_never_meet(tmp_path):
    sentences = [["walking", "a"], ["walked", "b"], ["other", "c"]] * 100
    cache = cache_of(tmp_path / "cache", sentences)
    vocabulary = Counter({"walking": 100, "walked": 100, "other": 100, "a": 100, "b": 100, "c": 100})
    request = request_of(tmp_path, cache, vocabulary, name="fasttext", dim=50, threads=1, epochs=1)
    made = word2vec.make(request)
    vectors = WordVectors(made.words, made.matrix, made.counts)
    assert vectors.similarity("walking", "walked") > vectors.similarity("walking", "other") + 0.2
    assert made.origin["buckets"] == 2_000_000
    assert made.origin["buckets_used"] < 100


def test_fewer_buckets_are_made_where_their_vectors_would_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(word2vec, "MOST_BYTES", 4 * 50 * 11)
    cache = cache_of(tmp_path / "cache", [NGRAM_WORDS] * 10)
    request = request_of(tmp_path, cache, Counter(dict.fromkeys(NGRAM_WORDS, 10)), name="fasttext", dim=50, threads=1)
    assert word2vec.make(request).origin["buckets"] == 11


FAR = 12  # words between a name and what tells its kind: more than CBOW's window


def named_kinds() -> list[list[str]]:
    """Sentences that begin with a name and end with its kind, and say nothing of it in between."""
    drawn = random.Random(1)
    between = [f"and{number}" for number in range(40)]
    kinds = {"sea": "wet", "hill": "high"}
    return [
        [f"{name}{drawn.randrange(4)}", *drawn.choices(between, k=FAR), kind]
        for name, kind in (drawn.choice(list(kinds.items())) for _ in range(600))
    ]


def test_words_at_both_ends_of_a_long_sentence_are_context_of_each_other(tmp_path):
    sentences = named_kinds()
    cache = cache_of(tmp_path / "cache", sentences)

    def gap(name: str) -> float:
        settings = {"name": name, "epochs": 20, "dim": 16, "window": 5, "subsample": 0, "threads": 1}
        request = request_of(tmp_path / name, cache, counted(sentences), **settings)
        made = word2vec.make(request)
        if name == "sent2vec":
            assert made.origin["window"] == FAR + 2
            assert made.origin["missing"]
        vectors = WordVectors(made.words, made.matrix, made.counts)
        return vectors.similarity("sea0", "sea1") - vectors.similarity("sea0", "hill1")

    assert gap("sent2vec") > 0.3
    assert gap("cbow") < 0.2
