"""A dictionary, if the user gives one: every frequent word read with what it means, one text a sense.

It is text from outside the corpus, so its name, licence and hash go with what is made of it (docs/LOG.md, 2026-11-28).
A file has a sense a line, WORD<TAB>SYNONYM|SYNONYM<TAB>GLOSS, the more frequent senses of a word first; extracts of
Wiktionary are easily brought into this form. A folder has the database files of WordNet, which nltk reads.
"""

import io
import re
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, hash_file
from x2static.machine.packages import require
from x2static.machine.progress import Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.phrases import BlockMarker, OutsideText
from x2static.stage1_encode.encoder import Encoder
from x2static.stage1_encode.phrases import counted_words, read_words
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.texts import read_texts

FORMS = ("{}: {gloss}", "{}, {synonyms}: {gloss}")  # where there are no synonyms, the second is the first
MOST_SENSES = 5  # of a word, of which the n-th weighs 1/n
DATABASE = tuple(f"{kind}.{part}" for kind in ("data", "index") for part in ("noun", "verb", "adj", "adv"))
LEXICOGRAPHER_FILES = 45  # of WordNet, which synsets name by number
LINE = "WORD<TAB>SYNONYM|SYNONYM<TAB>GLOSS"


class Sense(NamedTuple):
    """One meaning of a word."""

    synonyms: tuple[str, ...]  # other words that have it
    gloss: str

    def texts(self, word: str) -> tuple[str, str]:
        """Return what the teacher reads of it, in the order of FORMS."""
        plain, with_synonyms = FORMS
        first = plain.format(word, gloss=self.gloss)
        if not self.synonyms:
            return first, first
        return first, with_synonyms.format(word, synonyms=", ".join(self.synonyms), gloss=self.gloss)


@dataclass(frozen=True)
class Dictionary:
    """What some text says of words."""

    source: OutsideText
    senses: Callable[[str], list[Sense]]  # of a word, by descending frequency; none of an unknown one


def open_dictionary(path: Path, licence: str | None) -> Dictionary:
    """Read a dictionary, a file of senses or the folder of WordNet's database files.

    Raises X2StaticError: it is neither, a line is not as it should be, or nobody says its licence.
    """
    if path.is_dir():
        return _wordnet(path, licence)
    if licence is None:
        raise X2StaticError(f"{path}: under what licence is it? Say it by --licence TEXT, it is kept with the vectors")
    senses = defaultdict(list)
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise X2StaticError(f"--dictionary {path}: {error.strerror}; name a file of lines {LINE}") from error
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r")
        except UnicodeDecodeError as error:
            raise X2StaticError(f"{path}, line {number}: not valid UTF-8; save the file as UTF-8") from error
        if line.strip():
            columns = [column.strip() for column in line.split("\t")]
            if len(columns) != len(LINE.split("<TAB>")) or not columns[0] or not columns[2]:
                raise X2StaticError(f"{path}, line {number}: expected {LINE}, got {line!r}")
            word, synonyms, gloss = columns
            others = [other.strip() for other in synonyms.split("|")]
            others = [other for other in others if other and other.lower() != word.lower()]
            senses[word.lower()].append(Sense(tuple(others), gloss))
    if not senses:
        raise X2StaticError(f"{path}: no sense in it; expected lines of {LINE}")
    source = OutsideText(name=path.stem, licence=licence, hash=hash_file(path))
    return Dictionary(source, lambda word: senses.get(word.lower(), []))


