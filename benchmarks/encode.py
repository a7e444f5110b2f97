"""How close stage one comes to the machine's limit, and how far it is ahead of a plain loop; one JSON line last.

    python -m benchmarks.encode --corpus FILE [--paragraphs 16384] [--model demo] [--backend torch] [--precision int8]

On the same paragraphs and teacher, each in a process of its own:

- bare: the teacher's forward pass in PyTorch over the very batches that stage one makes, as many at once as there,
  nothing else (one at a time, with all cores on each, is told beside it); timed before and after encode, so that a
  machine that others use as well is fair to both;
- products: the matrix products of the teacher alone, in PyTorch and as many at once, which no way to run it can leave
  out; `encode_over_roofline` is what stage one does of their rate, attention's products counted in;
- encode: `x2static encode` from the first text that is read to the last shard, without loading and planning;
- plain: a loop in the manner of Tokenlearn, sentence-transformers' `encode` with token outputs, in batches of 32, not
  sorted.
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
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.pytorch_utils import Conv1D

from x2static.machine.processes import alone, peak_rss
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.corpora.compression import open_stream
from x2static.stage1_encode.corpora.corpus import fitting_unit
from x2static.stage1_encode.encode import encode as run_stage
from x2static.stage1_encode.encoder import ChosenTeacher, Encoder, shared_cores
from x2static.stage1_encode.pools.word_sums import WordSums
from x2static.stage1_encode.teacher.files import resolve_model
from x2static.stage1_encode.text.preparation import PORTION, prepared

Figures = dict[str, Any]
WIDTH = 128  # pieces of a window whose operations are counted and whose products are timed
PLAIN_BATCH = 32


def paragraphs_of(arguments: dict[str, Any]) -> list[str]:
    """Return the first paragraphs of a text file."""
    with open_stream(Path(arguments["corpus"])) as stream:
        lines = (line.decode().strip() for line in stream)
        return list(islice(filter(None, lines), arguments["paragraphs"]))


def config_of(arguments: dict[str, Any], cache: str) -> EncodeConfig:
    """Return stage one's configuration for these arguments."""
    names = {name: arguments[name] for name in ("model", "device", "precision", "backend")}
    return EncodeConfig(cache=Path(cache), corpus=(arguments["corpus"],), limit=arguments["paragraphs"], **names)


def eager(arguments: dict[str, Any]) -> tuple[ChosenTeacher, Encoder]:
    """Load the teacher in PyTorch, whatever stage one reads with; int8 it does not compute with."""
    precision = "auto" if arguments["precision"] == "int8" else arguments["precision"]
    teacher = ChosenTeacher(config_of(arguments | {"backend": "torch", "precision": precision}, "unused"))
    return teacher, teacher.load()


