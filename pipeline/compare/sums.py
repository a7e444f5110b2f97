"""ASE's sums along the curve: the teacher reads each unit once, whatever sizes of the corpus it is a part of."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from x2static.baselines.ase import place_of, summed
from x2static.baselines.request import Request
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import TEMPORARY, only_writer, remove_leftovers
from x2static.machine.progress import Report
from x2static.pipeline.baselines import vocabulary_of
from x2static.pipeline.compare.settings import CompareConfig
from x2static.schemas.aggregated import FOLDER, Aggregated
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.cache import Cache

NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def words_of(cache: Cache, config: CompareConfig) -> list[str]:
    """Return the vocabulary of the whole cache, sorted, as `ase` adds it up; that of a sample is a part of it.

    Raises:
        X2StaticError: a shard is damaged, or no word is frequent enough.
    """
    return sorted(vocabulary_of(cache, config.min_count, config.max_vocab).words.to_pylist())


def add_up(step: BaselineConfig, words: Sequence[str], report: Report) -> None:
    """Complete the sums of a sample, in its own folder `ase`, where `ase` finds them.

    Args:
        step: how ASE is asked for at that size.
        words: what is added up: the vocabulary of the whole cache.
        report: hears of the progress.

    Raises:
        X2StaticError: teacher or text are not found as they were.
    """
    if step.cache is None:
        raise X2StaticError("the curve of ASE needs a cache")
    request = _request(step, words, report)
    with only_writer(step.cache, "cache"):
        summed(request, list(words), step.cache)


def place_of_whole(step: BaselineConfig, words: Sequence[str], report: Report) -> Path:
    """Return where `ase` keeps the sums of a whole cache."""
    return place_of(_request(step, words, report), list(words))


def _request(step: BaselineConfig, words: Sequence[str], report: Report) -> Request:
    import numpy as np

    cache = Cache.open(step.cache) if step.cache is not None else None
    return Request(step, cache, list(words), np.zeros(len(words), np.int64), step.out, report)


def carry(source: Path, target: Path) -> bool:
    """Give a corpus the sums of a smaller one, whose units it begins with; the teacher then reads only the others.

    The list of words comes last: sums without it do not count.

    Args:
        source: in whose folder `ase` the smaller corpus's sums are.
        target: where those of the larger one are to be; sums that are there stay.

    Returns:
        Whether they were carried over now.
    """
    theirs = Aggregated.open(source)
    if theirs is None:
        return False
    with only_writer(target, "cache's sums"):
        if Aggregated.open(target) is not None:
            return False
        folder = target / FOLDER
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        for file in theirs.files():
            _link(file.path, folder / file.path.name)
        Aggregated.create(target, theirs.words, theirs.encoding)
    return True


def _link(source: Path, target: Path) -> None:
    temporary = target.with_name(TEMPORARY + target.name)
    try:
        os.link(source, temporary)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        shutil.copyfile(source, temporary)
    temporary.replace(target)
