"""A teacher on disk: found in a folder, in the demo package or on the Hugging Face hub, and identified by its files."""

import fnmatch
import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from x2static.durable.errors import X2StaticError, first_line
from x2static.durable.storage import read_json
from x2static.stage1_encode import hub
from x2static.stage1_encode.demo import demo_teacher
from x2static.stage1_encode.teacher.checks import WEIGHTS, check_folder
from x2static.stage1_encode.text.tokenizer import tokenizer_sha256
from x2static.stage1_encode.text.tokenizer_rules import json_object

MODEL_FILES = ["*.json", "*.txt", "*.model", "*.py"]
# Folders are for other uses (onnx/, 1_Pooling/), but for 0_Transformer/ of older sentence-transformers models.
IGNORED = ["[!0]*/*", "0[!_]*/*", "*/*/*"]
OTHER_WEIGHTS = ("*.gguf", "*.onnx", "onnx/*.onnx", "*.h5", "*.msgpack", "*.ot")
WAYS_OUT = "a local model folder (--model PATH; none has this name) or --model demo"
# Models of the hub have an owner, OWNER/NAME, but for those that were there before owners were; no more can come.
WITHOUT_OWNER = re.compile(
    r"(albert|bert|camembert|ctrl|distilbert|distilgpt2|distilroberta|gpt2|openai-gpt|roberta|t5|transfo-xl|xlm|xlnet)"
    r"(-[\w.-]+)?"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeacherFiles:
    """A teacher on disk and what its files are, known without loading it."""

    name: str  # as the user gave it
    folder: Path  # where its files are
    revision: str | None  # commit, for a model of the hub
    weights: str  # sha256 of the weights
    config: str  # sha256 of config.json, and of the model's own Python code where it has any
    tokenizer: str  # sha256 of the tokenizer's files

    @classmethod
    def find(cls, model: str, revision: str | None) -> "TeacherFiles":
        """Find a model: a folder, "demo", or an id on the hub. Raises X2StaticError: it is not there, or not whole."""
        folder, commit = resolve_model(model, revision)
        folder = transformer_folder(folder)
        if not (folder / "config.json").exists():
            raise X2StaticError(f"model {model}: {folder} holds no config.json; it is not a Hugging Face model")
        check_folder(folder)
        return cls(model, folder, commit, weights_sha256(folder), config_sha256(folder), tokenizer_sha256(folder))


def local_folder(model: str) -> Path | None:
    """Return the folder of a model that is here, None for the id of one on the hub. Raises X2StaticError: it is none.

    No library and no network is asked, so that a slip is told at once.
    """
    if model == "demo":
        return demo_teacher()
    if Path(model).is_dir():
        return Path(model)
    if Path(model).exists():
        raise X2StaticError(f"model {model}: this is a file; name the folder that it is in")
    owner, slash, name = model.partition("/")
    if (
        model.startswith((".", "/", "~"))
        or "/" in name
        or "\\" in model
        or (slash and (not name or Path(owner).is_dir()))
    ):
        raise X2StaticError(f"model {model}: no such folder")
    if not slash and not WITHOUT_OWNER.fullmatch(model):
        why = "no such folder here, and ids have an owner, OWNER/NAME, all but the oldest as gpt2"
        raise X2StaticError(f"model {model}: neither a folder nor an id on the hub ({why})")
    return None


def resolve_model(model: str, revision: str | None) -> tuple[Path, str | None]:
    """Return a model's folder, downloading it if need be, and its commit on the hub; raises as `TeacherFiles.find`."""
    if (here := local_folder(model)) is not None:
        return here, None
    seconds = hub.PATIENCE_SECONDS
    try:
        info = hub.answered(lambda: huggingface_hub.model_info(model, revision=revision, timeout=seconds), seconds)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        why = f"not on the Hugging Face hub ({first_line(error)}), and there is no such folder here"
        raise X2StaticError(f"model {model}: {why}") from error
    except ValueError as error:
        raise X2StaticError(f"model {model}: neither a folder nor an id on the hub ({first_line(error)})") from error
    except hub.UNREACHABLE as error:
        return _downloaded_before(model, revision, error)
    names = [item.rfilename for item in info.siblings or ()]
    names = [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in IGNORED)]
    weights = next((pattern for pattern in WEIGHTS if fnmatch.filter(names, pattern)), WEIGHTS[0])
    try:
        # By the name that was asked for, not by info.sha: the library then notes which commit the name stood for, and
        # finds it again without a network.
        folder = hub.answered(lambda: _snapshot(model, revision, weights), seconds=None)
    except hub.UNREACHABLE as error:
        if hub.disk_is_full(error):
            raise
        raise hub.unreachable(f"model {model}", error, WAYS_OUT) from error
    return folder, folder.name


