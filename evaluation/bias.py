"""Bias: the Word Embedding Association Test (WEAT, Caliskan et al. 2017), effect sizes and permutation p-values."""

import json
import logging
import math
import tomllib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator

from x2static.durable.errors import X2StaticError
from x2static.evaluation.draws import PARTITIONS, Draws
from x2static.evaluation.files import WORD_LISTS, find_files, package_file
from x2static.evaluation.measures import Floats, Score, rows_of, unit
from x2static.machine.packages import require_modules
from x2static.machine.screen import quantity
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

LEAST = 2  # known words in a list
ENOUGH = 4  # known words in a list, to say something: 3 and 3 targets have 20 partitions, so p is 0.05 at the best
SAME = 1e-6  # associations that differ by less are equal: parallel vectors stored in float32 differ by about 1e-8

# Table 1 of the paper, in its order, by the names of the lists in the file WEAT.json of WEFE >= 1.0.
_RACES_5 = "european_american_names_5", "african_american_names_5"
_RACES_7 = "european_american_names_7", "african_american_names_7"
_AGES = "young_people_names", "old_people_names"
PUBLISHED = {
    "1 flowers/insects, pleasant/unpleasant": ("flowers", "insects", "pleasant_5", "unpleasant_5a"),
    "2 instruments/weapons, pleasant/unpleasant": ("instruments", "weapons", "pleasant_5", "unpleasant_5a"),
    "3 European/African American names, pleasant/unpleasant": (*_RACES_5, "pleasant_5", "unpleasant_5b"),
    "4 the same, names of Bertrand & Mullainathan": (*_RACES_7, "pleasant_5", "unpleasant_5b"),
    "5 the same, pleasant/unpleasant of Nosek et al.": (*_RACES_7, "pleasant_9", "unpleasant_9"),
    "6 male/female names, career/family": ("male_names", "female_names", "career", "family"),
    "7 math/arts, male/female terms": ("math", "arts", "male_terms", "female_terms"),
    "8 science/arts, male/female terms": ("science", "arts_2", "male_terms_2", "female_terms_2"),
    "9 mental/physical disease, temporary/permanent": ("mental_disease", "physical_disease", "temporary", "permanent"),
    "10 young/old people's names, pleasant/unpleasant": (*_AGES, "pleasant_9", "unpleasant_9"),
}


class WordLists(BaseModel, extra="forbid", frozen=True, strict=True):
    """The four lists of a test: it expects the target words X nearer to the attribute words A, and Y nearer to B."""

    X: list[str]
    Y: list[str]
    A: list[str]
    B: list[str]

    @model_validator(mode="after")
    def _check(self) -> "WordLists":
        for one, other in (("X", "Y"), ("A", "B")):
            words = Counter(getattr(self, one) + getattr(self, other))
            if twice := [word for word, times in words.items() if times > 1]:
                raise ValueError(f"{twice[0]!r} stands more than once in {one} and {other}; keep it once")
        return self


def read_tests(data: Path | None) -> dict[str, WordLists]:
    """Return all tests by name, with that of their file where there are several; None is for WEFE's."""
    paths = find_files(WORD_LISTS, data or package_file("wefe", "datasets/data/WEAT.json"))
    tests = {}
    for path in paths:
        prefix = f"{path.stem}: " if len(paths) > 1 else ""
        tests.update({prefix + name: lists for name, lists in read_word_lists(path).items()})
    return tests


def read_word_lists(path: Path) -> dict[str, WordLists]:
    """Return the tests of a file by name: the user's own, or those of WEFE's WEAT.json.

    Raises X2StaticError: there is none, or a test is not four lists of words, none twice.
    """
    expected = f"expected {WORD_LISTS.expected}"
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise X2StaticError(f"{path}: neither valid JSON nor TOML ({error}); {expected}") from error
    if not isinstance(content, dict) or not content:
        raise X2StaticError(f"{path}: no tests in it; {expected}")
    if all(isinstance(words, list) for words in content.values()):
        published = content
        try:
            content = {}
            for test, names in PUBLISHED.items():
                content[test] = {letter: published[name] for letter, name in zip("XYAB", names, strict=True)}
        except KeyError as key:
            raise X2StaticError(f"{path}: no list {key}, so this is of another WEFE than >= 1.0; {expected}") from None
    try:
        return TypeAdapter(dict[str, WordLists]).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ", ".join(str(part) for part in first["loc"])
        raise X2StaticError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}; {expected}") from None


@dataclass(frozen=True)
class Association(Score):
    """The result of one test.

    `score` is the effect size d, -2 to 2 for targets of equal number: how many standard deviations the targets X are
    nearer than Y to the attributes A rather than B. It is None where fewer than two words of a list are known, or all
    targets are associated alike. Words that are one in the vocabulary ("May", "may") are covered once.
    """

    p: float | None  # share of the partitions of X and Y together that are at least as far apart; None as the score
    exact: bool  # whether all partitions were tried, and not a sample
    known: dict[str, int]  # known words of each list

    @property
    def too_few(self) -> bool:
        """Whether the test rests on too few words of some list."""
        return min(self.known.values()) < ENOUGH


def associate(vectors: WordVectors, task: str, lists: WordLists, draws: Draws) -> Association:
    """Run one test, unknown words left out and counted; one without a score is warned of.

    The standard deviation is that of the population of all targets, as the paper's text and WEFE have it. The p-value
    is one-sided and counts partitions that are just as far apart. Partitions are drawn where they are more than 100,000
    and more than the draws; else all are tried, the observed one among them. In a sample, p = (1 + hits) / (1 + drawn).
    Where unknown words leave X and Y of unequal sizes, the partitions keep them.
    """
    vectors = vectors.knowing(word for _, words in lists for word in words)
    rows = {name: list(dict.fromkeys(rows_of(vectors, words))) for name, words in lists}
    known = {name: len(of_list) for name, of_list in rows.items()}
    total = sum(len(words) for _, words in lists)
    unscored = Association(task, None, sum(known.values()), total, None, exact=True, known=known)
    few = next((name for name, n in known.items() if n < LEAST), None)
    if few is not None:
        logger.warning("%s: no score, of list %s only %s known", task, few, quantity(known[few], "word"))
        return unscored
    units = {name: unit(vectors.matrix[of_list].astype(np.float64)) for name, of_list in rows.items()}
    towards = units["A"].mean(axis=0) - units["B"].mean(axis=0)  # its product with a target is s(w, A, B)
    x, y = units["X"] @ towards, units["Y"] @ towards
    both = np.concatenate([x, y])
    if np.ptp(both) < SAME:
        logger.warning("%s: no score, all %d targets are associated alike", task, len(both))
        return unscored
    require_modules("evaluate", "scipy")
    from scipy.stats import permutation_test  # an extra

    exact = math.comb(len(both), len(x)) <= max(PARTITIONS, draws.n)
    n, rng = math.inf if exact else draws.n, np.random.default_rng(draws.seed)
    tested = permutation_test((x, y), _difference, n_resamples=n, batch=1000, alternative="greater", rng=rng)
    return replace(unscored, score=float(_difference(x, y) / both.std()), p=float(tested.pvalue), exact=exact)


def _difference(x: Floats, y: Floats, axis: int = -1) -> Floats:
    # Of partitions of fixed sizes, in the same order as the paper's difference of sums.
    return np.asarray(x.mean(axis=axis) - y.mean(axis=axis))
