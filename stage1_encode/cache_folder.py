"""The folder of a cache: whether it may be used for what is asked, how it begins, and what of it counts."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from x2static.durable.errors import REMEDY, DamagedShard, X2StaticError
from x2static.durable.storage import remove, sealed_json, write_atomically
from x2static.machine.packages import package_version
from x2static.schemas.cache import MANIFEST, Cache, begin_cache, may_become_cache
from x2static.schemas.encoding import FILTERS, LAST, ContextOptions, EncodeConfig, Encoding, Filter, differences
from x2static.schemas.manifest import Manifest, Marker, Plan, PoolMarker
from x2static.schemas.mirror import CacheView
from x2static.schemas.shard import MARKER, Shard, shard_name
from x2static.stage1_encode.encoder import ChosenTeacher, Encoder
from x2static.stage1_encode.plan.planning import Part, log_skipped
from x2static.stage1_encode.pools.registry import POOLS, pool_of_itself
from x2static.stage1_encode.teacher.model import canonical_layers, claimed_layers, read_config
from x2static.stage1_encode.text.languages import check_language
from x2static.stage1_encode.text.segmentation import SentenceSplitter, words_of

VERSIONS = ("x2static", "torch", "transformers", "tokenizers", "datasets", "sentencex", "zarr", "pyarrow", "numpy")

logger = logging.getLogger(__name__)


def check_folder(folder: Path, append: bool) -> None:
    """Refuse a folder that is neither a cache, nor the beginning of one, nor empty; to append, it must be a cache."""
    if may_become_cache(folder) and append:
        raise X2StaticError(f"--append: no cache in {folder} to add to; leave out --append to make one")


def settled(config: EncodeConfig) -> EncodeConfig:
    """Return a configuration in which nothing is left open: that is as in the cache, if one is there, or the default.

    Raises X2StaticError: the language of a new cache has no known code.
    """
    there = (config.cache / MANIFEST).is_file()
    held = Cache.open(config.cache).manifest.encoding if there else FILTERS[config.compat]
    if not isinstance(held, Encoding) or held.language != config.language:
        for language in config.language.split("+"):
            check_language(language)
    languages = _languages_here(config, held) if isinstance(held, Encoding) else {}
    values = held.model_dump(include=set(Filter.model_fields))
    values = {name: value for name, value in values.items() if getattr(config, name) is None}
    filters = values.keys() - {"text_rules"}
    if isinstance(held, Encoding) and config.backend == "auto":
        values["backend"] = held.backend
    if isinstance(held, Encoding) and config.pooling == held.pooling and not config.word_weights:
        values["word_weights"] = held.word_weights
    if there and any(values[name] != getattr(FILTERS[config.compat], name) for name in filters):
        said = " and ".join(f"--{name.replace('_', '-')} {values[name]}" for name in sorted(filters, reverse=True))
        logger.info("%s: going on with %s, as it was begun", config.cache, said)
    return config.model_copy(update=values | languages)


def _languages_here(config: EncodeConfig, held: Encoding) -> dict[str, Any]:
    """Return the fields by which corpora of some of a cache's languages are read as it is encoded.

    Raises X2StaticError: a language is not among those of a cache that has several.
    """
    known, asked = held.language.split("+"), config.language.split("+")
    if len(known) == 1 or held.language == config.language:
        return {}
    if new := [language for language in asked if language not in known]:
        what = f"this cache is of {' and '.join(known)}, and can have no words of {' and '.join(new)}"
        raise X2StaticError(
            f"{config.cache}: {what}; encode all its corpora into another --cache, each --language named"
        )
    return {"language": held.language, "corpus_language": config.corpus_language or (asked[0],) * len(config.corpus)}


def _encoding_of(teacher: ChosenTeacher, behaviour: Mapping[str, Any]) -> Encoding:
    """Put together all that can change a vector; `behaviour` is what only a loaded teacher tells (`Encoder`)."""
    config, files, layer = teacher.config, teacher.files, teacher.config.layer
    if layer != LAST:
        layer = canonical_layers(layer, claimed_layers(read_config(files.folder, config.trust_remote_code)))
    return Encoding(
        weights=files.weights,
        teacher_config=files.config,
        tokenizer=files.tokenizer,
        layer=str(layer),
        words=words_of(config).sha256,
        sentences=SentenceSplitter(config.language, config.text_rules).name,
        precision=teacher.precision,
        backend=teacher.backend,
        **config.model_dump(include={*ContextOptions.model_fields, *Filter.model_fields}),
        **behaviour,
    )


def check_encoding(cache: Cache, teacher: ChosenTeacher) -> None:
    """Refuse a cache that was made otherwise, or is a sample of another, before the teacher is loaded."""
    if problems := encoding_differences(cache, teacher):
        why = f"this cache was made otherwise (cache != asked for): {'; '.join(problems)}"
        raise X2StaticError(f"{cache.path}: {why}. Ask for the same again, or use another --cache")
    for plan in cache.plans():
        if plan.sampled:
            why = f"this cache is a sample of another ({plan.corpus}: {plan.sampled[-1]}) and takes no more text"
            remedy = "encode into the cache that it was taken from, or use another --cache"
            raise X2StaticError(f"{cache.path}: {why}; {remedy}")


def encoding_differences(cache: Cache, teacher: ChosenTeacher) -> list[str]:
    """Return in which fields a cache's encoding differs from what is asked for, with both values."""
    theirs, config = cache.manifest.encoding, teacher.config
    # The same files have the same window, attention, width and tokenizer; other files are refused for their hashes.
    behaviour = theirs.model_dump(include={"window", "attention", "dim", "tokenizer_changes"})
    if not (problems := differences(theirs, _encoding_of(teacher, behaviour))):
        return []
    held, asked = cache.segmentation().name, words_of(config).name
    if held != asked:  # the hashes alone tell nobody which library to install
        problems.append(f"words are cut by: {held} != {asked}")
    if cache.manifest.teacher != config.model:
        problems.insert(0, f"model: {cache.manifest.teacher!r} != {config.model!r}")
    return problems


