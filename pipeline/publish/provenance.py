"""What word vectors were made of, as their run.json and the cache that it names have it: teacher, corpora, licences.

Nothing is guessed: what nobody recorded is None, and the card says so. Folders of this machine are named by their last
part alone.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import require_modules
from x2static.machine.screen import quantity
from x2static.schemas.manifest import Manifest, Plan

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


class Origin(NamedTuple):
    """The cache that vectors were made from, as far as it is there."""

    note: str  # why nothing of it is known, or how it has changed; empty where it is as it was
    path: Path | None = None  # where it is now
    manifest: Manifest | None = None
    plans: Sequence[Plan] = ()
    held: Mapping[str, int] = {}  # figures of `totals`


def find_origin(run: Mapping[str, Any], folder: Path | None = None, cache: Path | None = None) -> Origin:
    """Return the cache that vectors were made from, by their run.json; one that is gone or another one is no error.

    It is `cache`, if given, or where it was, seen from where the run in `folder` was made.
    """
    recorded, settings = _object(run.get("cache")), _object(run.get("configuration"))
    if not recorded or not (cache or settings.get("cache")):
        return Origin("none is recorded")
    named = cache or Path(str(settings["cache"]))
    try:
        require_modules("train", "zarr")  # using vectors does not need it
        from x2static.schemas.cache import MANIFEST, Cache, content_of, totals
        from x2static.schemas.shard import Shard, shard_name

        places = [named] if cache else list(_places(named, str(settings.get("out") or ""), folder))
        path = next((place for place in places if (place / MANIFEST).is_file()), cache)
        if path is None:
            return Origin(f"{named}: is not there any more, so little is known of what went in")
        opened = Cache.open(path)
        plans, (markers, damaged) = opened.plans(), opened.committed()
    except X2StaticError as error:
        return Origin(f"cannot be read ({error})")
    if opened.manifest.fingerprint != recorded.get("encoding"):
        return Origin(f"{named}: another cache is there now than these vectors were made from")
    shards = [Shard(opened.shards_folder / shard_name(index), marker) for index, marker in markers.items()]
    changed = content_of(shards) != recorded.get("content")
    notes = ["has other shards now than these vectors were made from; its figures are those of now"] if changed else []
    notes += [f"damaged: {quantity(len(damaged), 'shard')}"] if damaged else []
    return Origin("; ".join(notes), path, opened.manifest, plans, totals(markers.values()))


def _places(cache: Path, out: str, folder: Path | None) -> Iterable[Path]:
    """Yield where a cache may be: its path, first from where the run was made, if the run is where it was made."""
    parts, here = Path(out).parts, folder.resolve() if folder else Path()
    if parts and folder and not Path(out).is_absolute() and here.parts[-len(parts) :] == parts:
        yield Path(*here.parts[: -len(parts)], cache)
    yield cache


def find_provenance(run: Mapping[str, Any], cache: Path | None = None) -> Provenance:
    """Return what vectors were made of, from their run.json and, where that does not say it, from their cache.

    Raises X2StaticError: `cache` is given, and is not the one that they were made from.
    """
    recorded, settings = _object(run.get("cache")), _object(run.get("configuration"))
    texts = settings.get("corpus")  # of a baseline, in place of the cache's
    if isinstance(texts, list | tuple):
        listed = tuple(_corpus({"corpus": text}) for text in texts)
        return Provenance(_teacher(run, recorded), listed, recorded.get("language"))
    corpora, language = recorded.get("corpora"), recorded.get("language")
    if cache is not None or (corpora is None and recorded):  # earlier versions recorded none
        origin = find_origin(run, cache=cache)
        if origin.note and cache is not None:
            raise X2StaticError(f"--cache {cache}: {origin.note}; name another, or leave it out")
        if origin.note:
            logger.warning("the card does not say the corpus: %s", origin.note)
        else:
            corpora = [plan.named() for plan in origin.plans]
            language = origin.manifest.encoding.language if origin.manifest else None
    listed = tuple(dict.fromkeys(_corpus(_object(one)) for one in corpora or ()))
    return Provenance(_teacher(run, recorded), listed, language)


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


def _corpus(recorded: Mapping[str, Any]) -> Source:
    """Return a corpus from what its plan says of it."""
    text, licence = recorded.get("corpus"), recorded.get("licence")
    if text == DEMO:
        return Source(DEMO_CORPUS, licence=licence)
    name, revision, *parts = (recorded.get(field) for field in ("name", "revision", "config", "split"))
    if isinstance(name, str) and HUB_ID.fullmatch(name) and isinstance(revision, str):
        return Source(", ".join([name, *filter(None, parts)]), name, revision, licence)
    return Source(without_folders(str(text)), licence=licence)


def without_folders(text: str) -> str:
    """Return a path's last part, and any other text as it is: the folders around it are nobody's business."""
    if text.startswith("hf://") and not text.startswith(("hf:///", "hf://.")):
        return text
    return PureWindowsPath(text).name or text  # takes both kinds of slashes for what they are


def names_of_folders(run: Mapping[str, Any]) -> Sequence[str]:
    """Return which facts in run.json hold absolute paths of this machine."""
    recorded = _object(run.get("cache"))
    corpora = [_object(one).get("corpus") for one in recorded.get("corpora") or ()]
    facts = {"teacher": recorded.get("teacher"), "corpora": corpora, **_object(run.get("configuration"))}
    texts = {name: value if isinstance(value, list | tuple) else [value] for name, value in facts.items()}
    return [name for name, values in texts.items() if any(PureWindowsPath(str(value)).root for value in values)]
