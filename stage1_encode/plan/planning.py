"""From corpora to the plans of a cache: what it holds of each, what a raised --limit or --append adds, what is left."""

import logging
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, shown
from x2static.machine.screen import quantity
from x2static.schemas.cache import Cache, plan_shards, write_plan
from x2static.schemas.encoding import EncodeConfig, PlanOptions
from x2static.schemas.manifest import Marker, Plan
from x2static.schemas.mirror import CacheView
from x2static.schemas.segmentation import WordSegmentation
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.sources import Source

CHANGES_SHOWN = 3
COUNTED_UNITS = 16  # of 8,192 paragraphs some ten million words, which takes a few seconds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """`--part`: every `count`-th shard, which one machine of several encodes; the one part of one is all of them."""

    number: int = 1  # from 1 to `count`
    count: int = 1

    @classmethod
    def of(cls, text: str | None) -> "Part":
        """Return the part that "3/16" names; None is all."""
        return cls(*map(int, text.split("/"))) if text else cls()

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def takes(self, shard: int) -> bool:
        """Return whether a shard, by its number, belongs to it."""
        return shard % self.count == self.number - 1


def planned_paragraphs(
    plans: list[Plan], markers: dict[int, Marker], part: Part | None = None, numbers: Container[int] | None = None
) -> tuple[int, bool]:
    """Return the paragraphs before the filter, and whether that is their number or an estimate.

    They are those of a cache's plans with these numbers (None: all), in a part of its shards.
    """
    part = part or Part()
    units = [
        markers[shard].unit if shard in markers else plan.units[shard - shards.start]
        for number, (plan, shards) in enumerate(zip(plans, plan_shards(plans), strict=True))
        if numbers is None or number in numbers
        for shard in filter(part.takes, shards)
    ]
    return sum(unit.paragraphs for unit in units), all(unit.counted for unit in units)


def plan_all(config: EncodeConfig, corpora: list[Corpus]) -> dict[int, Plan]:
    """Return the plans of a new cache, by number; no two corpora may be the same."""
    planned = zip((corpus.plan(corpus.identity()) for corpus in corpora), config.languages_of_corpora(), strict=True)
    plans = {number: plan.model_copy(update={"language": of}) for number, (plan, of) in enumerate(planned)}
    _refuse_equal({plan.corpus: plan.identity for plan in plans.values()})
    return plans


