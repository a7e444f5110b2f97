"""One shard: a folder with the contexts and words of one unit, written whole or not at all."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from x2static.durable.errors import REMEDY, DamagedShard, X2StaticError
from x2static.durable.storage import TEMPORARY, canonical_json, commit_folder, hash_file, read_json
from x2static.schemas.encoding import Dtype
from x2static.schemas.manifest import Marker
from x2static.schemas.shard_arrays import read_contexts, write_contexts

MARKER = "shard.json"
WORDS_SCHEMA = pa.schema([("paragraph", pa.int32()), ("word_ids", pa.list_(pa.int32()))])
LEXICON_SCHEMA = pa.schema([("word", pa.string()), ("count", pa.int64())])


@dataclass(frozen=True)
class ShardContent:
    """What one unit became.

    Attributes:
        contexts: (n_contexts, dim) float16 or float32, in corpus order.
        paragraphs: (n_contexts,) int32, number of the kept paragraph within the unit.
        word_offsets: (n_contexts + 1,) int32; words of context i are word_ids[word_offsets[i]:word_offsets[i + 1]].
        word_ids: (n_words,) int32, into `lexicon`, every occurrence, in text order.
        lexicon: the distinct words of the shard, in order of first occurrence.
        counts: (len(lexicon),) int64, occurrences in the shard.
        n_paragraphs: paragraphs kept by the filter.
        n_tokens: pieces that the teacher read.
    """

    contexts: npt.NDArray[np.floating]
    paragraphs: npt.NDArray[np.int32]
    word_offsets: npt.NDArray[np.int32]
    word_ids: npt.NDArray[np.int32]
    lexicon: list[str]
    counts: npt.NDArray[np.int64]
    n_paragraphs: int
    n_tokens: int


def shard_name(index: int) -> str:
    """Return the folder name of a shard."""
    return f"{index:06d}"


def write_shard(
    shards: Path,
    index: int,
    content: ShardContent,
    marker: Marker,
    dtype: Dtype = "float16",
    replace: bool = False,
) -> Marker:
    """Write a shard under a temporary name and rename it into place, marker included.

    Args:
        shards: the cache's `shards` folder; the caller is its only writer.
        index: number of the shard.
        content: what to write.
        marker: the shard's marker; counts and hashes are filled in here.
        dtype: number format of the contexts on the disk.
        replace: whether a shard of this number that is there (a damaged one) goes, once the new one is whole.

    Returns:
        The marker as written.
    """
    temporary = shards / f"{TEMPORARY}{shard_name(index)}"
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir()
    try:
        write_contexts(temporary, content.contexts, dtype)
        _write_table(temporary / "words.arrow", _words_table(content))
        lexicon = pa.table([pa.array(content.lexicon, pa.string()), content.counts], schema=LEXICON_SCHEMA)
        _write_table(temporary / "lexicon.arrow", lexicon)
        complete = marker.model_copy(
            update={
                "n_paragraphs": content.n_paragraphs,
                "n_contexts": len(content.contexts),
                "n_words": len(content.word_ids),
                "n_tokens": content.n_tokens,
                "files": hash_files(temporary),
            }
        )
        (temporary / MARKER).write_bytes(canonical_json(complete.model_dump()))
        commit_folder(temporary, shards / shard_name(index), replace)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return complete


def _words_table(content: ShardContent) -> pa.Table:
    words = pa.ListArray.from_arrays(content.word_offsets, content.word_ids)
    return pa.table([content.paragraphs, words], schema=WORDS_SCHEMA)


def _write_table(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def hash_files(folder: Path) -> dict[str, str]:
    """Return the xxh3 of every file below a folder except the marker, by its relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MARKER)
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}


@dataclass(frozen=True)
class Shard:
    """A committed shard, to read.

    Attributes:
        folder: where it is.
        marker: its commit marker.
    """

    folder: Path
    marker: Marker

    @classmethod
    def open(cls, folder: Path) -> "Shard":
        """Open a shard by its marker.

        Raises:
            DamagedShard: there is no valid marker, or a file that it lists is missing.
            X2StaticError: a newer version of x2static wrote the marker.
        """
        path = folder / MARKER
        if not path.is_file():
            raise DamagedShard(f"{folder}: its marker {MARKER} is missing; {REMEDY}")
        try:
            marker = Marker.model_validate(read_json(path))
        except ValidationError as error:
            fields = ", ".join(str(item["loc"][0]) for item in error.errors() if item["loc"])
            if all(item["type"] == "extra_forbidden" for item in error.errors()):
                raise X2StaticError(f"{path}: written by a newer x2static ({fields}); update this one") from error
            raise DamagedShard(f"{path}: not a valid marker ({fields}); {REMEDY}") from error
        except X2StaticError as error:
            raise DamagedShard(f"{error}; {REMEDY}") from error
        for name in marker.files:
            # zarr reads a missing chunk as its fill value, without a word.
            if not (folder / name).is_file():
                raise DamagedShard(f"{folder}: {name} is missing; {REMEDY}")
        return cls(folder, marker)

    def contexts(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float16]:
        """Return rows [start, stop) of the context vectors, (stop - start, dim), whatever they are stored as."""
        return read_contexts(self.folder, start, stop)

    def words(self) -> pa.Table:
        """Return, per context, `paragraph` int32 and `word_ids` list<int32>, as a single chunk."""
        return _read_table(self.folder / "words.arrow")

    def lexicon(self) -> pa.Table:
        """Return `word` string and `count` int64 of the shard's distinct words."""
        return _read_table(self.folder / "lexicon.arrow")

    def damage(self) -> list[str]:
        """Hash the files that the marker lists; return a line for each that is missing or has changed."""
        problems = []
        for name, expected in sorted(self.marker.files.items()):
            path = self.folder / name
            if not path.is_file():
                problems.append(f"{name} is missing")
            elif hash_file(path) != expected:
                problems.append(f"{name} has changed since it was written")
        return problems

    def strangers(self) -> list[str]:
        """Return a line for each file in the folder that the marker does not list."""
        paths = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        return [f"{name} does not belong to it" for name in sorted({*paths} - {*self.marker.files, MARKER})]


def _read_table(path: Path) -> pa.Table:
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all().combine_chunks()
    except pa.ArrowInvalid as error:
        raise DamagedShard(f"{path}: not a valid Arrow file ({error}); {REMEDY}") from error
