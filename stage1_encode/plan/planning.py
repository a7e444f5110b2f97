"""From corpora to the plans of a cache: new ones, and what a raised --limit or --append adds."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x2static.schemas.cache import Cache, missing_shards, plan_shards
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import Marker, Plan, Unit
from x2static.schemas.new_cache import write_plan
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.sources import Source, refusal, refuse_equal

PLANNING_OPTIONS = ("unit", "sample", "seed", "on_bad_text", "max_paragraph_bytes")

CHANGES_SHOWN = 3

logger = logging.getLogger(__name__)


def plan_all(corpora: list[Corpus]) -> dict[int, Plan]:
    """Return the plans of a new cache, by number.

    Raises:
        X2StaticError: a corpus cannot be read, or two are the same.
    """
    plans = {number: corpus.plan(corpus.identity(), 0, None) for number, corpus in enumerate(corpora)}
    refuse_equal({plan.corpus: plan.identity for plan in plans.values()})
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
    plans: dict[int, Plan] = {}
    for source in sources:
        new = len(old) + sum(planned >= len(old) for planned in plans)
        if not source.plans:
            plans[new] = source.corpus.plan(source.identity, 0, None)
            continue
        number = source.plans[-1]
        latest = old[number]
        state = _state(number, old, markers)
        _check(cache, source, latest, config, state)
        limit = None if config.limit is None else config.limit - latest.first
        n_held = latest.first + state.paragraphs
        if state.finished and n_held != config.limit and not _ended(latest, n_held):
            plans[new] = source.corpus.plan(source.identity, n_held, state.units[-1] if state.units else None)
        elif state.growing and limit != latest.limit:
            plans[number] = latest.model_copy(update={"limit": limit})
    return plans


def merged(old: list[Plan], new: dict[int, Plan]) -> list[Plan]:
    """Return all plans of a cache once new ones are written: those stand in place of old ones of their number."""
    return list((dict(enumerate(old)) | new).values())


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

    @property
    def paragraphs(self) -> int:
        """Paragraphs of its units."""
        return sum(unit.paragraphs for unit in self.units)

    @property
    def counted(self) -> bool:
        """Whether these are counted, not estimated."""
        return all(unit.counted for unit in self.units)


def _state(number: int, plans: list[Plan], markers: dict[int, Marker]) -> _State:
    plan = plans[number]
    if plan.units is not None:
        shards = plan_shards(plans, markers)[number]
        first = 0 if shards is None else shards.start
        read = markers if shards is not None else {}
        units = [read[first + i].unit if first + i in read else unit for i, unit in enumerate(plan.units)]
        return _State(units, finished=True, growing=False)
    here = sorted(index for index, marker in markers.items() if marker.plan == number)
    before = [index for index, marker in markers.items() if marker.plan < number]
    first = max(before) + 1 if before else 0
    earlier_whole = number == 0 or missing_shards(plans[:number], markers) == []
    whole = here == list(range(first, first + len(here))) and earlier_whole
    last = bool(here) and markers[here[-1]].last
    followed = any(marker.plan > number for marker in markers.values())
    units = [markers[index].unit for index in here]
    return _State(units, finished=whole and last, growing=whole and not last and not followed)


def _ended(plan: Plan, held: int) -> bool:
    """Return whether a finished plan reaches the end of its corpus: a stream ended if it stayed below its limit."""
    if plan.ended is not None:
        return plan.ended
    return plan.limit is None or held - plan.first < plan.limit


def _check(cache: Path, source: Source, plan: Plan, config: EncodeConfig, state: _State) -> None:
    problems = [f"corpus ({plan.corpus}) {what}" for what in _changes(plan.identity, source.identity)]
    problems += [
        f"{name}: {getattr(plan, name)!r} != {getattr(config, name)!r}"
        for name in PLANNING_OPTIONS
        if getattr(plan, name) != getattr(config, name)
    ]
    held = plan.first + state.paragraphs
    if config.limit is not None and not state.counted:
        problems.append(f"limit: all of the corpus is planned already != {config.limit}")
    elif config.limit is not None and config.limit < held:
        problems.append(f"limit: {held} paragraphs are planned already != {config.limit}")
    if problems:
        raise refusal(cache, problems)


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


def write_plans(cache: Cache, plans: dict[int, Plan]) -> None:
    """Write plans, by number, into a cache."""
    tell_skipped(plans)
    for number, plan in plans.items():
        write_plan(cache.path, number, plan)


def tell_skipped(plans: dict[int, Plan]) -> None:
    """Say what plans leave out as bad text."""
    for plan in plans.values():
        if plan.skipped:
            logger.warning("%s: %d pieces of bad text are left out", plan.corpus, plan.skipped)
