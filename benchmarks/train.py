"""How fast stage two trains, beside gensim's skip-gram on the same words, and how soon it is good; one JSON line last.

    python -m benchmarks.train --cache DIR [--data DIR] [--threads 2]
    python -m benchmarks.train --vocabulary 750000 [--dim 768] [--shards 10] [--folder DIR] [--parts 1 2 4]

In one run, each in a process of its own:

- shared, target: some epochs of the paper's training with either kind of negatives; words/s are of the epochs after the
  first, which compiles and makes the vocabulary; reading, checkpoints and writing the vectors included;
- gensim: an epoch of skip-gram (window 5, negative 10, sample 1e-4) of the same dimension over the cache's words, a
  line for each context, read by gensim's own fast reader (`corpus_file`), without counting its vocabulary;
- default: the default recipe from the first shard that is read to the last vector, and its average word similarity;
- `seconds_to_quality`: of the closed form, which that recipe begins with; null if it is below `--quality`.

A word counts when it is in the vocabulary, whether or not subsampling drops it. Without a cache, what a large training
takes in memory, on one of random numbers in which every word occurs ten times. `bound_bytes` is what is promised: 12
bytes x vocabulary x dim and the buffer; the program, of `idle_bytes`, and the vocabulary lie beside it.

With `--parts`, of a cache or of a large one: what one part of so many takes, in seconds of all its processors together,
which a machine that others use, too, does not change much, and in memory; without what compiling takes.
"""

import argparse
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.schemas.caches import ShardContent
from tests.stage2_train.caches import write_cache
from x2static.durable.errors import Interrupted
from x2static.evaluation.word_similarity import average, evaluate_word_similarity
from x2static.machine.processes import alone, peak_rss
from x2static.schemas.cache import Cache
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import parts, trainer
from x2static.stage2_train.learner import compiling
from x2static.stage2_train.vocabulary import Part

Figures = dict[str, float]


def train(settings: dict[str, Any], threads: int, data: str | None = None) -> Figures:
    """Train as a user does; with `data` (empty: the sets of gensim), also score."""
    torch.set_num_threads(threads)
    idle = peak_rss()
    ends: list[float] = []
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as folder:
        config = TrainConfig.model_validate({"out": f"{folder}/run", **settings})
        figures = trainer.train(config, after_epoch=lambda _: ends.append(time.perf_counter()))
        if ends:
            words = figures["words_per_second"] * figures["seconds"] / figures["epochs"]
            seconds = time.perf_counter() - ends[0]
            figures["words_per_second"] = round((figures["epochs"] - 1) * words / seconds)
        figures |= {"idle_bytes": idle, "peak_rss_bytes": peak_rss(), "buffer_bytes": config.buffer_megabytes * 10**6}
        if data is not None:
            scores = evaluate_word_similarity(WordVectors.load(config.out), Path(data) if data else None)
            figures["similarity"] = average(scores)
    return figures


def gensim(cache: Cache, threads: int) -> Figures:
    """Time an epoch of skip-gram over the words of the cache."""
    from gensim.models import Word2Vec

    with tempfile.NamedTemporaryFile("w", prefix="x2static-benchmark-", suffix=".txt", encoding="utf-8") as text:
        for shard in cache.shards():
            lexicon = shard.lexicon()["word"].to_pylist()
            for ids in shard.words()["word_ids"].to_pylist():
                text.write(" ".join(lexicon[number] for number in ids) + "\n")
        text.flush()
        paper = {"window": 5, "negative": 10, "sample": 1e-4, "sg": 1, "min_count": 10}
        model = Word2Vec(vector_size=cache.manifest.encoding.dim, workers=threads, **paper)
        model.build_vocab(corpus_file=text.name)
        began = time.perf_counter()
        model.train(corpus_file=text.name, total_words=model.corpus_total_words, total_examples=None, epochs=1)
        seconds = time.perf_counter() - began
    return {"words_per_second": sum(model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key) / seconds}


