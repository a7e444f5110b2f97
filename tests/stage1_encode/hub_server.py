"""A Hugging Face hub on the loopback interface: as much of its protocol as downloading and streaming needs."""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Repository:
    """A model or a data set: its commits, oldest first, each with its files; the last one is "main"."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # files and their bytes, by commit
    names: dict[str, str] = field(default_factory=dict)  # branches and tags, and the commit of each

    def add(self, files: dict[str, bytes]) -> str:
        name = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[name] = files
        return name

    def resolve(self, revision: str) -> str | None:
        """Return the commit of a revision, None where there is none."""
        if revision == "main":
            return list(self.commits)[-1]
        revision = self.names.get(revision, revision)
        return revision if revision in self.commits else None


class Hub:
    """A hub that can be opened, closed and opened again at the same address."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}  # by kind ("models", "datasets") and name
        self.requests: list[str] = []  # "METHOD path" of all
        self.ranges: list[tuple[str, int, int]] = []  # path, first and last byte of what was sent of files
        # Called before a file is sent, with its path, first and last byte: "drop" breaks off in the middle, "hang"
        # sends nothing until the hub is closed, a number is the status of the answer, None is no trouble.
        self.trouble: Callable[[str, int, int], str | int | None] = lambda *_: None
        self.hanging = threading.Event()  # set once a request hangs
        self.talking = threading.Event()  # while it is not set, connections are accepted and never answered
        self._released = threading.Event()
        self._address = ("127.0.0.1", 0)
        self._server: ThreadingHTTPServer | None = None
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._address[1]}"

    def open(self) -> None:
        """Listen, at the address of the first time."""
        self.hanging.clear()
        self._released.clear()
        self.talking.set()
        self.trouble = lambda *_: None
        handler = self.handler()
        methods = dict.fromkeys(("do_HEAD", "do_GET", "do_POST", "do_PUT"), handler.answer)
        self._server = ThreadingHTTPServer(self._address, type("Handler", (handler,), {"hub": self, **methods}))
        self._server.daemon_threads = True
        self._address = ("127.0.0.1", self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handler(self) -> "type[Handler]":
        """Return what answers; another kind of hub has another."""
        return Handler

    def close(self) -> None:
        """Stop listening: who connects now is refused."""
        if self._server is not None:
            self.talking.set()
            self._released.set()
            self._server.shutdown()
            self._server.server_close()
        self._server = None

    def hang(self) -> None:
        """Keep a request waiting until the hub is closed."""
        self.hanging.set()
        self._released.wait()

    def add_model(self, name: str, folder: Path, **more: bytes) -> str:
        """Put a model folder's files, and more, on the hub; return the commit."""
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        files |= {path.replace("__", "/"): data for path, data in more.items()}
        return self.repositories.setdefault(("models", name), Repository()).add(files)

    def add_dataset(self, name: str, files: dict[str, bytes]) -> str:
        return self.repositories.setdefault(("datasets", name), Repository()).add(files)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        self.hub.talking.wait()
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) >= 4:
            self.api(parts[1], "/".join(parts[2:4]), parts[4:], body)
        elif "resolve" in parts:
            kind, at = ("datasets", 1) if parts[0] == "datasets" else ("models", 0)
            self.file(kind, "/".join(parts[at : at + 2]), parts[at + 3], "/".join(parts[at + 4 :]))
        else:
            self.missing("EntryNotFound")

    def api(self, kind: str, name: str, rest: list[str], body: bytes) -> None:
        repository = self.hub.repositories.get((kind, name))
        if repository is None:
            return self.missing("RepoNotFound")
        what, revision = (rest[0], rest[1]) if len(rest) > 1 else ("revision", "main")
        commit = repository.resolve(revision)
        if commit is None:
            return self.missing("RevisionNotFound")
        files = repository.commits[commit]
        if what == "revision":
            siblings = [{"rfilename": path} for path in files]
            self.json({"_id": "0", "id": name, "modelId": name, "sha": commit, "private": False, "siblings": siblings})
        elif what == "paths-info":
            asked = parse_qs(body.decode()).get("paths") or json.loads(body)["paths"]
            self.json(list(filter(None, (_entry(path, files) for path in asked))))
        else:
            below = "/".join(rest[2:])
            within = [path for path in files if path.startswith(f"{below}/" if below else "")]
            depth = len(rest[2:]) + 1
            if "recursive=true" not in self.path.lower():
                within = sorted({"/".join(path.split("/")[:depth]) for path in within})
            self.json([_entry(path, files) for path in within]) if within else self.missing("EntryNotFound")
        return None

    def file(self, kind: str, name: str, revision: str, path: str) -> None:
        repository = self.hub.repositories.get((kind, name))
        commit = repository.resolve(revision) if repository else None
        if repository is None or commit is None:
            return self.missing("RevisionNotFound" if repository else "RepoNotFound")
        data = repository.commits[commit].get(path)
        if data is None:
            return self.missing("EntryNotFound")
        first, last, status = 0, len(data) - 1, 200
        if wanted := self.headers.get("Range"):
            start, stop = wanted.removeprefix("bytes=").split("-")
            first, last, status = int(start), min(int(stop or last), last), 206
        trouble = self.hub.trouble(path, first, last) if self.command == "GET" else None
        if isinstance(trouble, int):
            return self.send(trouble, b"", {})
        if trouble == "hang":
            self.hub.hang()
        if self.command == "GET":
            self.hub.ranges.append((path, first, last))
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return self.send(status, data[first : last + 1], headers, trouble == "drop")

    def json(self, value: Any, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def missing(self, code: str) -> None:
        self.send(404, b"", {"X-Error-Code": code, "X-Error-Message": "not here"})

    def send(self, status: int, body: bytes, headers: dict[str, str], broken: bool = False) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if broken else body)
                self.close_connection = self.close_connection or broken
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked has given up


def _entry(path: str, files: dict[str, bytes]) -> dict[str, Any] | None:
    if path in files:
        return {"type": "file", "path": path, "size": len(files[path]), "oid": hashlib.sha1(files[path]).hexdigest()}
    if any(name.startswith(f"{path}/") for name in files):
        return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
    return None
