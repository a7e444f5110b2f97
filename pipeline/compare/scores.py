"""Vectors made where they are missing and scored, alone on what they cover and together on what all cover."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xxhash
from pydantic import ConfigDict

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import canonical_json, hash_file, read_json
from x2static.evaluation import retrieval, sentence_similarity, word_similarity
from x2static.evaluation.classification.data import read_tasks
from x2static.evaluation.draws import RESAMPLES, Draws
from x2static.evaluation.files import CLASSIFICATION, RETRIEVAL, SENTENCE_PAIRS
from x2static.evaluation.measures import Score, score_all
from x2static.evaluation.misspellings import MADE, make_misspellings, score_misspellings
from x2static.evaluation.retrieval import RetrievalScore
from x2static.evaluation.sentence_similarity import SentenceScore
from x2static.evaluation.word_pairs import find_word_pairs
from x2static.evaluation.word_similarity import SimilarityScore, evaluate_word_similarity, read_datasets
from x2static.machine.progress import Report
from x2static.pipeline import records
from x2static.pipeline.compare.plan import CompareConfig, Part, Step
from x2static.pipeline.compare.tables import averaged
from x2static.schemas import encoding
from x2static.schemas.cache import Cache
from x2static.schemas.vectors import (
    FILES,
    MATRIX,
    RUN,
    SUBWORDS_RECORD,
    VOCABULARY,
    WordVectors,
    check_run,
    load_subwords,
)

logger = logging.getLogger(__name__)

TEACHER = "teacher"  # its record
TextPart = Literal["sentences", "retrieval"]


class TextTask(NamedTuple):
    """A task of averaged vectors that takes seconds: its scores are also kept in the field of its name."""

    folder: str  # in that of the data
    read: Callable[[Path | None], Mapping[str, Any]]  # data sets by name
    items: str  # what vectors cover of them
    of_vectors: Callable[[WordVectors, str, Any], Score]
    of_encoder: Callable[[Callable[[list[str]], Any], str, Any], Score]


TEXT_TASKS: dict[TextPart, TextTask] = {
    "sentences": TextTask(
        SENTENCE_PAIRS.folder,
        sentence_similarity.read_all,
        "sentence pairs",
        sentence_similarity.score_sentences,
        sentence_similarity.score_encoder,
    ),
    "retrieval": TextTask(
        RETRIEVAL.folder,
        retrieval.read_collections,
        "queries",
        retrieval.score_retrieval,
        retrieval.score_encoder,
    ),
}


class Accuracy(encoding.Record):
    """The result on one classification task, shares between 0 and 1."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)  # version 0.1.0 wrote deviations, too

    task: str
    accuracy: float
    macro_f1: float


class Scored(encoding.Record):
    """Scores, and a hash of the data that they are from."""

    data: str
    seconds: float
    pairs: tuple[SimilarityScore, ...] = ()
    classes: tuple[Accuracy, ...] = ()
    sentences: tuple[SentenceScore, ...] = ()
    retrieval: tuple[RetrievalScore, ...] = ()
    unknown: tuple[Score, ...] = ()


class Record(encoding.Record):
    """What is kept of one set of vectors."""

    vectors: str  # hash of the run.json that the scores belong to; of the teacher itself what `teacher_key` says
    seconds: float
    vocabulary: int
    dim: int
    losses: tuple[float, ...] = ()  # mean loss of each epoch, if it has any
    outside: str = ""  # goes behind the label of vectors that are made of a text beside the corpus
    units_found: int = 0  # units of the cache that the teacher had read before those seconds began
    similarity: Scored | None = None
    classification: Scored | None = None
    sentences: Scored | None = None
    retrieval: Scored | None = None
    unknown: Scored | None = None

    def on(self, part: str, data: str | None) -> Scored | None:
        """Return the scores of a part, the field of that name; None where they are of other data."""
        scored: Scored | None = getattr(self, part)
        return scored if scored is not None and scored.data == data else None


def file_of(out: Path, name: str) -> Path:
    """Return where the record of a step is kept."""
    return out / "scores" / f"{name}.json"


def load(out: Path, name: str, vectors: str) -> Record | None:
    """Return the record of a step; None where there is none, or one of other vectors. Raises X2StaticError: damage."""
    record = records.load(file_of(out, name), Record)
    return record if record is not None and record.vectors == vectors else None


class Data:
    """The evaluation data that is there now, as hashes; None where there is none and none is needed."""

    def __init__(self, config: CompareConfig) -> None:
        """Read all data that is needed once: what is wrong with it (X2StaticError) is said before anything is made."""
        self.pairs: str | None = None
        self.classes: str | None = None
        wants_pairs = config.wants("table3") or config.wants("unknown") or config.wants("figure1")
        try:
            self.pairs = _hash_of({file.stem: file for file in find_word_pairs(config.data)})
        except X2StaticError:
            if wants_pairs:
                raise
        if wants_pairs:
            read_datasets(config.data)
        self.classes = _of_folder("table4", CLASSIFICATION.folder, config, partial(read_tasks, seed=0))
        # of each of TEXT_TASKS
        self.texts = {part: _of_folder(part, task.folder, config, task.read) for part, task in TEXT_TASKS.items()}


