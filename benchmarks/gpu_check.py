"""Whether the paths of CUDA do what those of the CPU do, and how fast: a table, and one JSON line last.

    python -m benchmarks.gpu_check --device cuda [--teacher FOLDER] [--corpus FILE] [--out FOLDER]

A check that fails is recorded and the rest goes on; one whose time has not come before the budget is spent is skipped.
What is checked is in `benchmarks/device_checks.py`. `--device cpu --size tiny` tries the program itself.
"""

import argparse
import gc
import json
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks import device_checks
from benchmarks.device_checks import SIZES, Check, Figures, Setup, Skipped, all_checks
from x2static.durable.errors import X2StaticError, first_line
from x2static.report.table import Column, Table
from x2static.stage1_encode.corpora.compression import open_stream
from x2static.stage1_encode.demo import demo_corpus
from x2static.stage1_encode.teacher.files import resolve_model, transformer_folder

GRACE_SECONDS = 50  # that a check which began within the budget may take beyond it
LEAST_CHARACTERS = 140  # of a paragraph; the demo corpus has headings


class Overdue(Exception):  # noqa: N818 - it is none of the program's
    """The time of all checks is over."""


def made_text(n_paragraphs: int) -> Iterator[str]:
    """Yield paragraphs of made-up words, frequent and rare ones as in a language, always the same."""
    drawn = random.Random(0)
    syllables = [first + vowel for first in "bdfgklmnprstvw" for vowel in "aeiou"]
    words = ["".join(drawn.choices(syllables, k=drawn.randint(1, 4))) for _ in range(4000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    for _ in range(n_paragraphs):
        lengths = [drawn.randint(8, 24) for _ in range(drawn.randint(3, 6))]
        yield " ".join(f"{' '.join(drawn.choices(words, weights, k=length)).capitalize()}." for length in lengths)


def write_corpus(corpus: str, file: Path, most: int) -> str:
    """Write the first paragraphs of a corpus to a file, one a line, and return what they are of."""
    try:
        path = demo_corpus() if corpus == "demo" else Path(corpus)
        with open_stream(path) as stream:
            lines = (" ".join(line.decode("utf-8", "replace").split()) for line in stream)
            texts = list(islice((line for line in lines if len(line) >= LEAST_CHARACTERS), most))
    except (X2StaticError, ImportError) as error:
        if corpus != "demo":
            raise
        texts, corpus = list(made_text(most)), f"made-up words, without a demo corpus ({first_line(error)})"
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return f"{corpus}: {len(texts):,} paragraphs"


def outcome(check: Check, setup: Setup) -> Figures:
    """Make a check, whatever comes of it; return status, figures, seconds and, unless it is ok, the error."""
    began = time.perf_counter()
    record: Figures = {"status": "failed", "figures": {}}
    try:
        record["figures"], missed = check[2](setup)
        record |= {"error": "; ".join(missed[:5])} if missed else {"status": "ok"}
    except Skipped as skip:
        record |= {"status": "skipped", "error": str(skip)}
    except Exception as error:  # noqa: BLE001 - whatever CUDA does is the answer, and the rest goes on
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        record["error"] = f"{type(error).__name__}: {first_line(error)} ({Path(last.filename).name}:{last.lineno})"
    gc.collect()
    with suppress(RuntimeError):  # of a device that has failed
        torch.cuda.empty_cache()
    return {**record, "seconds": round(time.perf_counter() - began, 1)}


def run(setup: Setup, begun: float, budget: float, only: list[str]) -> list[Figures]:
    """Make the checks, those whose names begin as in `only` where it has any; say what comes of each, and return it."""
    records = []
    checks = [check for check in all_checks() if not only or check[0].startswith(tuple(only))]
    for number, check in enumerate(checks, 1):
        seconds = time.monotonic() - begun
        print(f"[{seconds:3.0f} s] {number}/{len(checks)} {', '.join(filter(None, check[:2]))} ...", flush=True)
        late = {"status": "skipped", "figures": {}, "error": "no time left", "seconds": 0.0}
        record = late if seconds > budget else outcome(check, setup)
        print(f"        {record['status']} in {record['seconds']} s: {in_words(record)}", flush=True)
        records.append({"check": check[0], "setting": check[1], **record})
    return records


def in_words(record: Figures) -> str:
    """Return what failed, and the figures, for people."""
    values = {name: f"{value:,}" if type(value) is int else str(value) for name, value in record["figures"].items()}
    named = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
    return "; ".join(filter(None, [record.get("error"), named]))


def table(records: list[Figures]) -> str:
    """Return the table for docs/SCALE.md, in Markdown."""
    columns = [Column(head, "left") for head in ("check", "setting", "result", "figures")]
    rows = [[*(r[name] for name in ("check", "setting", "status")), in_words(r), r["seconds"]] for r in records]
    of, limits = device_checks, ", ".join(f"{name} {limit}" for name, limit in device_checks.LIMITS.items())
    notes = (
        f"Limits: least cosine of contexts {limits}; mean cosine of words' own states {of.STATES_LIMIT}, of trained "
    )
    notes += f"vectors {of.VECTORS_LIMIT}; losses {of.LOSS_LIMIT:.0%} apart, with other draws {of.DRAWS_LIMIT:.0%}. "
    notes += "Cosines are about the mean of the CPU's vectors; pieces/s are the teacher's alone, without the text's."
    return Table([*columns, Column("seconds", digits=1)], rows, notes=[notes]).markdown()


def overdue(*_: Any) -> None:
    """End the check under way."""
    raise Overdue("stopped: the time of all checks is over")


def main() -> int:
    """Check, print and write; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--teacher", default="demo", help="folder of a model, or demo")
    parser.add_argument("--size", choices=SIZES, default="base", help="of random teachers and texts")
    parser.add_argument("--corpus", default="demo", help="text file, one paragraph a line, or demo")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check"), help="folder for gpu-check.md and .json")
    parser.add_argument("--budget", type=float, default=420.0, help="seconds after which no check begins")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="checks whose names begin so")
    arguments = parser.parse_args()
    begun, size = time.monotonic(), SIZES[arguments.size]
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device cuda: torch {torch.__version__} of {sys.executable} finds no CUDA device")
    try:
        teacher = str(transformer_folder(resolve_model(arguments.teacher, None)[0]))
    except X2StaticError as error:
        parser.error(f"--teacher {arguments.teacher}: {error}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGALRM, overdue)
    signal.setitimer(signal.ITIMER_REAL, arguments.budget + GRACE_SECONDS)
    with tempfile.TemporaryDirectory(prefix=".gpu-check-", dir=arguments.out.resolve()) as folder:
        corpus = Path(folder, "corpus.txt")
        source = write_corpus(arguments.corpus, corpus, size.n_trained)
        print(f"teacher {teacher}\ncorpus {source}", flush=True)
        deadline = begun + arguments.budget + GRACE_SECONDS
        setup = Setup(torch.device(arguments.device), teacher, size, corpus, Path(folder), deadline)
        records = run(setup, begun, arguments.budget, arguments.only)
        signal.setitimer(signal.ITIMER_REAL, 0)
    counts = {status: sum(r["status"] == status for r in records) for status in ("ok", "failed", "skipped")}
    report: Figures = {"benchmark": "gpu_check", "device": arguments.device, "size": arguments.size}
    report |= {"teacher": teacher, "corpus": source, "seconds": round(time.monotonic() - begun, 1), **counts}
    line, markdown = json.dumps({**report, "checks": records}), table(records)
    (arguments.out / "gpu-check.md").write_text(f"{markdown}\n", encoding="utf-8")
    (arguments.out / "gpu-check.json").write_text(f"{line}\n", encoding="utf-8")
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"\n{markdown}\n\n{said}, in {report['seconds']} s; also in {arguments.out}/gpu-check.md and .json\n{line}")
    return int(counts["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
