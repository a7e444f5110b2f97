"""From the forms in which data sets are published to those that the evaluation reads: bytes to bytes, UTF-8.

Each function is a form; what has another form is refused with X2StaticError.
"""

import csv
import io
import json
from collections.abc import Callable

from x2static.durable.errors import X2StaticError


def word_pairs(raw: bytes) -> bytes:
    """Return lines of word<TAB>word<TAB>score: the published ones, whatever ends their lines."""
    return _table([[column.strip() for column in line.split("\t")] for line in _lines(raw)])


def labelled_utf8(raw: bytes) -> bytes:
    """Return lines of label<TAB>text from lines of label, space, text; in CR and MPQA a few texts are empty."""
    lines = []
    for line in _lines(raw):
        label, *words = line.split()
        if not label.isdecimal():
            raise X2StaticError(f"expected a number and a text, got {line!r}")
        lines.append(f"{label}\t{' '.join(words)}")
    return _text(lines)


def labelled_latin1(raw: bytes) -> bytes:
    """Do as `labelled_utf8` for text in latin-1.

    53 lines of MR and 43 of SUBJ hold bytes of Windows-1252 (dashes, dots, quotes). Read as latin-1 these are control
    characters, of which the dots (0x85) count as a space: so the common copies of these sets have them.
    """
    return labelled_utf8(raw.decode("latin-1").encode())


def questions(raw: bytes) -> bytes:
    """Return lines of four words, below headings `: section`: the published ones, whatever ends their lines."""
    lines = [line.strip() for line in _lines(raw)]
    for line in lines:
        if not line.startswith(":") and len(line.split()) != 4:
            raise X2StaticError(f"expected four words or `: section`, got {line!r}")
    return _text(lines)


def sentence_pairs(raw: bytes) -> bytes:
    """Return lines of sentence<TAB>sentence<TAB>score from comma-separated values in that order."""
    rows = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
    return _table([[" ".join(column.split()) for column in row] for row in rows if row])


def named_lists(raw: bytes) -> bytes:
    """Return a JSON object of lists of words as it is."""
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise X2StaticError(f"expected JSON: {error}") from error
    lists = content.values() if isinstance(content, dict) else ()
    if not lists or not all(isinstance(words, list) and words for words in lists):
        raise X2StaticError("expected a JSON object of lists of words")
    return raw


def _lines(raw: bytes) -> list[str]:
    return [line for line in raw.decode("utf-8-sig").split("\n") if line.strip()]


def _table(rows: list[list[str]]) -> bytes:
    for row in rows:
        if len(row) != 3 or not all(row):
            raise X2StaticError(f"expected 3 columns, got {row!r}")
    return _text(["\t".join(row) for row in rows])


def _text(lines: list[str]) -> bytes:
    if not lines:
        raise X2StaticError("there is nothing in it")
    return ("\n".join(lines) + "\n").encode()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    form.__name__: form for form in (word_pairs, labelled_utf8, labelled_latin1, questions, sentence_pairs, named_lists)
}