def _of_folder(part: Part, name: str, config: CompareConfig, read: Callable[[Path | None], Any]) -> str | None:
    """Return a hash of the data in a folder of --data, read once if it is needed; None where there is no such folder.

    Raises X2StaticError: the part was asked for by name, and there is none.
    """
    title = part.replace("table4", "table 4")
    folder = config.data / name if config.data is not None else None
    if folder is None or not folder.is_dir():
        if part in config.only:
            raise X2StaticError(f"{title} needs --data, a folder with a folder {name} in it")
        if config.wants(part):
            logger.info("no folder %s in --data: %s is left out", name, title)
        return None
    if config.wants(part):
        read(config.data)
    files = [file for file in folder.rglob("*") if file.is_file()]
    return _hash_of({str(file.relative_to(folder)): file for file in files})


def _hash_of(files: Mapping[str, Path]) -> str:
    """Return one hash for names and what is in the file of each."""
    return xxhash.xxh3_128(canonical_json({name: hash_file(file) for name, file in files.items()})).hexdigest()


def make_vectors(step: Step, config: CompareConfig, report: Report) -> Path:
    """Make a step's vectors, unless it is a finished run, or go on where a call was stopped; return their folder."""
    step.folder.parent.mkdir(parents=True, exist_ok=True)
    if step.method.kind == "train":
        from x2static.stage2_train.trainer import train

        train(step.training(config), report)
    elif step.method.kind == "baseline":
        from x2static.pipeline.baselines import make

        make(step.baseline(config), report)
    else:
        check_run(step.folder)  # scores that are remembered are not those of vectors that were damaged since
    return step.folder


def record_of(step: Step, out: Path) -> Record:
    """Return what is kept of a step's vectors, without scores where they are new. Raises X2StaticError: damage."""
    if not (step.folder / RUN).is_file():
        raise X2StaticError(f"{step.folder}: no word vectors here ({RUN} is missing)")
    digest = hash_file(step.folder / RUN)  # it has the hashes of the others
    if FILES not in read_json(step.folder / RUN):  # but for 0.1.0
        digest = _hash_of({name: step.folder / name for name in (RUN, MATRIX, VOCABULARY)})
    if (record := load(out, step.name, digest)) is not None:
        return record
    vectors = WordVectors.load(step.folder)
    return Record(
        vectors=digest,
        seconds=float(vectors.run.get("seconds") or 0.0),
        vocabulary=len(vectors),
        dim=vectors.dim,
        losses=tuple(vectors.run.get("losses") or ()),
        outside=vectors.outside,
        units_found=int(vectors.run.get("units_found") or 0),
    )


def score_similarity(step: Step, config: CompareConfig, data: Data) -> None:
    """Score a step by word similarity, unless that was done. Raises X2StaticError: no pair is covered."""
    record = record_of(step, config.out)
    if data.pairs is None or record.on("similarity", data.pairs):
        return
    began, vectors = time.monotonic(), WordVectors.load(step.folder)
    pairs = tuple(evaluate_word_similarity(vectors, config.data))
    scored = Scored(data=data.pairs, seconds=round(time.monotonic() - began, 3), pairs=pairs)
    records.save(file_of(config.out, step.name), record.model_copy(update={"similarity": scored}))


def score_classification(step: Step, config: CompareConfig, data: Data, report: Report) -> None:
    """Score a step by classification, unless that was done, and keep the result.

    The splits are the same for all; each seed's vectors get a classifier of that number, so that a deviation is one
    over retrained vectors and classifiers, as in the paper's table 5.
    """
    from x2static.evaluation.classification.protocol import evaluate_classification_runs  # torch: only where needed

    record = record_of(step, config.out)
    if data.classes is None or record.on("classification", data.classes):
        return
    began, vectors = time.monotonic(), WordVectors.load(step.folder)
    scores = evaluate_classification_runs([vectors], config.data, report=report, first_run=step.seed)
    scored = _scored("classes", data.classes, began, scores)
    records.save(file_of(config.out, step.name), record.model_copy(update={"classification": scored}))


def score_texts(part: TextPart, step: Step, config: CompareConfig, data: Data) -> None:
    """Score a step by sentence similarity or retrieval, unless that was done. Raises X2StaticError: none is covered."""
    record, digest, task = record_of(step, config.out), data.texts[part], TEXT_TASKS[part]
    if digest is None or record.on(part, digest):
        return
    began, vectors = time.monotonic(), WordVectors.load(step.folder)
    scores = score_all(vectors, task.read(config.data), task.of_vectors, task.items)
    scored = _scored(part, digest, began, scores)
    records.save(file_of(config.out, step.name), record.model_copy(update={part: scored}))


