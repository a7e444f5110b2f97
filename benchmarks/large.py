"""What a large training takes in memory, and how fast it is, on a cache of random numbers; one JSON line last.

    python -m benchmarks.large [--vocabulary 750000] [--dim 768] [--shards 10] [--folder DIR]

Every word occurs ten times. `bound_bytes` is what is promised: 12 bytes x vocabulary x dim and the buffer. Beside it
lie the program and its libraries, which `idle_bytes` is the memory of, and the vocabulary.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.train import train
from tests.schemas.caches import ShardContent
from tests.stage2_train.caches import write_cache
from x2static.machine.processes import alone

OCCURRENCES, CONTEXTS_IN_PARAGRAPH = 10, 4


def make_cache(folder: Path, vocabulary: int, dim: int, shards: int, contexts: int) -> None:
    """Write a cache whose words are shuffled over its contexts."""
    draw = np.random.default_rng(0)
    words = draw.permutation(np.repeat(np.arange(vocabulary, dtype=np.int32), OCCURRENCES))
    sizes = np.diff(np.linspace(0, contexts, shards + 1).astype(int))
    contents = []
    for part, rows in zip(np.array_split(words, shards), sizes, strict=True):
        distinct, ids = np.unique(part, return_inverse=True)
        content = ShardContent(
            contexts=draw.standard_normal((rows, dim), np.float32).astype(np.float16),
            paragraphs=(np.arange(rows) // CONTEXTS_IN_PARAGRAPH).astype(np.int32),
            word_offsets=np.linspace(0, len(part), rows + 1).astype(np.int32),
            word_ids=ids.astype(np.int32),
            lexicon=[f"word{number}" for number in distinct],
            counts=np.bincount(ids),
            n_paragraphs=int(-(-rows // CONTEXTS_IN_PARAGRAPH)),
            n_tokens=len(part),
        )
        contents.append(content)
    write_cache(folder, contents, dim=dim)


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
        cache = Path(folder, "cache")
        make_cache(cache, arguments.vocabulary, arguments.dim, arguments.shards, arguments.contexts)
        settings = {"compat": "paper", "negatives_mode": "shared", "cache": cache, "out": f"{folder}/run"}
        figures = alone(train, settings, arguments.threads)
    names = ("words_per_second", "seconds", "data_wait", "peak_rss_bytes", "idle_bytes", "vocabulary", "dim")
    bound = 12 * figures["vocabulary"] * figures["dim"] + figures["buffer_bytes"]
    chosen = {name: figures[name] for name in names}
    print(json.dumps({"benchmark": "large", "shards": arguments.shards, "bound_bytes": bound, **chosen}))


if __name__ == "__main__":
    main()
