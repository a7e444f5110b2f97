"""The folder of a cache: whether it may be used for what is asked, how it begins, and what of it counts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from x2static.durable.errors import X2StaticError
from x2static.machine.packages import package_version
from x2static.schemas.cache import Cache, begin_cache, may_become_cache
from x2static.schemas.encoding import LAST, ContextOptions, Encoding, differences
from x2static.schemas.manifest import Manifest, Plan
from x2static.stage1_encode.encoder import ChosenTeacher, Encoder
from x2static.stage1_encode.plan.planning import log_skipped
from x2static.stage1_encode.teacher.model import canonical_layer, claimed_layers, read_config
from x2static.stage1_encode.text.segmentation import SentenceSplitter, choose_words

VERSIONS = ("x2static", "torch", "transformers", "tokenizers", "datasets", "sentencex", "zarr", "pyarrow", "numpy")


def check_folder(folder: Path, append: bool) -> None:
    """Refuse a folder that is neither a cache, nor the beginning of one, nor empty; to append, it must be a cache."""
    if may_become_cache(folder) and append:
        raise X2StaticError(f"--append: no cache in {folder} to add to; leave out --append to make one")


def _encoding_of(teacher: ChosenTeacher, behaviour: Mapping[str, Any]) -> Encoding:
    """Put together all that can change a vector; `behaviour` is what only a loaded teacher tells (`Encoder`)."""
    config, files, layer = teacher.config, teacher.files, teacher.config.layer
    if layer != LAST:
        layer = canonical_layer(layer, claimed_layers(read_config(files.folder, config.trust_remote_code)))
    return Encoding(
        weights=files.weights,
        teacher_config=files.config,
        tokenizer=files.tokenizer,
        layer=str(layer),
        words=choose_words(config.compat, config.language).sha256,
        sentences=SentenceSplitter(config.language).name,
        precision=teacher.precision,
        **config.model_dump(include=set(ContextOptions.model_fields)),
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
    held, asked = cache.segmentation().name, choose_words(config.compat, config.language).name
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
        versions={name: package_version(name) for name in VERSIONS},
    )
    log_skipped(plans)
    return begin_cache(config.cache, manifest, choose_words(config.compat, config.language), plans)
