"""A real S3 server on loopback (moto's, in a process of its own), and a proxy before it that fails as networks do.

    @pytest.fixture(scope="module")
    def server() -> Iterator[Server]:
        with running_server() as server:
            yield server

    @pytest.fixture
    def s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
        return server.new_bucket(monkeypatch)  # "s3://bucket-1": empty; AWS_* are set for it, no faults, counts at 0

`server.fail(0.05, seed=1)` lets one request in twenty fail from then on, `kinds=("cut-answer",)` in one way only;
`server.requests` counts requests by method, `server.faults` the faults by kind. Children of a test inherit the
environment, so that they go through the proxy too.
"""

import http.client
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

# Before the store hears of a request: a status of its own, or the connection ends while the request is sent, or
# nothing comes. After it did its work: the answer is lost as a whole, or in the middle.
# Others may be asked for by status and code: "403-AccessDenied".
KINDS = ("500", "503", "409", "slow", "cut-request", "lost-answer", "cut-answer")
CODES = {"500": "InternalError", "503": "SlowDown", "409": "ConditionalRequestConflict"}
SLOW_SECONDS = 3.0  # longer than the time-out that tests set


class Server:
    """The proxy's address, what it lets fail, and what it saw."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.requests: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.ignores_conditions = False  # as some stores do: If-None-Match and If-Match are not passed on
        self.page = 1000  # names in one page of a listing
        self.authorization = ""  # the last request's
        self.before: list[tuple[str, str]] = []  # (method, kind): the next requests that fail so, whatever the rate
        self._buckets = 0
        self._lock = threading.Lock()
        self.fail(0.0)
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._http = _Quiet(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def fail(self, rate: float, kinds: Sequence[str] = KINDS, seed: int = 0) -> None:
        """Let that share of all requests fail from now on, in ways and at times drawn from the seed."""
        self.rate, self.kinds, self._random = rate, tuple(kinds), random.Random(seed)

    def fail_next(self, method: str, *kinds: str) -> None:
        """Let the next requests of a method fail, each in its way."""
        self.before += [(method, kind) for kind in kinds]

    def draw(self, method: str, is_conditional: bool) -> str | None:
        """Return how a request is to fail, if it is, and count it."""
        with self._lock:
            self.requests[method] += 1
            kind = next((kind for wanted, kind in self.before if wanted == method), None)
            if kind is not None:
                self.before.remove((method, kind))
            elif self._random.random() < self.rate:
                kind = self._random.choice(self.kinds)
            if kind == "409" and not is_conditional:  # only a condition can be in conflict
                kind = "503"
            if kind is not None:
                self.faults[kind] += 1
            return kind

    def new_bucket(self, monkeypatch: pytest.MonkeyPatch, name: str | None = None) -> str:
        """Make an empty bucket, set AWS_* for it and reset faults and counts; return its URL."""
        self.fail(0.0)
        self.before.clear()
        self.ignores_conditions, self.page = False, 1000
        self._buckets += 1
        name = name or f"bucket-{self._buckets}"
        self.ask("PUT", f"/{name}")
        for variable in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(variable)
        for variable, value in {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test-key",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(variable, value)
        self.requests.clear()
        self.faults.clear()
        return f"s3://{name}"

    def ask(self, method: str, path: str) -> bytes:
        """Make a request of the server itself, past the proxy."""
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        connection.request(method, path)
        answer = connection.getresponse().read()
        connection.close()
        return answer


@contextmanager
def running_server() -> Iterator[Server]:
    """Start moto's server and the proxy; both end with the block."""
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            lines, port = [], None
            for line in process.stderr:
                lines.append(line)
                if port := re.search(r"Running on http://127\.0\.0\.1:(\d+)", line):
                    break
            assert port is not None, "".join(lines)
            # What it says later is read, lest it wait for a full pipe.
            threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True).start()
            server = Server(int(port[1]))
            try:
                yield server
            finally:
                server.close()
        finally:
            process.terminate()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that is gone: tests kill clients."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_any(self) -> None:
        state = self.server_state
        length = int(self.headers.get("Content-Length") or 0)
        is_conditional = "If-None-Match" in self.headers or "If-Match" in self.headers
        kind = state.draw(self.command, is_conditional and self.command == "PUT")
        if kind == "cut-request":
            self.rfile.read(length // 2)
            return self._hang_up()
        body = self.rfile.read(length)
        if kind == "slow":
            time.sleep(SLOW_SECONDS)
            return self._hang_up()
        if kind and kind[:3].isdigit():
            status, _, code = kind.partition("-")
            text = f"<Error><Code>{code or CODES[status]}</Code><Message>injected</Message></Error>".encode()
            return self._answer(int(status), [("Content-Type", "application/xml")], text)
        dropped = {"if-none-match", "if-match"} if state.ignores_conditions else set()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"connection", *dropped}}
        state.authorization = self.headers.get("Authorization", "")
        path = f"{self.path}&max-keys={state.page}" if "list-type=2" in self.path else self.path
        upstream = http.client.HTTPConnection("127.0.0.1", state.upstream, timeout=60)
        upstream.request(self.command, path, body=body, headers=headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if kind == "lost-answer" or (kind == "cut-answer" and len(data) < 2):
            return self._hang_up()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        if self.command == "HEAD":  # the length is the object's, which does not follow
            kept.append(("Content-Length", answer.getheader("Content-Length") or "0"))
            return self._answer(answer.status, kept, None)
        return self._answer(answer.status, kept, data, cut=kind == "cut-answer")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any  # noqa: N815

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes | None, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if data is not None:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if data is not None:
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(2)


HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server"}
