"""How text is cut into words: rules of the `tokenizers` library, kept as JSON with the cache and the vectors."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import X2StaticError

if TYPE_CHECKING:  # stage two carries the rules along, and must run where the library is not installed
    from tokenizers import Tokenizer


SEGMENTATION = "word_segmentation.json"  # in a cache, and beside vectors


class WordSegmentation:
    """A normalizer and a pre-tokenizer, so that users of the vectors split text exactly as training did."""

    def __init__(self, rules: str) -> None:
        """Keep the rules; the library is loaded when text is first split.

        Args:
            rules: JSON of a `tokenizers.Tokenizer`.
        """
        self.rules = rules

    @classmethod
    def load(cls, path: Path) -> "WordSegmentation":
        """Read the rules.

        Raises:
            X2StaticError: there is no such file.
        """
        if not path.is_file():
            raise X2StaticError(f"{path}: the word segmentation rules are missing")
        return cls(path.read_text(encoding="utf-8"))

    @property
    def sha256(self) -> str:
        """Hash of the rules."""
        return hashlib.sha256(self.rules.encode()).hexdigest()

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.rules)

    def split(self, text: str) -> list[str]:
        """Return the words of a text, in order."""
        rules = self._tokenizer
        normal = rules.normalizer.normalize_str(text) if rules.normalizer else text
        return [word for word, _ in rules.pre_tokenizer.pre_tokenize_str(normal)]

    def occurrences(self, text: str) -> list[tuple[str, int, int]]:
        """TEMPORARY until the languages branch."""
        rules = self._tokenizer
        out = []
        for s, e in rules.encode(text, add_special_tokens=False).offsets:
            for w in self.split(text[s:e]):
                out.append((w, s, e))
        return out
