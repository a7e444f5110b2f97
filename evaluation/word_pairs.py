"""Word pairs with how similar people find them, in whatever layout they are published.

The published files differ: MEN has spaces, RG-65 semicolons, MTurk-771 commas, most have tabs; WordSim-353, SimLex-999
and others have a header; SimLex-999, SimVerb-3500, the Rare Words and WordSim-353 with its raters have more columns.
"""

import csv
import logging
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import WORD_PAIRS, Pair, find_files, finite_score, number_in, numbered_lines

SEPARATORS = {"\t": "<TAB>", ";": ";", ",": ",", " ": " "}  # in the order of trust: the first that a line holds
# What the column of scores is called where there are more than three: SimLex-999, WordSim-353 and the common names.
SCORE_NAMES = {"simlex999", "human (mean)", "human mean", "mean", "score", "similarity", "rating"}
WORD_NAMES = {
    f"{name}{space}{n}" for name in ("word", "w", "term", "target", "item") for space in ("", " ") for n in "12"
}
WORD_NAMES |= {"first word", "second word", "word a", "word b", "first", "second"}
INDEX_NAMES = {
    "",
    "index",
    "id",
    "idx",
    "no",
    "no.",
    "nr",
    "nr.",
    "#",
    "number",
    "unnamed: 0",
    "row",
    "pair",
    "pair id",
}
NO_SCORE = {"na", "n/a", "nan", "null", "nil", "none", "missing", "unknown", "inf", "--", "..", "??"}
NO_PAIRS = "no word pairs in it; expected lines of word<TAB>word<TAB>score"
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
    if not lines:
        raise X2StaticError(f"{path}: {NO_PAIRS}")
    separator, n_columns, (first, second, score), header = _layout(*lines[0])
    pairs = []
    for where, line in lines[header:]:
        columns = _split(where, line, separator)
        if len(columns) != n_columns or not columns[first] or not columns[second]:
            expected = f"{n_columns} columns as in the first line, with a word in columns {first + 1} and {second + 1}"
            if (n_columns, first, second) == (3, 0, 1):
                expected = SEPARATORS[separator].join(["word", "word", "score"])
            raise X2StaticError(f"{where}: expected {expected}, got {len(columns)} columns: {line.strip()!r}")
        pairs.append(Pair(columns[first], columns[second], finite_score(columns[score], where)))
    if not pairs:
        raise X2StaticError(f"{path}: {NO_PAIRS}")
    for place, words in ((first, [pair.first for pair in pairs]), (second, [pair.second for pair in pairs])):
        if all(number_in(word) is not None for word in words):
            why = f"column {place + 1} holds nothing but numbers, such as {words[0]!r}, where words are expected"
            raise X2StaticError(f"{path}: {why}; leave it out, or name the columns word1, word2 and score in a header")
    return pairs


def _layout(where: str, line: str) -> tuple[str, int, tuple[int, int, int], bool]:
    """Return the separator (several spaces are one), how many columns, which are the words and the score, if a header.

    A header may say which columns are the words, and must say which is the score where there are more than three; the
    words are else the first two, those of a pandas index left out. Of three columns without known names the third is
    the score, and a first line with a name there is a header. Without a header, further columns are accepted where
    they are as published.
    """
    separator = next((separator for separator in SEPARATORS if separator in line.strip()), "\t")
    columns = _split(where, line, separator)
    names = [" ".join(column.casefold().replace("_", " ").split()) for column in columns]
    n_columns, last = len(columns), columns[-1]
    scores = [place for place, name in enumerate(names) if name in SCORE_NAMES]
    words = [place for place, name in enumerate(names) if name in WORD_NAMES]
    others = [place for place in range(n_columns) if place not in scores and names[place] not in INDEX_NAMES]
    if not scores and len(words) == 2:  # what is left is the score, unless the line is a pair
        scores = [
            place for place in others if place not in words and columns[place] and number_in(columns[place]) is None
        ]
    elif len(scores) == 1 and n_columns > 3 and len(words) != 2:
        words = others[:2]
    if len(scores) == 1 and len(words) == 2:
        return separator, n_columns, (words[0], words[1], scores[0]), True
    if n_columns == 3:
        # A name with a digit is rather a mistyped score (7,5), and NA one that is lacking: they would be lost unheard.
        a_name = len(last) > 1 and last.casefold() not in NO_SCORE and number_in(last) is None
        a_name = a_name and not any(map(str.isdigit, last))
        if a_name and 2 not in scores:
            taken = f"{line.strip()!r} is taken for a header, since {last!r} is no score"
            logging.getLogger(__name__).warning("%s: %s", where, taken)
        return separator, 3, (0, 1, 2), 2 in scores or a_name
    numbers = [place for place, text in enumerate(columns) if place >= 2 and number_in(text) is not None]
    if n_columns == SIMVERB_COLUMNS and len(columns[2]) == 1 and columns[2].isupper() and numbers == [3]:
        return separator, n_columns, (0, 1, 3), False
    if n_columns == RARE_WORDS_COLUMNS and len(numbers) == RARE_WORDS_COLUMNS - 2:
        return separator, n_columns, (0, 1, 2), False
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
