"""How a file of word pairs is laid out: its separator, its column of scores, whether it has a header.

The published files differ: MEN has spaces, RG-65 semicolons, MTurk-771 commas, most have tabs; WordSim-353, SimLex-999
and others have a header; SimLex-999, SimVerb-3500, the Rare Words and WordSim-353 with its raters have more columns.
"""

import csv
from dataclasses import dataclass

from x2static.durable.errors import X2StaticError

SEPARATORS = {"\t": "<TAB>", ";": ";", ",": ",", " ": " "}  # in the order of trust: the first that a line holds
# What the column of scores is called where there are more than three: SimLex-999, WordSim-353 and the common names.
SCORE_NAMES = {"simlex999", "human (mean)", "human mean", "mean", "score", "similarity", "rating"}
SIMVERB_COLUMNS = 5  # word, word, part of speech, score, relation
RARE_WORDS_COLUMNS = 13  # word, word, mean, ten ratings


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are laid out; the first two columns are the words.

    Attributes:
        separator: a character between the columns; several spaces count as one.
        columns: in each line.
        score: column of the score, from 0.
        header: the first line names the columns.
    """

    separator: str
    columns: int
    score: int
    header: bool

    @property
    def expected(self) -> str:
        """What a line should be, for a message."""
        if self.columns == 3:
            return SEPARATORS[self.separator].join(["word", "word", "score"])
        return f"{self.columns} columns as in the first line, word and word first"

    def split(self, line: str, where: str) -> list[str]:
        """Return the columns of a line, without the spaces around them.

        Raises:
            X2StaticError: a quotation mark does not end.
        """
        return _split(line, self.separator, where)


def find_layout(line: str, where: str) -> Layout:
    """Return the layout that the first line of a file tells.

    Of three columns the third is the score, and a first line that has a name without a digit there, or a known name of
    scores, is a header. Further columns are
    accepted where a header says which is the score, or where they are as published.

    Args:
        line: it.
        where: its file and number, for a message.

    Raises:
        X2StaticError: it has fewer than three columns, or more and none is known to be the score.
    """
    separator = next((separator for separator in SEPARATORS if separator in line.strip()), "\t")
    columns = _split(line, separator, where)
    if len(columns) == 3:
        return Layout(separator, 3, 2, header=_is_name(columns[2]))
    score = _named_score(columns)
    header = score is not None
    if score is None:
        score = _published_score(columns)
    if score is None:
        raise X2StaticError(
            f"{where}: expected word<TAB>word<TAB>score, or more columns with a header that names the score; "
            f"got {len(columns)} columns: {line.strip()!r}"
        )
    return Layout(separator, len(columns), score, header)


def _split(line: str, separator: str, where: str) -> list[str]:
    if separator in "\t ":
        columns = line.strip("\r\n").split(separator)
        return [column.strip() for column in columns if separator == "\t" or column.strip()]
    try:
        (columns,) = csv.reader([line.strip()], delimiter=separator, strict=True)
    except csv.Error as error:
        raise X2StaticError(f"{where}: {error}: {line.strip()!r}") from error
    return [column.strip() for column in columns]


def _named_score(columns: list[str]) -> int | None:
    """Return the one column that a header calls a score; the first two are the words."""
    named = [column for column, name in enumerate(columns) if name.casefold() in SCORE_NAMES and column >= 2]
    return named[0] if len(named) == 1 else None


def _published_score(columns: list[str]) -> int | None:
    """Return the column of the score where a line without header is like one of a known publication."""
    if len(columns) == SIMVERB_COLUMNS and len(columns[2]) == 1 and columns[2].isupper() and _is_number(columns[3]):
        return 3
    if len(columns) == RARE_WORDS_COLUMNS and all(map(_is_number, columns[2:])):
        return 2
    return None


def _is_name(score: str) -> bool:
    if score.casefold() in SCORE_NAMES:
        return True
    # With a digit it is rather a mistyped score (7,5), which would be lost without a word.
    return bool(score) and not _is_number(score) and not any(map(str.isdigit, score))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
