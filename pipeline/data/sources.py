"""The data sets that may be fetched; the table of them is sources.toml."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class RemoteFile:
    """A file of a public repository."""

    url: str  # where it is, https
    n_bytes: int  # its size
    sha256: str  # of its bytes, hexadecimal
    path: str  # of the file that is made of it, below the data folder
    form: str  # in which it is published, a key of `convert.FORMS`


@dataclass(frozen=True)
class DataSet:
    """A data set."""

    name: str  # what it is called on the command line
    task: str  # of `x2static evaluate` that reads it
    about: str  # what it is and whose, in a line
    licence: str  # under which it may be used, as far as that is stated
    files: tuple[RemoteFile, ...]  # what it consists of; where there are several, they have one folder to themselves

    @property
    def n_bytes(self) -> int:
        """How much is downloaded."""
        return sum(file.n_bytes for file in self.files)


SETS: dict[str, DataSet] = {}
_TABLE = (files("x2static.pipeline.data") / "sources.toml").read_text(encoding="utf-8")
for _name, _entry in tomllib.loads(_TABLE).items():
    _entry["files"] = tuple(RemoteFile(**file) for file in _entry["files"])
    SETS[_name] = DataSet(_name, **_entry)
