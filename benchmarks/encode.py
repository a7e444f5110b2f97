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

from benchmarks.processes import alone, peak_rss

Figures = dict[str, float]


def paragraphs_of(corpus: str, count: int) -> list[str]:
    """Return the first paragraphs of a text file."""
    from x2static.stage1_encode.corpora.byte_lines import open_stream

    with open_stream(Path(corpus)) as stream:
        lines = (line.decode().strip() for line in stream)
        return list(islice((line for line in lines if line), count))


def config_of(arguments: dict[str, Any], cache: str) -> Any:
    """Return stage one's configuration for these arguments."""
    from x2static.schemas.encoding import EncodeConfig

    return EncodeConfig(
        model=arguments["model"],
        corpus=(arguments["corpus"],),
        cache=cache,
        device=arguments["device"],
        limit=arguments["paragraphs"],
    )


def batches(paragraphs: list[str], unit: int, encoder: Any) -> list[list[Any]]:
    """Return the batches that an encoder makes of some paragraphs."""
    from x2static.stage1_encode.text.preparation import PORTION, prepared

    made: list[list[Any]] = []
    for start in range(0, len(paragraphs), unit):
        texts = [(start, paragraphs[start : start + unit])]
        portions = prepared(texts, encoder.preparer, 1, PORTION[encoder.teacher.device.type])
        made += [batch for batches in encoder.batches(text for _, text in portions) for batch in batches]
    return made


def bare(arguments: dict[str, Any]) -> Figures:
    """Time the forward pass alone over every n-th of the batches that stage one makes."""
    import torch

    from x2static.machine.device import pick_device
    from x2static.stage1_encode.encoder import load_encoder
    from x2static.stage1_encode.teacher.files import TeacherFiles
    from x2static.stage1_encode.teacher.lanes import shared_cores
    from x2static.stage1_encode.teacher.teacher import pick_precision

    config = config_of(arguments, "unused")
    device = pick_device(config.device)
    files = TeacherFiles.find(config.model, None)
    encoder = load_encoder(config, files, pick_precision(config.precision, config.compat, device)[0], device)
    loaded = peak_rss()
    paragraphs = paragraphs_of(config.corpus[0], arguments["paragraphs"])
    chosen = batches(paragraphs, config.unit, encoder)[:: arguments["bare_every"]]
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
    from x2static.stage1_encode.encode import encode as run

    began: list[float] = []
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as folder:
        config = config_of(arguments, f"{folder}/cache")
        words = arguments["words"] and Path(arguments["words"]).read_text().split()
        figures = run(config, lambda _: began.append(time.perf_counter()), words or ())
        ended = time.perf_counter()
    # The first report comes when the teacher is loaded and nothing has been read yet.
    return {"rate": figures["teacher_tokens"] / (ended - began[0]), "peak_rss": peak_rss(), **figures}


def plain(arguments: dict[str, Any]) -> Figures:
    """Time sentence-transformers' own loop on every n-th paragraph; averages over sentences are not even made."""
    from sentence_transformers import SentenceTransformer

    from x2static.stage1_encode.teacher.files import resolve_model

    model = SentenceTransformer(str(resolve_model(arguments["model"], None)[0]), device=None)
    chosen = paragraphs_of(arguments["corpus"], arguments["paragraphs"])
    chosen = [text for text in chosen if len(text) >= 140][:: arguments["plain_every"]]
    model.encode(chosen[:32], output_value="token_embeddings", batch_size=32, show_progress_bar=False)
    started = time.perf_counter()
    tokens = 0
    for start in range(0, len(chosen), 32):
        batch = chosen[start : start + 32]
        states = model.encode(batch, output_value="token_embeddings", batch_size=32, show_progress_bar=False)
        tokens += sum(len(state) for state in states)
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
    before = alone(bare, without)
    encoded = alone(encode, without)
    after = alone(bare, without)
    one_lane = alone(bare, without | {"lanes": 1})
    loop = alone(plain, without)
    bare_rate = (before["rate"] + after["rate"]) / 2
    figures = {
        "benchmark": "encode",
        "encode_over_bare": round(encoded["rate"] / bare_rate, 4),
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
        with_words = alone(encode, arguments | {"lanes": 0})
        again = alone(encode, without)
        plain_rate = (encoded["rate"] + again["rate"]) / 2
        figures["ase_overhead"] = round(plain_rate / with_words["rate"] - 1, 4)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
