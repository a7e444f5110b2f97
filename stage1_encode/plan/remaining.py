"""Reading the units that have no shard yet, one after the other."""

from collections.abc import Container, Generator, Iterator
from dataclasses import dataclass

from x2static.schemas.manifest import Marker, Plan, Unit
from x2static.stage1_encode.corpora.corpus import Corpus, UnitText
from x2static.stage1_encode.corpora.sources import Source
from x2static.stage1_encode.plan.part import Part


@dataclass(frozen=True, eq=False)
class Work:
    """One unit, read and ready to be prepared, and where its shard goes; equal to itself alone.

    Attributes:
        shard: number of the shard.
        plan: number of the plan.
        text: its paragraphs; none are left once the unit is prepared.
        last: whether the plan ends with it.
        more: paragraphs in it beyond what the plan said of it; negative where there are fewer.
    """

    shard: int
    plan: int
    text: UnitText
    last: bool
    more: int = 0


def read_remaining(
    plans: list[Plan],
    sources: list[Source],
    markers: dict[int, Marker],
    part: Part | None = None,
    again: Container[int] = (),
) -> Iterator[Work]:
    """Read, one after the other, the units that have no shard yet.

    Args:
        plans: all plans of the cache.
        sources: the corpora; those of finished plans may be missing.
        markers: of the shards that are there, by number.
        part: other parts' units are left out; None for none.
        again: shards that are there and whose units are read all the same.
    """
    part = part or Part()
    corpus_of = {number: source.corpus for source in sources for number in source.plans}
    shard = 0
    for number, plan in enumerate(plans):
        if plan.units is None:
            shard = yield from _read_stream(plan, number, corpus_of.get(number), shard, markers, again)
            continue
        first, shard = shard, shard + len(plan.units)
        todo = (index for index in range(first, shard) if index not in markers or index in again)
        wanted = list(filter(part.takes, todo))
        if wanted:
            corpus_of[number].connect(plan)
        for index in wanted:
            unit = plan.units[index - first]
            text = corpus_of[number].read(unit)
            yield Work(index, number, text, index == shard - 1, more=text.unit.paragraphs - unit.paragraphs)


def _read_stream(
    plan: Plan, number: int, corpus: Corpus | None, shard: int, markers: dict[int, Marker], again: Container[int]
) -> Generator[Work, None, int]:
    """Read the missing units of a stream: each begins where the one before ended. Returns the next plan's shard."""
    start, line, taken, last = plan.start, plan.start_line, 0, False
    while not last:
        if shard in markers:
            unit, last = markers[shard].unit, markers[shard].last
            if shard in again:
                yield Work(shard, number, _connected(corpus, plan).read(unit), last)
        else:
            count = plan.unit if plan.limit is None else max(0, min(plan.unit, plan.limit - taken))
            text = _connected(corpus, plan).read(
                Unit(source=plan.corpus, start=start, stop=None, paragraphs=count, start_line=line)
            )
            unit = text.unit
            last = text.last or (plan.limit is not None and taken + unit.paragraphs >= plan.limit)
            yield Work(shard, number, text, last)
        start, line, taken = unit.stop or 0, unit.stop_line, taken + unit.paragraphs
        shard += 1
    return shard


def _connected(corpus: Corpus | None, plan: Plan) -> Corpus:
    if corpus is None:
        raise RuntimeError(f"{plan.corpus} is not finished, and not open")
    corpus.connect(plan)
    return corpus
