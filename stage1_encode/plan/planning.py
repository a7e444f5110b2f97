"""From corpora to the plans of a cache: what it holds of each, and what a raised --limit or --append adds."""

import logging
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.schemas.cache import Cache, plan_shards, write_plan
from x2static.schemas.encoding import EncodeConfig, PlanOptions
from x2static.schemas.manifest import Marker, Plan
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.sources import Source
from x2static.stage1_encode.plan.remaining import planned_paragraphs

CHANGES_SHOWN = 3

logger = logging.getLogger(__name__)


def plan_all(corpora: list[Corpus]) -> dict[int, Plan]:
    """Return the plans of a new cache, by number.

    Raises X2StaticError: a corpus cannot be read, or two are the same.
    """
    plans = {number: corpus.plan(corpus.identity()) for number, corpus in enumerate(corpora)}
    _refuse_equal({plan.corpus: plan.identity for plan in plans.values()})
    return plans


def plan_rest(
    config: EncodeConfig, sources: list[Source], cache: Path, old: list[Plan], markers: dict[int, Marker]
) -> dict[int, Plan]:
    """Return the plans that a raised --limit or an appended corpus adds to a cache, by number; none without these.

    Args:
        config: what is asked for.
        sources: its corpora, and what the cache holds of them.
        cache: its folder, for messages.
        old: all its plans.
        markers: of its shards, by number.

    Raises:
        X2StaticError: the cache holds other corpora, or was planned with other options.
    """
    added: list[Plan] = []
    for source in sources:
        if not source.plans:
            added.append(source.corpus.plan(source.identity))
            continue
        latest = old[source.plans[-1]]
        n_planned, counted = planned_paragraphs(old, markers, numbers={source.plans[-1]})
        n_held = latest.first + n_planned
        _check(cache, source, latest, config, n_held, counted)
        # A plan that stays below its limit, or has none, reaches the end of its corpus.
        if latest.limit == n_planned and config.limit != n_held:
            last = latest.units[-1] if latest.units else None
            plan = source.corpus.plan(source.identity, n_held, last)
            added += [plan] if plan.units else []
    return dict(enumerate(added, len(old)))


def _check(cache: Path, source: Source, plan: Plan, config: EncodeConfig, n_held: int, counted: bool) -> None:
    """Refuse a corpus that has changed, other options, and a limit below what is planned."""
    problems = [f"corpus ({plan.corpus}) {what}" for what in _changes(plan.identity, source.identity)]
    problems += [
        f"{name}: {getattr(plan, name)!r} != {getattr(config, name)!r}"
        for name in PlanOptions.model_fields
        if getattr(plan, name) != getattr(config, name)
    ]
    if config.limit is not None and not counted:
        problems.append(f"limit: all of the corpus is planned already != {config.limit}")
    elif config.limit is not None and config.limit < n_held:
        problems.append(f"limit: {n_held} paragraphs are planned already != {config.limit}")
    if problems:
        raise _refusal(cache, problems)


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
            shown = [repr(side[name]) if name in side else "absent" for side in (ours, theirs)]
            problems.append(f"{name}: {' != '.join(shown)}")
    return problems


def corpus_groups(plans: list[Plan]) -> list[list[int]]:
    """Return the numbers of the plans of each corpus, in order of first appearance."""
    groups: dict[bytes, list[int]] = {}
    for number, plan in enumerate(plans):
        groups.setdefault(canonical_json(plan.identity), []).append(number)
    return list(groups.values())


def match(config: EncodeConfig, corpora: list[Corpus], cache: Path, plans: list[Plan]) -> list[Source]:
    """Return, for each corpus that is asked for, what a cache holds of it.

    Args:
        config: what is asked for; with `append`, the corpora come after those of the cache.
        corpora: those of the configuration.
        cache: its folder, for messages.
        plans: all its plans.

    Raises:
        X2StaticError: the cache holds another number of corpora, or, to append, one of them already.
    """
    groups = corpus_groups(plans)
    if config.append:
        return _appended(corpora, cache, plans, groups)
    if len(groups) != len(corpora):
        held = ", ".join(plans[group[0]].corpus for group in groups)
        raise _refusal(cache, [f"corpus: {held} != {', '.join(corpus.spec for corpus in corpora)}"])
    return [
        Source(corpus, _identity(corpus, [plans[group[-1]]]), tuple(group))
        for corpus, group in zip(corpora, groups, strict=True)
    ]


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
            raise X2StaticError(
                f"--append: {corpus.spec} is not what it was when {cache} was made from it, so text would be in there "
                "twice; put the new text into a file of its own, and append that"
            )
    _refuse_equal({corpus.spec: identity for corpus, identity in zip(corpora, identities, strict=True)})
    known = [tuple(group) for group in groups[len(groups) - begun :]] + [()] * (len(corpora) - begun)
    return [Source(*parts) for parts in zip(corpora, identities, known, strict=True)]


def check_appendable(cache: Path, plans: list[Plan], markers: dict[int, Marker], sources: list[Source]) -> None:
    """Refuse to append to a cache that is not finished; what was begun of the corpora to append need not be.

    Raises X2StaticError: shards of the other corpora are missing or damaged.
    """
    appended = {number for source in sources for number in source.plans}
    for number, shards in enumerate(plan_shards(plans)):
        if number not in appended and not all(shard in markers for shard in shards):
            raise X2StaticError(
                f"--append: {cache} is not finished: shards of {plans[number].corpus} are missing; first run the "
                "`x2static encode` that it was made with again"
            )


def _refuse_equal(identities: dict[str, dict[str, Any]]) -> None:
    """Refuse corpora, by their names, that hold the same text."""
    specs: dict[bytes, str] = {}
    for spec, identity in identities.items():
        other = specs.setdefault(canonical_json(identity), spec)
        if other != spec:
            raise X2StaticError(f"--corpus: {other} and {spec} hold the same text")


def _refusal(cache: Path, problems: list[str]) -> X2StaticError:
    return X2StaticError(
        f"{cache}: this cache was made from something else (cache != asked for): {'; '.join(problems)}. "
        "Ask for the same again, or use another --cache"
    )


def write_plans(cache: Cache, plans: dict[int, Plan]) -> None:
    """Write plans, by number, into a cache."""
    log_skipped(plans)
    for number, plan in plans.items():
        write_plan(cache.path, number, plan)


def log_skipped(plans: dict[int, Plan]) -> None:
    """Say what plans leave out as bad text."""
    for plan in plans.values():
        if plan.skipped:
            logger.warning("%s: %d pieces of bad text are left out", plan.corpus, plan.skipped)
