"""How fast word vectors make sentence vectors, beside Model2Vec on the same sentences; one JSON line last.

    python -m benchmarks.vectors VECTORS --corpus FILE [--sentences 20000] [--model demo] [--pairs 7]

`WordVectors.encode` against the `encode` of the package model2vec (`pip install model2vec`), which gets a matrix of
random numbers as large as the teacher's, for the tokenizer of the teacher, as `StaticModel` takes both. In one process,
on one thread, in turns: a pair is both on all sentences, once ours first and once theirs. Seconds are those of the
processor, which other work on the machine does not change; the ratio is the median over the pairs.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # before the library is loaded

import numpy as np
from tokenizers import Tokenizer

from x2static.machine.packages import package_version
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.teacher.files import resolve_model
from x2static.stage1_encode.text.segmentation import SentenceSplitter


def model2vec(model: str, dim: int) -> Any:
    """Return a static model of random vectors for every piece of a teacher's tokenizer."""
    from model2vec import StaticModel  # no dependency of x2static

    tokenizer = Tokenizer.from_file(str(resolve_model(model, None)[0] / "tokenizer.json"))
    tokenizer.no_padding()
    matrix = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), dim)).astype(np.float32)
    return StaticModel(matrix, tokenizer)


def seconds_of(encode: Callable[[list[str]], Any], sentences: list[str]) -> float:
    """Return the processor's seconds for all sentences."""
    began = time.process_time()
    encode(sentences)
    return time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--corpus", type=Path, required=True, help="a text file, one paragraph a line")
    parser.add_argument("--sentences", type=int, default=20_000)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--pairs", type=int, default=7)
    arguments = parser.parse_args()
    vectors = WordVectors.load(arguments.vectors)
    static = model2vec(arguments.model, vectors.dim)
    splitter = SentenceSplitter("en")
    with arguments.corpus.open(encoding="utf-8") as file:
        sentences = list(
            islice((line[start:stop] for line in file for start, stop in splitter.spans(line)), arguments.sentences)
        )
    ways = {"ours": vectors.encode, "model2vec": lambda texts: static.encode(texts, use_multiprocessing=False)}
    for encode in ways.values():
        encode(sentences[:1000])  # warm
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for pair in range(arguments.pairs):
        for name in list(ways)[:: 1 if pair % 2 == 0 else -1]:
            seconds[name].append(seconds_of(ways[name], sentences))
    ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["model2vec"], strict=True)]
    figures = {
        "benchmark": "vectors",
        "ours_over_model2vec": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "sentences": len(sentences),
        "characters": sum(map(len, sentences)),
        "sentences_per_second": round(len(sentences) / median(seconds["ours"])),
        "model2vec_sentences_per_second": round(len(sentences) / median(seconds["model2vec"])),
        "words": len(vectors),
        "dim": vectors.dim,
        "model2vec_version": package_version("model2vec"),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
