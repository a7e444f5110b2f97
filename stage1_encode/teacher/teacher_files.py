"""A teacher on disk: found, and identified by what its files are."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.teacher.hub import resolve_model
from x2static.stage1_encode.text.tokens import first_line, tokenizer_sha256

OTHER_WEIGHTS = ("*.gguf", "*.onnx", "onnx/*.onnx", "*.h5", "*.msgpack", "*.ot")


@dataclass(frozen=True)
class TeacherFiles:
    """A teacher on disk and what its files are, known without loading it.

    Attributes:
        name: as the user gave it.
        folder: where its files are.
        revision: commit, for a model of the hub.
        weights: sha256 of the weights.
        config: sha256 of config.json, and of the model's own Python code where it has any.
        tokenizer: sha256 of the tokenizer's files.
    """

    name: str
    folder: Path
    revision: str | None
    weights: str
    config: str
    tokenizer: str

    @classmethod
    def find(cls, model: str, revision: str | None) -> "TeacherFiles":
        """Find a model: a folder, "demo", or an id on the hub.

        Raises:
            X2StaticError: it is not there, or not complete.
        """
        folder, commit = resolve_model(model, revision)
        folder = transformer_folder(folder)
        if not (folder / "config.json").is_file():
            raise X2StaticError(f"model {model}: {folder} holds no config.json; it is not a Hugging Face model")
        return cls(
            name=model,
            folder=folder,
            revision=commit,
            weights=weights_sha256(folder),
            config=config_sha256(folder),
            tokenizer=tokenizer_sha256(folder),
        )


def transformer_folder(folder: Path) -> Path:
    """Return where the transformer of a sentence-transformers folder is; of any other, the folder itself.

    Its pooling and what follows it are not read: the contexts are means of X2Static's own.

    Raises:
        X2StaticError: it has no transformer.
    """
    modules = folder / "modules.json"
    if (folder / "config.json").is_file() or not modules.is_file():
        return folder
    try:
        first = json.loads(modules.read_text(encoding="utf-8"))[0]
        kind, path = str(first["type"]).rpartition(".")[2], str(first["path"])
    except (ValueError, LookupError, TypeError) as error:
        raise X2StaticError(f"model {folder}: its modules.json is damaged ({first_line(error)})") from error
    if kind != "Transformer":
        raise X2StaticError(
            f"model {folder}: its first module is {kind}, which has no hidden states; it needs a Transformer"
        )
    return folder / path


def config_sha256(folder: Path) -> str:
    """Return the sha256 of config.json; of a model with Python code of its own, that of all these files' hashes."""
    files = [folder / "config.json", *sorted(folder.glob("*.py"))]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def weights_sha256(folder: Path) -> str:
    """Return the sha256 of a model's weight file; of several, the sha256 over their names and hashes.

    Raises:
        X2StaticError: the folder holds no weights.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        others = sorted(path.name for pattern in OTHER_WEIGHTS for path in folder.glob(pattern))
        found = f", only {', '.join(others[:3])}" if others else ""
        raise X2StaticError(
            f"model {folder}: it holds no weights (*.safetensors){found}; download or save the whole model"
        )
    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(files) == 1:
        return hashes[0]
    pairs = zip(files, hashes, strict=True)
    return hashlib.sha256("".join(f"{path.name} {value}\n" for path, value in pairs).encode()).hexdigest()
