"""How close stage one comes to the bare teacher, and how far it is ahead of a plain loop; one JSON line last.

    python -m benchmarks.encode --corpus FILE [--paragraphs 16384] [--model demo]

In one run, on the same paragraphs and teacher, each in a process of its own so that memory can be told apart:

- bare: the teacher's forward pass over the very batches that stage one makes, as many at once as there, nothing else
  (one at a time, with all cores on each, is told beside it);
- encode: `x2static encode` whole, from the first text that is read to the last shard, start-up (imports, loading the
  teacher, planning) apart;
- plain: a loop in the manner of Tokenlearn, sentence-transformers' `encode` with token outputs, in batches of 32, not
  sorted, on a sample of the paragraphs.

Bare and encode take turns, so that a machine that others use as well is fair to both: bare is timed before and after.
"""

import argparse
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.processes import alone, peak_rss
from x2static.machine.device import pick_device
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.corpora.byte_lines import open_stream
from x2static.stage1_encode.encode import encode as run_stage
from x2static.stage1_encode.encoder import load_encoder
from x2static.stage1_encode.teacher.files import TeacherFiles, resolve_model
from x2static.stage1_encode.teacher.lanes import shared_cores
from x2static.stage1_encode.teacher.teacher import pick_precision
from x2static.stage1_encode.text.preparation import PORTION, prepared

Figures = dict[str, float]
PLAIN_BATCH = 32


def paragraphs_of(corpus: str, count: int) -> list[str]:
    """Return the first paragraphs of a text file."""
    with open_stream(Path(corpus)) as stream:
        lines = (line.decode().strip() for line in stream)
        return list(islice((line for line in lines if line), count))


def config_of(arguments: dict[str, Any], cache: str) -> EncodeConfig:
    """Return stage one's configuration for these arguments."""
    return EncodeConfig(
        model=arguments["model"],
        corpus=(arguments["corpus"],),
        cache=Path(cache),
        device=arguments["device"],
        limit=arguments["paragraphs"],
    )


def bare(arguments: dict[str, Any]) -> Figures:
    """Time the forward pass alone over every n-th of the batches that stage one makes."""
    config = config_of(arguments, "unused")
    device = pick_device(config.device)
    files = TeacherFiles.find(config.model, None)
    encoder = load_encoder(config, files, pick_precision(config.precision, config.compat, device)[0], device)
    loaded = peak_rss()
    paragraphs = paragraphs_of(config.corpus[0], arguments["paragraphs"])
    batches: list[list[Any]] = []
    for start in range(0, len(paragraphs), config.unit):
        unit = [(start, paragraphs[start : start + config.unit])]
        portions = (text for _, text in prepared(unit, encoder.preparer, 1, PORTION[device.type]))
        batches += [batch for ready in encoder.batches(portions) for batch in ready]
    chosen = batches[:: arguments["bare_every"]]
    inputs = [encoder.teacher.inputs(batch) for batch in chosen]
    lanes = arguments["lanes"] or encoder.lanes
    with shared_cores(lanes), ThreadPoolExecutor(lanes) as pool:

        def read(chosen: list[Any]) -> float:
            started = time.perf_counter()
            for _ in pool.map(lambda pair: encoder.teacher.forward(*pair).shape, chosen):
                pass
            if device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - started

        read(inputs[: len(inputs) // 10 + 1])  # warm
        seconds = read(inputs)
    tokens = sum(len(window.pieces) for batch in chosen for window in batch)
    padded = sum(pieces.numel() for pieces, _ in inputs)
    return {"rate": tokens / seconds, "padding": padded / tokens - 1, "teacher_rss": loaded}


def encode(arguments: dict[str, Any]) -> Figures:
    """Time stage one as a user runs it, start-up apart."""
    began: list[float] = []
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as folder:
        words = arguments["words"] and Path(arguments["words"]).read_text().split()
        config = config_of(arguments, f"{folder}/cache")
        figures = run_stage(config, lambda _: began.append(time.perf_counter()), words or ())
        ended = time.perf_counter()
    # The first report comes when the teacher is loaded and nothing has been read yet.
    return {"rate": figures["teacher_tokens"] / (ended - began[0]), "peak_rss": peak_rss(), **figures}


def plain(arguments: dict[str, Any]) -> Figures:
    """Time sentence-transformers' own loop on every n-th paragraph; averages over sentences are not even made."""
    from sentence_transformers import SentenceTransformer  # no dependency of x2static

    model = SentenceTransformer(str(resolve_model(arguments["model"], None)[0]), device=None)
    chosen = [text for text in paragraphs_of(arguments["corpus"], arguments["paragraphs"]) if len(text) >= 140]
    chosen = chosen[:: arguments["plain_every"]]

    def read(texts: list[str]) -> int:
        options = {"output_value": "token_embeddings", "batch_size": PLAIN_BATCH, "show_progress_bar": False}
        return sum(len(states) for states in model.encode(texts, **options))

    read(chosen[:PLAIN_BATCH])  # warm
    started = time.perf_counter()
    tokens = sum(read(chosen[start : start + PLAIN_BATCH]) for start in range(0, len(chosen), PLAIN_BATCH))
    return {"rate": tokens / (time.perf_counter() - started)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True, help="a text file, one paragraph a line")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--paragraphs", type=int, default=16384)
    parser.add_argument("--bare-every", type=int, default=4, help="time every n-th batch")
    parser.add_argument("--plain-every", type=int, default=16, help="run every n-th paragraph through the plain loop")
    parser.add_argument("--words", default="", help="also encode with --ase over the words of this file")
    arguments = vars(parser.parse_args())
    without = arguments | {"words": "", "lanes": 0}
    before, encoded, after = alone(bare, without), alone(encode, without), alone(bare, without)
    one_lane, loop = alone(bare, without | {"lanes": 1}), alone(plain, without)
    figures = {
        "benchmark": "encode",
        "encode_over_bare": round(encoded["rate"] / ((before["rate"] + after["rate"]) / 2), 4),
        "encode_over_plain_loop": round(encoded["rate"] / loop["rate"], 2),
        "padding": round(before["padding"], 4),
        "peak_rss_bytes": encoded["peak_rss"],
        "teacher_rss_bytes": before["teacher_rss"],
        "tokens_per_second": round(encoded["rate"], 1),
        "bare_tokens_per_second": [round(before["rate"], 1), round(after["rate"], 1)],
        "one_lane_tokens_per_second": round(one_lane["rate"], 1),
        "plain_tokens_per_second": round(loop["rate"], 1),
        "teacher_tokens": encoded["teacher_tokens"],
        "seconds": encoded["seconds"],
    }
    if arguments["words"]:
        with_words, again = alone(encode, arguments | {"lanes": 0}), alone(encode, without)
        figures["ase_overhead"] = round((encoded["rate"] + again["rate"]) / 2 / with_words["rate"] - 1, 4)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
