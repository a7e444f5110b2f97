"""Word pairs with how similar people find them, in whatever layout they are published.

The published files differ: MEN has spaces, RG-65 semicolons, MTurk-771 commas, most have tabs; WordSim-353, SimLex-999
and others have a header; SimLex-999, SimVerb-3500, the Rare Words and WordSim-353 with its raters have more columns.
"""

import csv
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import WORD_PAIRS, Pair, find_files, finite_score, number_in, numbered_lines

SEPARATORS = {"\t": "<TAB>", ";": ";", ",": ",", " ": " "}  # in the order of trust: the first that a line holds
# What the column of scores is called where there are more than three: SimLex-999, WordSim-353 and the common names.
SCORE_NAMES = {"simlex999", "human (mean)", "human mean", "mean", "score", "similarity", "rating"}
SIMVERB_COLUMNS = 5  # word, word, part of speech, score, relation
RARE_WORDS_COLUMNS = 13  # word, word, mean, ten ratings


def find_word_pairs(data: Path | None) -> list[Path]:
    """Return the files of word pairs, see `find_files`; gensim ships WordSim-353 and SimLex-999."""
    inner = data is not None and (data / WORD_PAIRS.folder).is_dir()  # there a .txt is a note
    return find_files(WORD_PAIRS._replace(patterns=("*.tsv", "*.csv")) if inner else WORD_PAIRS, data)


def read_word_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a file, in order; blank lines and lines that begin with `#` are no pairs.

    The first line says how the file is laid out; every other line must be like it.
    """
    lines = [(where, line) for where, line in numbered_lines(path) if line[0] != "#"]
    separator, n_columns, place, header = _layout(*lines[0]) if lines else ("", 0, 0, False)
    pairs = []
    for where, line in lines[header:]:
        columns = _split(where, line, separator)
        if len(columns) != n_columns or not columns[0] or not columns[1]:
            expected = f"{n_columns} columns as in the first line, word and word first"
            if n_columns == 3:
                expected = SEPARATORS[separator].join(["word", "word", "score"])
            raise X2StaticError(f"{where}: expected {expected}, got {len(columns)} columns: {line.strip()!r}")
        pairs.append(Pair(columns[0], columns[1], finite_score(columns[place], where)))
    if not pairs:
        raise X2StaticError(f"{path}: no word pairs in it; expected lines of word<TAB>word<TAB>score")
    return pairs


def _layout(where: str, line: str) -> tuple[str, int, int, bool]:
    """Return the separator (several spaces are one), how many columns, which is the score, whether it is a header.

    The first two columns are the words. Of three columns the third is the score, and a first line that has a name
    without a digit there, or a known name of scores, is a header. Further columns are accepted where a header says
    which one is the score, or where they are as published.
    """
    separator = next((separator for separator in SEPARATORS if separator in line.strip()), "\t")
    columns = _split(where, line, separator)
    n_columns, last = len(columns), columns[-1]
    named = [place for place, name in enumerate(columns) if place >= 2 and name.casefold() in SCORE_NAMES]
    if n_columns == 3:
        # A name with a digit is rather a mistyped score (7,5), which would be lost without a word.
        a_name = bool(last) and number_in(last) is None and not any(map(str.isdigit, last))
        return separator, 3, 2, bool(named) or a_name
    if len(named) == 1:
        return separator, n_columns, named[0], True
    numbers = [place for place, text in enumerate(columns) if place >= 2 and number_in(text) is not None]
    if n_columns == SIMVERB_COLUMNS and len(columns[2]) == 1 and columns[2].isupper() and numbers == [3]:
        return separator, n_columns, 3, False
    if n_columns == RARE_WORDS_COLUMNS and len(numbers) == RARE_WORDS_COLUMNS - 2:
        return separator, n_columns, 2, False
    expected = "word<TAB>word<TAB>score, or more columns with a header that names the score"
    raise X2StaticError(f"{where}: expected {expected}; got {n_columns} columns: {line.strip()!r}")


def _split(where: str, line: str, separator: str) -> list[str]:
    if separator in "\t ":
        columns = line.strip("\r\n").split(separator)
        return [column.strip() for column in columns if separator == "\t" or column.strip()]
    try:
        (columns,) = csv.reader([line.strip()], delimiter=separator, strict=True)
    except csv.Error as error:
        raise X2StaticError(f"{where}: {error}: {line.strip()!r}") from error
    return [column.strip() for column in columns]
