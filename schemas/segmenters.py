"""Libraries that cut text without spaces into words; each is loaded when it first cuts, and training needs none."""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import NOT_INSTALLED, package_version

Cut = Callable[[str], list[str]]  # a text to the words that it consists of

logger = logging.getLogger(__name__)


class SegmenterRules(BaseModel):
    """Word segmentation rules that JSON of the `tokenizers` library cannot hold: which library cuts what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segmenter: str  # name of the library, a key of LIBRARIES
    versions: dict[str, str]  # of the library and its dictionary; others cut otherwise
    language: str  # ISO 639-1 code, and name of the extra that installs the library
    runs: str  # regular expression of the runs of letters that the library cuts; `rules` keep them apart from the rest
    longest_run: int = Field(ge=1)  # characters that the library gets at once; a longer run is cut there
    settings: dict[str, Any]  # what the library is loaded with
    rules: dict[str, Any]  # JSON of a `tokenizers.Tokenizer`, which normalises, and cuts all else


@dataclass(frozen=True)
class Library:
    """A library that cuts runs of letters into words."""

    packages: tuple[str, ...]  # those whose versions decide where it cuts
    load: Callable[..., Cut]  # gives what cuts, by keyword settings

    @property
    def versions(self) -> dict[str, str]:
        """The version of each package that is installed here, NOT_INSTALLED for the others."""
        return {package: package_version(package) for package in self.packages}

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package, version in self.versions.items() if version == NOT_INSTALLED]


def load_cut(rules: SegmenterRules) -> Cut:
    """Load the library that rules name, and return what cuts a word of the other rules further.

    Raises X2StaticError: the library is not installed, or one that this version of x2static does not know.
    """
    needed = described(rules.versions)
    if rules.segmenter not in LIBRARIES:
        raise X2StaticError(
            f"word segmentation: this version of x2static does not know {rules.segmenter} ({needed}); use a newer one"
        )
    library = LIBRARIES[rules.segmenter]
    if library.missing:
        raise X2StaticError(
            f"word segmentation: the words were cut by {needed}, but {' and '.join(library.missing)} cannot be found "
            f"here; pip install {' '.join(f'{package}=={version}' for package, version in rules.versions.items())}"
        )
    if library.versions != rules.versions:
        logger.warning(
            "word segmentation: the words were cut by %s, here is %s, which may cut some otherwise",
            needed,
            described(library.versions),
        )
    run, longest, cut = re.compile(rules.runs), rules.longest_run, library.load(**rules.settings)

    def words(word: str) -> list[str]:
        if not run.match(word):
            return [word]
        return [part for start in range(0, len(word), longest) for part in cut(word[start : start + longest])]

    return words


def described(versions: dict[str, str]) -> str:
    """Return packages with their versions, as a person reads them."""
    return " and ".join(f"{package} {version}" for package, version in versions.items())


def _load_rjieba(hmm: bool) -> Cut:
    from rjieba import Jieba

    jieba = Jieba()  # the one that the module shares may have been given other words

    return lambda run: jieba.cut(run, hmm)


def _load_sudachipy(mode: str) -> Cut:
    from sudachipy import Dictionary

    tokenizer = Dictionary(dict="small").tokenizer(mode)
    lock = Lock()  # it refuses a second thread

    def cut(run: str) -> list[str]:
        with lock:
            return [word.raw_surface() for word in tokenizer.tokenize(run)]

    return cut


def _load_pythainlp() -> Cut:
    """Import the library, which would make a folder in the home folder if it might, and fail where it cannot."""
    decided = {"PYTHAINLP_READ_ONLY", "PYTHAINLP_READ_MODE"} & os.environ.keys()  # by the user
    if not decided:
        os.environ["PYTHAINLP_READ_ONLY"] = "1"
    try:
        from pythainlp.tokenize.newmm import segment
    finally:
        if not decided:
            del os.environ["PYTHAINLP_READ_ONLY"]
    return segment


LIBRARIES = {
    "rjieba": Library(("rjieba",), _load_rjieba),
    "sudachipy": Library(("sudachipy", "sudachidict-small"), _load_sudachipy),
    "pythainlp": Library(("pythainlp",), _load_pythainlp),
}
