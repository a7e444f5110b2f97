"""Static vectors beside the teacher itself: the same tasks, the same linear classifier, and what share is kept."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from x2static.baselines.fine_tuning import FineTuning, fine_tune
from x2static.baselines.teacher_sentences import TeacherSentences
from x2static.durable.storage import canonical_json
from x2static.evaluation.classification.data import ClassificationTask, read_tasks
from x2static.evaluation.classification.protocol import accuracy, evaluate_sentence_classification, macro_f1
from x2static.evaluation.sentence_similarity import (
    SentencePair,
    average_sentences,
    correlate,
    covered_pairs,
    sentences_of,
)
from x2static.machine.progress import Report, silent
from x2static.pipeline.kept_results import KeptResults, Result
from x2static.schemas.vectors import WordVectors

FIGURES = ("accuracy", "macro_f1")
METHOD = 2  # grows when the same data and vectors would get other figures, so that kept ones are made again

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Show = Callable[[str], AbstractContextManager[Report]]


def unseen(title: str) -> AbstractContextManager[Report]:
    """Show progress to nobody."""
    return nullcontext(silent)


@dataclass(frozen=True)
class Beside:
    """What static vectors and their teacher reach on one task.

    Each is a dictionary: of classification `accuracy` and `macro_f1`, 0 to 1; of sentence pairs `spearman`, -1 to 1 or
    None where it is not defined.

    Attributes:
        task: its name.
        measure: which of the figures counts.
        teacher: of the teacher's sentence vectors, classified by a linear classifier, or compared by cosine.
        static: the same of the means of the static vectors.
        fine_tuned: the teacher fine-tuned; None where that was not asked for, and of sentence pairs.
        covered: sentence pairs that both figures are over: each sentence has a word that the static vectors know; None
            of classification, where every text counts.
        total: all pairs; None likewise.
    """

    task: str
    measure: Literal["accuracy", "spearman"]
    teacher: Result
    static: Result
    fine_tuned: Result | None = None
    covered: int | None = None
    total: int | None = None

    @property
    def share(self) -> float | None:
        """The static vectors' figure over the teacher's; None where one is missing, or the teacher's is not above 0."""
        return _share(self.static[self.measure], self.teacher[self.measure])

    @property
    def share_of_fine_tuned(self) -> float | None:
        """The static vectors' figure over that of the teacher fine-tuned, if it was; None likewise."""
        return _share(self.static[self.measure], self.fine_tuned[self.measure]) if self.fine_tuned else None

    def figures(self) -> Result:
        """Return all of it, as JSON has it."""
        return {
            "teacher": self.teacher,
            "fine_tuned": self.fine_tuned,
            "static": self.static,
            "share": self.share,
            "share_of_fine_tuned": self.share_of_fine_tuned,
            "covered": self.covered,
            "total": self.total,
        }