def _downloaded_before(model: str, revision: str | None, cause: Exception) -> tuple[Path, str | None]:
    for weights in WEIGHTS:
        try:
            folder = _snapshot(model, revision, weights, offline=True)
        except OSError:  # not downloaded, or not all of it
            continue
        if any(folder.rglob(weights)):
            return folder, folder.name
    raise hub.unreachable(f"model {model}", cause, WAYS_OUT) from cause


def _snapshot(model: str, revision: str | None, weights: str, offline: bool = False) -> Path:
    wanted = [*MODEL_FILES, weights]
    folder = huggingface_hub.snapshot_download(
        model, revision=revision, allow_patterns=wanted, ignore_patterns=IGNORED, local_files_only=offline
    )
    return Path(folder)


def transformer_folder(folder: Path) -> Path:
    """Return where the transformer of a sentence-transformers folder is; of any other, the folder itself.

    What follows it is not applied: contexts are means of X2Static's own; what would change them is said. Raises
    X2StaticError: it has no transformer, or names one elsewhere.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return folder
    try:
        modules = [(str(one["type"]).rpartition(".")[2], str(one["path"])) for one in read_json(path)]
        kind, below = modules[0]
    except (LookupError, TypeError, X2StaticError) as error:
        raise X2StaticError(f"model {folder}: its modules.json is damaged ({first_line(error)})") from error
    if kind != "Transformer" and (folder / "config.json").is_file():
        return folder
    if kind != "Transformer":
        raise X2StaticError(f"model {folder}: its first module, {kind}, has no hidden states; it needs a Transformer")
    if Path(below).is_absolute() or ".." in Path(below).parts:
        raise X2StaticError(f"model {folder}: its modules.json has the Transformer in {below}, outside of the folder")
    settings = json_object(folder, "config_sentence_transformers.json")
    prompts = settings.get("prompts")
    if prompt := prompts.get(str(settings.get("default_prompt_name"))) if isinstance(prompts, dict) else None:
        logger.warning("model %s: its default prompt (%r) is not put before the texts", folder, prompt)
    kinds = [kind for kind, _ in modules]
    if inner := kinds[1 : kinds.index("Pooling") if "Pooling" in kinds else 1]:
        what = f"modules.json changes the states by {', '.join(inner)}; contexts are means of the Transformer's own"
        logger.warning("model %s: %s", folder, what)
    return folder / below


def config_sha256(folder: Path) -> str:
    """Return the sha256 of config.json; of a model with Python code of its own, that of all these files' hashes."""
    files = [folder / "config.json", *sorted(folder.glob("*.py"))]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def weights_sha256(folder: Path) -> str:
    """Return the sha256 of a model's weight file; of several, the sha256 over their names and hashes.

    Raises X2StaticError: the folder holds no weights.
    """
    files = next((files for pattern in WEIGHTS if (files := sorted(folder.glob(pattern)))), [])
    if not files:
        others = sorted(path.name for pattern in OTHER_WEIGHTS for path in folder.glob(pattern))
        only = f", only {', '.join(others[:3])}" if others else ""
        raise X2StaticError(f"model {folder}: it holds no weights (*.safetensors){only}; download or save it whole")
    hashes = {}
    for path in files:
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    if len(files) == 1:
        return hashes[files[0].name]
    return hashlib.sha256("".join(f"{name} {value}\n" for name, value in hashes.items()).encode()).hexdigest()
