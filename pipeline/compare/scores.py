"""Scoring: each set of vectors alone, on the pairs that it covers, and all together, on the pairs that all cover."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from x2static.durable.errors import X2StaticError
from x2static.evaluation.word_pairs import find_word_pairs, read_word_pairs
from x2static.evaluation.word_similarity import evaluate_word_similarity
from x2static.machine.progress import Report
from x2static.pipeline.compare import records
from x2static.pipeline.compare.plan import Step
from x2static.pipeline.compare.records import Record, Scored, TaskAccuracy, TaskScore
from x2static.pipeline.compare.settings import CompareConfig
from x2static.pipeline.compare.vectors import only
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import WordVectors

logger = logging.getLogger(__name__)

TEACHER = "teacher"  # its record
CLASSIFICATION = "classification"  # the folder in that of the data


def similarity_data(config: CompareConfig) -> str | None:
    """Return the hash of the word similarity data; None where there is none and none is needed.

    Raises:
        X2StaticError: there is none.
    """
    try:
        files = find_word_pairs(config.data)
    except X2StaticError:
        if config.wants_pairs:
            raise
        return None
    return records.hash_of_files({file.stem: file for file in files})


def classification_data(config: CompareConfig) -> str | None:
    """Return the hash of the classification data; None where there is none."""
    folder = config.data / CLASSIFICATION if config.data is not None else None
    if folder is None or not folder.is_dir():
        return None
    return records.hash_of_files({str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()})


def check_data(config: CompareConfig) -> None:
    """Read all evaluation data that is needed once, so that what is wrong with it is said before anything is made.

    Raises:
        X2StaticError: it is not there, or not as it should be.
    """
    if config.wants_pairs:
        words_of_pairs(config)
    if not config.wants("table4"):
        return
    if classification_data(config) is not None:
        from x2static.evaluation.classification.data import read_tasks

        read_tasks(config.data, 0)
    elif "table4" in config.only:
        raise X2StaticError(f"table 4 needs --data, a folder with a folder {CLASSIFICATION} of tasks in it")
    else:
        logger.info("no classification data (a folder %s in --data): table 4 is left out", CLASSIFICATION)


def record_of(step: Step, out: Path) -> Record:
    """Return what is kept of a step's vectors; a new record, without scores, where they are new.

    Raises:
        X2StaticError: there are no vectors, or they or the record are damaged.
    """
    digest = records.hash_of_vectors(step.folder)
    found = records.load(out, step.name, digest)
    if found is not None:
        return found
    vectors = WordVectors.load(step.folder)
    losses = tuple(vectors.run.get("losses") or ())
    return Record(
        vectors=digest,
        seconds=float(vectors.run.get("seconds") or 0.0),
        vocabulary=len(vectors),
        dim=vectors.dim,
        losses=losses,
        units_found=int(vectors.run.get("units_found") or 0),
    )


def score_similarity(step: Step, config: CompareConfig) -> Record:
    """Score a step by word similarity, unless that was done, and keep the result.

    Raises:
        X2StaticError: no pair is covered, or data or vectors cannot be read.
    """
    data, record = similarity_data(config), record_of(step, config.out)
    if data is None or (record.similarity is not None and record.similarity.data == data):
        return record
    began = time.monotonic()
    found = evaluate_word_similarity(WordVectors.load(step.folder), config.data)
    pairs = tuple(TaskScore.model_validate(score) for score in found)
    scored = Scored(data=data, seconds=round(time.monotonic() - began, 3), pairs=pairs)
    return _kept(step, config, record.model_copy(update={"similarity": scored}))


def score_classification(step: Step, config: CompareConfig, report: Report) -> Record:
    """Score a step by classification, unless that was done, and keep the result.

    The splits are the same for all; each seed's vectors get a classifier of that number, so that a deviation is one
    over retrained vectors and classifiers, as in the paper's table 5.

    Raises:
        X2StaticError: there is no data, or it cannot be read.
    """
    from x2static.evaluation.classification.protocol import evaluate_classification_runs

    data, record = classification_data(config), record_of(step, config.out)
    if data is None or (record.classification is not None and record.classification.data == data):
        return record
    began = time.monotonic()
    vectors = WordVectors.load(step.folder)
    found = evaluate_classification_runs([vectors], config.data, report=report, first_run=step.seed)
    classes = tuple(TaskAccuracy.model_validate(score) for score in found)
    scored = Scored(data=data, seconds=round(time.monotonic() - began, 3), classes=classes)
    return _kept(step, config, record.model_copy(update={"classification": scored}))


def record_of_teacher(cache: Cache, config: CompareConfig) -> Record | None:
    """Return what is kept of the teacher itself; None where nothing is, or that of another, or in another precision.

    Raises:
        X2StaticError: the record is damaged.
    """
    return records.load(config.out, TEACHER, _teacher_key(cache, config))


def _teacher_key(cache: Cache, config: CompareConfig) -> str:
    """Return what changes when the teacher's vectors do: the fingerprint knows its files, and the cache's precision."""
    fingerprint, precision = cache.manifest.fingerprint, cache.manifest.encoding.precision
    return fingerprint if config.precision in ("auto", precision) else f"{fingerprint} {config.precision}"


def score_teacher(cache: Cache, config: CompareConfig, report: Report) -> Record | None:
    """Score the teacher itself by classification, unless that was done: the paper's SBERT rows.

    A linear classifier reads its sentence vectors, which no static vectors take part in. It computes as it did for the
    cache, unless another precision is asked for.

    Returns:
        The record; None where there is no data.

    Raises:
        X2StaticError: the cache's teacher is not found, or the data cannot be read.
    """
    data = classification_data(config)
    if data is None:
        return None
    found = record_of_teacher(cache, config)
    if found is not None and found.classification is not None and found.classification.data == data:
        return found
    from x2static.baselines.teacher_sentences import TeacherSentences
    from x2static.evaluation.classification.protocol import evaluate_sentence_classification
    from x2static.stage1_encode.plan.origin import Means

    began = time.monotonic()
    means = Means(config.model, config.corpus, config.device, config.trust_remote_code)
    sentences = TeacherSentences.of_cache(cache, means, config.precision)
    results = evaluate_sentence_classification(partial(sentences.encode, report=report), config.data)
    classes = tuple(TaskAccuracy.model_validate(score) for score in results)
    seconds = round(time.monotonic() - began, 3)
    scored = Scored(data=data, seconds=seconds, classes=classes)
    key = _teacher_key(cache, config)
    record = Record(vectors=key, seconds=seconds, vocabulary=0, dim=sentences.dim, classification=scored)
    records.save(config.out, TEACHER, record)
    return record


def _kept(step: Step, config: CompareConfig, record: Record) -> Record:
    records.save(config.out, step.name, record)
    return record


@contextmanager
def said_before() -> Iterator[None]:
    """Keep the evaluation from warning again of each data set that few pairs of are covered; the tables tell it."""
    evaluation = logging.getLogger("x2static.evaluation")
    level = evaluation.level
    evaluation.setLevel(logging.ERROR)
    try:
        yield
    finally:
        evaluation.setLevel(level)


def words_of_pairs(config: CompareConfig) -> set[str]:
    """Return all words of the word similarity data, as they are and lower-cased."""
    pairs = [pair for file in find_word_pairs(config.data) for pair in read_word_pairs(file)]
    words = {word for pair in pairs for word in (pair.first, pair.second)}
    return words | {word.lower() for word in words}


def rows_of_pairs(some: Mapping[str, Step], config: CompareConfig) -> dict[str, WordVectors]:
    """Return of each step's vectors those that word similarity needs, by the names of the steps.

    Args:
        some: steps by name, whose vectors are there.
        config: where the data is.
    """
    words = words_of_pairs(config)
    return {name: only(WordVectors.load(step.folder), words) for name, step in some.items()}
