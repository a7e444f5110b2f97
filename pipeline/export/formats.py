"""Word vectors in the formats of other tools: a new format is a file beside this one and a line in `FORMATS`."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import TEMPORARY, commit_folder, end_of_links, refuse_to_replace, temporary_folder
from x2static.machine.packages import require_modules
from x2static.machine.screen import quantity
from x2static.pipeline.export import browser_page, keyed_vectors, onnx_model, spacy_folder, static_model, word2vec
from x2static.pipeline.export.smaller import Smaller
from x2static.pipeline.publish.card import README, Facts, model_card
from x2static.pipeline.publish.provenance import find_provenance
from x2static.schemas.multiword import name_of
from x2static.schemas.vectors import WordVectors

UNHELD = re.compile(r"^$|[\ud800-\udfff]")  # no word, or half a surrogate pair, which has no UTF-8
HALF, CODES = ("float32", "float16"), ("float32", "float16", "int8")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Format:
    """A format of another tool."""

    write: Callable[[WordVectors, Path, Smaller], None]  # a file, whole or not at all, or into an empty folder
    is_folder: bool = False
    modules: tuple[str, ...] = ()  # of the extra "export", without which it cannot be written
    unheld: re.Pattern[str] = UNHELD  # what is in a word that it cannot hold
    dtypes: tuple[str, ...] = ("float32",)  # how it holds numbers
    codebook: bool = False  # whether words can share rows
    cuts: bool = False  # whether it cuts text, as training did


FORMATS: dict[str, Format] = {
    "word2vec": Format(word2vec.write_text, unheld=word2vec.UNWRITABLE),
    "word2vec-bin": Format(word2vec.write_binary, unheld=word2vec.UNWRITABLE),
    "glove": Format(word2vec.write_glove, unheld=word2vec.UNWRITABLE),
    "fasttext": Format(word2vec.write_text, unheld=word2vec.UNWRITABLE),  # its .vec
    "gensim": Format(keyed_vectors.write, modules=("gensim",)),
    "sentence-transformers": Format(static_model.write, is_folder=True, dtypes=HALF, codebook=True, cuts=True),
    "model2vec": Format(static_model.write, is_folder=True, dtypes=CODES, codebook=True, cuts=True),
    "spacy": Format(spacy_folder.write, is_folder=True, modules=("spacy",)),
    "onnx": Format(onnx_model.write, is_folder=True, modules=("onnx",), cuts=True),
    "browser": Format(browser_page.write, is_folder=True, dtypes=("float32", "int8"), codebook=True, cuts=True),
}


def export(vectors: WordVectors, to: str, out: Path, force: bool = False, smaller: Smaller | None = None) -> list[str]:
    """Write word vectors as a file or folder of another format, whole or not at all; most frequent words first.

    `to` is a key of `FORMATS`; `force` replaces what is there. Returned are the words that the format cannot hold.
    Raises X2StaticError: the format is unknown, can hold none of the words, or not the numbers as asked; it cuts text
    and cannot cut it as training did; a package is missing; or something is there already.
    """
    if to not in FORMATS:
        raise X2StaticError(f"--to {to}: not a format that x2static writes; choose from {', '.join(FORMATS)}")
    form, smaller = FORMATS[to], smaller or Smaller()
    require_modules("export", *form.modules)
    if smaller.dtype not in form.dtypes:
        raise X2StaticError(f"--dtype {smaller.dtype}: {to} holds {' or '.join(form.dtypes)}")
    if smaller.codebook and not form.codebook:
        able = ", ".join(name for name, other in FORMATS.items() if other.codebook)
        raise X2StaticError(f"--codebook: in {to} every word has a row of its own; choose from {able}")
    refuse_to_replace(out, force, form.is_folder)
    vectors, out = smaller.reduced(vectors), end_of_links(out)
    left_out = [word for word in vectors.words if form.unheld.search(word)]
    if len(left_out) == len(vectors):
        what = f"the format can hold none of {quantity(len(vectors), 'word')}"
        raise X2StaticError(f"{out}: {what}; nothing was written")
    if left_out:
        vectors = vectors.rows([row for row, word in enumerate(vectors.words) if not form.unheld.search(word)])
    out.parent.mkdir(parents=True, exist_ok=True)
    if form.is_folder:
        _write_folder(form, vectors, out, smaller)
    else:
        form.write(vectors, out, smaller)
    entries = vectors.segmentation.multiword.entries if vectors.segmentation else ()
    if entries and not form.cuts:
        what = "%d entries of several words are plain words in %s, such as %s: nothing joins them in a text"
        logger.warning(what, len(entries), to, name_of(entries[0]))
    if left_out:
        examples = ", ".join(map(repr, left_out[:5]))
        logger.warning("%s left out, not to be held by %s: %s", quantity(len(left_out), "word"), to, examples)
    return left_out


def _write_folder(form: Format, vectors: WordVectors, out: Path, smaller: Smaller) -> None:
    """Write a folder, in place of one whose files all are written anew. Raises X2StaticError: it holds others."""
    with temporary_folder(out.with_name(f"{TEMPORARY}{out.name}")) as folder:
        form.write(vectors, folder, smaller)
        files = sorted(path.name for path in folder.iterdir())
        card = model_card(vectors, out.name, Facts(find_provenance(vectors.run), files=files))
        (folder / README).write_text(card, encoding="utf-8")
        others = sorted({path.name for path in out.glob("*")} - {path.name for path in folder.iterdir()})
        if others:
            raise X2StaticError(
                f"{out}: holds {', '.join(others[:3])}, which --force would remove; name another folder"
            )
        commit_folder(folder, out, replace=True)