def score_unknown(step: Step, config: CompareConfig, data: Data, report: Report) -> None:
    """Score a step of seed 0 where unknown words have vectors of subwords: word similarity, and misspellings; once.

    They are its own, or fitted to its vectors and kept nowhere; words that share no n-grams have no scores, and that is
    warned of.
    """
    from x2static.stage2_train.subwords import fit_subwords  # torch

    record = record_of(step, config.out)
    if step.seed or data.pairs is None or record.on("unknown", data.pairs):
        return
    began, vectors = time.monotonic(), WordVectors.load(step.folder)
    if SUBWORDS_RECORD in vectors.run:
        vectors = replace(vectors, subwords=load_subwords(step.folder))
    else:
        try:
            vectors = replace(vectors, subwords=fit_subwords(vectors, report))
        except X2StaticError as error:
            logger.warning("%s: no scores of unknown words, %s", step.label, error)
            return
    misspelt = score_misspellings(vectors, MADE, make_misspellings([vectors], 0))
    scored = _scored("unknown", data.pairs, began, [*evaluate_word_similarity(vectors, config.data), misspelt])
    records.save(file_of(config.out, step.name), record.model_copy(update={"unknown": scored}))


def _scored(field: str, data: str, began: float, scores: Sequence[Any]) -> Scored:
    seconds = round(time.monotonic() - began, 3)
    return Scored.model_validate({"data": data, "seconds": seconds, field: scores})


def teacher_key(cache: Cache, config: CompareConfig) -> str:
    """Return what changes when the teacher's vectors do: the fingerprint knows its files, and the cache's precision."""
    fingerprint, precision = cache.manifest.fingerprint, cache.manifest.encoding.precision
    return fingerprint if config.precision in ("auto", precision) else f"{fingerprint} {config.precision}"


def score_teacher(cache: Cache, config: CompareConfig, data: Data, report: Report) -> Record | None:
    """Score the teacher itself by whatever is scored of texts, unless that was done; None without data.

    By the cosines of its sentence vectors and, for classification, a linear classifier on them: the paper's SBERT rows.
    Raises X2StaticError: the cache's teacher is not found.
    """
    key = teacher_key(cache, config)
    record = load(config.out, TEACHER, key)
    wanted = {part: digest for part, digest in data.texts.items() if config.wants(part) and digest is not None}
    wants_classes = config.wants("table4") and data.classes is not None
    if record is not None:
        wanted = {part: digest for part, digest in wanted.items() if not record.on(part, digest)}
        wants_classes = wants_classes and not record.on("classification", data.classes)
    if not wanted and not wants_classes:
        return record
    from x2static.baselines.teacher import TeacherSentences
    from x2static.stage1_encode.plan.origin import Origin

    origin = Origin(config.model, config.corpus, config.device, config.trust_remote_code)
    sentences = TeacherSentences.of_cache(cache, origin, config.precision)
    encode = partial(sentences.encode, report=report)
    if record is None:
        record = Record(vectors=key, seconds=0, vocabulary=0, dim=sentences.teacher.dim)
    for part, digest in wanted.items():
        began, task = time.monotonic(), TEXT_TASKS[part]
        scores = [task.of_encoder(encode, name, one) for name, one in task.read(config.data).items()]
        record = record.model_copy(update={part: _scored(part, digest, began, scores)})
        records.save(file_of(config.out, TEACHER), record)
    if wants_classes and data.classes is not None:
        from x2static.evaluation.classification.protocol import evaluate_sentence_classification

        began = time.monotonic()
        classes = evaluate_sentence_classification(encode, config.data)
        record = record.model_copy(update={"classification": _scored("classes", data.classes, began, classes)})
        records.save(file_of(config.out, TEACHER), record)
    return record


def only(vectors: WordVectors, words: Iterable[str]) -> WordVectors:
    """Return the vectors of some words, which take little room. Raises X2StaticError: none has a vector."""
    rows = np.array(sorted({vectors.index[word] for word in words if word in vectors.index}), np.int64)
    if not len(rows):
        raise X2StaticError("none of the words that are asked for has a vector")
    return WordVectors([vectors.words[row] for row in rows], vectors.matrix[rows], vectors.counts[rows])


def on_common_pairs(
    steps: Sequence[Step], config: CompareConfig, differences: bool = False
) -> tuple[dict[str, list[SimilarityScore]], dict[str, list[SimilarityScore]]]:
    """Return scores on the pairs that all steps cover and, with `differences`, how far they are above the first's.

    Both are by the names of the steps; the differences are those of the steps of seed 0 from the first of them. The
    evaluation does not warn again of data sets of which few pairs are covered: the tables tell it. Raises
    X2StaticError: no pair is covered by all.
    """
    datasets = read_datasets(config.data)
    words = word_similarity.words_of(datasets)
    words |= {word.lower() for word in words}
    vectors = {step.name: only(WordVectors.load(step.folder), words) for step in steps}
    compared = {step.name: vectors[step.name] for step in steps if step.seed == 0}
    evaluation = logging.getLogger("x2static.evaluation")
    level = evaluation.level
    evaluation.setLevel(logging.ERROR)
    try:
        scores = word_similarity.score_together(vectors, config.data)
        if not differences or len(compared) < 2:
            return scores, {}
        sets, draws = averaged(list(datasets)), Draws(RESAMPLES)
        return scores, word_similarity.paired_differences(compared, config.data, draws, common=True, averaged=sets)
    finally:
        evaluation.setLevel(level)