def count_words(
    corpora: list[Corpus], plans: dict[int, Plan], rules_of: Callable[[Plan], WordSegmentation]
) -> Counter[str]:
    """Return how often words occur in some units, evenly chosen, of a new cache; of a stream, in its first one.

    `rules_of` a plan cut the words of its corpus.
    """
    counts, n_units = Counter[str](), sum(len(plan.units) for plan in plans.values())
    for number, plan in plans.items():
        corpus = corpora[number]
        corpus.connect(plan.identity)
        rules = rules_of(plan)
        for unit in plan.units[:1] if corpus.sequential else plan.units[:: -(-n_units // COUNTED_UNITS)]:
            for paragraph in corpus.read(unit).paragraphs:
                counts.update(rules.split(paragraph))
    return counts


def plan_rest(
    config: EncodeConfig, sources: list[Source], cache: Path, old: list[Plan], markers: dict[int, Marker]
) -> dict[int, Plan]:
    """Return the plans that a raised --limit or an appended corpus adds to a cache's `old` ones, by number, if any."""
    appended = {number for source in sources for number in source.plans}  # what was begun of them need not be finished
    for number, shards in enumerate(plan_shards(old) if config.append else ()):
        if number not in appended and not all(shard in markers for shard in shards):
            why = f"{cache} is not finished: units of {old[number].corpus} are missing"
            raise X2StaticError(f"--append: {why}; first run the `x2static encode` that it was made with again")
    added: list[Plan] = []
    for source, language in zip(sources, config.languages_of_corpora(), strict=True):
        if not source.plans:
            added.append(source.corpus.plan(source.identity).model_copy(update={"language": language}))
            continue
        latest = old[source.plans[-1]]
        n_planned, counted = planned_paragraphs(old, markers, numbers={source.plans[-1]})
        n_held = latest.first + n_planned
        if source.identity != latest.identity and latest.identity.get("kind") == "file":
            source.corpus.connect(latest.identity)  # what was kept of standard input and is damaged is named as such
        problems = [f"corpus ({latest.corpus}) {change}" for change in _changes(latest.identity, source.identity)]
        names = PlanOptions.model_fields
        theirs, ours = ({name: getattr(options, name) for name in names} for options in (latest, config))
        if ours["unit"] is None:  # what is added is a plan of its own, of units that go with it
            theirs["unit"] = None
        if theirs["on_bad_text"] == "fail":  # no bad text was met so far, whatever else could have been done about it
            theirs["on_bad_text"] = ours["on_bad_text"]
        theirs["language"], ours["language"] = latest.language, language
        problems += [f"{name}: {theirs[name]!r} != {ours[name]!r}" for name in ours if theirs[name] != ours[name]]
        if config.limit is not None and (config.limit < n_held or not counted):
            held = quantity(n_held, "paragraph") if counted else "all of the corpus"
            problems.append(f"limit: {held} planned already != {config.limit}")
        if problems:
            raise _refusal(cache, problems)
        # A plan that stays below its limit, or has none, reaches the end of its corpus.
        if latest.limit == n_planned and config.limit != n_held:
            last = latest.units[-1] if latest.units else None
            plan = source.corpus.plan(source.identity, n_held, last)
            added += [plan.model_copy(update={"language": language})] if plan.units else []
    return dict(enumerate(added, len(old)))


def _changes(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Return each entry in which two identities differ, with both values; of many files, the first few."""
    problems = []
    for name in sorted(ours.keys() | theirs.keys()):
        first, second = ours.get(name), theirs.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            inner = _changes(first, second)
            problems += [f"{name}: {change}" for change in inner[:CHANGES_SHOWN]]
            if len(inner) > CHANGES_SHOWN:
                problems.append(f"{name}: {len(inner) - CHANGES_SHOWN} more")
        elif first != second:
            values = [shown(side[name]) if name in side else "absent" for side in (ours, theirs)]
            problems.append(f"{name}: {' != '.join(values)}")
    return problems


def corpus_groups(plans: list[Plan]) -> list[list[int]]:
    """Return the numbers of the plans of each corpus, in order of first appearance."""
    groups: dict[bytes, list[int]] = {}
    for number, plan in enumerate(plans):
        groups.setdefault(canonical_json(plan.identity), []).append(number)
    return list(groups.values())


def match(config: EncodeConfig, corpora: list[Corpus], cache: Path, plans: list[Plan]) -> list[Source]:
    """Return, for each corpus of a configuration, what a cache with these plans holds of it."""
    groups = corpus_groups(plans)
    if config.append:
        return _appended(corpora, cache, plans, groups)
    if len(groups) != len(corpora):
        held = ", ".join(plans[group[0]].corpus for group in groups)
        raise _refusal(cache, [f"corpus: {held} != {', '.join(corpus.spec for corpus in corpora)}"])
    identities = (_identity(corpus, [plans[group[-1]]]) for corpus, group in zip(corpora, groups, strict=True))
    return list(map(Source, corpora, identities, map(tuple, groups)))


def _identity(corpus: Corpus, plans: list[Plan]) -> dict[str, Any]:
    """Return a corpus's identity: that of a plan which saw it as it is now, or a new one, for which it is read."""
    seen = corpus.seen()
    return next((plan.identity for plan in plans if plan.seen == seen), None) or corpus.identity()


def _appended(corpora: list[Corpus], cache: Path, plans: list[Plan], groups: list[list[int]]) -> list[Source]:
    """Match corpora with the last ones of a cache, which an earlier call of the same append may have begun."""
    identities = [_identity(corpus, plans[::-1]) for corpus in corpora]
    held = [plans[group[0]].identity for group in groups]
    lengths = range(min(len(corpora), len(groups) - 1), 0, -1)  # what was there first was not appended
    begun = next((length for length in lengths if held[-length:] == identities[:length]), 0)
    for corpus, identity in zip(corpora[begun:], identities[begun:], strict=True):
        if identity in held:
            raise X2StaticError(f"--append: {cache} holds the text of {corpus.spec} already; leave it out")
        path = corpus.seen().get("path")
        if any(corpus.spec == plan.corpus or (path and path == plan.seen.get("path")) for plan in plans):
            why = f"{corpus.spec} is not what it was when {cache} was made from it, so text would be in there twice"
            raise X2StaticError(f"--append: {why}; put the new text into a file of its own, and append that")
    _refuse_equal({corpus.spec: identity for corpus, identity in zip(corpora, identities, strict=True)})
    known = [tuple(group) for group in groups[len(groups) - begun :]] + [()] * (len(corpora) - begun)
    return list(map(Source, corpora, identities, known))


def _refuse_equal(identities: dict[str, dict[str, Any]]) -> None:
    """Refuse corpora, by their names, that hold the same text."""
    specs: dict[bytes, str] = {}
    for spec, identity in identities.items():
        other = specs.setdefault(canonical_json(identity), spec)
        if other != spec:
            raise X2StaticError(f"--corpus: {other} and {spec} hold the same text")


def _refusal(cache: Path, problems: list[str]) -> X2StaticError:
    why = f"this cache was made from something else (cache != asked for): {'; '.join(problems)}"
    return X2StaticError(f"{cache}: {why}. Ask for the same again, or use another --cache")


def write_plans(cache: Cache, plans: dict[int, Plan]) -> None:
    """Write plans, by number, into a cache."""
    log_skipped(plans)
    for number, plan in plans.items():
        write_plan(cache.path, number, plan)
    if bucket := CacheView.of(cache.path):
        bucket.add(f"plans/{number}.json" for number in plans)


def log_skipped(plans: dict[int, Plan]) -> None:
    """Say what plans leave out as bad text."""
    for plan in plans.values():
        if plan.skipped:
            logger.warning("%s: left out as bad text: %s", plan.corpus, quantity(plan.skipped, "paragraph"))
