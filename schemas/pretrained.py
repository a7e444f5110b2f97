"""Word vectors by the name of a folder, or of a repository on the Hugging Face hub, which is downloaded once."""

import glob
import re
from pathlib import Path

from x2static.durable.errors import X2StaticError, first_line
from x2static.durable.storage import read_json
from x2static.machine.packages import require_modules
from x2static.schemas.segmentation import SEGMENTATION
from x2static.schemas.vectors import FILES, MATRIX, RUN, VOCABULARY

# What the hub accepts, but for rules of its own against names such as "a--b", which it explains itself.
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
LOG_IN = "`hf auth login`, or a token in the variable HF_TOKEN"


def find_pretrained(
    name: str | Path, revision: str | None = None, cache_dir: str | Path | None = None, endpoint: str | None = None
) -> Path:
    """Return the folder of word vectors: the one that has the name, else that of `OWNER/NAME` on the hub.

    `revision` is a branch, a tag or a commit of the hub. Only the files that its run.json lists are downloaded, into
    `cache_dir` (None: where the hub's library keeps all, so that they are found again without a network); `endpoint` is
    the hub's address, None for the one that the library knows. Raises X2StaticError: there are none of this name, or
    the hub cannot be reached and they were not downloaded before.
    """
    folder, text = Path(name), str(name)
    if text and folder.is_dir():
        if revision is not None:
            raise X2StaticError(f"{text}: this is a folder, and has no revision {revision}; leave the revision out")
        return folder
    if text and folder.exists():
        raise X2StaticError(f"{text}: this is a file; name the folder that it is in")
    if isinstance(name, Path) or not HUB_NAME.fullmatch(text) or Path(text.partition("/")[0]).is_dir():
        raise X2StaticError(f"{text}: no such folder, and no name on the Hugging Face hub, which is OWNER/NAME")
    require_modules("hub", "huggingface_hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    def download(revision: str | None, files: list[str]) -> Path:
        patterns = [glob.escape(file) for file in files]
        snapshot = snapshot_download(
            text, revision=revision, cache_dir=cache_dir, endpoint=endpoint, allow_patterns=patterns
        )
        return Path(snapshot)

    http_error: type[Exception] = HfHubHTTPError.__mro__[1]  # the base of all errors of its HTTP library
    try:
        snapshot = download(revision, [RUN])
        if not (snapshot / RUN).is_file():
            why = f"the repository of this name on the Hugging Face hub has no word vectors of x2static (no {RUN})"
            raise X2StaticError(f"{text}: {why}; `x2static push` puts them there")
        # By the commit, whatever becomes of the branch meanwhile.
        return download(snapshot.name, [RUN, *_files_in(snapshot / RUN)])
    except HFValidationError as error:
        raise X2StaticError(f"{text}: no such folder, and no name on the Hugging Face hub ({error})") from error
    except (OSError, http_error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the network's
        raise X2StaticError(f"{text}: {_trouble(error, revision)}") from error


def _files_in(run: Path) -> list[str]:
    """Return the names of the files that a run.json lists; without a list, as of 0.1.0, what there may be."""
    record = read_json(run)
    files = record.get(FILES) if isinstance(record, dict) else None
    return list(files) if isinstance(files, dict) and files else [MATRIX, VOCABULARY, SEGMENTATION]


def _trouble(error: Exception, revision: str | None) -> str:
    """Return what is wrong with a name, and what to do, from an error of the hub's library."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return f"its owner gives access on request; ask for it on the hub's page, then log in: {LOG_IN}"
    if isinstance(error, RepositoryNotFoundError):
        return f"neither a folder here nor on the Hugging Face hub; a private one needs {LOG_IN}"
    if isinstance(error, RevisionNotFoundError):
        return f"the Hugging Face hub has no revision {revision} of it; leave it out for the latest"
    if isinstance(error, HfHubHTTPError):
        answer = f"{error.response.status_code} ({first_line(error)[:200]})"
        return f"the Hugging Face hub answers {answer}; a token that has expired is renewed by {LOG_IN}"
    cause = first_line(error.__cause__ or error)[:200]
    hub = f"the Hugging Face hub cannot be reached ({cause})"
    return f"no such folder, and {hub}; what was not downloaded before needs a network"
