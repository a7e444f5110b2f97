"""Word vectors sent to the Hugging Face hub in one commit, and what the hub says of the licences of others."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError

from x2static.durable.errors import X2StaticError, first_line
from x2static.durable.storage import read_json
from x2static.machine.packages import package_version
from x2static.pipeline.export import static_model
from x2static.pipeline.export.smaller import Smaller
from x2static.pipeline.publish.card import README
from x2static.pipeline.publish.provenance import Provenance, Source
from x2static.schemas.pretrained import LOG_IN
from x2static.schemas.segmentation import SEGMENTATION
from x2static.schemas.vectors import FILES, MATRIX, RUN, VOCABULARY, WordVectors, check_run
from x2static.stage1_encode.hub import PATIENCE_SECONDS, answered

logger = logging.getLogger(__name__)


class HubRefusal(ValueError):  # noqa: N818
    """What we do not send, found out on the way; `answered` lets a ValueError through."""


@dataclass(frozen=True)
class Hub:
    """A hub and who asks it."""

    endpoint: str | None = None  # its address; None for the one that the library knows
    token: str | None = None  # None for the one of HF_TOKEN, or of `hf auth login`

    @property
    def api(self) -> huggingface_hub.HfApi:
        """What asks it."""
        version = package_version("x2static")
        return huggingface_hub.HfApi(
            endpoint=self.endpoint, token=self.token, library_name="x2static", library_version=version
        )


def files_of(folder: Path) -> list[str]:
    """Return the names of the files of vectors, run.json the last. Raises X2StaticError: one is missing or damaged."""
    check_run(folder)
    names = [*(read_json(folder / RUN).get(FILES) or (MATRIX, VOCABULARY, SEGMENTATION)), RUN]
    return [name for name in names if (folder / name).is_file()]  # those of 0.1.0 may have come without rules


def require_token(token: str | None = None) -> None:
    """Raise X2StaticError if nobody is logged in."""
    if not (token or huggingface_hub.get_token()):
        raise X2StaticError(f"no token of the Hugging Face hub is here; log in by {LOG_IN}")


def for_sentence_transformers(vectors: WordVectors, folder: Path) -> dict[str, Path]:
    """Write into an empty folder what sentence-transformers reads of vectors; return the files by names, none is ours.

    Where no tokenizer cuts words as training did there are none, and it is said.
    """
    try:
        static_model.write(vectors, folder, Smaller())
    except X2StaticError as error:
        logger.info("sentence-transformers will not read them: %s", error)
        return {}
    return {path.name: path for path in sorted(folder.iterdir())}


def send(
    folder: Path,
    card: str,
    name: str,
    hub: Hub,
    message: str,
    private: bool = False,
    more: Mapping[str, Path] | None = None,
) -> str:
    """Send the files of vectors, their card and `more` files to the repository OWNER/NAME, which is made if need be.

    It is one commit: whatever ends it, the hub has all of it or nothing. Returns the commit. Raises X2StaticError: the
    hub refuses it, cannot be reached, or the repository is open to all and was to be `private`.
    """
    require_token(hub.token)
    files: dict[str, Path | bytes] = {**(more or {}), **{file: folder / file for file in files_of(folder)}}
    files[README] = card.encode()

    def commit() -> str:
        api = hub.api
        api.create_repo(name, private=private or None, exist_ok=True)
        if private and not api.model_info(name).private:
            why = "this repository is there already, and open to all"
            raise HubRefusal(f"{name}: {why}; make it private on its page, leave --private out, or take another name")
        add = [huggingface_hub.CommitOperationAdd(file, content) for file, content in files.items()]
        with warnings.catch_warnings():
            # That Arrow files are for data sets, and what the library says of its own calls.
            warnings.simplefilter("ignore")
            return api.create_commit(name, add, commit_message=message).oid

    try:
        return answered(commit, None)
    except HubRefusal as error:
        raise X2StaticError(str(error)) from error
    except (HfHubHTTPError, ValueError, ConnectionError) as error:
        raise X2StaticError(f"{name}: {_refusal(error, name)}") from error


def _refusal(error: Exception, name: str) -> str:
    """Return what an error means, and what to do."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HfHubHTTPError):
        cause = cause.__cause__  # an upload's is wrapped twice
    if cause is None and isinstance(error, ValueError):
        return f"the Hugging Face hub does not take it: {' '.join(str(error).split())}"
    if cause is None:
        why = f"the Hugging Face hub cannot be reached, or broke off ({first_line(error)[:200]})"
        return f"{why}; it has all of it or nothing, run the same command again"
    status, owner = cause.response.status_code, name.partition("/")[0]
    said = " ".join((cause.server_message or first_line(cause)).split())[:200]
    if status == 401:
        return f"the Hugging Face hub does not accept the token; log in again by {LOG_IN}"
    if status == 403:
        return f"this token may not write to {owner} ({said}); take one that may write, or a name of your own"
    if status == 404:
        return (
            f"the Hugging Face hub does not know it ({said}); is {owner} your name there, or that of a group of yours?"
        )
    if status == 429 or status >= 500:
        return f"the Hugging Face hub answers {status} ({said}); run the same command again later"
    return f"the Hugging Face hub answers {status}: {said}"


def with_licences(provenance: Provenance, hub: Hub) -> Provenance:
    """Return the same with the licences that the cards of teacher and data sets on the hub state, where none is known.

    A hub that does not answer leaves them out, in a few seconds, and it is said.
    """
    teacher = provenance.teacher and _with_licence(provenance.teacher, "model", hub)
    corpora = tuple(_with_licence(corpus, "dataset", hub) for corpus in provenance.corpora)
    return replace(provenance, teacher=teacher, corpora=corpora)


def _with_licence(source: Source, kind: str, hub: Hub) -> Source:
    name = source.hub
    if source.licence or name is None:
        return source
    try:
        info = answered(
            lambda: hub.api.repo_info(name, repo_type=kind, revision=source.revision, timeout=PATIENCE_SECONDS),
            PATIENCE_SECONDS,
        )
    except (OSError, HfHubHTTPError, ValueError) as error:
        option = "teacher" if kind == "model" else "corpus"
        why = first_line(error)[:200] if isinstance(error, HfHubHTTPError) else "the Hugging Face hub cannot be reached"
        logger.warning("the card does not say the licence of %s: %s; --%s-licence says it", source.name, why, option)
        return source
    data = getattr(info, "card_data", None)
    stated = data.to_dict().get("license") if data else None
    return replace(source, licence=str(stated)) if isinstance(stated, str) else source
