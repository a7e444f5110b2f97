"""Word similarity data sets: text files of word, word, score, found where the user or gensim has them."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.evaluation.layout import Layout, find_layout
from x2static.evaluation.task_files import finite_score, gensim_file, numbered_lines

INNER_ENDINGS = (".tsv", ".csv")  # in `wordsim`, where a .txt is a note
ENDINGS = (*INNER_ENDINGS, ".txt")
WORD_PAIRS = ("wordsim353.tsv", "simlex999.txt")  # that gensim ships


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
        data: a file; or a folder whose `wordsim/*.tsv` and `wordsim/*.csv` are the sets or, where it has no folder
            `wordsim`, its own `*.tsv`, `*.csv` and `*.txt`; None for WordSim-353 and SimLex-999, which gensim ships
            with its tests.

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
    folder, endings = (inner, INNER_ENDINGS) if inner.is_dir() else (data, ENDINGS)
    paths = [path for ending in endings for path in folder.glob("*" + ending)]
    if not paths:
        expected = f"{inner}/*.tsv or *.csv" if inner.is_dir() else f"wordsim/*.tsv, *.tsv, *.csv or *.txt in {data}"
        raise X2StaticError(
            f"{data}: no word similarity data here; expected {expected}, lines of word<TAB>word<TAB>score"
        )
    files = sorted((PairsFile(path.stem, path) for path in paths), key=lambda file: file.name)
    for one, other in itertools.pairwise(files):
        if one.name == other.name:
            raise X2StaticError(f"{one.path} and {other.path}: two data sets of one name; rename one")
    return files


def _gensim_datasets() -> list[PairsFile]:
    found = [PairsFile(path.stem, path) for path in map(gensim_file, WORD_PAIRS) if path]
    if len(found) < len(WORD_PAIRS):
        raise X2StaticError(
            "WordSim-353 and SimLex-999 come with gensim, which is not installed (or not whole): "
            "`pip install x2static[evaluate]`, or `x2static data fetch`, or give your own data with --data"
        )
    return found


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a data set, in order; blank lines and lines that begin with `#` are no pairs.

    The first line says how the file is laid out, see `x2static.evaluation.layout`; every other line must be like it.

    Raises:
        X2StaticError: the file is no UTF-8, holds no pair, or a line is not two words and a finite number.
    """
    told = [(line, f"{path}, line {number}") for number, line in numbered_lines(path) if line[0] != "#"]
    layout = find_layout(*told[0]) if told else None
    pairs = [_parse(line, layout, where) for line, where in told[layout.header :]] if layout else []
    if not pairs:
        raise X2StaticError(f"{path}: no word pairs in it; expected lines of word<TAB>word<TAB>score")
    return pairs


def _parse(line: str, layout: Layout, where: str) -> Pair:
    columns = layout.split(line, where)
    if len(columns) != layout.columns or not columns[0] or not columns[1]:
        raise X2StaticError(f"{where}: expected {layout.expected}, got {len(columns)} columns: {line.strip()!r}")
    score = finite_score(columns[layout.score], where, "put # before a header line")
    return Pair(columns[0], columns[1], score)
