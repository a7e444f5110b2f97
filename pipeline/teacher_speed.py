"""Sentences a second of averaged static vectors and of the teacher: one core, the same sentences, in turns."""

import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Literal

from x2static.durable.errors import X2StaticError
from x2static.machine.processes import alone
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.encoding import Precision
from x2static.schemas.vectors import WordVectors

SENTENCES = 2000  # a sample of those given; the teacher reads some hundreds a second
WARM = 64  # sentences that are read before the clock starts
THREADS = 1  # of the libraries


@dataclass(frozen=True)
class Measurement:
    """What a process of its own measures."""

    vectors: Path  # folder of the static vectors
    model: str  # the teacher
    precision: Precision | Literal["auto"]  # its number format; "auto" picks by the processor
    trust_remote_code: bool  # let it run Python code of its own
    sentences: list[str]  # what is read, again and again
    least_seconds: float = 2.0  # until it has lasted that long


def measure(measurement: Measurement, rounds: int = 3, report: Report = silent) -> dict[str, Any]:
    """Time static vectors and the teacher on one core, in processes of their own (memory, threads) that take turns.

    So whoever else uses the machine is met by both. Returned are sentences; static_per_second and teacher_per_second,
    the medians of the rounds, and every round's; ratio. Raises X2StaticError: no segmentation rules, or no teacher.
    """
    import torch  # here, so that the static vectors' process does without

    from x2static.stage1_encode.teacher.teacher import pick_precision

    precision, _ = pick_precision(measurement.precision, None, torch.device("cpu"))
    rates: dict[str, list[float]] = {"static": [], "teacher": []}
    for turn in range(2 * rounds):
        name = ("static", "teacher")[turn % 2]
        report(Progress(turn, 2 * rounds, "measurements", name))
        rates[name].append(alone(rate, name, measurement))
    report(Progress(2 * rounds, 2 * rounds, "measurements"))
    static, teacher = median(rates["static"]), median(rates["teacher"])
    figures: dict[str, Any] = {"sentences": len(measurement.sentences), "cores": 1, "precision": precision}
    figures |= {"static_per_second": static, "teacher_per_second": teacher}
    return figures | {"ratio": static / teacher, "rounds": rates}


def machine() -> dict[str, Any]:
    """Return what the speed depends on beside what is timed: processor, cores, and threads that are used."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")  # Linux tells its name
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"processor": next(names, processor), "cores": os.cpu_count(), "threads": THREADS}


def rate(name: str, measurement: Measurement) -> float:
    """Return how many sentences a second averaged "static" vectors are made of, or the "teacher" reads, on one core."""
    stay_on_one_core()
    encode: Callable[[list[str]], Any]
    if name == "static":
        encode = WordVectors.load(measurement.vectors).encode
    else:
        import torch

        from x2static.baselines.teacher import TeacherSentences

        torch.set_num_threads(THREADS)
        teacher = TeacherSentences.load(measurement.model, "cpu", measurement.precision, measurement.trust_remote_code)
        encode = teacher.encode
    encode(measurement.sentences[:WARM])
    done, seconds = 0, 0.0
    started = time.perf_counter()
    while seconds < measurement.least_seconds or not done:
        encode(measurement.sentences)
        done += len(measurement.sentences)
        seconds = time.perf_counter() - started
    return done / seconds


def stay_on_one_core() -> None:
    """Keep every thread of this process, those that numpy started when it was loaded too, on one core.

    Each thread has its own cores; what is started later is on the core of the thread that starts it.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["OMP_NUM_THREADS"] = str(THREADS)  # for what is loaded from now on
    if hasattr(os, "sched_setaffinity"):  # Linux; elsewhere the numbers of threads alone
        core, tasks = max(os.sched_getaffinity(0)), Path("/proc/self/task")
        # Where the system does not list the threads, the calling one alone (0).
        for thread in [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(thread, {core})


def sample(texts: Sequence[str], seed: int, most: int = SENTENCES) -> list[str]:
    """Return a sample of the texts that hold something, drawn by a seed. Raises X2StaticError: none holds anything."""
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise X2StaticError("speed: there are no sentences to read; give --text a file of sentences, one a line")
    return random.Random(seed).sample(texts, min(most, len(texts)))


def read_sentences(path: Path, most: int = 1_000_000) -> list[str]:
    """Return the first lines of a text file. Raises X2StaticError: there is no such file, or it is no UTF-8."""
    if not path.is_file():
        raise X2StaticError(f"{path}: no such file; --text takes a file of sentences, one a line")
    try:
        with path.open(encoding="utf-8-sig") as file:
            return [line.strip() for line in islice(file, most)]
    except UnicodeDecodeError as error:
        raise X2StaticError(f"{path}: not valid UTF-8 ({error.reason}); save the file as UTF-8") from error
