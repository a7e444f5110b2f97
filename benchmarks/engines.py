"""What engines add to the units themselves, and how many units a second several encoders do; one JSON line last.

    python -m benchmarks.engines [--seconds 5] [--units 10]

A unit is a few paragraphs for a tiny teacher, after a sleep of so many seconds in the teacher's place: so a machine
whose cores are busy, or has only two, measures the engine and not itself. All else is as always: jobs, text, pools,
files, commits, of which `here` is what one process without an engine makes of it. The overhead of an engine is the
median of the times between two units that one encoder staged, less the same in one process, beside a unit of a minute.
The rate of two encoders is that from their first units to the last one. Loading is not counted.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from importlib import import_module
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from tests.stage1_encode.runs import config_of, paragraphs, write_lines
from tests.teachers import make_teacher
from x2static.machine.cluster import connect
from x2static.pipeline.engines import local, ray
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.worker import Engine, Job, Tell, run_here

PARAGRAPHS = 20  # in a unit
MINUTE = 60.0
SECONDS = "X2STATIC_BENCHMARK_SECONDS"  # variable that encoders inherit


def be_slow() -> None:
    """Let the teacher of this process sleep before each unit."""
    original, seconds = Encoder.encode, float(os.environ[SECONDS])

    def slow(*arguments: Any) -> Any:
        time.sleep(seconds)
        return original(*arguments)

    Encoder.encode = slow


def encode_slowly(connection: Connection, *arguments: Any) -> None:
    """Be an encoder of the local engine, and slow."""
    be_slow()
    local._encode(connection, *arguments)


def encode_slowly_there(connection: Connection, *arguments: Any) -> None:
    """Be an encoder of the Ray engine, and slow."""
    be_slow()
    ray._encode(connection, *arguments)


def staged_at(config: EncodeConfig, engine: Engine) -> list[float]:
    """Encode, and return when each unit was staged."""
    times: list[float] = []

    def timed(load: Any, jobs: Iterable[Job], tell: Tell) -> Any:
        for staged in engine(load, jobs, tell):
            times.append(time.perf_counter())
            yield staged

    encode(config, engine=timed)
    return times


def rate(times: list[float], encoders: int) -> float:
    """Return units a second from when each encoder has staged one; it says so when it has read the next one, too."""
    return (len(times) - 2 * encoders) / (times[-1] - times[encoders - 1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="that the teacher of a unit sleeps")
    parser.add_argument("--units", type=int, default=10)
    arguments = parser.parse_args()
    os.environ[SECONDS] = str(arguments.seconds)
    between: dict[str, float] = {}
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as name, connect(None, cpus=2):
        folder = Path(name)
        teacher = make_teacher(folder / "teacher", "bert").folder
        text = write_lines(folder / "text.txt", paragraphs(PARAGRAPHS * arguments.units))

        def times(engine: str, encoders: int) -> list[float]:
            cache = folder / f"{engine}-{encoders}"
            config = config_of(teacher, text, cache, unit=PARAGRAPHS, encoders=encoders)
            if engine == "here":
                return staged_at(config, run_here)
            if engine == "ray":
                return staged_at(config, ray.engine(config, (), {"num_cpus": 1.0}))
            return staged_at(config, partial(local._run, config, ()))  # also of one encoder

        local._encode = encode_slowly
        ray._encode = import_module("benchmarks.engines").encode_slowly_there  # by a name that is known there
        for engine in ("local", "ray"):
            one, two = times(engine, 1), times(engine, 2)
            between[engine] = median(later - earlier for earlier, later in pairwise(one))
            rates |= {f"{engine}_1": rate(one, 1), f"{engine}_2": rate(two, 2)}
        be_slow()
        between["here"] = median(later - earlier for earlier, later in pairwise(times("here", 1)))
    figures: dict[str, Any] = {"benchmark": "engines", "seconds": arguments.seconds, "units": arguments.units}
    figures["seconds_between_units"] = {name: round(value, 4) for name, value in between.items()}
    for engine in ("local", "ray"):
        figures[f"{engine}_overhead_of_a_minute"] = round((between[engine] - between["here"]) / MINUTE, 5)
    figures["units_per_second"] = {name: round(value, 4) for name, value in rates.items()}
    for engine in ("local", "ray"):
        figures[f"{engine}_speedup_of_two"] = round(rates[f"{engine}_2"] / rates[f"{engine}_1"], 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
