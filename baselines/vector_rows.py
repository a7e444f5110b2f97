"""The rows of a file of word vectors that are kept, collected as they are read."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Progress, Report

REPORT_ROWS = 100_000
NOT_UTF8, EMPTY, DUPLICATE = "not UTF-8", "empty", "duplicate"


@dataclass
class VectorRows:
    """What was kept of a file; memory holds no row that was not asked for.

    Attributes:
        file: the file, for messages.
        dim: numbers in a row.
        wanted: the words to keep; empty for all.
        most: words to keep at most, in the file's order.
        report: hears of the progress.
        total: rows in the file; None where it does not say.
        words: the words kept, with their rows.
        counts: occurrences of each, where the file says; else zeros.
        read: rows seen.
        left_out: rows that cannot be used, by reason.
    """

    file: Path
    dim: int
    wanted: Collection[str]
    most: int
    report: Report
    total: int | None
    words: dict[str, int] = field(default_factory=dict, init=False)
    counts: list[int] = field(default_factory=list, init=False)
    read: int = field(default=0, init=False)
    left_out: dict[str, int] = field(default_factory=lambda: {NOT_UTF8: 0, EMPTY: 0, DUPLICATE: 0}, init=False)
    _data: bytearray = field(default_factory=bytearray, init=False)

    @property
    def full(self) -> bool:
        """Whether nothing further can be kept."""
        return len(self.words) == self.most or (bool(self.wanted) and len(self.words) == len(self.wanted))

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """The vectors, (len(words), dim) float32."""
        return np.frombuffer(self._data, np.float32).reshape(len(self.words), self.dim)

    def wants(self, raw: bytes) -> str | None:
        """Return the word of a row if its vector is to be kept; of a word that stands there twice the first one is."""
        self.read += 1
        if self.read % REPORT_ROWS == 0:
            self.report(Progress(self.read, self.total, "rows"))
        try:
            word = raw.decode()
        except UnicodeDecodeError:
            self.left_out[NOT_UTF8] += 1
            return None
        if self.wanted and word not in self.wanted:
            return None
        if not word or word in self.words:
            self.left_out[DUPLICATE if word else EMPTY] += 1
            return None
        return word

    def add(self, word: str, vector: npt.NDArray[np.float32], count: int = 0) -> None:
        """Keep the row seen last, vector (dim,).

        Raises:
            X2StaticError: it holds values that are not finite.
        """
        if not np.isfinite(vector).all():
            raise X2StaticError(
                f"{self.file}: row {self.read}, {word!r}: holds values that are not finite numbers of 32 bits; the "
                "file is damaged, get it again"
            )
        self._data += vector.astype(np.float32).tobytes()
        self.words[word] = len(self.words)
        self.counts.append(count)
