"""A web server with TLS on the loopback interface, and data sets on it."""

import hashlib
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from x2static.pipeline.commands import data
from x2static.pipeline.data import download
from x2static.pipeline.data.sources import DataSet, RemoteFile

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"
PAIRS = b"sea\tocean\t9.5\r\ncat\tstone\t0.5"

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """A web server, which can be slow, break off and lie."""

    daemon_threads = True  # one that hangs is left behind

    def __init__(self, certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}  # what is done about a path
        self.requests: list[str] = []  # the paths that were asked for
        self.url = f"{'https' if certificate else 'http'}://localhost:{self.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away: some are meant to."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.answers.get(self.path, sends(b"not here", status=404))(self)

    def log_message(self, *_: Any) -> None: ...


def sends(
    body: bytes, status: int = 200, length: int | None = -1, pause: float = 0, stays: float = 0, location: str = ""
) -> Answer:
    """Send a body whose announced length is another (-1: its own, None: none), slowly, or without closing at its end.

    `pause` are the seconds behind each byte, `stays` those before the connection is closed.
    """

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length < 0 else length))
        if location:
            handler.send_header("Location", location)
        handler.end_headers()
        for piece in [body[at : at + 1] for at in range(len(body))] if pause else [body]:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)
        time.sleep(stays)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Answer the first request by the first, and so on."""
    left = list(answers)
    return lambda handler: left.pop(0)(handler)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate that it signed itself, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl, to make a certificate for a loopback server")
    path = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=localhost", "-addext", NAMES]
    command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", path, "-out", path.with_suffix(".crt")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """Trust the loopback server, and wait for it a short time only."""
    monkeypatch.setattr(download, "RETRY_WAITS", (0.01, 0.01))
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture
def server(certificate: Path) -> Iterator[Server]:
    with Server(certificate) as running:
        yield running


def remote(server: Server, path: str, body: bytes) -> RemoteFile:
    """A file that the server is to have, with the right hash."""
    return RemoteFile(f"{server.url}/{path}", len(body), hashlib.sha256(body).hexdigest(), path, "word_pairs")


def make_set(server: Server, files: dict[str, bytes] | None = None, name: str = "tiny") -> DataSet:
    """A data set that the server has."""
    files = files or {f"wordsim/{name}.tsv": PAIRS}
    server.answers |= {f"/{path}": sends(body) for path, body in files.items()}
    remotes = tuple(remote(server, path, body) for path, body in files.items())
    return DataSet(name, "word-similarity", "Two pairs", "CC0", remotes)


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder but its lock, hidden ones included."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put other data sets into the command line's table."""
    return lambda *data_sets: monkeypatch.setattr(data, "SETS", {data_set.name: data_set for data_set in data_sets})
