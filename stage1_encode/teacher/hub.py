"""Finding a teacher: a folder, the demo package, or the Hugging Face hub; one clear line when that is unreachable."""

import errno
import fnmatch
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import TypeVar

import huggingface_hub
from huggingface_hub.errors import (
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from x2static.durable.errors import X2StaticError
from x2static.machine.background import in_background
from x2static.stage1_encode.corpora.demo import demo_teacher
from x2static.stage1_encode.text.tokens import first_line

PATIENCE_SECONDS = 5.0  # for each of model and data set, so that one line comes within 15 seconds, imports included
MODEL_FILES = ["*.json", "*.txt", "*.model", "*.py"]
# Folders are for other uses (onnx/, 1_Pooling/), but for 0_Transformer/ of older sentence-transformers models.
IGNORED = ["[!0]*/*", "0[!_]*/*", "*/*/*"]
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # the first of which a model has any
WAYS_OUT = "a local model folder (--model PATH) or --model demo"
CORPUS_WAYS_OUT = "a local text file (--corpus FILE) or --corpus demo"

UNREACHABLE = (OSError, HfHubHTTPError)

Result = TypeVar("Result")


def resolve_model(model: str, revision: str | None) -> tuple[Path, str | None]:
    """Return a model's folder, downloading it if need be, and its commit on the hub.

    Raises:
        X2StaticError: no such folder, no such model, or the hub cannot be reached.
    """
    if model == "demo":
        return demo_teacher(), None
    if Path(model).is_dir():
        return Path(model), None
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise X2StaticError(f"model {model}: no such folder")
    try:
        info = with_patience(lambda: huggingface_hub.model_info(model, revision=revision, timeout=PATIENCE_SECONDS))
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise X2StaticError(f"model {model}: not on the Hugging Face hub ({first_line(error)})") from error
    except ValueError as error:
        raise X2StaticError(f"model {model}: neither a folder nor an id on the hub ({first_line(error)})") from error
    except UNREACHABLE as error:
        return _downloaded_before(model, revision, error)
    names = [item.rfilename for item in info.siblings or ()]
    weights = next((pattern for pattern in WEIGHTS if _wanted(names, pattern)), WEIGHTS[0])
    try:
        # By the name that was asked for, not by info.sha: the library then notes which commit the name stood for, and
        # finds it again without a network.
        folder = answered(lambda: _snapshot(model, revision, weights), seconds=None)
    except UNREACHABLE as error:
        if _disk_is_full(error):
            raise
        raise unreachable(f"model {model}", error, WAYS_OUT) from error
    return folder, folder.name


def _wanted(names: list[str], pattern: str) -> list[str]:
    """Return those of a model's files that fit a pattern and are in no folder for other uses."""
    return [name for name in fnmatch.filter(names, pattern) if not any(fnmatch.fnmatch(name, no) for no in IGNORED)]


def _downloaded_before(model: str, revision: str | None, cause: Exception) -> tuple[Path, str | None]:
    for weights in WEIGHTS:
        try:
            folder = _snapshot(model, revision, weights, local_files_only=True)
        except OSError:  # not downloaded, or not all of it
            continue
        if any(folder.rglob(weights)):
            return folder, folder.name
    raise unreachable(f"model {model}", cause, WAYS_OUT) from cause


def _snapshot(model: str, revision: str | None, weights: str, local_files_only: bool = False) -> Path:
    folder = huggingface_hub.snapshot_download(
        model,
        revision=revision,
        allow_patterns=[*MODEL_FILES, weights],
        ignore_patterns=IGNORED,
        local_files_only=local_files_only,
    )
    return Path(folder)


def unreachable(what: str, cause: Exception, ways_out: str) -> X2StaticError:
    """Return the error for a hub that does not answer."""
    return X2StaticError(f"{what}: the Hugging Face hub cannot be reached ({first_line(cause)[:200]}); use {ways_out}")


def with_patience(call: Callable[[], Result]) -> Result:
    """Return what a network call returns, or give up: a name look-up can hang beyond every timeout of its library.

    Raises:
        TimeoutError: no answer came in time.
        Exception: as `answered`.
    """
    return answered(call, PATIENCE_SECONDS)


def answered(call: Callable[[], Result], seconds: float | None) -> Result:
    """Return what a network call returns, with one kind of exception for whatever its HTTP library raises.

    Args:
        call: the network call.
        seconds: patience; None waits as long as it takes.

    Raises:
        TimeoutError: no answer came in time.
        ConnectionError: no answer came at all, or it broke off.
        OSError: the disk is full.
        HfHubHTTPError: the hub's answer is an error.
        ValueError: the question makes no sense (no valid id).
    """
    future = in_background(call)
    if wait([future], seconds).not_done:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, (HfHubHTTPError, ValueError)) or _disk_is_full(error):
        raise error
    raise ConnectionError(first_line(error)) from error  # whatever the HTTP library of the day calls it


def _disk_is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def dataset_revision(name: str, spec: str) -> str:
    """Return the commit of a data set on the hub.

    Raises:
        X2StaticError: no such data set, or the hub cannot be reached.
    """
    try:
        info = with_patience(lambda: huggingface_hub.dataset_info(name, timeout=PATIENCE_SECONDS))
    except (RepositoryNotFoundError, ValueError) as error:
        raise X2StaticError(f"corpus {spec}: not on the Hugging Face hub ({first_line(error)})") from error
    except UNREACHABLE as error:
        raise unreachable(f"corpus {spec}", error, CORPUS_WAYS_OUT) from error
    return str(info.sha)
