"""What a method is to make, and what it gives."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Report, silent
from x2static.schemas.baseline import BaselineConfig
from x2static.schemas.segmentation import WordSegmentation
from x2static.schemas.subwords import Subwords

if TYPE_CHECKING:
    from x2static.schemas.cache import Cache  # it brings zarr, which vectors of others do not need


@dataclass(frozen=True)
class Request:
    """What a method is to make; `make(request)` raises X2StaticError where it cannot."""

    config: BaselineConfig
    cache: "Cache | None"
    # its vocabulary, by descending count; without a cache, the words of `config.vocab`, if there is one
    words: list[str]
    counts: npt.NDArray[np.int64]  # (len(words),) int64, occurrences of each in the cache; zeros without one
    folder: Path  # where a method may keep what it needs to go on after a kill; it is there, and gone at the end
    report: Report = silent

    def needed_cache(self) -> "Cache":
        """Return the cache. Raises X2StaticError: there is none, and the method needs it."""
        if self.cache is None:
            raise X2StaticError(f"{self.config.name} needs a cache for its vocabulary; give --cache")
        return self.cache

    def bare_words(self) -> list[str]:
        """Return the words as the teacher reads them alone, without marks of their languages."""
        return list(map(self.needed_cache().segmentation().bare, self.words))


@dataclass(frozen=True)
class Result:
    """What a method gives."""

    words: list[str]  # those that have a vector, by descending count
    counts: npt.NDArray[np.int64]  # (len(words),) int64, occurrences of each; zeros where nobody knows
    matrix: npt.NDArray[np.float32]  # (len(words), dim) float32
    origin: dict[str, Any] = field(default_factory=dict)  # what run.json is to say beyond the settings
    segmentation: WordSegmentation | None = None  # how text was cut into these words; None for as the cache was
    subwords: Subwords | None = None  # for words that are none of these, where the method has them
