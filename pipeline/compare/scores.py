"""Vectors made where they are missing, and scored: each set alone on what it covers, all together on what all cover."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import hash_file
from x2static.evaluation.draws import RESAMPLES, Draws
from x2static.evaluation.word_pairs import find_word_pairs, read_word_pairs
from x2static.evaluation.word_similarity import (
    SimilarityScore,
    evaluate_word_similarity,
    paired_differences,
    score_together,
)
from x2static.machine.progress import Report
from x2static.pipeline.compare import records
from x2static.pipeline.compare.plan import CompareConfig, Step
from x2static.pipeline.compare.records import Record, Scored, TaskAccuracy, TaskScore
from x2static.pipeline.compare.reference import averaged
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import RUN, WordVectors

logger = logging.getLogger(__name__)

TEACHER = "teacher"  # its record
CLASSIFICATION = "classification"  # the folder in that of the data


@dataclass(frozen=True)
class Data:
    """The evaluation data that is there now, as hashes; None where there is none and none is needed."""

    pairs: str | None
    classes: str | None

    @classmethod
    def of(cls, config: CompareConfig) -> "Data":
        """Read all evaluation data that is needed once, so that what is wrong with it is said before anything is made.

        Raises X2StaticError: it is not there, or not as it should be.
        """
        pairs = None
        try:
            files = find_word_pairs(config.data)
            pairs = records.hash_of_files({file.stem: file for file in files})
        except X2StaticError:
            if config.wants_pairs:
                raise
        if config.wants_pairs:
            words_of_pairs(config)
        folder = config.data / CLASSIFICATION if config.data is not None else None
        classes = None
        if folder is not None and folder.is_dir():
            there = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
            classes = records.hash_of_files(there)
        if config.wants("table4"):
            if classes is not None:
                from x2static.evaluation.classification.data import read_tasks

                read_tasks(config.data, 0)
            elif "table4" in config.only:
                raise X2StaticError(f"table 4 needs --data, a folder with a folder {CLASSIFICATION} of tasks in it")
            else:
                logger.info("no classification data (a folder %s in --data): table 4 is left out", CLASSIFICATION)
        return cls(pairs, classes)


def words_of_pairs(config: CompareConfig) -> set[str]:
    """Return all words of the word similarity data, as they are and lower-cased."""
    pairs = [pair for file in find_word_pairs(config.data) for pair in read_word_pairs(file)]
    words = {word for pair in pairs for word in (pair.first, pair.second)}
    return words | {word.lower() for word in words}


def make_vectors(step: Step, config: CompareConfig, report: Report) -> None:
    """Make the vectors of a step, or go on where an earlier call was stopped; a finished run is left alone.

    Raises:
        X2StaticError: they cannot be made.
        Interrupted: by a signal, with the state saved.
        OSError: they cannot be written.
    """
    if step.method.kind == "run":
        return
    step.folder.parent.mkdir(parents=True, exist_ok=True)
    if step.method.kind == "train":
        from x2static.stage2_train.trainer import train

        train(step.training(config), report)
    else:
        from x2static.pipeline.baselines import make

        make(step.baseline(config), report)


def record_of(step: Step, out: Path) -> Record:
    """Return what is kept of a step's vectors; a new record, without scores, where they are new.

    Raises X2StaticError: there are no vectors, or they or the record are damaged.
    """
    if not (step.folder / RUN).is_file():
        raise X2StaticError(f"{step.folder}: no word vectors here ({RUN} is missing)")
    digest = hash_file(step.folder / RUN)
    if (record := records.load(out, step.name, digest)) is not None:
        return record
    vectors = WordVectors.load(step.folder)
    return Record(
        vectors=digest,
        seconds=float(vectors.run.get("seconds") or 0.0),
        vocabulary=len(vectors),
        dim=vectors.dim,
        losses=tuple(vectors.run.get("losses") or ()),
        units_found=int(vectors.run.get("units_found") or 0),
    )


def score_similarity(step: Step, config: CompareConfig, data: Data) -> Record:
    """Score a step by word similarity, unless that was done, and keep the result.

    Raises X2StaticError: no pair is covered, or data or vectors cannot be read.
    """

    def evaluate(vectors: WordVectors) -> dict[str, Any]:
        return {"pairs": tuple(map(TaskScore.model_validate, evaluate_word_similarity(vectors, config.data)))}

    return _score(step, config.out, "similarity", data.pairs, evaluate)


def score_classification(step: Step, config: CompareConfig, data: Data, report: Report) -> Record:
    """Score a step by classification, unless that was done, and keep the result.

    The splits are the same for all; each seed's vectors get a classifier of that number, so that a deviation is one
    over retrained vectors and classifiers, as in the paper's table 5. Raises X2StaticError: data or vectors cannot be
    read.
    """
    from x2static.evaluation.classification.protocol import evaluate_classification_runs  # torch: only where needed

    def evaluate(vectors: WordVectors) -> dict[str, Any]:
        scores = evaluate_classification_runs([vectors], config.data, report=report, first_run=step.seed)
        return {"classes": tuple(map(TaskAccuracy.model_validate, scores))}

    return _score(step, config.out, "classification", data.classes, evaluate)


def _score(
    step: Step, out: Path, part: str, data: str | None, evaluate: Callable[[WordVectors], dict[str, Any]]
) -> Record:
    record = record_of(step, out)
    before: Scored | None = getattr(record, part)
    if data is None or (before is not None and before.data == data):
        return record
    began = time.monotonic()
    results = evaluate(WordVectors.load(step.folder))
    scored = Scored(data=data, seconds=round(time.monotonic() - began, 3), **results)
    record = record.model_copy(update={part: scored})
    records.save(out, step.name, record)
    return record


def teacher_key(cache: Cache, config: CompareConfig) -> str:
    """Return what changes when the teacher's vectors do: the fingerprint knows its files, and the cache's precision."""
    fingerprint, precision = cache.manifest.fingerprint, cache.manifest.encoding.precision
    return fingerprint if config.precision in ("auto", precision) else f"{fingerprint} {config.precision}"


def score_teacher(cache: Cache, config: CompareConfig, data: Data, report: Report) -> Record | None:
    """Score the teacher itself by classification, unless that was done: the paper's SBERT rows.

    A linear classifier reads its sentence vectors, which no static vectors take part in. It computes as it did for the
    cache, unless another precision is asked for.

    Returns:
        The record; None where there is no data.

    Raises:
        X2StaticError: the cache's teacher is not found, or the data cannot be read.
    """
    if data.classes is None:
        return None
    key = teacher_key(cache, config)
    record = records.load(config.out, TEACHER, key)
    if record is not None and record.classification is not None and record.classification.data == data.classes:
        return record
    from x2static.baselines.teacher_sentences import TeacherSentences
    from x2static.evaluation.classification.protocol import evaluate_sentence_classification
    from x2static.stage1_encode.plan.origin import Origin

    began = time.monotonic()
    origin = Origin(config.model, config.corpus, config.device, config.trust_remote_code)
    sentences = TeacherSentences.of_cache(cache, origin, config.precision)
    results = evaluate_sentence_classification(partial(sentences.encode, report=report), config.data)
    classes = tuple(TaskAccuracy.model_validate(score) for score in results)
    seconds = round(time.monotonic() - began, 3)
    scored = Scored(data=data.classes, seconds=seconds, classes=classes)
    record = Record(vectors=key, seconds=seconds, vocabulary=0, dim=sentences.teacher.dim, classification=scored)
    records.save(config.out, TEACHER, record)
    return record


def only(vectors: WordVectors, words: Iterable[str]) -> WordVectors:
    """Return the vectors of some words, in the order they have; what many sets of vectors need together is little.

    Raises X2StaticError: none of the words has a vector.
    """
    rows = np.array(sorted({vectors.index[word] for word in words if word in vectors.index}), np.int64)
    if not len(rows):
        raise X2StaticError("none of the words that are asked for has a vector")
    return WordVectors([vectors.words[row] for row in rows], vectors.matrix[rows], vectors.counts[rows])


def vectors_of_pairs(steps: Iterable[Step], config: CompareConfig) -> dict[str, WordVectors]:
    """Return of each step's vectors those that word similarity needs, by the names of the steps."""
    words = words_of_pairs(config)
    return {step.name: only(WordVectors.load(step.folder), words) for step in steps}


def common_scores(vectors: Mapping[str, WordVectors], config: CompareConfig) -> dict[str, tuple[TaskScore, ...]]:
    """Return the scores of sets of vectors on the pairs that all of them cover, by name.

    Raises X2StaticError: no pair of any data set is covered by all.
    """
    with _without_warnings():
        together = score_together(vectors, config.data)
    return {name: tuple(map(TaskScore.model_validate, scores)) for name, scores in together.items()}


def differences_from_first(
    vectors: Mapping[str, WordVectors], config: CompareConfig, data_sets: Sequence[str]
) -> Mapping[str, list[SimilarityScore]]:
    """Return how much better or worse than the first set of vectors the others are on the pairs that all cover."""
    if len(vectors) < 2:
        return {}
    with _without_warnings():
        return paired_differences(vectors, config.data, Draws(RESAMPLES), common=True, averaged=averaged(data_sets))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep the evaluation from warning again of each data set that few pairs of are covered; the tables tell it."""
    evaluation = logging.getLogger("x2static.evaluation")
    level = evaluation.level
    evaluation.setLevel(logging.ERROR)
    try:
        yield
    finally:
        evaluation.setLevel(level)
