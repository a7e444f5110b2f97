"""Stage one as a whole: corpora through the teacher, once, into the shards of a cache."""

import logging
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import zarr

from schemas.cache import MANIFEST, Cache
from schemas.device import pick_device
from schemas.encoding import EncodeConfig, Encoding, Precision, differences
from schemas.errors import X2StaticError
from schemas.manifest import Manifest, Marker, Plan
from schemas.progress import Progress, Report, silent
from schemas.segmentation import SEGMENTATION, WordSegmentation
from schemas.shard import ShardContent, shard_name, write_shard
from schemas.storage import TEMPORARY, canonical_json, only_writer, remove_leftovers, write_atomically
from schemas.versions import package_version
from stage1_encode.ahead import ahead
from stage1_encode.corpus import Corpus
from stage1_encode.encoder import MAX_TOKENS, Encoder, make_preparer
from stage1_encode.planning import (
    Work,
    open_corpora,
    plan_all,
    plan_rest,
    planned_paragraphs,
    read_remaining,
    write_plans,
)
from stage1_encode.segmentation import SentenceSplitter, default_words, paper_words
from stage1_encode.teacher import Teacher, TeacherFiles, pick_precision
from stage1_encode.windows import PreparedUnit

VERSIONS = ("x2static", "torch", "transformers", "tokenizers", "datasets", "sentencex", "zarr", "pyarrow", "numpy")
LOCK = ".lock"
# What a first call that was killed before its manifest may leave, by path in the cache's folder.
UNFINISHED = re.compile(
    rf"{re.escape(LOCK)}|{re.escape(SEGMENTATION)}|plans|plans/\d+\.json|shards|(shards/)?zarr\.(json|\w+\.partial)"
    rf"|(plans/)?{re.escape(TEMPORARY)}.*"
)

logger = logging.getLogger(__name__)


