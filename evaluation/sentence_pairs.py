"""Sentence pairs with how similar people find them: plain tab-separated files, and the STS benchmark's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.evaluation.task_files import find_files, finite_score, numbered_lines

EXPECTED = "a file of sentence<TAB>sentence<TAB>score, or of the STS benchmark (sts-test.csv)"


class SentencePair(NamedTuple):
    """Two sentences and how similar people find them, on whatever scale the data set has."""

    first: str
    second: str
    score: float


@dataclass(frozen=True)
class _Form:
    """Which columns are what, in lines of so many columns."""

    columns: range
    first: int
    second: int
    score: int


PLAIN = _Form(range(3, 4), 0, 1, 2)
# genre, file, year, id, score, sentence, sentence; some lines end with where the sentences come from.
STS_BENCHMARK = _Form(range(7, 10), 5, 6, 4)


def find_sentence_pairs(data: Path | None) -> list[Path]:
    """Return the files of sentence pairs.

    Args:
        data: a file; or a folder whose `sentence-similarity/*.tsv`, `*.csv` and `*.txt` are the files or, where it has
            no such folder, its own.

    Raises:
        X2StaticError: there are none, or no data is given: no library ships sentence pairs.
    """
    if data is None:
        raise X2StaticError(
            f"no library ships sentence pairs; get some with `x2static data fetch`, or give {EXPECTED} with --data"
        )
    return find_files(data, "sentence-similarity", ("*.tsv", "*.csv", "*.txt"), EXPECTED)


def read_sentence_pairs(path: Path) -> list[SentencePair]:
    """Return the pairs of a data set, in order; its first line tells which form all lines have.

    A line that begins with `#` is a pair like others: sentences do.

    Raises:
        X2StaticError: the file is no UTF-8, holds no pair, or a line is not two sentences and a finite number.
    """
    lines = [(f"{path}, line {number}", line.split("\t")) for number, line in numbered_lines(path)]
    if not lines:
        raise X2StaticError(f"{path}: no sentence pairs in it; expected {EXPECTED}")
    n_columns = len(lines[0][1])
    form = next((form for form in (PLAIN, STS_BENCHMARK) if n_columns in form.columns), PLAIN)
    return [_parse(columns, form, where) for where, columns in lines]


def _parse(columns: list[str], form: _Form, where: str) -> SentencePair:
    if len(columns) not in form.columns:
        wanted = "3 columns" if form is PLAIN else "7 to 9 columns, as in the first line"
        raise X2StaticError(f"{where}: expected {wanted}, got {len(columns)}; --data takes {EXPECTED}")
    first, second, number = (columns[place].strip() for place in (form.first, form.second, form.score))
    score = finite_score(number, where, "remove a header line")
    if not first or not second:
        raise X2StaticError(f"{where}: a sentence is empty; mend or remove the line")
    return SentencePair(first, second, score)
