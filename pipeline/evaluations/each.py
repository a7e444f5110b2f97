"""Several sets of word vectors, one after the other."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from x2static.pipeline.terminal import about
from x2static.schemas.vectors import WordVectors

Result = TypeVar("Result")


def for_each(vectors: dict[str, WordVectors], do: Callable[[str, WordVectors], Result]) -> dict[str, Result]:
    """Return what is done with each set of word vectors, by its name.

    Where there are several, errors and warnings say which one they are about; so data is read before, whose errors
    are about none.

    Args:
        vectors: the sets by name.
        do: takes a set's name and the set.
    """
    results = {}
    for name, of_name in vectors.items():
        with about(name) if len(vectors) > 1 else nullcontext():
            results[name] = do(name, of_name)
    return results
