"""The teacher's tokenizer: text to pieces with character offsets, through the library's own fast backend."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from x2static.durable.errors import X2StaticError, first_line
from x2static.machine.packages import pip_install
from x2static.stage1_encode.text.tokenizer_rules import (
    PROBES,
    TOKENIZER_JSON,
    folder_rules,
    json_object,
    read_rules,
    reported,
)

# Their order enters the hash of a tokenizer.
TOKENIZER_FILES = (
    "tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.txt vocab.json merges.txt "
    "spiece.model spm.model sentencepiece.bpe.model sentencepiece.model tokenizer.model bpe.codes"
).split()
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
TEXTS_AT_ONCE = 256
NO_LIMIT = 1e9  # the library writes 1e30 where a tokenizer has no limit
UNREACHABLE = "\uffff {}"  # no text gives this piece: spaces are cut off, or become another character

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TeacherTokenizer:
    """Cuts text into the teacher's pieces."""

    backend: Tokenizer  # a copy of the library's, which calls change, without truncation and padding
    plain: Tokenizer  # what reads the names of special tokens as text; the backend itself where that can be switched
    prefix: tuple[int, ...]  # ids that begin every text ([CLS], <s>; GPT-2: none)
    suffix: tuple[int, ...]  # ids that end every text
    padding: int  # id that fills batches up; masked, so any id serves where the teacher has none of its own
    max_length: int | None  # pieces that the tokenizer's configuration allows; None where it says nothing
    changes: str = ""  # how the rules differ from what the transformers library makes of the folder
    mask: int | None = None  # id of the mask token, if there is one

    @classmethod
    def load(cls, folder: Path, trust_remote_code: bool) -> "TeacherTokenizer":
        """Load the tokenizer of a model folder; a slow one, which cannot say where its pieces come from, is refused."""
        # Here: the processes that prepare text get a loaded one, and start without torch in a fifth of the time.
        from transformers import AutoTokenizer

        own = read_rules(folder)
        settings = {name: json_object(folder, name) for name in SETTINGS}
        kind = settings["tokenizer_config.json"].get("tokenizer_class")
        with reported(folder, "its tokenizer" + (f" ({kind} by tokenizer_config.json)" if kind and own else "")):
            try:
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
            except Exception as error:  # converters of the many formats fail as they like
                sources = [path.name for path in sorted(folder.glob("*.model"))]
                if "trust_remote_code" in str(error) or not sources or (folder / TOKENIZER_JSON).is_file():
                    raise
                install = pip_install("sentencepiece", "protobuf")
                raise X2StaticError(
                    f"model {folder}: it has no tokenizer.json, and {sources[0]} cannot be converted "
                    f"({first_line(error)}); {install}, or save the fast tokenizer with it"
                ) from error
        if not tokenizer.is_fast:
            raise X2StaticError(
                f"model {folder}: its tokenizer ({type(tokenizer).__name__}) is a slow one, which gives no character "
                "offsets; words and sentences cannot be mapped to its pieces. Convert it to tokenizer.json"
            )
        library = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        library.no_truncation()
        library.no_padding()
        backend, changes = folder_rules(folder, own, library)
        # Names that tokenizer_config.json alone calls special are no commands in a text either.
        known = set(_special_names(backend))
        backend.add_special_tokens(
            [name for name in _special_names(library) if name not in known and backend.token_to_id(name) is not None]
        )
        prefix, suffix = _special_ids(folder, backend)
        padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        length = tokenizer.model_max_length
        if length is not None and type(length) not in (int, float):
            raise X2StaticError(f"model {folder}: model_max_length in tokenizer_config.json is {length!r}, no number")
        max_length = int(length) if length and length < NO_LIMIT else None
        mask = tokenizer.mask_token_id
        return cls(backend, _without_commands(backend), prefix, suffix, int(padding or 0), max_length, changes, mask)

    @property
    def n_special(self) -> int:
        """Special tokens added to a text."""
        return len(self.prefix) + len(self.suffix)

    def encode(self, texts: list[str], parse_special: bool = False) -> Iterator[tuple[Ids, Ids]]:
        """Yield, for each text, its pieces and their places; no special tokens are added.

        The places are (n_pieces, 2) int64, the first character of each piece and the one behind it. What looks like a
        special token is text, not a command to the teacher, unless it is to be parsed (`--compat paper`).
        """
        rules = self.backend if parse_special else self.plain
        rules.encode_special_tokens = not parse_special
        # The library's encodings take some 150 bytes a piece; a slice of the texts at a time keeps that small.
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            for encoding in rules.encode_batch(texts[start : start + TEXTS_AT_ONCE], add_special_tokens=False):
                yield np.array(encoding.ids, np.int64), np.array(encoding.offsets, np.int64).reshape(-1, 2)

    def with_special(self, pieces: Ids) -> Ids:
        """Put pieces between the teacher's begin and end tokens."""
        return np.concatenate([np.array(self.prefix, np.int64), pieces, np.array(self.suffix, np.int64)])

    def largest_id(self, parse_special: bool) -> int:
        """Return the largest id that a text can give, its begin and end tokens included.

        Where names of special tokens are not parsed, their ids do not occur, and some tokenizers have such tokens that
        their models do not know (a padding token added later).
        """
        ids = set(self.backend.get_vocab(with_added_tokens=True).values())
        if not parse_special:
            ids -= set(_special_names(self.backend).values())
        return max(ids | {*self.prefix, *self.suffix})


def tokenizer_sha256(folder: Path) -> str:
    """Hash the tokenizer's files, by name and content. Raises X2StaticError: the folder holds none of them."""
    digest = hashlib.sha256()
    files = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if not files:
        raise X2StaticError(f"model {folder}: it has no tokenizer files (tokenizer.json); save the tokenizer with it")
    for path in files:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _special_names(backend: Tokenizer) -> dict[str, int]:
    return {token.content: piece for piece, token in backend.get_added_tokens_decoder().items() if token.special}


def _without_commands(backend: Tokenizer) -> Tokenizer:
    """Return a tokenizer that gives a special token for no text.

    Most need only a switch. A Unigram vocabulary holds its special tokens as pieces like any other, with a score that
    wins (XLM-R, T5, ALBERT): there they are renamed to what no text contains.
    """
    backend.encode_special_tokens = True
    renamed = {
        name: UNREACHABLE.format(name)
        for name, piece in _special_names(backend).items()
        if piece in backend.encode(f"a{name} {name}", add_special_tokens=False).ids
    }
    if not renamed:
        return backend
    rules = json.loads(backend.to_str())
    model = rules["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {renamed.get(piece, piece): number for piece, number in model["vocab"].items()}
    else:
        model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token") in renamed:
        model["unk_token"] = renamed[model["unk_token"]]
    for token in rules["added_tokens"]:
        token["content"] = renamed.get(token["content"], token["content"])
    rules["post_processor"] = None
    return Tokenizer.from_str(json.dumps(rules))


def _special_ids(folder: Path, backend: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what stands before and behind every text; a long one, which no special token is mistaken for, shows it."""
    bare = backend.encode(PROBES[0], add_special_tokens=False).ids
    full = backend.encode(PROBES[0], add_special_tokens=True).ids
    for start in range(len(full) - len(bare) + 1):
        n_special = len(full) - len(bare)
        if full[start : start + len(bare)] == bare and n_special == backend.num_special_tokens_to_add(is_pair=False):
            return tuple(full[:start]), tuple(full[start + len(bare) :])
    raise X2StaticError(
        f"model {folder}: the post_processor of its tokenizer.json does not put special tokens around a text (the "
        f"{len(bare)} pieces of a text become {len(full)})"
    )