@dataclass(frozen=True)
class Comparison:
    """What is compared, on what.

    Attributes:
        vectors: the static vectors; they need word segmentation rules.
        sentences: the teacher.
        data: folder of the classification tasks.
        kept: where results are kept.
        fine_tuning: its settings; None leaves it out.
        seed: of the tasks' splits and of the classifiers.
    """

    vectors: WordVectors
    sentences: TeacherSentences
    data: Path | None
    kept: KeptResults
    fine_tuning: FineTuning | None = None
    seed: int = 0

    def run(self, tasks: Sequence[str] | None = None, show: Show = unseen) -> list[Beside]:
        """Score the vectors and the teacher on each task.

        Args:
            tasks: names; None for all that the data has.
            show: shows the progress of each part that takes long, by its title.

        Raises:
            X2StaticError: the data cannot be used, the vectors have no segmentation rules, or training failed.
            OSError: a result cannot be kept.
        """
        self.vectors.split("")  # without rules nothing below would work, and the teacher comes first
        return [
            Beside(
                task.name,
                "accuracy",
                self._teacher(task, show),
                self._linear("static", self._static_origin, self.vectors.encode, task),
                self._fine_tuned(task, show),
            )
            for task in read_tasks(self.data, self.seed, tasks)
        ]

    def compare_pairs(self, name: str, pairs: list[SentencePair]) -> Beside:
        """Score the vectors and the teacher on sentence pairs by the cosines of sentence vectors.

        The static vectors' figure is that of `evaluation.sentence_similarity`; the teacher, who could read all pairs,
        is scored on the same ones.

        Args:
            name: what the pairs are called.
            pairs: sentences and how similar people find them.

        Raises:
            X2StaticError: the vectors have no segmentation rules, or scipy is missing.
            OSError: a result cannot be kept.
        """
        self.vectors.split("")  # as `run`: without rules the text would be cut in another way than training did
        known = covered_pairs(self.vectors, pairs)
        read = {"method": METHOD, "pairs": hashlib.sha256(canonical_json(known)).hexdigest()}

        def figures(sentences: Floats) -> Result:
            found = correlate(name, sentences, known)
            return {"spearman": found.spearman if found else None}

        def static() -> Result:
            return figures(average_sentences(self.vectors, known))

        def teacher() -> Result:
            return figures(self.sentences.encode(sentences_of(known)).astype(np.float64))

        origin = {**read, **self._teacher_origin, "precision": self.sentences.precision}
        return Beside(
            name,
            "spearman",
            self.kept.get(f"{name}-teacher", origin, teacher),
            self.kept.get(f"{name}-static", read | self._static_origin, static),
            covered=len(known),
            total=len(pairs),
        )

    def test_texts(self, tasks: Sequence[str] | None = None) -> list[str]:
        """Return the texts of the tasks' test parts.

        Raises:
            X2StaticError: the data cannot be used.
        """
        return [text for task in read_tasks(self.data, self.seed, tasks) for text in task.test.texts]

    def origin(self) -> Result:
        """Return what vectors and teacher are, by hashes, and the method's version."""
        return {"method": METHOD, **self._teacher_origin, **self._static_origin, "precision": self.sentences.precision}

    @cached_property
    def _teacher_origin(self) -> Result:
        files = self.sentences.files
        return {"weights": files.weights, "teacher_config": files.config, "tokenizer": files.tokenizer}

    @cached_property
    def _static_origin(self) -> Result:
        digest = hashlib.sha256(np.ascontiguousarray(self.vectors.matrix).data)
        digest.update("\n".join(self.vectors.words).encode(errors="surrogatepass"))
        rules = self.vectors.segmentation
        return {"vectors": digest.hexdigest(), "words": rules.sha256 if rules else None}

    def _teacher(self, task: ClassificationTask, show: Show) -> Result:
        def encode(texts: list[str]) -> Vectors:
            with show(f"{task.name}, teacher") as report:
                return self.sentences.encode(texts, report)

        origin = {**self._teacher_origin, "precision": self.sentences.precision}
        return self._linear("teacher", origin, encode, task)

    def _linear(
        self, what: str, origin: Result, encode: Callable[[list[str]], Vectors], task: ClassificationTask
    ) -> Result:
        def make() -> Result:
            (score,) = evaluate_sentence_classification(encode, self.data, self.seed, [task.name])
            return {name: getattr(score, name) for name in FIGURES}

        origin = {"method": METHOD, "classifier": "linear", "seed": self.seed, "data": task_hash(task), **origin}
        return self.kept.get(f"{task.name}-{what}", origin, make)

    def _fine_tuned(self, task: ClassificationTask, show: Show) -> Result | None:
        settings = self.fine_tuning
        if settings is None:
            return None
        classes = np.array(task.classes)

        def make() -> Result:
            texts = [*task.train.texts, *task.validation.texts]  # there is nothing to choose by the validation part
            labels = np.searchsorted(classes, [*task.train.labels, *task.validation.labels])
            with show(f"{task.name}, fine-tuning") as report:
                predicted = fine_tune(self.sentences, texts, labels.tolist(), task.test.texts, settings, report)
            right = np.searchsorted(classes, task.test.labels)
            return {"accuracy": accuracy(right, predicted), "macro_f1": macro_f1(right, predicted)}

        origin = {"method": METHOD, "classifier": "fine-tuned", "settings": asdict(settings), "data": task_hash(task)}
        return self.kept.get(f"{task.name}-fine-tuned", origin | self._teacher_origin, make)


def task_hash(task: ClassificationTask) -> str:
    """Return the sha256 of a task's texts and labels, part by part."""
    return hashlib.sha256(canonical_json([[part.labels, part.texts] for part in task.parts])).hexdigest()


def _share(static: float | None, teacher: float | None) -> float | None:
    return static / teacher if static is not None and teacher is not None and teacher > 0 else None
