"""Baselines from a cache: its vocabulary handed over, the vectors saved with their origin."""

import importlib
import logging
import shutil
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from x2static.baselines.request import Request, Result
from x2static.durable import storage
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer, remove_leftovers, sealed_json, write_atomically
from x2static.machine.packages import package_version
from x2static.machine.progress import Report, silent
from x2static.schemas.baseline import METHODS, BaselineConfig
from x2static.schemas.vectors import RUN, WordVectors

if TYPE_CHECKING:
    from x2static.schemas.cache import Cache
    from x2static.stage2_train.vocabulary import Vocabulary, WordList

logger = logging.getLogger(__name__)

SETTINGS, WORK = "settings.json", "work"
# Where something is, or how fast: not what the vectors are.
NOT_SETTINGS = {"out", "cache", "corpus", "model", "device", "trust_remote_code"}


def make(config: BaselineConfig, report: Report = silent) -> dict[str, Any]:
    """Make a baseline's vectors, or go on where an earlier call was stopped.

    The folder `config.out` afterwards holds what `WordVectors.save` writes and, beside it, settings.json. Returned are
    vocabulary, dim, seconds and `finished_before`, whether there was nothing left to do. Raises X2StaticError: the
    method cannot be run as asked.
    """
    cache = None
    if config.cache:
        from x2static.schemas.cache import Cache  # it brings zarr, which `load` without a cache does not need

        cache = Cache.open(config.cache)
    settings = _settings(config, cache)
    recorded = storage.recorded_settings(config.out, SETTINGS, "baseline")
    if recorded is not None:
        _compare(config.out, recorded, settings)
        if (config.out / RUN).is_file():
            try:
                figures = _figures(WordVectors.load(config.out))
            except X2StaticError as error:
                logger.warning("%s: made again, for it is damaged (%s)", config.out, error)
            else:
                logger.info("%s: these vectors are there already", config.out)
                shutil.rmtree(config.out / WORK, ignore_errors=True)  # of a call that was killed at its very end
                return {**figures, "finished_before": True}
    began = time.monotonic()
    with only_writer(config.out, "run"):
        remove_leftovers(config.out)
        request = _request(config, cache, report)
        write_atomically(config.out / SETTINGS, sealed_json(settings))
        request.folder.mkdir(exist_ok=True)
        try:
            module = importlib.import_module(f"x2static.baselines.{METHODS[config.name].module}")
            result: Result = module.make(request)
        except BaseException:
            if not any(request.folder.iterdir()):  # nothing is lost: the folder is free again for other settings
                request.folder.rmdir()
                (config.out / SETTINGS).unlink()
            raise
        origin = {
            "baseline": config.name,
            "vocabulary": len(result.words),
            "dim": int(result.matrix.shape[1]),
            "seconds": round(time.monotonic() - began, 3),
            "configuration": config.model_dump(mode="json"),
            "versions": {name: package_version(name) for name in ("x2static", "torch", "numpy", "gensim")},
            **({"cache": cache.origin(settings["cache_content"])} if cache else {}),
            **result.origin,
        }
        segmentation = result.segmentation or (cache.segmentation() if cache else None)
        vectors = WordVectors(result.words, result.matrix, result.counts, segmentation, origin, result.subwords)
        vectors.save(config.out)
        shutil.rmtree(request.folder, ignore_errors=True)
    return {**_figures(vectors), "finished_before": False}


def _figures(vectors: WordVectors) -> dict[str, Any]:
    return {"vocabulary": len(vectors), "dim": vectors.dim, "seconds": vectors.run.get("seconds", 0.0)}


def _request(config: BaselineConfig, cache: "Cache | None", report: Report) -> Request:
    allowed = None
    if config.vocab is not None:
        from x2static.stage2_train.vocabulary import WordList  # it brings zarr, too

        allowed = WordList.load(config.vocab)
    if cache is not None:
        vocabulary = vocabulary_of(cache, config.min_count, config.max_vocab, allowed)
        words, counts = vocabulary.words.to_pylist(), vocabulary.counts
    else:
        words = list(allowed.words) if allowed else []
        counts = np.zeros(len(words), np.int64)
    return Request(config, cache, words, counts, config.out / WORK, report)


def vocabulary_of(cache: "Cache", min_count: int, max_vocab: int, allowed: "WordList | None" = None) -> "Vocabulary":
    """Return the vocabulary of a whole cache, as training and every baseline have it; `allowed` is what it may hold."""
    from x2static.stage2_train.shards import choose_shards
    from x2static.stage2_train.vocabulary import build_vocabulary

    return build_vocabulary(cache.path, choose_shards(cache).values(), min_count, max_vocab, allowed)


def _settings(config: BaselineConfig, cache: "Cache | None") -> dict[str, Any]:
    """Return what a later call must ask for alike; what is read is known by its content, wherever it is."""
    settings = config.model_dump(mode="json", include=set(METHODS[config.name].reads - NOT_SETTINGS))
    for name in ("vocab", "vectors"):
        file = getattr(config, name)
        if file is not None and file.is_file():
            settings[name] = f"xxh3 {storage.hash_file(file)}"
        elif file is not None and file.is_dir():
            files = sorted(path for path in file.rglob("*") if path.is_file())
            hashes = [(path.relative_to(file).as_posix(), storage.hash_file(path)) for path in files]
            settings[name] = f"sha256 {sha256(storage.canonical_json(hashes)).hexdigest()}"
    if METHODS[config.name].reads_text:
        from x2static.baselines.text import identities  # brings the readers of stage one with it

        settings["corpus"] = identities(config) if config.corpus else []
    if cache is not None:
        from x2static.schemas.cache import content_of

        settings["cache_content"] = content_of(cache.shards())
    return settings


def _compare(folder: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    # An earlier version recorded what the method does not read, too.
    method = METHODS.get(str(theirs.get("name")))
    unread = BaselineConfig.model_fields.keys() - (method.reads if method else frozenset())
    if differing := storage.differing_settings({name: theirs[name] for name in theirs.keys() - unread}, ours):
        what = f"holds other vectors ({'; '.join(differing.values())})"
        raise X2StaticError(f"{folder}: {what}; give the same settings to go on with them, or another --out")
