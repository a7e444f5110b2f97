"""The corpora that a user names, opened."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.schemas.encoding import ReadingOptions
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.local_files import FileSet, LocalFiles, find_files
from x2static.stage1_encode.corpora.spool import is_standard_input, spooled_input
from x2static.stage1_encode.demo import demo_corpus


@dataclass(frozen=True)
class Source:
    """A corpus and what a cache holds of it."""

    corpus: Corpus  # the corpus
    identity: dict[str, Any]  # what tells it from any other, now
    plans: tuple[int, ...]  # numbers of its plans, ascending; none for one that is to be added


@contextmanager
def open_corpora(
    specs: Sequence[str], options: ReadingOptions, cache: Path, spool: bool = True
) -> Iterator[list[Corpus]]:
    """Give the corpora that --corpus names, and close them afterwards.

    Args:
        specs: their names.
        options: how they are read and cut.
        cache: the folder in whose spool is kept what can be read only once; no file in it is a corpus's.
        spool: whether that may be written; otherwise `-` stands for what an earlier run read.

    Raises:
        X2StaticError: one of them is not there, or is named twice.
    """
    inputs = ["-" if is_standard_input(spec) else spec for spec in specs]
    if len(set(inputs)) < len(inputs):
        raise X2StaticError(f"--corpus: the same corpus is named twice: {', '.join(specs)}")
    with ExitStack() as stack:
        yield [stack.enter_context(closing(_open_corpus(spec, options, cache, spool))) for spec in specs]


def _open_corpus(spec: str, options: ReadingOptions, cache: Path, spool: bool) -> Corpus:
    if spec.startswith("hf://"):
        from x2static.stage1_encode.corpora.hub import HubDataset  # which imports datasets and transformers

        return HubDataset(spec, options, cache, spool)
    if is_standard_input(spec):
        stream = (sys.stdin.buffer if sys.stdin else io.BytesIO()) if spool else None  # a closed one brings no text
        return LocalFiles(spec, options, partial(spooled_input, spec, options.format, cache, stream))
    if spec == "demo":
        path = demo_corpus()
        files = FileSet({path.name: path}, str(path), "lines", alone=True)
    else:
        files = find_files(spec, options.format, cache)
    return LocalFiles(spec, options, lambda: files)
