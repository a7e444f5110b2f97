"""Fetch a set and die by kill -9 at a chosen call: see `tests.killing` for WHERE, before or after, and N.

python -m tests.pipeline.data.child WHERE before|after N FOLDER URL=BODY...
"""

import hashlib
import sys
from pathlib import Path

from tests.killing import die_at
from x2static.pipeline.data.fetch import fetch
from x2static.pipeline.data.sources import DataSet, RemoteFile


def main(folder: str, *files: str) -> None:
    """Fetch files given as URL=BODY."""
    remotes = []
    for file in files:
        url, _, hexadecimal = file.partition("=")
        body = bytes.fromhex(hexadecimal)
        path = url.split("/", 3)[3]
        remotes.append(RemoteFile(url, len(body), hashlib.sha256(body).hexdigest(), path, "word_pairs"))
    data_set = DataSet("tiny", "word-similarity", "", "", tuple(remotes))
    fetch(Path(folder), data_set)


if __name__ == "__main__":
    if sys.argv[1] != "nowhere":
        die_at(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    main(*sys.argv[4:])
