"""Word vectors: what stage two writes, what everything after it reads, and what users import."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from x2static.durable.arrays import mapped, write_arrays
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import (
    SEAL,
    hash_file,
    open_atomically,
    read_json,
    read_sealed,
    sealed_json,
    write_atomically,
)
from x2static.schemas.multiword import name_of
from x2static.schemas.queries import ColumnOfWords, Queries, UnknownWord
from x2static.schemas.segmentation import MARK, SEGMENTATION, WordSegmentation
from x2static.schemas.senses import SENSES, Sense, Senses, sense_name
from x2static.schemas.subwords import SUBWORDS, Subwords

MATRIX, VOCABULARY, RUN = "vectors.safetensors", "vocabulary.arrow", "run.json"
FILES = "files"  # the field of run.json that has the xxh3 of every other file, by name
SUBWORDS_RECORD = "subwords"  # the one that says that there are some, and how many
SENSES_RECORD = "senses"  # likewise
Unknown = Literal["skip", "subwords"]  # what becomes of words outside the vocabulary
VOCABULARY_SCHEMA = pa.schema([("word", pa.string()), ("count", pa.int64())])
AGAIN = "run the command that made it once more"
REMEDY = f"put the file back, or remove it and {AGAIN}"


@dataclass(frozen=True, eq=False, repr=False)
class WordVectors(Queries):
    """One vector per word.

    >>> vectors = WordVectors(["one", "two"], np.eye(2, dtype=np.float32), np.array([7, 5]))
    >>> vectors
    <WordVectors: words 2, dimensions 2>
    >>> "one" in vectors, "three" in vectors
    (True, False)
    """

    words: Sequence[str]  # the vocabulary, by descending count; a list, but where the matrix is mapped
    matrix: npt.NDArray[np.float32]  # (len(words), dim) float32, a row a word
    counts: npt.NDArray[np.int64]  # (len(words),) int64, occurrences in the corpus
    segmentation: WordSegmentation | None = None  # how text was cut into these words; None for vectors from elsewhere
    run: dict[str, Any] = field(default_factory=dict)  # run.json: configuration, cache, losses, versions, seconds
    subwords: Subwords | None = None  # from which words outside the vocabulary get vectors; None: they have none
    senses_file: Path | None = None  # the senses of words, which are read when they are first asked for; None: none

    def __post_init__(self) -> None:
        """Raise X2StaticError if the lengths differ, a word occurs twice, or a value is not finite."""
        rows = len(self.matrix)
        if self.matrix.ndim != 2 or rows != len(self.words) or rows != len(self.counts):
            sizes = f"{len(self.words)} words, {len(self.counts)} counts, matrix of shape {self.matrix.shape}"
            raise X2StaticError(f"word vectors do not fit together: {sizes}")
        if isinstance(self.matrix, np.memmap):  # of a file that was looked through when it was written
            return
        if len(self.index) != rows:
            twice = next(word for row, word in enumerate(self.words) if self.index[word] != row)
            raise X2StaticError(f"the vocabulary holds the word {twice!r} more than once")
        finite = np.isfinite(self.matrix).all(axis=1)
        if not finite.all():
            word = self.words[int(np.argmin(finite))]
            raise X2StaticError(f"the vector of {word!r} holds values that are not finite")

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WordVectors):
            return NotImplemented
        one, two = self.subwords, other.subwords
        same = self.words == other.words and (one and one.ngrams) == (two and two.ngrams)
        pairs: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = [
            (self.counts, other.counts),
            (self.matrix, other.matrix),
        ]
        if one is not None and two is not None:
            pairs.append((one.matrix, two.matrix))
        return same and all(np.array_equal(*pair) for pair in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<WordVectors: {', '.join(f'{name} {value}' for name, value in self._facts().items())}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        facts = {**self._facts(), "most frequent": ", ".join(self.words[:8])}
        rows = "".join(f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
        return f"<table><caption>WordVectors</caption>{rows}</table>"

    def _facts(self) -> dict[str, str]:
        facts = {"words": f"{len(self):,}", "dimensions": str(self.dim)}
        cache = self.run.get("cache")
        if isinstance(cache, dict) and cache.get("teacher"):
            facts["teacher"] = str(cache["teacher"])
        if self.subwords is not None:
            facts["n-grams"] = f"{len(self.subwords.ngrams):,}"
        return facts

    @property
    def outside(self) -> str:
        """What goes behind their name, " (with WordNet 3.1)", if a text beside the corpus is in them; else empty."""
        text = self.run.get("outside_text")
        return f" (with {text['name']})" if text else ""

    def row_of(self, word: str) -> int | None:
        """Return the row of a word, None where it has none; "new york" is new_york."""
        if (row := self.index.get(word)) is None and len(several := word.split()) > 1:
            return self.index.get(name_of(tuple(several)))
        return row

    def __contains__(self, word: object) -> bool:
        return word in self.index or (isinstance(word, str) and self._vector(word) is not None)

    def __getitem__(self, word: str) -> npt.NDArray[np.float32]:
        """Return the vector of a word, (dim,) float32. Raises KeyError: the word is unknown.

        >>> vectors["king"]
        array([2., 2., 0., 1.], dtype=float32)
        >>> vectors["kign"]
        Traceback (most recent call last):
        x2static.schemas.queries.UnknownWord: 'kign' is not among the 6 words; near it are 'king'
        """
        if (vector := self._vector(word)) is None:
            raise UnknownWord(word, self.index)
        return vector

    def _vector(self, word: str) -> npt.NDArray[np.float32] | None:
        if (row := self.row_of(word)) is not None:
            return np.asarray(self.matrix[row])
        return None if self.subwords is None else self.subwords.vector(word)

    def rows(self, chosen: Sequence[int] | slice) -> "WordVectors":
        """Return the vectors of some rows, in that order; slices share memory with these.

        What is no row any more is no entry of several words either: text has its single words instead.
        """
        words = self.words[chosen] if isinstance(chosen, slice) else [self.words[row] for row in chosen]
        rules = self.segmentation
        if rules is not None and rules.multiword.entries:
            rules = rules.joining(rules.multiword.known(words))
        return replace(self, segmentation=rules, words=words, matrix=self.matrix[chosen], counts=self.counts[chosen])

    def knowing(self, words: Iterable[str]) -> "WordVectors":
        """Return these vectors with rows for those of the words that the vocabulary lacks, in either case, behind it.

        They are in lower case, of no occurrence, and made of subwords; without any, the vectors are as they were.
        """
        if self.subwords is None:
            return self
        lacking = (word.lower() for word in words if word not in self.index and word.lower() not in self.index)
        new = self.subwords.vectors(dict.fromkeys(lacking))
        matrix = np.concatenate([self.matrix, np.array(list(new.values()), np.float32).reshape(-1, self.dim)])
        counts = np.concatenate([self.counts, np.zeros(len(new), np.int64)])
        return replace(self, words=[*self.words, *new], matrix=matrix, counts=counts)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages whose words are kept apart, de:gift; none where no word has a mark."""
        return self.segmentation.languages if self.segmentation is not None and self.segmentation.marked else ()

    def of_language(self, language: str) -> "WordVectors":
        """Return the vectors of one language's words, without their marks, and the rules by which its text is cut.

        Subwords and senses stay behind. Raises X2StaticError: no words of that language are kept apart here.
        """
        if self.segmentation is None or language not in self.languages:
            known = (
                f"those of {', '.join(self.languages)} are" if self.languages else "none are (encode --mark-language)"
            )
            raise X2StaticError(f"no words of the language {language} are kept apart here; {known}")
        mark = f"{language}{MARK}"
        rows = [row for row, word in enumerate(self.words) if word.startswith(mark)]
        words = [self.words[row].removeprefix(mark) for row in rows]
        rules = WordSegmentation(self.segmentation.of(language).rules)
        matrix, counts = self.matrix[rows], self.counts[rows]
        return replace(
            self, segmentation=rules, words=words, matrix=matrix, counts=counts, subwords=None, senses_file=None
        )

    def split(self, text: str, language: str | None = None) -> list[str]:
        """Return the words of a text as training cut them; `language` is the text's, where words are of several.

        Raises X2StaticError: these vectors came without rules, or have none for that language.

        >>> vectors.split("The King eats.")
        ['the', 'king', 'eats', '.']
        """
        if self.segmentation is None:
            raise X2StaticError("these vectors came without word segmentation rules; split the text yourself")
        return self.segmentation.of(language).split(text)

    def mean(self, words: Iterable[str]) -> npt.NDArray[np.float32]:
        """Return the mean vector of the known words, (dim,) float32; zeros where none is known.

        Raises TypeError: a text is given, whose characters would be taken for words; `split` it, or use `encode`.
        """
        if isinstance(words, str | bytes):
            raise TypeError(f"mean takes words, not a {type(words).__name__}; encode takes a text")
        if self.subwords is not None:
            vectors = [vector for vector in map(self._vector, words) if vector is not None]
            return np.mean(vectors, axis=0, dtype=np.float32) if vectors else np.zeros(self.dim, np.float32)
        rows = [row for row in map(self.index.get, words) if row is not None]
        if not rows:
            return np.zeros(self.dim, np.float32)
        return np.asarray(self.matrix.take(rows, axis=0).mean(axis=0, dtype=np.float32))

    @cached_property
    def known_senses(self) -> Senses:
        """The senses of the words that have several. Raises X2StaticError: there are none, or they are damaged."""
        if self.senses_file is None:
            raise X2StaticError("these vectors have no senses; `x2static senses` finds some, see its --help")
        check_run(self.senses_file.parent, SENSES)
        return Senses.load(self.senses_file)

    def senses(self, word: str) -> list[Sense]:
        """Return the senses of a word, the most frequent first: one alone, of its own vector, where none were found.

        Raises KeyError: the word is unknown; X2StaticError: these vectors have no senses, or they are damaged.
        """
        several = self.known_senses.of_words.get(word)
        own, zeros = self[word], np.zeros(self.dim, np.float32)
        return several or [
            Sense(sense_name(word, 1), 1.0, own, [near for near, _ in self.most_similar(word)], [], zeros)
        ]

    def pick_sense(self, word: str, text: str) -> Sense:
        """Return the sense that a word has in a text, by the text's other words. Raises as `senses` does."""
        if word not in self.known_senses.of_words:
            return self.senses(word)[0]
        others = [vector for other in self.split(text) if other != word and (vector := self._vector(other)) is not None]
        return self.known_senses.pick(word, np.sum(others, axis=0) if others else np.zeros(self.dim, np.float32))

    def with_senses(self) -> "WordVectors":
        """Return these vectors with a row for each sense of the words that have several, bank#1, behind the words.

        Raises X2StaticError: these vectors have no senses, or they are damaged.
        """
        rows = [
            (self.index[word], one)
            for word, some in self.known_senses.of_words.items()
            for one in some
            if word in self.index
        ]
        matrix = np.concatenate([self.matrix, [one.vector for _, one in rows]]) if rows else self.matrix
        counts = np.array([round(self.counts[row] * one.share) for row, one in rows], np.int64)
        words = [*self.words, *(one.name for _, one in rows)]
        return replace(self, words=words, matrix=matrix, counts=np.concatenate([self.counts, counts]))

    def _mean_of_senses(self, words: list[str]) -> npt.NDArray[np.float32]:
        """Return the mean of words' vectors, those of their senses where they have several, (dim,) float32."""
        known = [(word, vector) for word in words if (vector := self._vector(word)) is not None]
        if not known:
            return np.zeros(self.dim, np.float32)
        vectors = np.stack([vector for _, vector in known])
        total, result = vectors.sum(axis=0), vectors.copy()
        for word in {word for word, _ in known} & self.known_senses.of_words.keys():
            own = [row for row, (other, _) in enumerate(known) if other == word]
            result[own] = self.known_senses.pick(word, total - vectors[own].sum(axis=0)).vector
        return np.asarray(result.mean(axis=0, dtype=np.float32))

    def encode(
        self, texts: str | Iterable[str], language: str | None = None, senses: bool = False
    ) -> npt.NDArray[np.float32]:
        """Return the mean vector of the known words of each text, (len(texts), dim) float32; see `mean` and `split`.

        Of one string it is that string's, (dim,), as in sentence-transformers. `language` is that of the texts, where
        words are kept apart by language. With `senses`, a word that has several counts with the one that the text's
        other words speak for. Raises TypeError: what is given is neither a string nor strings in an order;
        X2StaticError: `senses`, and these vectors have none.

        >>> vectors.encode(["A king and a queen.", "An apple."])
        array([[2., 1., 1., 1.],
               [0., 0., 0., 3.]], dtype=float32)
        """
        if isinstance(texts, str):
            words = self.split(texts, language)
            return self._mean_of_senses(words) if senses else self.mean(words)
        if isinstance(texts, bytes | bytearray | Mapping | Set) or not isinstance(texts, Iterable):
            raise TypeError(f"encode takes a string or a list of strings, not {type(texts).__name__}")
        texts = list(texts)
        if wrong := [text for text in texts if not isinstance(text, str)]:
            raise TypeError(f"encode takes strings, but one of the texts is of type {type(wrong[0]).__name__}")
        vectors = np.zeros((len(texts), self.dim), np.float32)
        if senses or self.subwords is not None:
            mean = self._mean_of_senses if senses else self.mean
            for row, text in enumerate(texts):
                vectors[row] = mean(self.split(text, language))
            return vectors
        # The same bits as `mean` gives, in two thirds of its time; gathering the rows of many texts at once is slower.
        counts, matrix, row_of = np.ones(len(texts), np.float32), np.asarray(self.matrix), self.index.get
        for row, text in enumerate(texts):
            if known := [one for word in self.split(text, language) if (one := row_of(word)) is not None]:
                np.add.reduce(matrix.take(known, 0), 0, None, vectors[row])
                counts[row] = len(known)
        vectors /= counts[:, None]
        return vectors

    def save(self, folder: str | Path, *others: str) -> None:
        """Write the vectors to a folder, `run.json` last: where it is, the rest is whole, and it has the hash of each.

        `others` are the names of further files of the run, which are there already.

        >>> vectors.save("saved")
        >>> WordVectors.load("saved") == vectors
        True
        """
        folder = Path(folder)
        senses = self.known_senses if self.senses_file is not None else None  # before their folder may change
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RUN).unlink(missing_ok=True)  # else a crash would leave it beside files of two runs
        with open_atomically(folder / MATRIX) as file:
            write_arrays(file, {"vectors": np.asarray(self.matrix, np.float32)})
        table = pa.table({"word": pa.array(self.words, pa.string()), "count": pa.array(self.counts, pa.int64())})
        with open_atomically(folder / VOCABULARY) as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        names = [MATRIX, VOCABULARY, *others]
        if self.segmentation is not None:
            write_atomically(folder / SEGMENTATION, self.segmentation.rules.encode())
            names.append(SEGMENTATION)
        run = {name: value for name, value in self.run.items() if name not in (SUBWORDS_RECORD, SENSES_RECORD)}
        if self.subwords is not None:
            self.subwords.save(folder / SUBWORDS)
            names.append(SUBWORDS)
            run[SUBWORDS_RECORD] = {"ngrams": len(self.subwords.ngrams)}
        if senses is not None:
            senses.save(folder / SENSES)
            names.append(SENSES)
            run[SENSES_RECORD] = {"words": len(senses.of_words)}
        _write_run(folder, run, names)

    @classmethod
    def from_pretrained(cls, name_or_folder: str | Path, revision: str | None = None, **options: Any) -> "WordVectors":
        """Read vectors from a folder, or from the Hugging Face hub by their name there; `options` are those of `load`.

        A name is downloaded once. Raises X2StaticError: there is no such folder, nor vectors of that name.
        """
        from x2static.schemas.pretrained import find_pretrained

        return cls.load(find_pretrained(name_or_folder, revision), **options)

    @classmethod
    def load(cls, folder: str | Path, unknown: Unknown = "skip", mmap: bool = False) -> "WordVectors":
        """Read what `save` wrote; `unknown` says whether words outside the vocabulary get vectors of subwords.

        With `mmap` the matrix stays in its file, and is read where it is looked at; whether it is as it was written is
        not known then. Raises X2StaticError: there are no finished vectors, no subwords, or they are damaged.
        """
        if unknown not in get_args(Unknown):
            raise ValueError(f"unknown is {' or '.join(map(repr, get_args(Unknown)))}, not {unknown!r}")
        folder = Path(folder)
        require_finished(folder)
        checked = (SEGMENTATION,) if mmap else (MATRIX, SEGMENTATION)
        run, vocabulary = check_run(folder, *checked), read_vocabulary(folder)
        subwords = load_subwords(folder) if unknown == "subwords" else None
        try:
            matrix = mapped(folder / MATRIX, "vectors") if mmap else safetensors.load_file(folder / MATRIX)["vectors"]
        except (OSError, KeyError, SafetensorError) as error:
            raise X2StaticError(f"{folder / MATRIX}: the word vectors are damaged ({error}); {REMEDY}") from error
        rules = folder / SEGMENTATION
        words = ColumnOfWords(vocabulary["word"]) if mmap else vocabulary["word"].to_pylist()
        counts = vocabulary["count"].to_numpy()
        segmentation = WordSegmentation.load(rules) if rules.is_file() else None
        senses = folder / SENSES if SENSES_RECORD in run else None
        try:
            return cls(words, matrix, counts, segmentation, run, subwords, senses)
        except X2StaticError as error:
            raise X2StaticError(f"{folder}: {error}") from error