def check_teacher(cache: Cache, encoder: Encoder) -> None:
    """Refuse a teacher that behaves otherwise once loaded; another transformers may choose another attention."""
    theirs = cache.manifest.encoding
    if problems := differences(theirs, theirs.model_copy(update=encoder.behaviour)):
        why = f"this cache was made with a teacher that behaved otherwise (cache != now): {'; '.join(problems)}"
        raise X2StaticError(f"{cache.path}: {why}. Use the versions in its manifest.json, or another --cache")


def create(teacher: ChosenTeacher, behaviour: Mapping[str, Any], plans: dict[int, Plan]) -> Cache:
    """Write all that comes before the first shard."""
    config, files, encoding = teacher.config, teacher.files, _encoding_of(teacher, behaviour)
    manifest = Manifest(
        format=1,
        teacher=files.name,
        revision=files.revision,
        fingerprint=encoding.fingerprint,
        encoding=encoding,
        versions={name: package_version(name) for name in (*VERSIONS, *{encoding.backend} - {*VERSIONS})},
    )
    log_skipped(plans)
    rules = words_of(config)
    cache, bucket = begin_cache(config.cache, manifest, rules, plans), CacheView.of(config.cache)
    if bucket and not bucket.begin():
        logger.info("%s: another process has begun this cache meanwhile; going on with that", bucket.url)
        cache = Cache.open(config.cache)
        check_encoding(cache, teacher)
    return cache


@dataclass
class Inspection:
    """What hashing the shards of a cache has brought to light."""

    markers: dict[int, Marker] = field(default_factory=dict)  # of the sound shards, by number
    damaged: dict[int, str] = field(default_factory=dict)  # what ails each of the others
    kept: dict[int, dict[str, PoolMarker]] = field(default_factory=dict)  # the sound further pools of those
    # a line for each further pool of a sound shard that was damaged and is gone, by shard and pool
    dropped: dict[tuple[int, str], str] = field(default_factory=dict)
    settings: dict[str, set[str]] = field(default_factory=dict)  # what was asked of each further pool, by its name
    strangers: list[str] = field(default_factory=list)  # a line for each file in a shard that is not its own


def inspect(cache: Cache, part: Part, hashed: bool = True) -> Inspection:
    """Hash the shards of a part, if asked, and drop damaged further pools: what was asked of them is not recorded.

    Shards of other parts, or, not `hashed`, of a bucket, from which they would have to be fetched, are taken as their
    markers are. Raises X2StaticError: a shard is of another encoding, of a newer version of x2static, or of another
    unit than a plan of 0.1.0 says; a plan is missing or damaged.
    """
    found, units = Inspection(), cache.units()
    for index in cache.indices():
        name = f"shard {shard_name(index)}"
        try:
            shard = cache.shard(index, units)
            for pool, stored in shard.marker.pools.items():
                found.settings.setdefault(pool, set()).add(stored.settings)
            problems = cache.damage(shard) if hashed and part.takes(index) else []
            if problems:
                sound = shard.marker.pools.keys() - shard.pool_damage().keys()
                found.kept[index] = {pool: shard.marker.pools[pool] for pool in sound}
        except DamagedShard as error:
            problems = [str(error).removesuffix(f"; {REMEDY}")]
        if problems:
            found.damaged[index] = f"{name}: {', '.join(problems)}"
            if index >= len(units):  # none will be encoded in its place
                remove(cache.shards_folder / shard_name(index))
            elif part.takes(index):
                logger.warning("%s is encoded again: %s", name, ", ".join(problems))
            continue
        for pool, lines in shard.pool_damage().items() if hashed and part.takes(index) else ():
            pools = {other: kept for other, kept in shard.marker.pools.items() if other != pool}
            shard = Shard(shard.folder, shard.marker.model_copy(update={"pools": pools}))
            write_atomically(shard.folder / MARKER, sealed_json(shard.marker.model_dump()))
            shutil.rmtree(shard.folder / pool, ignore_errors=True)
            if pool_of_itself(pool):
                again = "`x2static cache repair` takes it again"
            else:
                kind = POOLS.get(pool)
                how = f"`x2static encode --{kind.option.replace('_', '-')}`" if kind else "with what it was made with"
                again = f"encode it again ({how}, as before)"
            found.dropped[index, pool] = f"{name}: {pool}, since {', '.join(lines)}"
            logger.warning("%s is dropped; %s", found.dropped[index, pool], again)
        found.markers[index] = shard.marker
        found.strangers += [f"{name}: {line}" for line in shard.strangers()]
    return found
