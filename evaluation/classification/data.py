"""Classification data: folders of files of `label<TAB>tokenised text`; found, read, and split into three parts."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import ALL, CLASSIFICATION, PARTS, TEST, TRAIN, VALIDATION, find_files, numbered_lines
from x2static.evaluation.measures import MIN_PAIRS

MIN_OF_CLASS = 5  # test texts of a class; of fewer, one text moves its recall by more than a fifth

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Texts with their labels, as they stand in a file; a text may be empty (CR and MPQA have some)."""

    labels: list[int]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)


class ClassificationTask(NamedTuple):
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

    @property
    def too_few(self) -> bool:
        """Whether the test part has too few texts, of all classes or of one, for shares of right ones to say much."""
        n_texts = Counter(self.test.labels)
        return n_texts.total() < MIN_PAIRS or min(n_texts[label] for label in self.classes) < MIN_OF_CLASS


def read_tasks(data: Path | None, seed: int, tasks: Sequence[str] | None = None) -> list[ClassificationTask]:
    """Return the tasks of a folder, see `find_tasks`, by name or in the order of the names that are wanted.

    What comes in one file is split by the seed, 60 % to train, 20 % to choose by and 20 % to test; a fifth of the
    training part is taken where a validation part is missing. Every class is split alike.
    """
    folders = find_tasks(data)
    if tasks is None:
        tasks = list(folders)
        # A task whose files are misnamed would be missed without a word.
        home = next(iter(folders.values())).parent
        inside = sorted(path.name for path in home.iterdir() if path.is_dir() and not path.name.startswith("."))
        if others := [name for name in inside if name not in folders]:
            found = home, ", ".join(others), ", ".join(PARTS)
            logger.warning("%s: no classification task in %s, which has none of %s", *found)
    if unknown := [name for name in tasks if name not in folders]:
        raise X2StaticError(f"{data}: no classification task {', '.join(unknown)}; there are {', '.join(folders)}")
    return [_read_task(folders[name], seed) for name in tasks]


def find_tasks(data: Path | None) -> dict[str, Path]:
    """Return the folder of each task by the task's name, see `find_files`."""
    if data is not None and not data.is_dir():  # a task is a folder
        raise X2StaticError(f"{data}: no such folder; --data takes {CLASSIFICATION.expected}")
    return {file.parent.name: file.parent for file in find_files(CLASSIFICATION, data)}


def _read_task(folder: Path, seed: int) -> ClassificationTask:
    random = np.random.default_rng(seed)
    files = {name: folder / name for name in PARTS if (folder / name).is_file()}
    if ALL in files:
        if others := [name for name in files if name != ALL]:
            raise X2StaticError(f"{folder}: both {ALL} and {', '.join(others)}; remove one or the other")
        rest, test = _take_share(_read(files[ALL]), 5, random)
        train, validation = _take_share(rest, 4, random)
    else:
        if missing := [name for name in (TRAIN, TEST) if name not in files]:
            raise X2StaticError(f"{folder}: {' and '.join(missing)} missing; --data takes {CLASSIFICATION.expected}")
        train, test = _read(files[TRAIN]), _read(files[TEST])
        train, validation = (train, _read(files[VALIDATION])) if VALIDATION in files else _take_share(train, 5, random)
    task = ClassificationTask(folder.name, train, validation, test)
    classes = ", ".join(map(str, task.classes))
    if len(task.classes) < 2:
        raise X2StaticError(f"{folder}: all {len(train)} training texts have the label {classes}")
    for name, part in zip(("training", "validation", "test"), task.parts, strict=True):
        if not part:
            total = sum(map(len, task.parts))
            raise X2StaticError(f"{folder}: no text for the {name} part; {total} texts are too few, a class needs five")
        if unknown := sorted(set(part.labels) - set(task.classes)):
            labels = f"{', '.join(map(str, unknown))}, which no training text has; those have {classes}"
            raise X2StaticError(f"{folder}: the {name} part has the label {labels}")
    return task


def _take_share(part: Part, of: int, random: np.random.Generator) -> tuple[Part, Part]:
    """Split off one text in `of` of every class, rounded down; the remainder comes first."""
    share = np.zeros(len(part), np.bool_)
    labels = np.array(part.labels)
    for label in sorted(set(part.labels)):
        rows = random.permutation(np.flatnonzero(labels == label))
        share[rows[: len(rows) // of]] = True
    both = ~share, share
    rest, taken = (Part(list(compress(part.labels, rows)), list(compress(part.texts, rows))) for rows in both)
    return rest, taken


def _read(file: Path) -> Part:
    part = Part([], [])
    for where, line in numbered_lines(file):
        columns = line.split("\t")
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
