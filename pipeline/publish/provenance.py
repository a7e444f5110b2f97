"""What word vectors were made of, as their run.json and the cache that it names have it: teacher, corpora, licences.

Nothing is guessed: what nobody recorded is None, and the card says so. Folders of this machine are named by their last
part alone.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import require_modules
from x2static.schemas.manifest import Plan

DEMO = "demo"
DEMO_TEACHER = "sentence-transformers/all-MiniLM-L6-v2"  # whose weights are the package's, by their hash
DEMO_CORPUS = "206 Wikipedia articles and 300 news stories that gensim ships with its tests"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A teacher or a corpus."""

    name: str  # for people
    hub: str | None = None  # its id on the hub, if it came from there
    revision: str | None = None  # its commit on the hub
    licence: str | None = None  # None where nobody has said it


@dataclass(frozen=True)
class Provenance:
    """What vectors were made of, as far as it is known."""

    teacher: Source | None = None
    corpora: tuple[Source, ...] = ()
    language: str | None = None  # ISO 639-1


def find_provenance(run: Mapping[str, Any], cache: Path | None = None) -> Provenance:
    """Return what vectors were made of, from their run.json and their cache: where it is now, or where it was.

    Raises X2StaticError: `cache` is given, and is not the one that they were made from.
    """
    origin, settings = _object(run.get("cache")), _object(run.get("configuration"))
    texts = settings.get("corpus")  # of a baseline, in place of the cache's
    corpora = tuple(_corpus(text, {}, None) for text in texts) if isinstance(texts, list | tuple) else ()
    plans, language = [], None
    place = cache or Path(str(settings.get("cache") or ""))
    if origin and (cache or (place / "manifest.json").is_file()):
        try:
            require_modules("train", "zarr")  # using vectors does not need it
            from x2static.schemas.cache import Cache, content_of

            opened = Cache.open(place)
            if opened.origin(content_of(opened.shards())) != dict(origin):
                why = "not the cache that these vectors were made from, or it has grown since"
                raise X2StaticError(f"{place}: {why}{'; name another by --cache, or leave it out' if cache else ''}")
            plans, language = opened.plans(), opened.manifest.encoding.language
        except X2StaticError as error:
            if cache:
                raise
            logger.warning("the card does not say the corpus: %s", error)
    corpora = corpora or tuple(dict.fromkeys(_corpus(plan.corpus, plan.identity, plan) for plan in plans))
    return Provenance(_teacher(run, origin), corpora, language)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _teacher(run: Mapping[str, Any], origin: Mapping[str, Any]) -> Source | None:
    """Return the teacher; most baselines have none, though the cache that they take text from has one."""
    name = run.get("teacher") if "baseline" in run else origin.get("teacher")
    if name is None:
        return None
    name = str(name)
    if name == DEMO:
        return Source(DEMO_TEACHER, DEMO_TEACHER)
    revision = origin.get("revision") if name == origin.get("teacher") else None
    if isinstance(revision, str) and HUB_ID.fullmatch(name):
        return Source(name, name, revision)
    return Source(without_folders(name))


def _corpus(text: Any, identity: Mapping[str, Any], plan: Plan | None) -> Source:
    licence = plan.licence if plan else None
    if text == DEMO:
        return Source(DEMO_CORPUS, licence=licence)
    name, revision = identity.get("name"), identity.get("revision")
    if isinstance(name, str) and HUB_ID.fullmatch(name) and isinstance(revision, str):
        parts = [str(part) for part in (identity.get("config"), identity.get("split")) if part]
        return Source(", ".join([name, *parts]), name, revision, licence)
    return Source(without_folders(str(text)), licence=licence)


def without_folders(text: str) -> str:
    """Return a path's last part, and any other text as it is: the folders around it are nobody's business."""
    if text.startswith("hf://") and not text.startswith(("hf:///", "hf://.")):
        return text
    return PureWindowsPath(text).name or text  # takes both kinds of slashes for what they are


def names_of_folders(run: Mapping[str, Any]) -> Sequence[str]:
    """Return which facts in run.json hold absolute paths of this machine."""
    facts = {"teacher": _object(run.get("cache")).get("teacher"), **_object(run.get("configuration"))}
    texts = {name: value if isinstance(value, list | tuple) else [value] for name, value in facts.items()}
    return [name for name, values in texts.items() if any(PureWindowsPath(str(value)).root for value in values)]
