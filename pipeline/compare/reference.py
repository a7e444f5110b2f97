"""The paper's tables: their columns, by the names that data sets go by, and its own figures where the user has them."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from x2static.durable.errors import X2StaticError

SIMILARITY, CLASSIFICATION = "word_similarity.csv", "classification.csv"
# Table 3: the paper's name of a data set, the column of its figures, and the names of its file.
PAIRS = {
    "RG-65": ("rg65", {"rg65", "rg-65"}),
    "WS-353": ("ws353", {"ws353", "wordsim353", "ws-353"}),
    "SL-999": ("sl999", {"simlex999", "sl999", "simlex-999"}),
    "SV-3500": ("sv3500", {"simverb3500", "sv3500", "simverb-3500"}),
    "RW-2034": ("rw2034", {"rw2034", "rw", "rareword"}),
}
# Table 4: the name of a task without what is no letter or digit, and the paper's name.
TASKS = {"cr": "CR", "mr": "MR", "mpqa": "MPQA", "subj": "SUBJ", "trec": "TREC", "sst5": "SST-5"}


def heads_of(data_sets: Iterable[str]) -> dict[str, str]:
    """Return the heads of data sets of word pairs: the paper's own first, by its names and in its order."""
    names = list(dict.fromkeys(data_sets))
    heads = {name: head for head, (_, files) in PAIRS.items() for name in names if name.lower() in files}
    return heads | {name: name for name in names if name not in heads}


def averaged(data_sets: Sequence[str]) -> list[str]:
    """Return the data sets that the average is over: the paper's, if any is there; else all."""
    return [name for name, head in heads_of(data_sets).items() if head in PAIRS] or list(data_sets)


@dataclass(frozen=True)
class Published:
    """A row of one of the paper's tables: what it is of, and its figures by the names of the columns."""

    label: str
    figures: dict[str, float]


def read_tables(folder: Path | None) -> dict[str, list[Published]]:
    """Return the rows of both tables, by their files' names. Raises X2StaticError: the folder has neither file."""
    if folder is None:
        return {}
    files = [folder / name for name in (SIMILARITY, CLASSIFICATION) if (folder / name).is_file()]
    if not files:
        raise X2StaticError(f"{folder}: no {SIMILARITY} and no {CLASSIFICATION} here; --reference takes their folder")
    return {file.name: read_published(file) for file in files}


def read_published(file: Path) -> list[Published]:
    """Return the rows of a CSV file; what is no `method`, `parent` or `dim` is a figure. Raises X2StaticError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise X2StaticError(f"{file}: not valid UTF-8; save the file as UTF-8") from error
    reader = csv.DictReader(text.splitlines())
    if not {"method", "parent", "dim"} <= set(reader.fieldnames or ()):
        raise X2StaticError(f"{file}: expected the columns method, parent, dim and figures in its first line")
    published = []
    for number, row in enumerate(reader, start=2):
        if None in row or None in row.values():
            raise X2StaticError(f"{file}, line {number}: not as many columns as the first line has")
        parts = [row.pop(name).strip() for name in ("method", "parent", "dim")]
        try:
            figures = {name: float(value) for name, value in row.items() if value.strip()}
        except ValueError as error:
            raise X2StaticError(f"{file}, line {number}: a figure is no number ({error})") from error
        if not all(map(math.isfinite, figures.values())):
            raise X2StaticError(f"{file}, line {number}: a figure is not finite")
        published.append(Published(", ".join(part for part in parts if part), figures))
    return published