def encode(config: EncodeConfig, report: Report = silent) -> dict[str, int | float]:
    """Encode what is not encoded yet; asked again for a finished cache, only say so.

    Args:
        config: what to encode, how and where to.
        report: called with the progress in paragraphs.

    Returns:
        shards, shards_resumed, paragraphs, contexts, words, teacher_tokens, seconds, tokens_per_second and
        cache_bytes. Seconds and rate are those of this call, all else counts the whole cache.

    Raises:
        X2StaticError: the model, the corpus or the cache cannot be used as asked; what is committed stays.
    """
    started = time.perf_counter()
    files = TeacherFiles.find(config.model, config.revision)
    device = pick_device(config.device)
    precision, why = pick_precision(config, device)
    check_folder(config.cache)
    with open_corpora(config) as corpora, only_writer(config.cache, "cache"):
        teacher = None
        if (config.cache / MANIFEST).is_file():
            cache = Cache.open(config.cache)
            check_encoding(cache, config, files, precision)
            cache.segmentation()
        else:
            plans = plan_all(corpora)
            teacher = Teacher(files, precision, device, config.trust_remote_code)
            cache = _create(config, files, teacher, precision, plans)
        markers = _drop_damaged(cache)
        resumed = set(markers)
        remove_leftovers(cache.shards_folder)
        write_plans(cache.path / "plans", plan_rest(config, corpora, cache, markers))
        if cache.missing() == []:
            logger.info("%s: finished already, %d shards", cache.path, len(markers))
        else:
            if markers:
                logger.info("%s: going on after %d shards", cache.path, len(markers))
            logger.info("precision: %s, because %s", precision, why)
        while cache.missing() != []:
            teacher = teacher or Teacher(files, precision, device, config.trust_remote_code)
            preparer = make_preparer(config, teacher, choose_words(config))
            _check_teacher(cache, preparer.window, teacher)
            n_before = len(markers)
            _encode_missing(cache, Encoder(preparer, teacher, MAX_TOKENS[device.type]), corpora, markers, report)
            if len(markers) == n_before:
                raise RuntimeError(f"{cache.path}: {cache.missing()} are missing and no unit is theirs")
            # Only a stream that is whole tells what a raised --limit adds to it.
            write_plans(cache.path / "plans", plan_rest(config, corpora, cache, markers))
    if not sum(marker.n_contexts for marker in markers.values()):
        raise X2StaticError(
            f"{config.cache}: the filter left nothing of {sum(m.unit.paragraphs for m in markers.values())} paragraphs "
            f"(at least {config.min_sentences} sentences and {config.min_characters} characters each); "
            "lower --min-sentences and --min-characters, and use another --cache"
        )
    return _figures(cache, markers, resumed, time.perf_counter() - started)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is neither a cache, nor the beginning of one, nor empty.

    Raises:
        X2StaticError: it is a file, or holds other things; shards without a manifest count among them, since teacher
            time went into them.
    """
    if folder.exists() and not folder.is_dir():
        raise X2StaticError(f"--cache {folder}: this is a file; name a folder")
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        foreign = sorted(name for name in names if not UNFINISHED.fullmatch(name))
        if foreign:
            raise X2StaticError(
                f"--cache {folder}: the folder holds other things ({', '.join(foreign[:3])}); name a new or empty one"
            )


def _encoding(
    config: EncodeConfig,
    files: TeacherFiles,
    precision: Precision,
    words: WordSegmentation,
    probed: dict[str, int | str],
) -> Encoding:
    """Put together all that can change a vector; `probed` is what only a loaded teacher tells."""
    return Encoding(
        weights=files.weights,
        teacher_config=files.config,
        tokenizer=files.tokenizer,
        layer="last",
        context=config.context,
        compat=config.compat,
        words=words.sha256,
        sentences=SentenceSplitter(config.language).name,
        min_sentences=config.min_sentences,
        min_characters=config.min_characters,
        dtype=config.dtype,
        precision=precision,
        **probed,  # type: ignore[arg-type]
    )


def choose_words(config: EncodeConfig) -> WordSegmentation:
    """Return the word segmentation rules of a configuration."""
    return paper_words() if config.compat == "paper" else default_words()


def check_encoding(cache: Cache, config: EncodeConfig, files: TeacherFiles, precision: Precision) -> None:
    """Refuse a cache that was made otherwise, before the teacher is loaded.

    Raises:
        X2StaticError: with each field that differs, and both values.
    """
    theirs = cache.manifest.encoding
    # The same files have the same window, attention and width; other files are refused for their hashes.
    probed: dict[str, int | str] = {"window": theirs.window, "attention": theirs.attention, "dim": theirs.dim}
    problems = differences(theirs, _encoding(config, files, precision, choose_words(config), probed))
    if problems:
        if cache.manifest.teacher != config.model:
            problems.insert(0, f"model: {cache.manifest.teacher!r} != {config.model!r}")
        raise X2StaticError(
            f"{cache.path}: this cache was made otherwise (cache != asked for): {'; '.join(problems)}. "
            "Ask for the same again, or use another --cache"
        )


def _check_teacher(cache: Cache, window: int, teacher: Teacher) -> None:
    """Compare what only a loaded teacher tells; another version of transformers may choose another attention.

    Raises:
        X2StaticError: with each field that differs, and both values.
    """
    theirs = cache.manifest.encoding
    found = {"window": window, "attention": teacher.attention, "dim": teacher.dim}
    problems = [
        f"{name}: {getattr(theirs, name)!r} != {value!r}"
        for name, value in found.items()
        if getattr(theirs, name) != value
    ]
    if problems:
        raise X2StaticError(
            f"{cache.path}: this cache was made with a teacher that behaved otherwise (cache != now): "
            f"{'; '.join(problems)}. Use the versions in its manifest.json, or another --cache"
        )


def _create(
    config: EncodeConfig, files: TeacherFiles, teacher: Teacher, precision: Precision, plans: dict[int, Plan]
) -> Cache:
    """Write all that comes before the first shard, the manifest last: where it is, the plans are whole."""
    words = choose_words(config)
    preparer = make_preparer(config, teacher, words)
    probed: dict[str, int | str] = {"window": preparer.window, "attention": teacher.attention, "dim": teacher.dim}
    encoding = _encoding(config, files, precision, words, probed)
    for path in config.cache.iterdir():  # of a first call that was killed before its manifest, see check_folder
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:  # it is held; zarr's overwrite=True would remove it and let a second writer in
            path.unlink()
    zarr.create_group(config.cache)
    zarr.create_group(config.cache / "shards")
    write_atomically(config.cache / SEGMENTATION, words.rules.encode())
    write_plans(config.cache / "plans", plans)
    manifest = Manifest(
        format=1,
        teacher=files.name,
        revision=files.revision,
        fingerprint=encoding.fingerprint,
        encoding=encoding,
        versions={name: package_version(name) for name in VERSIONS},
    )
    write_atomically(config.cache / MANIFEST, canonical_json(manifest.model_dump()))
    return Cache(config.cache, manifest)


def _drop_damaged(cache: Cache) -> dict[int, Marker]:
    """Return the markers of the valid shards; a shard without a valid marker does not exist, and is removed."""
    markers, damaged = cache.committed()
    for index, reason in damaged.items():
        logger.warning("shard %06d is encoded again: %s", index, reason)
        shutil.rmtree(cache.shards_folder / shard_name(index))
    return markers


@dataclass(frozen=True)
class _Prepared:
    """A unit between its reading and the teacher."""

    work: Work
    unit: PreparedUnit


def _encode_missing(
    cache: Cache, encoder: Encoder, corpora: list[Corpus], markers: dict[int, Marker], report: Report
) -> None:
    """Read, prepare, encode and write: the first two run ahead in a thread, the last one behind in another.

    Args:
        cache: where the shards go.
        encoder: the teacher and what cuts text for it.
        corpora: those of the plans.
        markers: of the shards that are there; the new ones are added.
        report: called with the progress in paragraphs.
    """
    plans = cache.plans()
    done = sum(marker.unit.paragraphs for marker in markers.values())
    tokens, started = 0, time.perf_counter()
    report(Progress(done, planned_paragraphs(plans), "paragraphs"))

    def prepared() -> Iterator[_Prepared]:
        for work in read_remaining(plans, corpora, dict(markers)):
            yield _Prepared(work, encoder.preparer.prepare(work.text.paragraphs))

    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for item in ahead(prepared()):
            content = encoder.encode(item.unit, f"{plans[item.work.plan].corpus}, unit {item.work.shard}")
            if writing:
                writing.result()
            writing = writer.submit(_write, cache, item.work, content, markers)
            done, tokens = done + len(item.work.text.paragraphs), tokens + content.n_tokens
            rate = tokens / (time.perf_counter() - started)
            report(Progress(done, planned_paragraphs(plans), "paragraphs", f"{rate:,.0f} tokens/s"))
        if writing:
            writing.result()


def _write(cache: Cache, work: Work, content: ShardContent, markers: dict[int, Marker]) -> None:
    marker = Marker(
        plan=work.plan,
        unit=work.text.unit,
        last=work.last,
        encoding=cache.manifest.fingerprint,
        n_paragraphs=0,
        n_contexts=0,
        n_words=0,
        n_tokens=0,
        files={},
    )
    markers[work.shard] = write_shard(cache.shards_folder, work.shard, content, marker)


def _figures(cache: Cache, markers: dict[int, Marker], resumed: set[int], seconds: float) -> dict[str, int | float]:
    new_tokens = sum(marker.n_tokens for index, marker in markers.items() if index not in resumed)
    return {
        "shards": len(markers),
        "shards_resumed": len(resumed),
        "paragraphs": sum(marker.n_paragraphs for marker in markers.values()),
        "contexts": sum(marker.n_contexts for marker in markers.values()),
        "words": sum(marker.n_words for marker in markers.values()),
        "teacher_tokens": sum(marker.n_tokens for marker in markers.values()),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(new_tokens / seconds, 1),
        "cache_bytes": sum(path.stat().st_size for path in cache.path.rglob("*") if path.is_file()),
    }
