"""Vectors to look at, and the page's server on loopback."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import pytest
import uvicorn

from x2static.pipeline.commands.explore import listening, settings_of
from x2static.pipeline.explore.answers import Searchable
from x2static.pipeline.explore.server import make_app
from x2static.schemas.vectors import WordVectors

SCRIPT, IMAGE = "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>'
HOSTILE = [
    SCRIPT,
    IMAGE,
    "</script>",
    "'quoted'",
    "\u202eturned",
    "שלום",
    "x" * 3000,
    "a\nb",
    "\u3000",
    "&amp;",
    "naïve",
]
HOSTS = {"127.0.0.1", "localhost", "::1"}


def make_vectors(words: list[str], dim: int = 8, seed: int = 0, **fields: Any) -> WordVectors:
    matrix = np.random.default_rng(seed).normal(size=(len(words), dim)).astype(np.float32)
    return WordVectors(words, matrix, np.arange(len(words), 0, -1, dtype=np.int64), **fields)


class Served(NamedTuple):
    port: int

    def ask(
        self, path: str, body: Any = None, host: str | None = None, **parameters: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, content and headers; content of JSON is read."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Host": host or f"127.0.0.1:{self.port}"}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        query = f"?{urlencode(parameters)}" if parameters else ""
        connection.request("GET" if data is None else "POST", path + query, data, headers)
        response = connection.getresponse()
        text, sent = response.read().decode(), {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        return response.status, json.loads(text) if sent["content-type"] == "application/json" else text, sent

    def answer(self, path: str, body: Any = None, **parameters: Any) -> Any:
        status, content, _ = self.ask(f"/api/{path}", body, **parameters)
        assert status == 200, content
        return content


@contextmanager
def serving(*sets: Searchable, hosts: set[str] | None = HOSTS) -> Iterator[Served]:
    """Serve the page for some sets of vectors, as the command does."""
    with listening("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        server = uvicorn.Server(settings_of(make_app(sets, hosts=hosts)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            wait_for(port)
            yield Served(port)
        finally:
            server.should_exit = True
            thread.join(timeout=20)


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens at port {port}")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Two sets, one of hostile words and settings."""
    words = ["the", "king", "queen", "kings", "man", "woman", *HOSTILE]
    run = {"configuration": {"lr": 0.1, SCRIPT: SCRIPT}, "steps": 3, "cache": {"teacher": None}}
    second = make_vectors(["king", "queen", "man", "Paris"], seed=1, run={"steps": 4})
    with serving(Searchable("one", make_vectors(words, run=run)), Searchable(IMAGE, second)) as server:
        yield server
