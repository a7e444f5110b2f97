"""Classification data: folders of files of `label<TAB>tokenised text`; found, read, and split into three parts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import numbered_lines

logger = logging.getLogger(__name__)

FILES = ALL, TRAIN, VALIDATION, TEST = "all.tsv", "train.tsv", "dev.tsv", "test.tsv"
FORM = f"a folder a task with {ALL}, or {TRAIN}, {TEST} and perhaps {VALIDATION}, lines of label<TAB>tokenised text"


@dataclass(frozen=True)
class Part:
    """Texts with their labels, as they stand in a file; a text may be empty (CR and MPQA have some)."""

    labels: list[int]
    texts: list[str]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)

    def take(self, rows: list[int]) -> "Part":
        """Return some of the texts."""
        return Part([self.labels[row] for row in rows], [self.texts[row] for row in rows])


@dataclass(frozen=True)
class ClassificationTask:
    """A data set in three parts, none of them empty; every label occurs in the first."""

    name: str
    train: Part
    validation: Part
    test: Part

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """All three."""
        return self.train, self.validation, self.test

    @property
    def classes(self) -> list[int]:
        """The labels, ascending."""
        return sorted(set(self.train.labels))


def read_tasks(data: Path | None, seed: int, tasks: Sequence[str] | None = None) -> list[ClassificationTask]:
    """Return the tasks, by name or in the order asked for.

    Args:
        data: a folder that has a folder `classification` of tasks in it, or is itself a folder of tasks.
        seed: of the split of what comes in one file, 60 % to train, 20 % to choose by and 20 % to test, and of the
            fifth of the training part that is taken where a validation part is missing. Every class is split alike.
        tasks: names; None for all.

    Raises:
        X2StaticError: the data is not there or not of this form, a label is unknown, or all labels are equal.
    """
    folders = find_tasks(data)
    if tasks is None:
        tasks = sorted(folders)
        # A task whose files are misnamed would be missed without a word.
        (home,) = {folder.parent for folder in folders.values()}
        inside = sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith("."))
        if others := [name for name in inside if name not in folders]:
            names = ", ".join(FILES)
            logger.warning("%s: no classification task in %s, which has none of %s", home, ", ".join(others), names)
    if unknown := [name for name in tasks if name not in folders]:
        raise X2StaticError(f"{data}: no classification task {', '.join(unknown)}; there are {', '.join(folders)}")
    return [_read_task(folders[name], seed) for name in tasks]


def find_tasks(data: Path | None) -> dict[str, Path]:
    """Return the folder of each task by the task's name, see `read_tasks`. Raises X2StaticError: there are none."""
    if data is None:
        raise X2StaticError(
            "no classification data comes with x2static; fetch some with `x2static data fetch`, or give --data a "
            f"folder that has {FORM}"
        )
    if not data.is_dir():
        raise X2StaticError(f"{data}: no such folder; classification takes --data with {FORM}")
    inner = data / "classification"
    inside = sorted((inner if inner.is_dir() else data).iterdir())
    folders = {folder.name: folder for folder in inside if any((folder / name).is_file() for name in FILES)}
    if not folders:
        raise X2StaticError(f"{data}: no classification data here; expected {FORM}")
    return folders


def _read_task(folder: Path, seed: int) -> ClassificationTask:
    random = np.random.default_rng(seed)
    train, validation, test = (folder / name for name in (TRAIN, VALIDATION, TEST))
    if (folder / ALL).is_file():
        if other := [file.name for file in (train, validation, test) if file.is_file()]:
            raise X2StaticError(f"{folder}: both {ALL} and {', '.join(other)}; remove one or the other")
        rest, last = _take_share(_read(folder / ALL), 5, random)
        task = ClassificationTask(folder.name, *_take_share(rest, 4, random), last)
    else:
        if missing := [file.name for file in (train, test) if not file.is_file()]:
            raise X2StaticError(f"{folder}: {' and '.join(missing)} missing; a task is {FORM}")
        part = _read(train)
        two = (part, _read(validation)) if validation.is_file() else _take_share(part, 5, random)
        task = ClassificationTask(folder.name, *two, _read(test))
    if len(task.classes) < 2:
        raise X2StaticError(f"{folder}: all {len(task.train)} training texts have the label {task.classes[0]}")
    for name, part in zip(("training", "validation", "test"), task.parts, strict=True):
        if not part:
            total = sum(map(len, task.parts))
            raise X2StaticError(
                f"{folder}: no text for the {name} part; {total} texts are too few, a class needs five to be split"
            )
        if unknown := sorted(set(part.labels) - set(task.classes)):
            raise X2StaticError(
                f"{folder}: the {name} part has the label {', '.join(map(str, unknown))}, which no training text has; "
                f"those have {', '.join(map(str, task.classes))}"
            )
    return task


def _take_share(part: Part, of: int, random: np.random.Generator) -> tuple[Part, Part]:
    """Split off one text in `of` of every class, rounded down; the remainder comes first."""
    taken: set[int] = set()
    labels = np.array(part.labels)
    for label in sorted(set(part.labels)):
        rows = random.permutation(np.flatnonzero(labels == label))
        taken.update(rows[: len(rows) // of].tolist())
    rest = [row for row in range(len(part)) if row not in taken]
    return part.take(rest), part.take(sorted(taken))


def _read(file: Path) -> Part:
    part = Part([], [])
    for number, line in numbered_lines(file):
        where, columns = f"{file}, line {number}", line.split("\t")
        if len(columns) != 2:
            raise X2StaticError(f"{where}: expected label<TAB>text, got {len(columns)} columns: {line[:80]!r}")
        try:
            part.labels.append(int(columns[0]))
        except ValueError:
            raise X2StaticError(f"{where}: the label {columns[0][:80]!r} is no integer; number the classes") from None
        part.texts.append(columns[1])
    if not part:
        raise X2StaticError(f"{file}: no texts in it; expected lines of label<TAB>tokenised text")
    return part
