"""The vectors of a comparison: made where they are missing, and read again, whole or the rows that are asked for."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Report
from x2static.pipeline.compare.plan import Step
from x2static.pipeline.compare.settings import CompareConfig
from x2static.schemas.vectors import VOCABULARY, WordVectors


def make(step: Step, config: CompareConfig, report: Report) -> None:
    """Make the vectors of a step, or go on where an earlier call was stopped; a finished run is left alone.

    Raises:
        X2StaticError: they cannot be made.
        Interrupted: by a signal, with the state saved.
        OSError: they cannot be written.
    """
    if step.method.kind == "train":
        from x2static.stage2_train.trainer import train

        step.folder.parent.mkdir(parents=True, exist_ok=True)
        train(step.training(config), report)
    elif step.method.kind == "baseline":
        from x2static.pipeline.baselines import make as make_baseline

        step.folder.parent.mkdir(parents=True, exist_ok=True)
        make_baseline(step.baseline(config), report)


def only(vectors: WordVectors, words: Iterable[str]) -> WordVectors:
    """Return the vectors of some words, in the order they have; what many sets of vectors need together is little.

    Raises:
        X2StaticError: none of the words has a vector.
    """
    rows = sorted({vectors.index[word] for word in words if word in vectors.index})
    if not rows:
        raise X2StaticError("none of the words that are asked for has a vector")
    chosen = np.array(rows)
    return WordVectors([vectors.words[row] for row in rows], vectors.matrix[chosen], vectors.counts[chosen])


def read_words(folder: Path) -> list[str]:
    """Return the words of saved vectors, by descending count, without their matrix.

    Raises:
        X2StaticError: they are damaged.
    """
    try:
        with pa.memory_map(str(folder / VOCABULARY)) as source:
            words: list[str] = pa.ipc.open_file(source).read_all()["word"].to_pylist()
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise X2StaticError(f"{folder}: the word vectors are damaged ({error})") from error
    return words


def common_words(folders: Iterable[Path], most: int) -> list[str]:
    """Return the most frequent words that all sets of vectors have, in the order of the first.

    Args:
        folders: of the vectors.
        most: how many words at most.
    """
    first, *others = [read_words(folder) for folder in folders]
    held = [set(words) for words in others]
    return [word for word in first if all(word in words for words in held)][:most]
