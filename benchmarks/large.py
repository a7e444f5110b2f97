"""What a large training takes in memory, and how fast it is, on a cache of random numbers; one JSON line last.

    python -m benchmarks.large [--vocabulary 750000] [--dim 768] [--shards 10] [--folder DIR]

Every word occurs ten times. `bound_bytes` is what is promised: 12 bytes x vocabulary x dim and the buffer. Beside it
lie the program and its libraries, which `idle_bytes` is the memory of, and the vocabulary.
"""

import argparse
import json
import tempfile
from typing import Any

import numpy as np

from benchmarks.processes import alone, peak_rss

OCCURRENCES, CONTEXTS_IN_PARAGRAPH = 10, 4


def make_cache(folder: str, vocabulary: int, dim: int, shards: int, contexts: int) -> None:
    """Write a cache whose words are shuffled over its contexts."""
    from pathlib import Path

    from tests.schemas.caches import ShardContent
    from tests.stage2_train.caches import write_cache

    draw = np.random.default_rng(0)
    words = draw.permutation(np.repeat(np.arange(vocabulary, dtype=np.int32), OCCURRENCES))
    contents = []
    for part, rows in zip(
        np.array_split(words, shards), np.diff(np.linspace(0, contexts, shards + 1).astype(int)), strict=True
    ):
        distinct, ids = np.unique(part, return_inverse=True)
        contents.append(
            ShardContent(
                contexts=draw.standard_normal((rows, dim), np.float32).astype(np.float16),
                paragraphs=(np.arange(rows) // CONTEXTS_IN_PARAGRAPH).astype(np.int32),
                word_offsets=np.linspace(0, len(part), rows + 1).astype(np.int32),
                word_ids=ids.astype(np.int32),
                lexicon=[f"word{number}" for number in distinct],
                counts=np.bincount(ids),
                n_paragraphs=int(-(-rows // CONTEXTS_IN_PARAGRAPH)),
                n_tokens=len(part),
            )
        )
    write_cache(Path(folder), contents, dim=dim)


def train(arguments: dict[str, Any]) -> dict[str, float]:
    """Train an epoch."""
    import torch

    from x2static.schemas.training import TrainConfig
    from x2static.stage2_train.trainer import train as run

    torch.set_num_threads(arguments["threads"])
    idle = peak_rss()
    settings = {"compat": "paper", "negatives_mode": "shared", "cache": arguments["cache"], "out": arguments["out"]}
    config = TrainConfig.model_validate(settings)
    figures = run(config)
    return {
        **figures,
        "idle_bytes": idle,
        "peak_rss_bytes": peak_rss(),
        "bound_bytes": 12 * figures["vocabulary"] * figures["dim"] + config.buffer_megabytes * 10**6,
    }


def main() -> None:
    """Make the cache, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=750_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--contexts", type=int, default=400_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where cache and run are written for the while; the system's by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-", dir=arguments.folder) as folder:
        sizes = arguments.vocabulary, arguments.dim, arguments.shards, arguments.contexts
        make_cache(f"{folder}/cache", *sizes)
        figures = alone(train, {"cache": f"{folder}/cache", "out": f"{folder}/run", "threads": arguments.threads})
    names = ("vocabulary", "dim", "words_per_second", "seconds", "data_wait", "peak_rss_bytes", "bound_bytes")
    print(
        json.dumps(
            {"benchmark": "large", "shards": arguments.shards, **{name: figures[name] for name in names}}
            | {"idle_bytes": figures["idle_bytes"]}
        )
    )


if __name__ == "__main__":
    main()
