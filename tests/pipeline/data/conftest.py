"""A loopback server with a certificate, and data sets on it."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline.data.server import Server, sends
from x2static.pipeline.commands import data
from x2static.pipeline.data import download
from x2static.pipeline.data.sources import DataSet, RemoteFile

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"
PAIRS = b"sea\tocean\t9.5\r\ncat\tstone\t0.5"


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
    running = Server(certificate)
    yield running
    running.close()


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