def require_finished(folder: Path) -> None:
    """Raise X2StaticError if there are no finished vectors in a folder."""
    if not (folder / RUN).is_file():
        hint = f"no {RUN}: its training has not finished" if folder.is_dir() else "there is no such folder"
        raise X2StaticError(f"{folder}: no word vectors here ({hint}); make them with `x2static train`")


def load_subwords(folder: Path) -> Subwords:
    """Return the subwords beside vectors in a folder. Raises X2StaticError: there are none, or they are damaged."""
    if SUBWORDS_RECORD not in check_run(folder, SUBWORDS):
        raise X2StaticError(f"{folder}: no subwords here; make them with `x2static subwords {folder}`")
    return Subwords.load(folder / SUBWORDS)


def add_subwords(folder: Path, subwords: Subwords, **facts: Any) -> None:
    """Add subwords to the vectors in a folder, or replace them; after a crash the vectors are there, with or without.

    `facts` are recorded in run.json beside how many there are. Raises X2StaticError: the vectors are damaged.
    """
    _add(folder, SUBWORDS, subwords, SUBWORDS_RECORD, {"ngrams": len(subwords.ngrams), **facts})


def add_senses(folder: Path, senses: Senses, **facts: Any) -> None:
    """Add senses to the vectors in a folder, as `add_subwords` does."""
    _add(folder, SENSES, senses, SENSES_RECORD, {"words": len(senses.of_words), **facts})


