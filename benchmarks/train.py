"""How fast stage two trains, beside gensim's skip-gram on the same words, and how soon it is good; one JSON line last.

    python -m benchmarks.train --cache DIR [--data DIR] [--threads 2]

In one run, each in a process of its own:

- shared, target: some epochs of the paper's training with either kind of negatives; words/s are of the epochs after the
  first, in which compiling and the vocabulary have their time (gensim's vocabulary is counted apart, too), reading,
  checkpoints and the writing of the vectors included;
- gensim: an epoch of skip-gram (window 5, negative 10, sample 1e-4) of the same dimension over the cache's words, a
  line for each context, read by gensim's own fast reader (`corpus_file`), counting its vocabulary apart;
- default: the default recipe whole, from the first shard that is read to the last vector, and the average word
  similarity that it reaches;
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

from benchmarks.processes import alone, peak_rss

Figures = dict[str, float]


def train(arguments: dict[str, Any]) -> Figures:
    """Train as a user does; with `data`, also score."""
    import torch

    from x2static.schemas.training import TrainConfig
    from x2static.stage2_train.trainer import train as run

    torch.set_num_threads(arguments["threads"])
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as folder:
        config = TrainConfig(cache=arguments["cache"], out=f"{folder}/run", **arguments["settings"])
        ends: list[float] = []
        figures = run(config, after_epoch=lambda _: ends.append(time.perf_counter()))
        if ends:
            words = figures["words_per_second"] * figures["seconds"] / figures["epochs"]
            seconds = time.perf_counter() - ends[0]
            figures["words_per_second"] = round((figures["epochs"] - 1) * words / seconds)
        figures["peak_rss"] = peak_rss()
        if arguments["score"]:
            from x2static.evaluation.word_similarity import average, evaluate_word_similarity
            from x2static.schemas.vectors import WordVectors

            data = arguments["data"] and Path(arguments["data"])
            figures["similarity"] = average(evaluate_word_similarity(WordVectors.load(config.out), data or None))
    return figures


def gensim(arguments: dict[str, Any]) -> Figures:
    """Time an epoch of skip-gram over the words of the cache."""
    from gensim.models import Word2Vec

    from x2static.schemas.cache import Cache

    cache = Cache.open(Path(arguments["cache"]))
    with tempfile.NamedTemporaryFile("w", prefix="x2static-benchmark-", suffix=".txt", encoding="utf-8") as text:
        for shard in cache.shards():
            lexicon = shard.lexicon()["word"].to_pylist()
            for ids in shard.words()["word_ids"].to_pylist():
                text.write(" ".join(lexicon[number] for number in ids) + "\n")
        text.flush()
        model = Word2Vec(
            vector_size=cache.manifest.encoding.dim,
            window=5,
            negative=10,
            sample=1e-4,
            sg=1,
            min_count=10,
            workers=arguments["threads"],
        )
        model.build_vocab(corpus_file=text.name)
        began = time.perf_counter()
        model.train(corpus_file=text.name, total_words=model.corpus_total_words, total_examples=None, epochs=1)
        seconds = time.perf_counter() - began
    words = sum(model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key)
    return {"words_per_second": words / seconds, "seconds": seconds, "words": words}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", required=True, help="a cache of x2static encode")
    parser.add_argument("--data", default="", help="word-similarity sets; gensim's by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="of shared and target")
    parser.add_argument("--quality", type=float, default=0.48, help="average similarity of five epochs as in the paper")
    arguments = vars(parser.parse_args()) | {"settings": {}, "score": False}
    paper = {"compat": "paper", "epochs": arguments["epochs"]}
    shared = alone(train, arguments | {"settings": paper | {"negatives_mode": "shared"}})
    skipgram = alone(gensim, arguments)
    target = alone(train, arguments | {"settings": paper})
    default = alone(train, arguments | {"score": True})
    beginning = alone(train, arguments | {"score": True, "settings": {"objective": "closed-form"}})
    figures = {
        "benchmark": "train",
        "shared_words_per_second": shared["words_per_second"],
        "shared_over_gensim": round(shared["words_per_second"] / skipgram["words_per_second"], 2),
        "target_words_per_second": target["words_per_second"],
        "gensim_words_per_second": round(skipgram["words_per_second"]),
        "seconds_to_quality": beginning["seconds"] if beginning["similarity"] >= arguments["quality"] else None,
        "default_seconds": default["seconds"],
        "default_similarity": round(default["similarity"], 4),
        "data_wait": shared["data_wait"],
        "peak_rss_bytes": shared["peak_rss"],
        "vocabulary": shared["vocabulary"],
        "dim": shared["dim"],
        "shared_seconds": shared["seconds"],
        "epochs": arguments["epochs"],
        "threads": arguments["threads"],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
