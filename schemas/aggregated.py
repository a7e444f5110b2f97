"""Aggregated embeddings in a cache: sums of chosen words' contextual vectors, at every layer of the teacher.

The ASE baseline (Bommasani, Davis and Cardie, ACL 2020) needs the mean of a word's contextual vectors; it falls out of
the pass that makes the cache. The sums are folded, unit after unit, into files that list the units they hold.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from safetensors import SafetensorError, safe_open

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, open_atomically, read_json, remove_leftovers, write_atomically
from x2static.durable.tensors import contiguous, write_arrays

FOLDER = "ase"  # in the cache's folder
WORDS = "words.json"
ARRAYS = ("sums", "rests", "counts")
ALL = slice(None)
REMEDY = "remove it and run `x2static encode --ase ...` again: the teacher reads the units again that were in it"
STEPS = 254  # of a rest: it lies within half a spacing of its sum on either side, and int8 goes to 127


@dataclass(frozen=True)
class WordSums:
    """Sums of contextual vectors over some units.

    Attributes:
        sums: (n_layers, n_words, dim) float32; layer 0 is the embedding layer's output.
        rests: (n_layers, n_words, dim) float32, what the sums lost to rounding: sums + rests is the better value.
        counts: (n_words,) int64, occurrences.
    """

    sums: npt.NDArray[np.float32]
    rests: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class AggregatedFile:
    """One file of sums.

    Attributes:
        path: where it is.
        units: the numbers of the units, and so of the shards, whose occurrences are in it, ascending.
        xxh3: of its arrays, as they were written.
    """

    path: Path
    units: tuple[int, ...]
    xxh3: str

    def read(self, layers: slice = ALL) -> WordSums:
        """Return its sums, of some layers or all.

        Raises:
            X2StaticError: the file is damaged.
        """
        try:
            with safe_open(self.path, framework="numpy") as file:
                sums, rests = (file.get_slice(name)[layers] for name in ("sums", "rests"))
                counts = file.get_tensor("counts")
        except (SafetensorError, OSError) as error:
            raise X2StaticError(f"{self.path}: damaged ({error}); {REMEDY}") from error
        shape = (len(sums), len(counts), sums.shape[2])
        total = WordSums(np.zeros(shape, np.float32), np.zeros(shape, np.float32), counts)
        total.sums[:, counts > 0] = sums
        total.rests[:, counts > 0] = (rests / np.float32(STEPS)) * np.spacing(np.abs(sums))
        return total

    def add_to(self, found: WordSums) -> WordSums:
        """Add its sums to others in place, in float64 and a layer at a time: the whole may be large.

        Returns:
            The same arrays, parted again into float32 sums and what they lose, and new counts.
        """
        for layer in range(len(found.sums)):
            ours = self.read(slice(layer, layer + 1))
            exact = found.sums[layer].astype(np.float64) + found.rests[layer] + ours.sums[0] + ours.rests[0]
            found.sums[layer] = exact
            found.rests[layer] = exact - found.sums[layer]
        return WordSums(found.sums, found.rests, found.counts + ours.counts)

    def n_layers(self) -> int:
        """Return how many layers are in it, the embeddings included.

        Raises:
            X2StaticError: the file is damaged.
        """
        try:
            with safe_open(self.path, framework="numpy") as file:
                return int(file.get_slice("sums").get_shape()[0])
        except (SafetensorError, OSError) as error:
            raise X2StaticError(f"{self.path}: damaged ({error}); {REMEDY}") from error

    def damage(self) -> str | None:
        """Hash the file's arrays; return what is wrong with it, or None."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                found = _hash({name: file.get_tensor(name) for name in ARRAYS})
        except (SafetensorError, OSError) as error:
            return f"{self.path.name}: damaged ({error})"
        return None if found == self.xxh3 else f"{self.path.name}: it has changed since it was written"


