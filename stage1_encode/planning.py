"""From the corpora that a user names to the units that are still to be encoded."""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from schemas.cache import Cache, missing_shards, plan_shards
from schemas.encoding import EncodeConfig
from schemas.errors import X2StaticError
from schemas.manifest import Marker, Plan, Unit
from schemas.new_cache import write_plan
from schemas.storage import canonical_json
from stage1_encode.corpora.corpus import Corpus, UnitText
from stage1_encode.corpora.hub_dataset import HubDataset
from stage1_encode.corpora.text_file import TextFile
from stage1_encode.demo import demo_corpus

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """One unit, read and ready to be prepared, and where its shard goes.

    Attributes:
        shard: number of the shard.
        plan: number of the plan.
        text: its paragraphs.
        last: whether the plan ends with it.
    """

    shard: int
    plan: int
    text: UnitText
    last: bool


@contextmanager
def open_corpora(config: EncodeConfig) -> Iterator[list[Corpus]]:
    """Give the corpora that a configuration names, and close them afterwards.

    Raises:
        X2StaticError: one of them is not there, or is named twice.
    """
    if len(set(config.corpus)) < len(config.corpus):
        raise X2StaticError(f"--corpus: the same corpus is named twice: {', '.join(config.corpus)}")
    with ExitStack() as stack:
        yield [stack.enter_context(closing(_open_corpus(spec, config))) for spec in config.corpus]


def _open_corpus(spec: str, config: EncodeConfig) -> Corpus:
    if spec == "demo":
        return TextFile(spec, config, demo_corpus())
    if spec.startswith("hf://"):
        return HubDataset(spec, config)
    return TextFile(spec, config, Path(spec))


def plan_all(corpora: list[Corpus]) -> dict[int, Plan]:
    """Return the plans of a new cache, by number.

    Raises:
        X2StaticError: a corpus cannot be read, or two are the same.
    """
    plans = {number: corpus.plan(corpus.identity(), 0, None) for number, corpus in enumerate(corpora)}
    specs: dict[bytes, str] = {}
    for plan in plans.values():
        other = specs.setdefault(canonical_json(plan.identity), plan.corpus)
        if other != plan.corpus:
            raise X2StaticError(f"--corpus: {other} and {plan.corpus} hold the same text")
    return plans


def plan_rest(config: EncodeConfig, corpora: list[Corpus], cache: Cache, markers: dict[int, Marker]) -> dict[int, Plan]:
    """Return the plans that a raised --limit adds to a cache, by number; none where everything is planned.

    Args:
        config: what is asked for.
        corpora: those of the configuration.
        cache: what is there already.
        markers: of its shards, by number.

    Raises:
        X2StaticError: the cache holds other corpora, or was planned with other options.
    """
    old = cache.plans()
    groups = corpus_groups(old)
    if len(groups) != len(corpora):
        held = ", ".join(old[group[0]].corpus for group in groups)
        raise _refusal(cache, [f"corpus: {held} != {', '.join(corpus.spec for corpus in corpora)}"])
    plans: dict[int, Plan] = {}
    for corpus, group in zip(corpora, groups, strict=True):
        number, latest = group[-1], old[group[-1]]
        identity = latest.identity if corpus.seen() == latest.seen else corpus.identity()
        state = _state(number, old, markers)
        n_held = latest.first + sum(unit.paragraphs for unit in state.units)
        _check(cache, latest, identity, config, n_held)
        limit = None if config.limit is None else config.limit - latest.first
        if state.finished and n_held != config.limit and not _ended(latest, n_held):
            new = len(old) + sum(planned >= len(old) for planned in plans)
            plans[new] = corpus.plan(identity, n_held, state.units[-1] if state.units else None)
        elif state.growing and limit != latest.limit:
            plans[number] = latest.model_copy(update={"limit": limit})
    return plans


@dataclass(frozen=True)
class _State:
    """How far a plan is.

    Attributes:
        units: its units as far as they are known.
        finished: whether these are all, none lost.
        growing: whether it is a stream that is not finished, has lost no shard, and is followed by none of another
            plan, so that its limit may still change. (With a hole in it, the hole is mended first, by the old limit.)
    """

    units: list[Unit]
    finished: bool
    growing: bool


def _state(number: int, plans: list[Plan], markers: dict[int, Marker]) -> _State:
    plan = plans[number]
    if plan.units is not None:
        return _State(list(plan.units), finished=True, growing=False)
    here = sorted(index for index, marker in markers.items() if marker.plan == number)
    before = [index for index, marker in markers.items() if marker.plan < number]
    first = max(before) + 1 if before else 0
    earlier_whole = number == 0 or missing_shards(plans[:number], markers) == []
    whole = here == list(range(first, first + len(here))) and earlier_whole
    last = bool(here) and markers[here[-1]].last
    followed = any(marker.plan > number for marker in markers.values())
    units = [markers[index].unit for index in here]
    return _State(units, finished=whole and last, growing=whole and not last and not followed)


