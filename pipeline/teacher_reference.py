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

from baselines.fine_tuning import FineTuning, fine_tune
from baselines.teacher_sentences import TeacherSentences
from evaluation.classification import evaluate_sentence_classification
from evaluation.classification.data import Task, read_tasks
from evaluation.classification.scores import accuracy, macro_f1
from evaluation.datasets import read_pairs
from evaluation.word_similarity import score_pairs
from pipeline.kept_results import KeptResults, Result
from schemas.progress import Report, silent
from schemas.storage import canonical_json
from schemas.vectors import WordVectors

FIGURES = ("accuracy", "macro_f1")

Vectors = npt.NDArray[np.float32]
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
    """

    task: str
    measure: Literal["accuracy", "spearman"]
    teacher: Result
    static: Result
    fine_tuned: Result | None = None

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

    def compare_pairs(self, path: Path) -> Beside:
        """Score the vectors and the teacher on sentence pairs by the cosines of sentence vectors.

        Args:
            path: a file of sentence<TAB>sentence<TAB>score.

        Raises:
            X2StaticError: the file cannot be used, the vectors have no segmentation rules, or scipy is missing.
        """
        pairs = read_pairs(path)
        sentences = sorted({sentence for pair in pairs for sentence in (pair.first, pair.second)})
        read = {"pairs": hashlib.sha256(canonical_json(pairs)).hexdigest()}

        def figures(encode: Callable[[list[str]], Vectors]) -> Result:
            # To the correlation a sentence is a word like any other.
            encoded = WordVectors(sentences, encode(sentences), np.zeros(len(sentences), np.int64))
            return {"spearman": score_pairs(encoded, path.stem, pairs).score}

        static = self.kept.get(f"{path.stem}-static", read | self._static_origin, lambda: figures(self.vectors.encode))
        origin = {**read, **self._teacher_origin, "precision": self.sentences.precision}
        teacher = self.kept.get(f"{path.stem}-teacher", origin, lambda: figures(self.sentences.encode))
        return Beside(path.stem, "spearman", teacher, static)

    def test_texts(self, tasks: Sequence[str] | None = None) -> list[str]:
        """Return the texts of the tasks' test parts.

        Raises:
            X2StaticError: the data cannot be used.
        """
        return [text for task in read_tasks(self.data, self.seed, tasks) for text in task.test.texts]

    def origin(self) -> Result:
        """Return what vectors and teacher are, by hashes."""
        return {**self._teacher_origin, **self._static_origin, "precision": self.sentences.precision}

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

    def _teacher(self, task: Task, show: Show) -> Result:
        def encode(texts: list[str]) -> Vectors:
            with show(f"{task.name}, teacher") as report:
                return self.sentences.encode(texts, report)

        origin = {**self._teacher_origin, "precision": self.sentences.precision}
        return self._linear("teacher", origin, encode, task)

    def _linear(self, what: str, origin: Result, encode: Callable[[list[str]], Vectors], task: Task) -> Result:
        def make() -> Result:
            (score,) = evaluate_sentence_classification(encode, self.data, self.seed, [task.name])
            return {name: getattr(score, name) for name in FIGURES}

        origin = {"classifier": "linear", "seed": self.seed, "data": task_hash(task), **origin}
        return self.kept.get(f"{task.name}-{what}", origin, make)

    def _fine_tuned(self, task: Task, show: Show) -> Result | None:
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

        origin = {"classifier": "fine-tuned", "settings": asdict(settings), "data": task_hash(task)}
        return self.kept.get(f"{task.name}-fine-tuned", origin | self._teacher_origin, make)


def task_hash(task: Task) -> str:
    """Return the sha256 of a task's texts and labels, part by part."""
    return hashlib.sha256(canonical_json([[part.labels, part.texts] for part in task.parts])).hexdigest()


def _share(static: float | None, teacher: float | None) -> float | None:
    return static / teacher if static is not None and teacher is not None and teacher > 0 else None
