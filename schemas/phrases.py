"""Words read alone, in carrier phrases or with what a dictionary says of them, as a cache keeps them: `phrases/`.

    000000.arrow  word string; codes, int8 (n_phrases, dim) in a row; scales, float32 (n_phrases,): codes times scale is
                  the mean over all states of the word's phrase; of a dictionary also synonyms, list<string>
    000000.json   its marker: hash, phrases, the encoding's fingerprint, the dictionary's name, licence and hash

Blocks are committed one by one; of one kind, a word is in one of them. They depend on teacher, phrases and dictionary
alone, not on the text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import (
    TEMPORARY,
    checked_model,
    hash_file,
    link_or_copy,
    open_atomically,
    read_sealed,
    sealed_json,
    write_atomically,
)
from x2static.schemas.encoding import Record
from x2static.schemas.shard import quantise, read_table

PHRASES = "phrases"
AGAIN = "run `x2static cache phrases` on the cache, with --dictionary if it had one, which reads its words again"


class OutsideText(Record):
    """A text beside the corpus that vectors are made of; whoever prints a figure of them says so."""

    name: str
    licence: str
    hash: str  # xxh3 of the file; of several, of their names and hashes


class BlockMarker(Record):
    """What a block is of."""

    encoding: str  # fingerprint of the cache's encoding
    phrases: tuple[str, ...]  # in the order of the rows
    dictionary: OutsideText | None = None  # that the phrases are filled from; None where the word alone fills them
    dim: int = 0  # of a vector
    words: int = 0  # rows
    file: str = ""  # xxh3 of the Arrow file

    def reads_as(self, other: "BlockMarker") -> bool:
        """Return whether two blocks say the same kind of thing of their words."""
        return (self.phrases, self.dictionary) == (other.phrases, other.dictionary)


@dataclass(frozen=True)
class Block:
    """Some words, read."""

    folder: Path
    number: int
    marker: BlockMarker

    @property
    def file(self) -> Path:
        """Its Arrow file."""
        return self.folder / f"{self.number:06d}.arrow"

    @cached_property
    def table(self) -> pa.Table:
        """Its rows. Raises X2StaticError: they are not as they were written."""
        if not self.file.is_file() or hash_file(self.file) != self.marker.file:
            what = "missing" if not self.file.is_file() else "has changed since it was written; it is damaged"
            raise X2StaticError(f"{self.file}: {what}; {AGAIN}")
        return read_table(self.file, schema_of(self.marker))

    def words(self) -> list[str]:
        """Return its words, in order."""
        words: list[str] = self.table["word"].to_pylist()
        return words

    def vectors(self) -> npt.NDArray[np.float32]:
        """Return what they are in each phrase, (n_words, n_phrases, dim)."""
        table, n_phrases = self.table, len(self.marker.phrases)
        codes = table["codes"].chunk(0).flatten().to_numpy().reshape(-1, n_phrases, self.marker.dim)
        scales = table["scales"].chunk(0).flatten().to_numpy().reshape(-1, n_phrases, 1)
        return np.asarray(codes * scales, np.float32)


def schema_of(marker: BlockMarker) -> pa.Schema:
    """Return the schema of a block's Arrow file."""
    n_phrases = len(marker.phrases)
    codes, scales = pa.list_(pa.int8(), n_phrases * marker.dim), pa.list_(pa.float32(), n_phrases)
    synonyms = [("synonyms", pa.list_(pa.string()))] if marker.dictionary is not None else []
    return pa.schema([("word", pa.string()), ("codes", codes), ("scales", scales), *synonyms])


def open_blocks(cache: Path) -> Iterator[Block]:
    """Yield the committed blocks of a cache, in order. Raises X2StaticError: a marker is damaged."""
    for number in block_numbers(cache):
        yield open_block(cache, number)