def _wordnet(folder: Path, licence: str | None) -> Dictionary:
    """Read WordNet's database files; the licence stands at their beginning."""
    require("dictionary")
    if missing := [name for name in DATABASE if not (folder / name).is_file()]:
        expected = f"WordNet's database files ({', '.join(DATABASE)}), or name a file of lines {LINE}"
        raise X2StaticError(f"--dictionary {folder}: no {missing[0]} here; expected {expected}")
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader, WordNetError
    from nltk.data import SeekableUnicodeStreamReader

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        """WordNet as it lies in the folder: without what only some distributions have, and no mapping to 3.0."""

        def open(self, file: str) -> Any:
            if (folder / file).is_file():  # held in memory: nltk closes no file that it has opened
                return SeekableUnicodeStreamReader(io.BytesIO((folder / file).read_bytes()), self.encoding(file))
            names = (f"{number} unknown 0\n" for number in range(LEXICOGRAPHER_FILES) if file == "lexnames")
            return io.StringIO("".join(names))

        def map_wn(self, version: str = "wordnet") -> None:
            return None

    nltk.data.path.append(str(folder))  # nltk reads in the folders of this list alone
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it is English alone
            reader = Reader(str(folder), None)
            version = reader.get_version()
    except (OSError, ValueError, IndexError, WordNetError) as error:
        raise X2StaticError(f"--dictionary {folder}: nltk cannot read these files of WordNet ({error})") from error
    if licence is None:
        header = (folder / DATABASE[0]).read_text(encoding="utf-8", errors="replace").split("\n", 40)
        numbered = [re.match(r" +\d+ (.*)", line) for line in header]
        licence = "\n".join(match[1].strip() for match in numbered if match)
    files = {name: hash_file(folder / name) for name in DATABASE}
    digest = xxhash.xxh3_128(canonical_json(files)).hexdigest()
    return Dictionary(OutsideText(name=f"WordNet {version}", licence=licence, hash=digest), partial(_senses, reader))


def _senses(reader: Any, word: str) -> list[Sense]:
    """Return the senses of a word, or of its lemmas, in WordNet: the first of each part of speech, then the second."""
    by_part = [reader.synsets(word, part) for part in "nvar"]
    synsets = [synset for synset in chain.from_iterable(zip_longest(*by_part)) if synset is not None]
    names = [[name.replace("_", " ") for name in synset.lemma_names()] for synset in synsets]
    return [
        Sense(tuple(name for name in of_one if name.lower() != word.lower()), synset.definition())
        for of_one, synset in zip(names, synsets, strict=True)
    ]


def read_dictionary(
    cache: Cache, origin: Origin, min_count: int, dictionary: Dictionary, report: Report = silent
) -> dict[str, Any]:
    """Read the words of a cache with what a dictionary says of them, those that are not read yet.

    Returns words (that occur `min_count` times and that the dictionary has), words_read (by this call), phrases and
    seconds. Raises X2StaticError: the teacher is not found as it was, or what is there is damaged.
    """
    if languages := cache.segmentation().languages:
        what = f"a dictionary says what words of one language mean, and words here are of {', '.join(languages)}"
        raise X2StaticError(f"{cache.path}: {what}; leave --dictionary out")
    marker = BlockMarker(encoding=cache.manifest.fingerprint, phrases=FORMS, dictionary=dictionary.source)
    words = [word for word in counted_words(cache, min_count) if dictionary.senses(word)]
    return read_words(cache, origin, words, marker, partial(_read_senses, dictionary), report)


def _read_senses(
    dictionary: Dictionary, encoder: Encoder, words: list[str]
) -> tuple[npt.NDArray[np.float32], list[list[str]]]:
    """Return of each word the weighted mean over its senses in each form, (n_words, n_forms, dim), and its synonyms."""
    senses = [dictionary.senses(word)[:MOST_SENSES] for word in words]
    texts = [text for word, some in zip(words, senses, strict=True) for sense in some for text in sense.texts(word)]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    read = read_texts(encoder, list(places), "senses", special=True)
    vectors = np.zeros((len(words), len(FORMS), read.shape[1]), np.float32)
    for row, (word, some) in enumerate(zip(words, senses, strict=True)):
        weights = 1 / np.arange(1, len(some) + 1)
        of_word = read[[[places[text] for text in sense.texts(word)] for sense in some]]  # (n_senses, n_forms, dim)
        vectors[row] = np.average(of_word, axis=0, weights=weights)
    return vectors, [list(dict.fromkeys(chain.from_iterable(sense.synonyms for sense in some))) for some in senses]
