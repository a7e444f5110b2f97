"""Files of evaluation data, found and read by line; nothing heavy is imported, since `evaluate --help` reads this."""

import math
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import special_kind
from x2static.machine.packages import install_extra, pip_install


class DataFiles(NamedTuple):
    """The files that a task reads."""

    folder: str  # where they are in a folder of data; where that has no such folder, they are in itself
    patterns: tuple[str, ...]  # what they are called, as for `Path.glob`
    expected: str  # what --data takes
    sources: str = "`x2static data fetch` gets some"  # where else they come from
    gensim: tuple[str, ...] = ()  # those that gensim ships with its tests


class Pair(NamedTuple):
    """Two words, or two sentences, and how similar people find them, on whatever scale the data set has."""

    first: str
    second: str
    score: float


GENSIM = f"gensim ships some (`{install_extra('evaluate')}`), `x2static data fetch` gets more"
PARTS = ALL, TRAIN, VALIDATION, TEST = "all.tsv", "train.tsv", "dev.tsv", "test.tsv"  # of a classification task

WORD_PAIRS = DataFiles(
    "wordsim",
    ("*.tsv", "*.csv", "*.txt"),
    "a file of word pairs (lines of word<TAB>word<TAB>score), or a folder of them",
    GENSIM,
    ("wordsim353.tsv", "simlex999.txt"),
)
SENTENCE_PAIRS = DataFiles(
    "sentence-similarity",
    ("*.tsv", "*.csv", "*.txt"),
    "a file of sentence<TAB>sentence<TAB>score, or of the STS benchmark (sts-test.csv), or a folder of them",
)
QUESTIONS = DataFiles(
    "analogy",
    ("*.txt",),
    "a file of analogy questions (sections `: name`, lines of four words), or a folder of them",
    GENSIM,
    ("questions-words.txt",),  # Mikolov et al. 2013
)
WORD_LISTS = DataFiles(
    "bias",
    ("*.json", "*.toml"),
    "WEFE's WEAT.json, or a .json or .toml file of tests (names with four lists, targets X and Y, attributes A and B), "
    "or a folder of them",
    f"`x2static data fetch weat` gets the published lists, `{pip_install('--no-deps', 'wefe>=1.0')}` has them too",
)
RETRIEVAL = DataFiles(
    "retrieval",
    ("corpus.jsonl", "*/corpus.jsonl"),
    "a folder in BEIR's layout (corpus.jsonl, queries.jsonl, qrels/test.tsv), or a folder of such folders",
    "BEIR has some (https://github.com/beir-cellar/beir)",
)
MISSPELLINGS = DataFiles(
    "misspellings", ("*.tsv",), "a file of misspellings (lines of misspelling<TAB>word), or a folder of them"
)
DICTIONARIES = DataFiles(
    "translation",
    ("*-*.txt",),
    "a dictionary called en-de.txt (lines of two words, parted by a space or tab), or a folder of them",
    "MUSE has some (https://github.com/facebookresearch/MUSE)",
)
CLASSIFICATION = DataFiles(
    "classification",
    tuple(f"*/{name}" for name in PARTS),
    f"a folder of a folder a task: {ALL}, or {TRAIN}, {TEST} and perhaps {VALIDATION} (lines of label<TAB>text)",
)


def find_files(kind: DataFiles, data: Path | None) -> list[Path]:
    """Return the files of a task, by name: a file, those in a folder, or without either those that gensim ships."""
    if data is None:
        if shipped := shipped_files(kind):
            return shipped
        raise X2StaticError(f"no data is here: {kind.sources}; or give --data {kind.expected}")
    if data.is_file():
        return [data]
    inner = data / kind.folder if (data / kind.folder).is_dir() else data
    files = [path for pattern in kind.patterns for path in inner.glob(pattern)]
    if not files:
        lacking = f"no {' or '.join(kind.patterns)} here" if data.is_dir() else "no such file or folder"
        raise X2StaticError(f"{inner}: {lacking}; --data takes {kind.expected}")
    for path in files:
        if special := special_kind(path):
            raise X2StaticError(f"{path}: is {special}; take it out of the folder, or give --data a file")
    files.sort(key=lambda path: path.with_suffix(""))
    for one, other in pairwise(files):
        if one.with_suffix("") == other.with_suffix(""):
            raise X2StaticError(f"{one} and {other}: two data sets of one name; rename one")
    return files


def package_file(package: str, inside: str) -> Path | None:
    """Return a file that an installed package ships, without importing the package; None where there is none."""
    spec = find_spec(package)  # only finds: importing gensim takes seconds
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () if (path := Path(folder, inside)).is_file()), None)


def shipped_files(kind: DataFiles) -> list[Path]:
    """Return the files of a task that gensim ships; none where it ships none, is not installed, or not whole."""
    files = [package_file("gensim", f"test/test_data/{name}") for name in kind.gensim]
    return [file for file in files if file] if all(files) else []


def number_in(text: str) -> float | None:
    """Return the number that a text is, None for any other text."""
    try:
        return float(text)
    except ValueError:
        return None


def finite_score(text: str, where: str) -> float:
    """Return a score that people gave. Raises X2StaticError: it is no finite number."""
    score = number_in(text)
    if score is None or not math.isfinite(score):
        raise X2StaticError(f"{where}: the score {text!r} is no finite number; mend or remove the line")
    return score


def numbered_lines(path: Path) -> list[tuple[str, str]]:
    """Return the lines of a UTF-8 file that are not blank, each after where it stands, for messages."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise X2StaticError(f"{path}, line {line}: not valid UTF-8; save the file as UTF-8") from error
    # splitlines() would also split at separators that belong to a text, such as U+2028.
    lines = enumerate(text.split("\n"), start=1)
    return [(f"{path}, line {number}", line.rstrip("\r")) for number, line in lines if line.strip()]
