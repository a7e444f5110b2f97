"""Fetched data sets in a folder that is itself a `--data DIR`; a marker a set, written last, knows its hashes."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from x2static.durable import storage
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import TEMPORARY, canonical_json, commit_folder, remove_leftovers, write_atomically
from x2static.pipeline.data.convert import FORMS
from x2static.pipeline.data.download import download
from x2static.pipeline.data.sources import DataSet

MARKERS = "fetched"  # the folder of the markers
CONVERSION = 1  # grows when a converter changes what it makes, so that it is made again


def data_folder() -> Path:
    """Return where data is fetched to, and found: `x2static/data` in the user's cache folder."""
    return storage.user_cache() / "data"


def is_there(folder: Path, data_set: DataSet) -> bool:
    """Return whether a folder holds a data set whole: of the pinned source, and unchanged since."""
    try:
        contents = {file.path: (folder / file.path).read_bytes() for file in data_set.files}
        marker = storage.read_json(folder / MARKERS / f"{data_set.name}.json")
    except IsADirectoryError as error:
        what = f"a folder has the place of a file of {data_set.name}"
        raise X2StaticError(f"{error.filename}: {what}; move it away") from error
    except (FileNotFoundError, NotADirectoryError, X2StaticError):  # where the marker is damaged, it is fetched again
        return False
    expected = _description(data_set, contents)
    return isinstance(marker, dict) and all(marker.get(key) == expected[key] for key in ("conversion", "files"))


def fetch(folder: Path, data_set: DataSet) -> bool:
    """Fetch a data set, if it is not there, and return whether it was fetched now; the folder's lock is the caller's.

    Raises X2StaticError: it cannot be had, is not what was pinned, or another file has its place.
    """
    if is_there(folder, data_set):
        return False
    downloads = folder / f"{TEMPORARY}downloads"  # what a killed call left there whole is not downloaded again
    try:
        contents = {file.path: FORMS[file.form](download(file, downloads)) for file in data_set.files}
    finally:
        shutil.rmtree(downloads, ignore_errors=True)
    marker = folder / MARKERS / f"{data_set.name}.json"
    targets = {folder / path: data for path, data in contents.items()}
    for target, data in targets.items():
        if not marker.exists() and target.exists() and (not target.is_file() or target.read_bytes() != data):
            what = "there is another file of this name, which was not fetched"
            raise X2StaticError(f"{target}: {what}; move it away, or fetch to another folder with --to")
    for place in {folder, marker.parent, *(target.parent for target in targets)}:
        remove_leftovers(place)
    home = next(iter(targets)).parent
    if len(targets) > 1 and not home.exists():
        # All at once, in a new folder, so that no reader finds half of them.
        staging = folder / f"{TEMPORARY}{home.name}"
        staging.mkdir(parents=True)
        for target, data in targets.items():
            (staging / target.name).write_bytes(data)
        home.parent.mkdir(exist_ok=True)
        commit_folder(staging, home)
    else:
        home.mkdir(parents=True, exist_ok=True)
        for target, data in targets.items():
            write_atomically(target, data)
    marker.parent.mkdir(exist_ok=True)
    write_atomically(marker, canonical_json(_description(data_set, contents)))
    return True


def _description(data_set: DataSet, contents: dict[str, bytes]) -> dict[str, Any]:
    files = []
    for file in data_set.files:
        sha256 = hashlib.sha256(contents[file.path]).hexdigest()
        files.append({"path": file.path, "sha256": sha256, "source": file.url, "source_sha256": file.sha256})
    return {"conversion": CONVERSION, "files": files, "licence": data_set.licence, "name": data_set.name}
