"""Word similarity data sets: text files of `word<TAB>word<TAB>score`, found where the user or gensim has them."""

import itertools
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from schemas.errors import X2StaticError

GENSIM_FILES = ("wordsim353.tsv", "simlex999.txt")


class Pair(NamedTuple):
    """Two words and how similar people find them, on whatever scale the data set has."""

    first: str
    second: str
    score: float


@dataclass(frozen=True)
class PairsFile:
    """A data set.

    Attributes:
        name: what the task is called: the file's name without its ending.
        path: where it is.
    """

    name: str
    path: Path


def find_datasets(data: Path | None) -> list[PairsFile]:
    """Return the word similarity data sets, by name.

    Args:
        data: a file; or a folder whose `wordsim/*.tsv` are the sets or, where it has no folder `wordsim`, its own
            `*.tsv` and `*.txt`; None for WordSim-353 and SimLex-999, which gensim ships with its tests.

    Raises:
        X2StaticError: there are none, or two have one name.
    """
    if data is None:
        return _gensim_datasets()
    if data.is_file():
        return [PairsFile(data.stem, data)]
    if not data.is_dir():
        raise X2StaticError(f"{data}: no such file or folder; --data takes a file of word pairs or a folder of them")
    inner = data / "wordsim"
    paths = list(inner.glob("*.tsv")) if inner.is_dir() else [*data.glob("*.tsv"), *data.glob("*.txt")]
    if not paths:
        expected = f"{inner}/*.tsv" if inner.is_dir() else f"wordsim/*.tsv, *.tsv or *.txt in {data}"
        raise X2StaticError(
            f"{data}: no word similarity data here; expected {expected}, lines of word<TAB>word<TAB>score"
        )
    files = sorted((PairsFile(path.stem, path) for path in paths), key=lambda file: file.name)
    for one, other in itertools.pairwise(files):
        if one.name == other.name:
            raise X2StaticError(f"{one.path} and {other.path}: two data sets of one name; rename one")
    return files


def _gensim_datasets() -> list[PairsFile]:
    spec = find_spec("gensim")  # only finds: importing gensim takes seconds
    folders = spec.submodule_search_locations if spec else None
    paths = [Path(folder, "test", "test_data", name) for folder in folders or () for name in GENSIM_FILES]
    found = [PairsFile(path.stem, path) for path in paths if path.is_file()]
    if len(found) < len(GENSIM_FILES):
        raise X2StaticError(
            "WordSim-353 and SimLex-999 come with gensim, which is not installed (or not whole): "
            "`pip install x2static[evaluate]`, or give your own data with --data"
        )
    return found


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a data set, in order; blank lines and lines that begin with `#` are no pairs.

    Raises:
        X2StaticError: the file is no UTF-8, holds no pair, or a line is not two words and a finite number.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise X2StaticError(f"{path}, line {line}: not valid UTF-8; save the file as UTF-8") from error
    # splitlines() would also split at separators that belong to a word, such as U+2028.
    lines = enumerate(text.split("\n"), start=1)
    pairs = [_parse(line, f"{path}, line {number}") for number, line in lines if line.strip() and line[0] != "#"]
    if not pairs:
        raise X2StaticError(f"{path}: no word pairs in it; expected lines of word<TAB>word<TAB>score")
    return pairs


def _parse(line: str, where: str) -> Pair:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) != 3 or not columns[0] or not columns[1]:
        raise X2StaticError(f"{where}: expected word<TAB>word<TAB>score, got {len(columns)} columns: {line.strip()!r}")
    first, second, number = columns
    try:
        score = float(number)
    except ValueError:
        raise X2StaticError(f"{where}: the score {number!r} is no number; put # before a header line") from None
    if not math.isfinite(score):
        raise X2StaticError(f"{where}: the score {number!r} is not finite; mend or remove the line")
    return Pair(first, second, score)