def compared(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of training and of gensim on a cache."""
    cache, threads = {"cache": arguments.cache}, arguments.threads
    paper = cache | {"compat": "paper", "epochs": arguments.epochs}
    shared = alone(train, paper | {"negatives_mode": "shared"}, threads)
    skipgram = alone(gensim, Cache.open(arguments.cache), threads)
    target = alone(train, paper, threads)
    default = alone(train, cache, threads, arguments.data)
    closed_form = alone(train, cache | {"objective": "closed-form"}, threads, arguments.data)
    return {
        "benchmark": "train",
        "shared_words_per_second": shared["words_per_second"],
        "shared_over_gensim": round(shared["words_per_second"] / skipgram["words_per_second"], 2),
        "target_words_per_second": target["words_per_second"],
        "gensim_words_per_second": round(skipgram["words_per_second"]),
        "seconds_to_quality": closed_form["seconds"] if closed_form["similarity"] >= arguments.quality else None,
        "default_seconds": default["seconds"],
        "default_similarity": round(default["similarity"], 4),
        **{name: shared[name] for name in ("data_wait", "peak_rss_bytes", "vocabulary", "dim")},
        **{"shared_seconds": shared["seconds"], "epochs": arguments.epochs, "threads": threads},
    }


def random_cache(folder: Path, vocabulary: int, dim: int, shards: int, contexts: int) -> Path:
    """Write a cache whose words are shuffled over its contexts, four to a paragraph."""
    draw = np.random.default_rng(0)
    words = draw.permutation(np.repeat(np.arange(vocabulary, dtype=np.int32), 10))
    sizes = np.diff(np.linspace(0, contexts, shards + 1).astype(int))
    contents = []
    for part, rows in zip(np.array_split(words, shards), sizes, strict=True):
        distinct, ids = np.unique(part, return_inverse=True)
        content = ShardContent(
            contexts=draw.standard_normal((rows, dim), np.float32).astype(np.float16),
            paragraphs=(np.arange(rows) // 4).astype(np.int32),
            word_offsets=np.linspace(0, len(part), rows + 1).astype(np.int32),
            word_ids=ids.astype(np.int32),
            lexicon=[f"word{number}" for number in distinct],
            counts=np.bincount(ids),
            n_paragraphs=int(-(-rows // 4)),
            n_tokens=len(part),
        )
        contents.append(content)
    return write_cache(folder, contents, dim=dim)


def large(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of training on a large cache, which is made for it."""
    sizes = (arguments.vocabulary, arguments.dim, arguments.shards, arguments.contexts)
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-", dir=arguments.folder) as folder:
        settings = {"compat": "paper", "negatives_mode": "shared", "out": f"{folder}/run"}
        settings["cache"] = str(random_cache(Path(folder, "cache"), *sizes))
        figures = alone(train, settings, arguments.threads)
    names = ("words_per_second", "seconds", "data_wait", "peak_rss_bytes", "idle_bytes", "vocabulary", "dim")
    bound = 12 * figures["vocabulary"] * figures["dim"] + figures["buffer_bytes"]
    chosen = {name: figures[name] for name in names}
    return {"benchmark": "large", "shards": arguments.shards, "bound_bytes": bound, **chosen}


def a_part(settings: dict[str, Any], of: int, threads: int) -> Figures:
    """Begin a training and train one part of so many, the part in a process of its own; the others are left out."""
    figures: Figures = {}

    def first_alone(config: TrainConfig, chosen: list[Part]) -> None:
        figures.update(alone(timed_part, config, chosen[0], threads))
        raise Interrupted("measured")

    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as folder, suppress(Interrupted):
        parts.train_in_parts(TrainConfig.model_validate({**settings, "out": f"{folder}/run"}), of, first_alone)
    return figures


def timed_part(config: TrainConfig, part: Part, threads: int) -> Figures:
    """Train a part; return what it took."""
    torch.set_num_threads(threads)
    compiling().result()
    idle, began, clock = peak_rss(), time.process_time(), time.perf_counter()
    parts.train_part(config, part)
    took = {"cpu_seconds": time.process_time() - began, "seconds": time.perf_counter() - clock}
    return took | {"peak_rss_bytes": peak_rss(), "idle_bytes": idle}


def in_parts(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one part of each of some numbers of parts."""
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-", dir=arguments.folder) as folder:
        cache = arguments.cache or random_cache(
            Path(folder, "cache"), arguments.vocabulary, arguments.dim, arguments.shards, arguments.contexts
        )
        shared = {"cache": cache, "init": "uniform", "min_count": arguments.min_count, "epochs": arguments.epochs}
        shared["pool"] = arguments.pool
        figures = {str(of): a_part(shared, of, arguments.threads) for of in arguments.parts}
    return {"benchmark": "parts", **{name: getattr(arguments, name) for name in ("epochs", "pool")}, "parts": figures}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="a cache of x2static encode; without one, a large one is made")
    parser.add_argument("--data", default="", help="word-similarity sets; gensim's by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="of shared and target")
    parser.add_argument("--quality", type=float, default=0.48, help="average similarity of five epochs as in the paper")
    for size, default in {"vocabulary": 750_000, "dim": 768, "shards": 10, "contexts": 400_000}.items():
        parser.add_argument(f"--{size}", type=int, default=default, help="of the large cache")
    parser.add_argument("--folder", help="where the large cache is written for the while; the system's by default")
    parser.add_argument("--parts", type=int, nargs="+", help="numbers of parts of which one is measured")
    parser.add_argument("--min-count", type=int, default=1, help="of --parts")
    parser.add_argument("--pool", type=int, default=1024, help="of --parts")
    arguments = parser.parse_args()
    measure = in_parts if arguments.parts else compared if arguments.cache else large
    print(json.dumps(measure(arguments)))


if __name__ == "__main__":
    main()
