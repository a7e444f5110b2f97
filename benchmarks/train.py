"""How fast stage two trains, beside gensim's skip-gram on the same words, and how soon it is good; one JSON line last.

    python -m benchmarks.train --cache DIR [--data DIR] [--threads 2]

In one run, each in a process of its own:

- shared, target: some epochs of the paper's training with either kind of negatives; words/s are of the epochs after the
  first, in which compiling and the vocabulary have their time, reading, checkpoints and the writing of the vectors
  included;
- gensim: an epoch of skip-gram (window 5, negative 10, sample 1e-4) of the same dimension over the cache's words, a
  line for each context, read by gensim's own fast reader (`corpus_file`), without counting its vocabulary;
- default: the default recipe from the first shard that is read to the last vector, and its average word similarity;
- `seconds_to_quality`: the recipe begins with the closed form, made alone here, and that is good already; null if it
  is below `--quality`.

A word counts when it is in the vocabulary, whether or not subsampling drops it.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from x2static.machine.processes import alone, peak_rss
from x2static.schemas.cache import Cache
from x2static.schemas.training import TrainConfig

Figures = dict[str, float]


def train(settings: dict[str, Any], threads: int, data: str | None = None) -> Figures:
    """Train as a user does; with `data` (empty: the sets of gensim), also score."""
    import torch

    from x2static.stage2_train.trainer import train as run

    torch.set_num_threads(threads)
    idle = peak_rss()
    ends: list[float] = []
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as folder:
        config = TrainConfig.model_validate({"out": f"{folder}/run", **settings})
        figures = run(config, after_epoch=lambda _: ends.append(time.perf_counter()))
        if ends:
            words = figures["words_per_second"] * figures["seconds"] / figures["epochs"]
            seconds = time.perf_counter() - ends[0]
            figures["words_per_second"] = round((figures["epochs"] - 1) * words / seconds)
        figures |= {"idle_bytes": idle, "peak_rss_bytes": peak_rss(), "buffer_bytes": config.buffer_megabytes * 10**6}
        if data is not None:
            from x2static.evaluation.word_similarity import average, evaluate_word_similarity
            from x2static.schemas.vectors import WordVectors

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
    words = sum(model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key)
    return {"words_per_second": words / seconds}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="a cache of x2static encode")
    parser.add_argument("--data", default="", help="word-similarity sets; gensim's by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="of shared and target")
    parser.add_argument("--quality", type=float, default=0.48, help="average similarity of five epochs as in the paper")
    arguments = parser.parse_args()
    cache, threads = {"cache": arguments.cache}, arguments.threads
    paper = cache | {"compat": "paper", "epochs": arguments.epochs}
    shared = alone(train, paper | {"negatives_mode": "shared"}, threads)
    skipgram = alone(gensim, Cache.open(arguments.cache), threads)
    target = alone(train, paper, threads)
    default = alone(train, cache, threads, arguments.data)
    closed_form = alone(train, cache | {"objective": "closed-form"}, threads, arguments.data)
    figures = {
        "benchmark": "train",
        "shared_words_per_second": shared["words_per_second"],
        "shared_over_gensim": round(shared["words_per_second"] / skipgram["words_per_second"], 2),
        "target_words_per_second": target["words_per_second"],
        "gensim_words_per_second": round(skipgram["words_per_second"]),
        "seconds_to_quality": closed_form["seconds"] if closed_form["similarity"] >= arguments.quality else None,
        "default_seconds": default["seconds"],
        "default_similarity": round(default["similarity"], 4),
        "data_wait": shared["data_wait"],
        "peak_rss_bytes": shared["peak_rss_bytes"],
        "vocabulary": shared["vocabulary"],
        "dim": shared["dim"],
        "shared_seconds": shared["seconds"],
        "epochs": arguments.epochs,
        "threads": threads,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