def products(arguments: dict[str, Any], least_seconds: float = 4.0) -> Figures:
    """Time the matrix products of the teacher's layers; return FLOP/s, and FLOPs a piece, attention included."""
    teacher, encoder = eager(arguments)
    model, device = encoder.teacher._model, teacher.device
    shape = (max(1, encoder.max_tokens // WIDTH), WIDTH)
    pieces = torch.zeros(shape, dtype=torch.long, device=device)
    calls: list[tuple[nn.Module, torch.Tensor]] = []
    for module in model.modules():
        if isinstance(module, (nn.Linear, Conv1D)):
            module.register_forward_hook(lambda module, given, _: calls.append((module, given[0])))
    model.set_attn_implementation("eager")  # whose operations are counted on every device
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        model(input_ids=pieces, attention_mask=torch.ones_like(pieces))
    for module, _ in calls:
        module._forward_hooks.clear()
    flops = sum(2 * given.numel() * module.weight.numel() // given.shape[-1] for module, given in calls)

    def run(until: float) -> int:
        times = 0
        with torch.inference_mode():
            while time.perf_counter() < until:
                for module, given in calls:
                    module(given)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                times += 1
        return times

    with shared_cores(encoder.lanes), ThreadPoolExecutor(encoder.lanes) as pool:
        for seconds in (least_seconds / 4, least_seconds):  # the first warms up
            started = time.perf_counter()
            times = sum(pool.map(run, [started + seconds] * encoder.lanes))
            took = time.perf_counter() - started
    return {"flops_per_second": times * flops / took, "flops_per_piece": counted.get_total_flops() / pieces.numel()}


def bare(arguments: dict[str, Any], lanes: int = 0) -> Figures:
    """Time the forward pass alone over every n-th of stage one's batches, so many at once (0: as many as stage one)."""
    teacher, encoder = eager(arguments)
    teacher_rss, paragraphs = peak_rss(), paragraphs_of(arguments)
    batches: list[list[Any]] = []
    size = fitting_unit(len(paragraphs))
    for start in range(0, len(paragraphs), size):
        unit = [(start, paragraphs[start : start + size])]
        portions = (text for _, text in prepared(unit, encoder.preparer, 1, PORTION[teacher.device.type]))
        batches += [batch for ready in encoder.batches(portions) for batch in ready]
    batches = batches[:: arguments["bare_every"]]
    inputs = [encoder.teacher.inputs(batch) for batch in batches]
    lanes = lanes or encoder.lanes
    with shared_cores(lanes), ThreadPoolExecutor(lanes) as pool:
        for part in (inputs[: len(inputs) // 10 + 1], inputs):  # the first warms up
            started = time.perf_counter()
            list(pool.map(lambda pair: encoder.teacher.forward(*pair).shape, part))
            if teacher.device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
    tokens = sum(len(window.pieces) for batch in batches for window in batch)
    padded = sum(pieces.numel() for pieces, _ in inputs)
    return {"teacher_rss": teacher_rss, "rate": tokens / seconds, "padding": padded / tokens - 1}


def encode(arguments: dict[str, Any], words: str = "") -> Figures:
    """Time stage one as a user runs it, with word sums over the words of a file if there is one."""
    reports: list[float] = []
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as folder:
        config = config_of(arguments, f"{folder}/cache")
        pools = [WordSums.of(config, Path(words).read_text().split())] if words else []
        figures = run_stage(config, lambda _: reports.append(time.perf_counter()), pools)
        seconds = time.perf_counter() - reports[0]  # that comes when the teacher is loaded and nothing is read yet
        encoding = Cache.open(config.cache).manifest.encoding
    figures |= {"backend": encoding.backend, "precision": encoding.precision}
    return {"rate": figures["teacher_tokens"] / seconds, "peak_rss": peak_rss(), **figures}


def plain(arguments: dict[str, Any]) -> Figures:
    """Time sentence-transformers' own loop on every n-th paragraph; averages over sentences are not even made."""
    from sentence_transformers import SentenceTransformer  # no dependency of x2static

    model = SentenceTransformer(str(resolve_model(arguments["model"], None)[0]), device=None)
    texts = [text for text in paragraphs_of(arguments) if len(text) >= 140][:: arguments["plain_every"]]
    options = {"output_value": "token_embeddings", "batch_size": PLAIN_BATCH, "show_progress_bar": False}
    model.encode(texts[:PLAIN_BATCH], **options)  # warm
    tokens, started = 0, time.perf_counter()
    for start in range(0, len(texts), PLAIN_BATCH):
        tokens += sum(len(states) for states in model.encode(texts[start : start + PLAIN_BATCH], **options))
    return {"rate": tokens / (time.perf_counter() - started)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True, help="a text file, one paragraph a line")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--backend", default="auto", help="what stage one reads with; bare and plain are PyTorch's")
    parser.add_argument("--paragraphs", type=int, default=16384)
    parser.add_argument("--bare-every", type=int, default=4, help="time every n-th batch")
    parser.add_argument("--plain-every", type=int, default=16, help="run every n-th paragraph through the plain loop")
    parser.add_argument("--words", default="", help="also encode with --ase over the words of this file")
    arguments = vars(parser.parse_args())
    limit, before = alone(products, arguments), alone(bare, arguments)
    encoded, after, again = alone(encode, arguments), alone(bare, arguments), alone(products, arguments)
    roofline = (limit["flops_per_second"] + again["flops_per_second"]) / 2 / limit["flops_per_piece"]
    one_lane, loop = alone(bare, arguments, 1), alone(plain, arguments)
    figures = {
        "benchmark": "encode",
        "encode_over_bare": round(encoded["rate"] / ((before["rate"] + after["rate"]) / 2), 4),
        "encode_over_roofline": round(encoded["rate"] / roofline, 4),
        "bare_over_roofline": round((before["rate"] + after["rate"]) / 2 / roofline, 4),
        "encode_over_plain_loop": round(encoded["rate"] / loop["rate"], 2),
        "backend": encoded["backend"],
        "precision": encoded["precision"],
        "products_gflops": [round(part["flops_per_second"] / 1e9, 1) for part in (limit, again)],
        "mflop_per_piece": round(limit["flops_per_piece"] / 1e6, 2),
        "padding": round(before["padding"], 4),
        "peak_rss_bytes": encoded["peak_rss"],
        "teacher_rss_bytes": before["teacher_rss"],
        "tokens_per_second": round(encoded["rate"], 1),
        "bare_tokens_per_second": [round(before["rate"], 1), round(after["rate"], 1)],
        "one_lane_tokens_per_second": round(one_lane["rate"], 1),
        "plain_tokens_per_second": round(loop["rate"], 1),
        **{name: encoded[name] for name in ("teacher_tokens", "seconds")},
    }
    if arguments["words"]:
        with_words, without = alone(encode, arguments, arguments["words"]), alone(encode, arguments)
        figures["ase_overhead"] = round((encoded["rate"] + without["rate"]) / 2 / with_words["rate"] - 1, 4)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
