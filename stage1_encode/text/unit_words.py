"""The words of a unit, put together from the portions in which it is prepared."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from x2static.schemas.shard import ShardContent

if TYPE_CHECKING:
    from x2static.stage1_encode.text.windows import PreparedText


class Lexicon(dict[str, int]):
    """Number of each distinct word, in the order in which they were first asked for."""

    def __missing__(self, word: str) -> int:
        """Number a new word."""
        number = self[word] = len(self)
        return number


class UnitWords:
    """The words and contexts of a unit, as its shard holds them.

    Attributes:
        n_contexts: contexts so far.
        n_tokens: pieces that the teacher reads, special tokens included.
    """

    def __init__(self) -> None:
        """Start without words."""
        self._lexicon = Lexicon()
        self._word_ids: list[npt.NDArray[np.int32]] = []
        self._paragraphs: list[npt.NDArray[np.int32]] = []
        self._ends: list[npt.NDArray[np.int32]] = [np.zeros(1, np.int32)]
        self._n_words = self._n_paragraphs = 0
        self.n_contexts = self.n_tokens = 0

    def add(self, text: "PreparedText") -> None:
        """Append a portion."""
        numbers = np.fromiter(map(self._lexicon.__getitem__, text.lexicon), np.int32, len(text.lexicon))
        self._word_ids.append(numbers[np.array(text.word_ids, np.int32)])
        self._paragraphs.append(np.array(text.paragraphs, np.int32) + np.int32(self._n_paragraphs))
        self._ends.append(np.array(text.ends, np.int32) + np.int32(self._n_words))
        self._n_words += len(text.word_ids)
        self._n_paragraphs += text.n_paragraphs
        self.n_contexts += text.n_contexts
        self.n_tokens += text.n_tokens

    def content(self, contexts: npt.NDArray[np.floating]) -> ShardContent:
        """Return the content of the unit's shard.

        Args:
            contexts: (n_contexts, dim) the context vectors.
        """
        word_ids = np.concatenate([np.zeros(0, np.int32), *self._word_ids])
        return ShardContent(
            contexts=contexts,
            paragraphs=np.concatenate([np.zeros(0, np.int32), *self._paragraphs]),
            word_offsets=np.concatenate(self._ends),
            word_ids=word_ids,
            lexicon=list(self._lexicon),
            counts=np.bincount(word_ids, minlength=len(self._lexicon)).astype(np.int64),
            n_paragraphs=self._n_paragraphs,
            n_tokens=self.n_tokens,
        )
