"""Word pairs with how similar people find them, in whatever layout they are published.

The published files differ: MEN has spaces, RG-65 semicolons, MTurk-771 commas, most have tabs; WordSim-353, SimLex-999
and others have a header; SimLex-999, SimVerb-3500, the Rare Words and WordSim-353 with its raters have more columns.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import find_files, finite_score, gensim_file, numbered_lines

WORD_PAIRS = ("wordsim353.tsv", "simlex999.txt")  # that gensim ships
EXPECTED = "a file of word pairs (lines of word<TAB>word<TAB>score)"

SEPARATORS = {"\t": "<TAB>", ";": ";", ",": ",", " ": " "}  # in the order of trust: the first that a line holds
# What the column of scores is called where there are more than three: SimLex-999, WordSim-353 and the common names.
SCORE_NAMES = {"simlex999", "human (mean)", "human mean", "mean", "score", "similarity", "rating"}
SIMVERB_COLUMNS = 5  # word, word, part of speech, score, relation
RARE_WORDS_COLUMNS = 13  # word, word, mean, ten ratings


class Pair(NamedTuple):
    """Two words and how similar people find them, on whatever scale the data set has."""

    first: str
    second: str
    score: float


def find_word_pairs(data: Path | None) -> list[Path]:
    """Return the files of word pairs, by name.

    Args:
        data: a file; or a folder whose `wordsim/*.tsv` and `wordsim/*.csv` are the files or, where it has no folder
            `wordsim`, its own `*.tsv`, `*.csv` and `*.txt`; None for WordSim-353 and SimLex-999, which gensim ships
            with its tests.

    Raises:
        X2StaticError: there are none, or two have one name.
    """
    if data is not None:
        notes = (data / "wordsim").is_dir()  # in that folder a .txt is a note
        return find_files(data, "wordsim", ("*.tsv", "*.csv") if notes else ("*.tsv", "*.csv", "*.txt"), EXPECTED)
    paths = [path for path in map(gensim_file, WORD_PAIRS) if path]
    if len(paths) < len(WORD_PAIRS):
        raise X2StaticError(
            "WordSim-353 and SimLex-999 come with gensim, which is not installed (or not whole): "
            "`pip install x2static[evaluate]`, or `x2static data fetch`, or give your own data with --data"
        )
    return paths


def read_word_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a file, in order; blank lines and lines that begin with `#` are no pairs.

    The first line says how the file is laid out; every other line must be like it. Raises X2StaticError: the file is no
    UTF-8, holds no pair, or a line is not two words and a finite number.
    """
    lines = [(line, f"{path}, line {number}") for number, line in numbered_lines(path) if line[0] != "#"]
    layout = Layout.of(*lines[0]) if lines else None
    pairs = [layout.parse(line, where) for line, where in lines[layout.header :]] if layout else []
    if not pairs:
        raise X2StaticError(f"{path}: no word pairs in it; expected lines of word<TAB>word<TAB>score")
    return pairs


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are laid out; the first two columns are the words."""

    separator: str  # a character between the columns; several spaces count as one
    columns: int  # in each line
    score: int  # column of the score, from 0
    header: bool  # the first line names the columns

    @classmethod
    def of(cls, line: str, where: str) -> "Layout":
        """Return the layout that the first line of a file tells.

        Of three columns the third is the score, and a first line that has a name without a digit there, or a known name
        of scores, is a header. Further columns are accepted where a header says which one is the score, or where they
        are as published. Raises X2StaticError: it has fewer than three columns, or more and none is known to be the
        score.
        """
        separator = next((separator for separator in SEPARATORS if separator in line.strip()), "\t")
        columns = _split(line, separator, where)
        if len(columns) == 3:
            # A name with a digit is rather a mistyped score (7,5), which would be lost without a word.
            name = columns[2]
            digits = any(map(str.isdigit, name))
            header = name.casefold() in SCORE_NAMES or (bool(name) and not _is_number(name) and not digits)
            return cls(separator, 3, 2, header)
        named = [column for column, name in enumerate(columns) if column >= 2 and name.casefold() in SCORE_NAMES]
        if len(named) == 1:
            return cls(separator, len(columns), named[0], header=True)
        score = _published_score(columns)
        if score is None:
            raise X2StaticError(
                f"{where}: expected word<TAB>word<TAB>score, or more columns with a header that names the score; "
                f"got {len(columns)} columns: {line.strip()!r}"
            )
        return cls(separator, len(columns), score, header=False)

    def parse(self, line: str, where: str) -> Pair:
        """Return the pair of a line.

        Raises X2StaticError: the line is of another layout, or its score is no finite number.
        """
        columns = _split(line, self.separator, where)
        if len(columns) != self.columns or not columns[0] or not columns[1]:
            expected = f"{self.columns} columns as in the first line, word and word first"
            if self.columns == 3:
                expected = SEPARATORS[self.separator].join(["word", "word", "score"])
            raise X2StaticError(f"{where}: expected {expected}, got {len(columns)} columns: {line.strip()!r}")
        score = finite_score(columns[self.score], where, "put # before a header line")
        return Pair(columns[0], columns[1], score)


def _split(line: str, separator: str, where: str) -> list[str]:
    if separator in "\t ":
        columns = line.strip("\r\n").split(separator)
        return [column.strip() for column in columns if separator == "\t" or column.strip()]
    try:
        (columns,) = csv.reader([line.strip()], delimiter=separator, strict=True)
    except csv.Error as error:
        raise X2StaticError(f"{where}: {error}: {line.strip()!r}") from error
    return [column.strip() for column in columns]


def _published_score(columns: list[str]) -> int | None:
    """Return the column of the score where a line without header is like one of a known publication."""
    if len(columns) == SIMVERB_COLUMNS and len(columns[2]) == 1 and columns[2].isupper() and _is_number(columns[3]):
        return 3
    if len(columns) == RARE_WORDS_COLUMNS and all(map(_is_number, columns[2:])):
        return 2
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