def _add(folder: Path, file: str, content: Subwords | Senses, record: str, facts: dict[str, Any]) -> None:
    names = {*(read_json(folder / RUN).get(FILES) or (MATRIX, VOCABULARY))} - {file}
    run = check_run(folder, *names)
    if run.pop(record, None) is not None:
        _write_run(folder, run, names)  # else a crash would leave it with the hash of others
    content.save(folder / file)
    _write_run(folder, {**run, record: facts}, names | {file})


def _write_run(folder: Path, run: dict[str, Any], names: Iterable[str]) -> None:
    """Write run.json, with the hash of each of the files of these names."""
    files = {name: hash_file(folder / name) for name in names}
    write_atomically(folder / RUN, sealed_json({**run, FILES: files}))


class LostFile(X2StaticError):  # noqa: N818
    """A file of word vectors that their run.json has, and the folder has not."""


def check_run(folder: Path, *names: str) -> dict[str, Any]:
    """Return what run.json says of vectors, after a look at some of the files beside it, all where none is named.

    Raises X2StaticError: run.json, or one of the files, is not what was written, as far as that is known: 0.1.0 kept no
    hashes.
    """
    file = folder / RUN
    try:
        sealed, run = SEAL in (read_json(file) or ()), read_sealed(file)
    except X2StaticError as error:
        raise X2StaticError(f"{error}; {REMEDY}") from error
    if not isinstance(run, dict) or (FILES in run) != sealed:
        raise X2StaticError(f"{file}: not what x2static writes; it is damaged; {REMEDY}")
    hashes = run.pop(FILES, {})
    for name in [name for name in hashes or (MATRIX, VOCABULARY) if not names or name in names]:
        if not (folder / name).is_file():
            raise LostFile(f"{folder / name}: missing; put the file back, or {AGAIN}")
        if name in hashes and hash_file(folder / name) != hashes[name]:
            raise X2StaticError(f"{folder / name}: has changed since it was written; it is damaged; {REMEDY}")
    return run


def read_vocabulary(folder: Path) -> pa.Table:
    """Return the words of vectors in a folder: `word` string, `count` int64. Raises X2StaticError: they are damaged.

    It is read, not mapped, and looked through: bytes that are no text would end the process by a signal.
    """
    check_run(folder, VOCABULARY)
    try:
        table = pa.ipc.open_file(pa.py_buffer((folder / VOCABULARY).read_bytes())).read_all()
        table.validate(full=True)
        table = table.select(VOCABULARY_SCHEMA.names).cast(VOCABULARY_SCHEMA)
        if table["word"].null_count or table["count"].null_count:
            raise pa.ArrowInvalid("words or counts are missing")
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:  # ValueError: a name that is not UTF-8
        raise X2StaticError(f"{folder / VOCABULARY}: the word vectors are damaged ({error}); {REMEDY}") from error
    return table


def sif_weights(counts: npt.NDArray[np.int64], a: float) -> npt.NDArray[np.float64]:
    """Return the smooth inverse frequency a / (a + p) of each word, (n,) float64 in (0, 1] (Arora, Liang and Ma 2017).

    p is a word's share of all counts, (n,), which are not all zero; the smaller a, the less frequent words weigh.
    """
    return np.asarray(a / (a + counts / counts.sum()))
