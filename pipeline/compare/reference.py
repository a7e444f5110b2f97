"""The paper's own figures, read where the user has them."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from x2static.durable.errors import X2StaticError

SIMILARITY, CLASSIFICATION = "word_similarity.csv", "classification.csv"


@dataclass(frozen=True)
class Published:
    """A row of one of the paper's tables: what it is of, and its figures by the names of the columns."""

    label: str
    figures: dict[str, float]


def read_tables(folder: Path | None) -> dict[str, list[Published]]:
    """Return the rows of both of the paper's tables, by the names of their files; none where there is no folder.

    Raises:
        X2StaticError: neither file is there, or one is not of its form.
    """
    if folder is None:
        return {}
    there = [name for name in (SIMILARITY, CLASSIFICATION) if (folder / name).is_file()]
    if not there:
        raise X2StaticError(f"{folder}: no {SIMILARITY} and no {CLASSIFICATION} here; --reference takes their folder")
    return {name: read_published(folder / name) for name in there}


def read_published(file: Path) -> list[Published]:
    """Return the rows of a file of the paper's figures.

    Args:
        file: CSV with a head; `method`, `parent` and `dim` say what a row is of, all other columns are figures.

    Raises:
        X2StaticError: it is missing, no UTF-8, or not of that form.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise X2StaticError(f"{file}: not valid UTF-8; save the file as UTF-8") from error
    reader = csv.DictReader(text.splitlines())
    if not {"method", "parent", "dim"} <= set(reader.fieldnames or ()):
        raise X2StaticError(f"{file}: expected the columns method, parent, dim and figures in its first line")
    return [_row(row, f"{file}, line {number}") for number, row in enumerate(reader, start=2)]


def _row(row: dict[str, str], where: str) -> Published:
    if None in row or None in row.values():
        raise X2StaticError(f"{where}: not as many columns as the first line has")
    parts = [row.pop(name).strip() for name in ("method", "parent", "dim")]
    try:
        figures = {name: float(value) for name, value in row.items() if value.strip()}
    except ValueError as error:
        raise X2StaticError(f"{where}: a figure is no number ({error})") from error
    if not all(map(math.isfinite, figures.values())):
        raise X2StaticError(f"{where}: a figure is not finite")
    return Published(", ".join(part for part in parts if part), figures)
