"""How soon the page of `x2static explore` has its answers, over HTTP from a large vocabulary; one JSON line last.

    python -m benchmarks.explore [--words 750000] [--dim 100] [--repeat 9]

The vectors are random, made for it. `first` is the first question of its kind that the server gets, `median` those
after it; all in milliseconds, from the connection to the last byte.
"""

import argparse
import json
import random
import signal
import string
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from statistics import median
from urllib.parse import urlsplit

import numpy as np

from x2static.schemas.vectors import WordVectors

QUESTIONS = {  # in the order of a browser, which has the page before a word can be typed
    "page": "",
    "facts": "api/facts",
    "neighbours": "api/neighbours?word=king",
    "analogy": "api/analogy?a=king&b=man&c=woman",
    "complete": "api/complete?prefix=k",
    "unknown": "api/neighbours?word=kingg_",
    "map": "api/map?n=2000",
}


def random_vectors(n_words: int, dim: int) -> WordVectors:
    """Return vectors of words that are drawn letter by letter, so that prefixes are shared as in text."""
    draw, words = random.Random(0), dict.fromkeys(["king", "man", "woman"])
    while len(words) < n_words:
        words["".join(draw.choices(string.ascii_lowercase, range(26, 0, -1), k=draw.randint(3, 12)))] = None
    matrix = np.random.default_rng(0).standard_normal((n_words, dim), np.float32)
    return WordVectors(list(words), matrix, np.arange(n_words, 0, -1))


def milliseconds(port: int, question: str) -> float:
    """Ask once."""
    started = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/{question}")
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{question}: status {response.status}")
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=750_000)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=9)
    arguments = parser.parse_args()
    figures: dict[str, object] = {"benchmark": "explore", "words": arguments.words, "dim": arguments.dim}
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as folder:
        random_vectors(arguments.words, arguments.dim).save(folder)
        command = [sys.executable, "-m", "x2static", "explore", folder, "--port", "0"]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                port = urlsplit((process.stdout or sys.stdin).readline().split()[0]).port or 0
                figures["seconds_to_start"] = round(time.perf_counter() - started, 2)
                for name, question in QUESTIONS.items():
                    first, *others = (milliseconds(port, question) for _ in range(arguments.repeat + 1))
                    figures[name] = {"first": round(first, 1), "median": round(median(others), 1)}
            finally:
                process.send_signal(signal.SIGINT)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
