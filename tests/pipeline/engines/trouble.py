"""What goes wrong with a unit: a teacher that fails on one paragraph, an encoder that dies of it."""

import json
import os
import shutil
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from x2static.pipeline.engines import local
from x2static.stage1_encode.worker import Job, Worker


def failing_teacher(teacher: Path, folder: Path) -> str:
    """Copy a tiny BERT whose states are no numbers for one text, and return that."""
    shutil.copytree(teacher, folder)
    pieces = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    piece = max(piece for piece in pieces if len(piece) == 1 and piece.isalpha())  # that no other text has
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name][pieces[piece]] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return f"They wrote {piece} there."


def encode_and_die(connection: Connection, *arguments: Any) -> None:
    """Be an encoder of the local engine that is killed when it reads unit 2."""
    read = Worker._read

    def deadly(self: Worker, job: Job) -> Any:
        if job.shard == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, job)

    pytest.MonkeyPatch().setattr(Worker, "_read", deadly)
    local._encode(connection, *arguments)
