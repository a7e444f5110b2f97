"""A Hugging Face hub on the loopback interface that takes what `push` sends, and gives it back."""

import base64
import hashlib
import json
from typing import Any

import huggingface_hub

from tests.stage1_encode.hub_server import Handler, Hub, Repository

TOKEN = "hf_of_the_owner"
STORED_APART = (".safetensors", ".arrow")  # as the hub's own .gitattributes have it: LFS, not in the commit


class PublishingHub(Hub):
    """A hub that is written to by "owner", by the token."""

    def __init__(self) -> None:
        self.private: dict[str, bool] = {}  # the repositories, and who sees them
        self.messages: list[str] = []  # of commits
        self.stored: dict[str, bytes] = {}  # files outside of commits, by their sha256
        self.cards: dict[str, dict[str, Any]] = {}  # the front matter of cards, by repository
        # What goes wrong at a step ("create", "validate-yaml", "preupload", "batch", "put", "commit"): a status, or
        # "cut", for a connection that ends without an answer.
        self.faults: dict[str, int | str] = {}
        super().__init__()

    def handler(self) -> type[Handler]:
        return WritingHandler

    def close(self) -> None:
        """Stop, also for connections that the library keeps open."""
        super().close()
        huggingface_hub.close_session()

    def files(self, name: str) -> dict[str, bytes]:
        """Return the latest files of a repository."""
        return self.repositories["models", name].commits[self.repositories["models", name].resolve("main")]


class WritingHandler(Handler):
    hub: PublishingHub

    def api(self, kind: str, name: str, rest: list[str], body: bytes) -> None:
        """Answer questions about a repository, and what is written to it."""
        if kind == "repos" or not rest or rest[0] not in ("preupload", "commit"):
            if (kind, name) in self.hub.repositories and (not rest or rest[0] == "revision"):
                return self.info(kind, name, rest)
            return super().api(kind, name, rest, body)
        if self.refused(rest[0], name.split("/")[0]):
            return None
        if rest[0] == "preupload":
            return self.json({"files": [self.mode(file) for file in json.loads(body)["files"]]})
        return self.commit(name, [json.loads(line) for line in body.splitlines()])

    def info(self, kind: str, name: str, rest: list[str]) -> None:
        repository = self.hub.repositories[kind, name]
        commit = repository.resolve(rest[1] if len(rest) > 1 else "main") if repository.commits else "0" * 40
        if commit is None:
            return self.missing("RevisionNotFound")
        facts = {"id": name, "sha": commit, "private": self.hub.private.get(name, False), "siblings": []}
        return self.json({"_id": "0", "modelId": name, **facts, "cardData": self.hub.cards.get(name)})

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        steps = {"/api/repos/create": self.create, "/api/validate-yaml": self.validate}
        if self.path in steps:
            steps[self.path](json.loads(self.rfile.read(length)))
        elif self.path.endswith("/info/lfs/objects/batch"):
            self.batch(json.loads(self.rfile.read(length)))
        elif self.command == "PUT":
            self.put(self.rfile.read(length))
        else:
            super().answer()

    def refused(self, step: str, owner: str | None = None) -> bool:
        """Answer with the fault of a step, or that the token is wrong, or of another owner; else return False."""
        self.hub.requests.append(step)
        fault = self.hub.faults.get(step)
        if fault == "cut":
            self.close_connection = True
            return True
        if fault is None and owner is not None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                fault = 401
            elif owner != "owner":
                fault = 403
        if fault is None:
            return False
        said = {401: "Invalid credentials in Authorization header", 403: "You have no right to write here"}
        headers = {"X-Error-Message": said.get(int(fault), "something is wrong"), "Content-Type": "application/json"}
        self.send(int(fault), b"{}", headers)
        return True

    def file(self, kind: str, name: str, revision: str, path: str) -> None:
        """Send a file; to who may not see it, the hub says that there is no such repository."""
        if self.hub.private.get(name) and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        return super().file(kind, name, revision, path)

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if self.refused("create", asked["organization"]):
            return None
        if ("models", name) in self.hub.repositories:
            return self.json({"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}, 409)
        self.hub.repositories["models", name] = Repository()
        self.hub.private[name] = asked.get("visibility") == "private" or bool(asked.get("private"))
        return self.json({"url": f"{self.hub.url}/{name}"})

    def validate(self, asked: dict[str, Any]) -> None:
        """Answer as the hub does: one with a licence that is none of the hub's list is refused."""
        if self.refused("validate-yaml"):
            return
        if 'license: "my-own"' in asked["content"]:
            errors = {"errors": [{"message": '"license" must be one of [apache-2.0, ...]'}], "warnings": []}
            self.json(errors, 400)
        else:
            self.json({"errors": [], "warnings": []})

    def mode(self, file: dict[str, Any]) -> dict[str, Any]:
        how = "lfs" if file["path"].endswith(STORED_APART) else "regular"
        return {"path": file["path"], "uploadMode": how, "shouldIgnore": False, "oid": None}

    def batch(self, asked: dict[str, Any]) -> None:
        if self.refused("batch"):
            return
        objects = []
        for one in asked["objects"]:
            url = f"{self.hub.url}/stored/{one['oid']}"
            objects.append({**one, "actions": {"upload": {"href": url}}})
        self.json({"transfer": "basic", "objects": objects})

    def put(self, data: bytes) -> None:
        if not self.refused("put"):
            self.hub.stored[hashlib.sha256(data).hexdigest()] = data
            self.send(200, b"", {})

    def commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        repository = self.hub.repositories["models", name]
        files = dict(self.hub.files(name)) if repository.commits else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.hub.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.hub.stored[value["oid"]]
        self.json({"commitUrl": f"{self.hub.url}/{name}", "commitOid": repository.add(files)})