@dataclass(frozen=True)
class Aggregated:
    """The folder `ase` of a cache.

    Attributes:
        folder: where it is.
        words: what is added up, in the order of the rows.
        encoding: fingerprint of the cache that it belongs to.
    """

    folder: Path
    words: tuple[str, ...]
    encoding: str

    @classmethod
    def open(cls, cache: Path) -> "Aggregated | None":
        """Open a cache's aggregated embeddings; None where it has none.

        Raises:
            X2StaticError: the list of words is damaged.
        """
        path = cache / FOLDER / WORDS
        if not path.is_file():
            return None
        found = read_json(path)
        try:
            return cls(cache / FOLDER, tuple(found["words"]), found["encoding"])
        except (KeyError, TypeError) as error:
            raise X2StaticError(f"{path}: not a list of words; {REMEDY}") from error

    @classmethod
    def create(cls, cache: Path, words: Iterable[str], encoding: str) -> "Aggregated":
        """Begin aggregated embeddings in a cache that has none."""
        (cache / FOLDER).mkdir(exist_ok=True)
        made = cls(cache / FOLDER, tuple(words), encoding)
        write_atomically(made.folder / WORDS, canonical_json({"words": list(made.words), "encoding": encoding}))
        return made

    def files(self) -> list[AggregatedFile]:
        """Return the files of sums, none of whose units is in another.

        A file that was folded into another stays behind when the writer is killed in between; it is left out.

        Raises:
            X2StaticError: a file is damaged, or two files share only some of their units.
        """
        whole: list[AggregatedFile] = []
        held: set[int] = set()
        for file in self._found():
            if held.isdisjoint(file.units):
                whole.append(file)
                held.update(file.units)
            elif not any(set(file.units) <= set(other.units) for other in whole):
                raise X2StaticError(f"{file.path}: it shares some of its units with {whole[0].path.name}; {REMEDY}")
        return sorted(whole, key=lambda file: file.units)

    def _found(self) -> list[AggregatedFile]:
        """Return all files, those of most units first."""
        found = [_listed(path) for path in sorted(self.folder.glob("*.safetensors"))]
        return sorted(found, key=lambda file: -len(file.units))

    def sweep(self) -> None:
        """Remove what a killed writer left: half-written files, and those that were folded into others."""
        remove_leftovers(self.folder)
        whole = {file.path for file in self.files()}
        for file in self._found():
            if file.path not in whole:
                file.path.unlink()

    def units(self) -> set[int]:
        """Return the numbers of the units that are in the sums."""
        return {unit for file in self.files() for unit in file.units}

    def fold(self, unit: int, found: WordSums) -> None:
        """Add a unit's sums, durably: a new file takes the place of the one before.

        Args:
            unit: its number; it must not be in the sums yet.
            found: its sums; the arrays are used up.
        """
        files = self.files()
        latest = max(files, key=lambda file: len(file.units), default=None)
        total = latest.add_to(found) if latest else found
        units = sorted({unit, *(latest.units if latest else ())})
        self.write(units, total)
        if latest:
            latest.path.unlink()

    def write(self, units: Iterable[int], total: WordSums) -> None:
        """Write a file of sums; words that do not occur have no rows in it.

        Args:
            units: the numbers of the units that are in it.
            total: their sums; the arrays are used up.
        """
        listed = sorted(units)
        path = self.folder / f"{listed[0]:06d}-{listed[-1]:06d}-{len(listed)}.safetensors"
        occurring = total.counts > 0
        n_rows = int(occurring.sum())
        steps = np.empty((len(total.sums), n_rows, total.sums.shape[2]), np.int8)
        for sums, rests, rounded in zip(total.sums, total.rests, steps, strict=True):  # a layer each: all may be large
            sums[:n_rows] = sums[occurring]
            rounded[:] = np.rint(rests[occurring] / np.spacing(np.abs(sums[:n_rows])) * STEPS)
        tensors: dict[str, npt.NDArray[Any]] = {"sums": total.sums[:, :n_rows], "rests": steps, "counts": total.counts}
        metadata = {"units": json.dumps(listed), "encoding": self.encoding, "xxh3": _hash(tensors)}
        with open_atomically(path) as file:
            write_arrays(file, tensors, metadata)

    def means(self, layer: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the mean contextual vector of each word, (n_words, dim), and its occurrences; zeros where none.

        Args:
            layer: 0 is the embedding layer's output.
        """
        totals = [file.read(slice(layer, layer + 1)) for file in self.files()]
        counts = np.sum([total.counts for total in totals], axis=0)
        sums = np.sum([total.sums[0].astype(np.float64) + total.rests[0] for total in totals], axis=0)
        return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32), counts


def aggregated_damage(cache: Path) -> list[str]:
    """Hash the sums of a cache and return a line for each file that is not as it was written."""
    try:
        found = Aggregated.open(cache)
        return [
            f"{FOLDER}/{damage}; {REMEDY}" for file in (found.files() if found else []) if (damage := file.damage())
        ]
    except X2StaticError as error:
        return [str(error)]


def _hash(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = xxhash.xxh3_128()
    for name in ARRAYS:
        for part in contiguous(arrays[name]):
            digest.update(part)
    return digest.hexdigest()


def _listed(path: Path) -> AggregatedFile:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            return AggregatedFile(path, tuple(json.loads(metadata["units"])), metadata["xxh3"])
    except (SafetensorError, OSError, TypeError, KeyError, json.JSONDecodeError) as error:
        raise X2StaticError(f"{path}: damaged ({error}); {REMEDY}") from error
