"""The teacher's tokenizer: text to pieces with character offsets, through the library's own fast backend."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from schemas.errors import X2StaticError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
TEXTS_AT_ONCE = 256

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TeacherTokenizer:
    """Cuts text into the teacher's pieces.

    Attributes:
        backend: a copy of the fast tokenizer, without truncation and padding. A copy, because calling the library's
            object changes its state.
        prefix: ids that begin every text ([CLS], <s>; GPT-2: none).
        suffix: ids that end every text.
        padding: id that fills batches up; masked, so any id serves where the teacher has none of its own.
        max_length: pieces that the tokenizer's configuration allows; None where it says nothing.
    """

    backend: Tokenizer
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    padding: int
    max_length: int | None

    @classmethod
    def load(cls, folder: Path, trust_remote_code: bool) -> "TeacherTokenizer":
        """Load the tokenizer of a model folder.

        Raises:
            X2StaticError: there is none, or it is a slow one, which cannot say where its pieces come from.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise X2StaticError(f"model {folder}: its tokenizer cannot be loaded: {first_line(error)}") from error
        if not tokenizer.is_fast:
            raise X2StaticError(
                f"model {folder}: its tokenizer ({type(tokenizer).__name__}) is a slow one, which gives no character "
                "offsets; words and sentences cannot be mapped to its pieces. Convert it to tokenizer.json"
            )
        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        backend.no_truncation()
        backend.no_padding()
        prefix, suffix = _special_ids(backend)
        length = tokenizer.model_max_length
        return cls(backend, prefix, suffix, _padding(tokenizer), int(length) if length and length < 1e9 else None)

    @property
    def n_special(self) -> int:
        """Special tokens added to a text."""
        return len(self.prefix) + len(self.suffix)

    def encode(self, texts: list[str], parse_special: bool = False) -> list[tuple[Ids, Ids]]:
        """Return, for each text, its pieces and their places; no special tokens are added.

        The places are (n_pieces, 2) int64, the first character of each piece and the one behind it.

        Args:
            texts: any text. What looks like a special token in it is text, not a command to the teacher.
            parse_special: read it as a special token all the same (`--compat paper`).
        """
        self.backend.encode_special_tokens = not parse_special
        pairs = []
        # The library's encodings take some 150 bytes a piece; a slice of the texts at a time keeps that small.
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            for encoding in self.backend.encode_batch(texts[start : start + TEXTS_AT_ONCE], add_special_tokens=False):
                offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
                pairs.append((np.array(encoding.ids, np.int64), offsets))
        return pairs

    def with_special(self, pieces: Ids) -> Ids:
        """Put pieces between the teacher's begin and end tokens."""
        return np.concatenate([np.array(self.prefix, np.int64), pieces, np.array(self.suffix, np.int64)])


def tokenizer_sha256(folder: Path) -> str:
    """Hash the tokenizer's files, by name and content.

    Raises:
        X2StaticError: the folder holds none of them.
    """
    digest = hashlib.sha256()
    found = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if not found:
        raise X2StaticError(f"model {folder}: it has no tokenizer files (tokenizer.json); save the tokenizer with it")
    for path in found:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _special_ids(backend: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    bare = backend.encode("a", add_special_tokens=False).ids
    full = backend.encode("a", add_special_tokens=True).ids
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start]), tuple(full[start + len(bare) :])
    raise X2StaticError(f"the tokenizer does not put special tokens around a text (pieces {bare} became {full})")


def _padding(tokenizer: PreTrainedTokenizerBase) -> int:
    if tokenizer.pad_token_id is not None:
        return int(tokenizer.pad_token_id)
    return int(tokenizer.eos_token_id or 0)
