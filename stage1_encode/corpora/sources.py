"""The corpora that a user names, opened, and what a cache holds of each of them already."""

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json
from x2static.schemas.cache import plan_shards
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.manifest import Marker, Plan
from x2static.stage1_encode.corpora.corpus import Corpus
from x2static.stage1_encode.corpora.demo import demo_corpus
from x2static.stage1_encode.corpora.file_set import FileSet, find_files
from x2static.stage1_encode.corpora.hub_dataset import HubDataset
from x2static.stage1_encode.corpora.local_files import LocalFiles
from x2static.stage1_encode.corpora.spool import is_standard_input, spooled


@dataclass(frozen=True)
class Source:
    """A corpus and what a cache holds of it.

    Attributes:
        corpus: the corpus.
        identity: what tells it from any other, now.
        plans: numbers of its plans, ascending; none for one that is to be added.
    """

    corpus: Corpus
    identity: dict[str, Any]
    plans: tuple[int, ...]


@contextmanager
def open_corpora(config: EncodeConfig, standard_input: bool = True) -> Iterator[list[Corpus]]:
    """Give the corpora that a configuration names, and close them afterwards.

    Args:
        config: for `corpus`, and what the corpora need.
        standard_input: whether `-` may read it; otherwise it stands for what an earlier run read.

    Raises:
        X2StaticError: one of them is not there, or is named twice.
    """
    inputs = ["-" if is_standard_input(spec) else spec for spec in config.corpus]
    if len(set(inputs)) < len(inputs):
        raise X2StaticError(f"--corpus: the same corpus is named twice: {', '.join(config.corpus)}")
    with ExitStack() as stack:
        yield [stack.enter_context(closing(_open_corpus(spec, config, standard_input))) for spec in config.corpus]


def _open_corpus(spec: str, config: EncodeConfig, standard_input: bool) -> Corpus:
    if spec.startswith("hf://"):
        return HubDataset(spec, config)
    if is_standard_input(spec):
        stream = sys.stdin.buffer if sys.stdin else io.BytesIO()  # a closed one brings no text
        return LocalFiles(spec, config, partial(spooled, spec, config, stream if standard_input else None))
    files = _demo_files() if spec == "demo" else find_files(spec, config)
    return LocalFiles(spec, config, lambda: files)


def _demo_files() -> FileSet:
    path = demo_corpus()
    return FileSet({path.name: path}, str(path), "lines", alone=True)


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
        raise refusal(cache, [f"corpus: {held} != {', '.join(corpus.spec for corpus in corpora)}"])
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
        if any(_same_name(corpus, plan) for plan in plans):
            raise X2StaticError(
                f"--append: {corpus.spec} is not what it was when {cache} was made from it, so text would be in there "
                "twice; put the new text into a file of its own, and append that"
            )
    refuse_equal({corpus.spec: identity for corpus, identity in zip(corpora, identities, strict=True)})
    known = [tuple(group) for group in groups[len(groups) - begun :]] + [()] * (len(corpora) - begun)
    return [Source(*parts) for parts in zip(corpora, identities, known, strict=True)]


def _same_name(corpus: Corpus, plan: Plan) -> bool:
    path = corpus.seen().get("path")
    return corpus.spec == plan.corpus or (path is not None and path == plan.seen.get("path"))


def check_appendable(cache: Path, plans: list[Plan], markers: dict[int, Marker], sources: list[Source]) -> None:
    """Refuse to append to a cache that is not finished.

    Args:
        cache: its folder, for messages.
        plans: all its plans.
        markers: of its valid shards, by number.
        sources: the corpora to append; what was begun of them need not be finished.

    Raises:
        X2StaticError: shards of the other corpora are missing or damaged.
    """
    appended = {number for source in sources for number in source.plans}
    for number, shards in enumerate(plan_shards(plans, markers)):
        if number not in appended and (shards is None or not all(shard in markers for shard in shards)):
            raise X2StaticError(
                f"--append: {cache} is not finished: shards of {plans[number].corpus} are missing; first run the "
                "`x2static encode` that it was made with again"
            )


def refuse_equal(identities: dict[str, dict[str, Any]]) -> None:
    """Refuse corpora that are the same.

    Args:
        identities: by the corpora's names.

    Raises:
        X2StaticError: two hold the same text.
    """
    specs: dict[bytes, str] = {}
    for spec, identity in identities.items():
        other = specs.setdefault(canonical_json(identity), spec)
        if other != spec:
            raise X2StaticError(f"--corpus: {other} and {spec} hold the same text")


def refusal(cache: Path, problems: list[str]) -> X2StaticError:
    """Return the error for a cache that was made from something else than what is asked for."""
    return X2StaticError(
        f"{cache}: this cache was made from something else (cache != asked for): {'; '.join(problems)}. "
        "Ask for the same again, or use another --cache"
    )