def newest_blocks(cache: Path, of_dictionary: bool) -> list[Block]:
    """Return the blocks of carrier phrases, or of a dictionary, that were read last; others are passed over.

    Raises X2StaticError: a marker is damaged.
    """
    blocks = [block for block in open_blocks(cache) if (block.marker.dictionary is not None) == of_dictionary]
    return [block for block in blocks if block.marker.reads_as(blocks[-1].marker)]


def block_numbers(cache: Path) -> list[int]:
    """Return the numbers of the blocks of a cache, those that have lost a file too, ascending."""
    files = [*(cache / PHRASES).glob("*.json"), *(cache / PHRASES).glob("*.arrow")]
    return sorted({int(path.stem) for path in files if path.stem.isdecimal()})


def open_block(cache: Path, number: int) -> Block:
    """Open a block. Raises X2StaticError: its marker is damaged."""
    path = cache / PHRASES / f"{number:06d}.json"
    if not path.is_file():
        raise X2StaticError(f"{path}: missing; {AGAIN}")
    try:
        return Block(path.parent, number, checked_model(path, read_sealed(path), BlockMarker))
    except X2StaticError as error:
        raise X2StaticError(f"{error}; {AGAIN}") from error


def damaged_blocks(cache: Path) -> dict[int, str]:
    """Hash the blocks of a cache; return of each that is damaged, by its number, what ails it."""
    found = {}
    for number in block_numbers(cache):
        try:
            _ = open_block(cache, number).table
        except X2StaticError as error:
            found[number] = str(error)
    return found


def take_blocks(cache: Path, inputs: Sequence[Path], copy: bool) -> None:
    """Give a new cache the blocks of others, linked where that can be and `copy` is false.

    Raises X2StaticError: one of them is damaged.
    """
    blocks = [block for folder in inputs for block in open_blocks(folder)]
    for number, block in enumerate(blocks):
        _ = block.table
        (cache / PHRASES).mkdir(exist_ok=True)
        for suffix in (".arrow", ".json"):  # the marker last
            place = cache / PHRASES / f"{number:06d}{suffix}"
            if not place.exists():
                temporary = place.with_name(f"{TEMPORARY}{place.name}")
                temporary.unlink(missing_ok=True)
                link_or_copy(block.file.with_suffix(suffix), temporary, copy)
                temporary.replace(place)


def drop_damaged(cache: Path) -> list[str]:
    """Remove the damaged blocks of a cache, and return what ailed each."""
    damaged = damaged_blocks(cache)
    for number in damaged:
        for suffix in (".json", ".arrow"):  # the marker first
            (cache / PHRASES / f"{number:06d}{suffix}").unlink(missing_ok=True)
    return [damage.partition(";")[0] for damage in damaged.values()]


def write_block(
    cache: Path,
    number: int,
    marker: BlockMarker,
    words: list[str],
    vectors: npt.NDArray[np.float32],
    synonyms: list[list[str]] | None = None,
) -> None:
    """Write and commit a block; vectors are (n_words, n_phrases, dim), synonyms are given with a dictionary.

    The marker says what is read; words, dimensions and hash are filled in here.
    """
    n_words, n_phrases, dim = vectors.shape
    marker = marker.model_copy(update={"dim": dim, "words": n_words})
    codes, scales = quantise(vectors.reshape(-1, dim))
    columns = [
        pa.array(words, pa.string()),
        pa.FixedSizeListArray.from_arrays(codes.reshape(-1), n_phrases * dim),
        pa.FixedSizeListArray.from_arrays(scales, n_phrases),
        *([pa.array(synonyms, pa.list_(pa.string()))] if synonyms is not None else []),
    ]
    folder = cache / PHRASES
    folder.mkdir(exist_ok=True)
    block = Block(folder, number, marker)
    table = pa.table(columns, schema=schema_of(marker))
    with open_atomically(block.file) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    marker = marker.model_copy(update={"file": hash_file(block.file)})
    write_atomically(folder / f"{number:06d}.json", sealed_json(marker.model_dump()))