def planned_paragraphs(plans: list[Plan]) -> int | None:
    """Return the paragraphs of all plans; None where a stream has no limit."""
    total = 0
    for plan in plans:
        if plan.units is None and plan.limit is None:
            return None
        total += (plan.limit or 0) if plan.units is None else sum(unit.paragraphs for unit in plan.units)
    return total


def corpus_groups(plans: list[Plan]) -> list[list[int]]:
    """Return the numbers of the plans of each corpus, in order of first appearance."""
    groups: dict[bytes, list[int]] = {}
    for number, plan in enumerate(plans):
        groups.setdefault(canonical_json(plan.identity), []).append(number)
    return list(groups.values())


def _ended(plan: Plan, held: int) -> bool:
    """Return whether a finished plan reaches the end of its corpus: a stream ended if it stayed below its limit."""
    if plan.ended is not None:
        return plan.ended
    return plan.limit is None or held - plan.first < plan.limit


def _check(cache: Cache, plan: Plan, identity: dict[str, Any], config: EncodeConfig, held: int) -> None:
    problems = [
        f"corpus ({plan.corpus}) {name}: {plan.identity.get(name)!r} != {identity.get(name)!r}"
        for name in sorted(plan.identity.keys() | identity.keys())
        if plan.identity.get(name) != identity.get(name)
    ]
    for name in ("unit", "on_bad_text", "max_paragraph_bytes"):
        if getattr(plan, name) != getattr(config, name):
            problems.append(f"{name}: {getattr(plan, name)!r} != {getattr(config, name)!r}")
    if config.limit is not None and config.limit < held:
        problems.append(f"limit: {held} paragraphs are planned already != {config.limit}")
    if problems:
        raise _refusal(cache, problems)


def _refusal(cache: Cache, problems: list[str]) -> X2StaticError:
    return X2StaticError(
        f"{cache.path}: this cache was made from something else (cache != asked for): {'; '.join(problems)}. "
        "Ask for the same again, or use another --cache"
    )


def write_plans(cache: Cache, plans: dict[int, Plan]) -> None:
    """Write plans, by number, into a cache."""
    tell_skipped(plans)
    for number, plan in plans.items():
        write_plan(cache.path, number, plan)


def tell_skipped(plans: dict[int, Plan]) -> None:
    """Say what plans leave out as bad text."""
    for plan in plans.values():
        if plan.skipped:
            logger.warning("%s: %d lines are bad text and left out", plan.corpus, plan.skipped)


def read_remaining(plans: list[Plan], corpora: Sequence[Corpus | None], markers: dict[int, Marker]) -> Iterator[Work]:
    """Read, one after the other, the units that have no shard yet.

    Args:
        plans: all plans of the cache.
        corpora: in the order of their first plans; None for one whose plans are whole.
        markers: of the shards that are there, by number.
    """
    corpus_of = {number: corpora[index] for index, group in enumerate(corpus_groups(plans)) for number in group}
    shard = 0
    for number, shards in enumerate(plan_shards(plans, markers)):
        if is_whole(shards, markers):
            shard = shards.stop
            continue
        plan, corpus = plans[number], corpus_of[number]
        if corpus is None:
            raise RuntimeError(f"{plan.corpus} is not whole, and not open")
        corpus.connect(plan)
        if plan.units is None:
            shard = yield from _read_stream(plan, number, corpus, shard, markers)
            continue
        for index, unit in enumerate(plan.units):
            if shard not in markers:
                yield Work(shard, number, corpus.read(unit), last=index == len(plan.units) - 1)
            shard += 1


def is_whole(shards: range | None, markers: dict[int, Marker]) -> TypeGuard[range]:
    """Return whether every shard of a plan is there; behind a stream whose end is lost, none is known to be."""
    return shards is not None and all(index in markers for index in shards)


def _read_stream(
    plan: Plan, number: int, corpus: Corpus, shard: int, markers: dict[int, Marker]
) -> Generator[Work, None, int]:
    """Read the missing units of a stream: each begins where the one before ended. Returns the next plan's shard."""
    start, line, taken, last = plan.start, plan.start_line, 0, False
    while not last:
        if shard in markers:
            unit, last = markers[shard].unit, markers[shard].last
        else:
            count = plan.unit if plan.limit is None else max(0, min(plan.unit, plan.limit - taken))
            text = corpus.read(Unit(source=plan.corpus, start=start, stop=None, paragraphs=count, start_line=line))
            unit = text.unit
            last = text.last or (plan.limit is not None and taken + unit.paragraphs >= plan.limit)
            yield Work(shard, number, text, last)
        start, line, taken = unit.stop or 0, unit.stop_line, taken + unit.paragraphs
        shard += 1
    return shard
