"""Static vectors beside the teacher itself: the same tasks, the same linear classifier, and what share is kept."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from x2static.baselines.fine_tuning import FineTuning, fine_tune
from x2static.baselines.teacher import TeacherSentences
from x2static.durable.storage import canonical_json, read_json, write_atomically
from x2static.evaluation.classification.data import ClassificationTask, read_tasks
from x2static.evaluation.classification.protocol import accuracy, evaluate_sentence_classification, macro_f1
from x2static.evaluation.files import Pair
from x2static.evaluation.sentence_similarity import average_sentences, correlate, covered_pairs, sentences_of
from x2static.pipeline.terminal import ProgressLine
from x2static.schemas.vectors import WordVectors

METHOD = 2  # grows when the same data and vectors would get other figures, so that saved ones are computed again

Vectors = npt.NDArray[np.float32]
Result = dict[str, Any]  # as JSON has it


def saved_result(folder: Path | None, name: str, origin: Result, compute: Callable[[], Result]) -> Result:
    """Return a result that takes long: the saved one, or a new one, which is then saved; without a folder, a new one.

    The file's name has a hash of the origin, all that can change the result, as JSON has it: results of other settings
    stand beside one another, and none is taken for another. Raises X2StaticError: the file is damaged.
    """
    if folder is None:
        return compute()
    path = folder / f"{name}-{_hash(origin)[:12]}.json"
    if path.is_file():
        saved = read_json(path)
        if isinstance(saved, dict) and saved.get("origin") == origin and isinstance(saved.get("result"), dict):
            return dict(saved["result"])
    result = compute()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, canonical_json({"origin": origin, "result": result}))
    return result


@dataclass(frozen=True)
class TaskFigures:
    """What static vectors and their teacher reach on one task.

    Of classification `accuracy` and `macro_f1`, 0 to 1; of pairs `spearman`, -1 to 1 or None where it is not defined.
    """

    task: str  # its name
    measure: Literal["accuracy", "spearman"]  # which of the figures counts
    teacher: Result  # of the teacher's sentence vectors, classified by a linear classifier, or compared by cosine
    static: Result  # the same of the means of the static vectors
    fine_tuned: Result | None = None  # the teacher fine-tuned; None where that was not wanted, and of sentence pairs
    covered: int | None = None  # pairs that both figures are over: the static vectors know a word of each sentence
    total: int | None = None  # all pairs; both are None of classification, where every text counts

    def share_of(self, other: Result | None) -> float | None:
        """Return the static vectors' figure over the teacher's; None where one is missing, or his is not above 0."""
        static, teacher = self.static[self.measure], (other or {}).get(self.measure)
        return static / teacher if static is not None and teacher is not None and teacher > 0 else None

    def figures(self) -> Result:
        """Return all of it, as JSON has it."""
        figures = {"teacher": self.teacher, "fine_tuned": self.fine_tuned, "static": self.static}
        shares = {"share": self.share_of(self.teacher), "share_of_fine_tuned": self.share_of(self.fine_tuned)}
        return figures | shares | {"covered": self.covered, "total": self.total}


@dataclass(frozen=True)
class Comparison:
    """What is compared, on what."""

    vectors: WordVectors  # the static vectors; they need word segmentation rules
    sentences: TeacherSentences  # the teacher
    data: Path | None  # folder of the classification tasks
    out: Path | None = None  # folder of the results that are saved; None saves none
    fine_tuning: FineTuning | None = None  # its settings; None leaves it out
    seed: int = 0  # of the tasks' splits and of the classifiers

    def compare_tasks(self, tasks: Sequence[str] | None = None) -> list[TaskFigures]:
        """Score the vectors and the teacher on each classification task, or on those of some names."""
        self.vectors.split("")  # without rules nothing below would work, and the teacher comes first
        return [self._compare_task(task) for task in read_tasks(self.data, self.seed, tasks)]

    def _compare_task(self, task: ClassificationTask) -> TaskFigures:
        data = {"method": METHOD, "data": _hash([[part.labels, part.texts] for part in task.parts])}
        linear = {**data, "classifier": "linear", "seed": self.seed}

        def encode(texts: list[str]) -> Vectors:
            with ProgressLine(f"{task.name}, teacher") as report:
                return self.sentences.encode(texts, report)

        def classify(encode: Callable[[list[str]], Vectors]) -> Result:
            (score,) = evaluate_sentence_classification(encode, self.data, self.seed, [task.name])
            return {"accuracy": score.accuracy, "macro_f1": score.macro_f1}

        def tune(settings: FineTuning) -> Result:
            classes = np.array(task.classes)
            texts = [*task.train.texts, *task.validation.texts]  # nothing is chosen by the validation part
            labels = np.searchsorted(classes, [*task.train.labels, *task.validation.labels])
            with ProgressLine(f"{task.name}, fine-tuning") as report:
                predicted = fine_tune(self.sentences, texts, labels.tolist(), task.test.texts, settings, report)
            right = np.searchsorted(classes, task.test.labels)
            return {"accuracy": accuracy(right, predicted), "macro_f1": macro_f1(right, predicted)}

        name, by_static = task.name, partial(classify, self.vectors.encode)
        teacher = saved_result(self.out, f"{name}-teacher", linear | self._teacher_origin, partial(classify, encode))
        static = saved_result(self.out, f"{name}-static", linear | self._static_origin, by_static)
        fine_tuned = None
        if self.fine_tuning:
            origin = {**data, "classifier": "fine-tuned", "settings": asdict(self.fine_tuning), **self._weights_origin}
            fine_tuned = saved_result(self.out, f"{name}-fine-tuned", origin, partial(tune, self.fine_tuning))
        return TaskFigures(name, "accuracy", teacher, static, fine_tuned)

    def compare_pairs(self, name: str, pairs: list[Pair]) -> TaskFigures:
        """Score the vectors and the teacher on sentence pairs, called `name`, by the cosines of sentence vectors.

        The teacher, who could read all pairs, is scored on those that `evaluation.sentence_similarity` takes. Raises
        X2StaticError: the vectors have no segmentation rules, or scipy is missing.
        """
        self.vectors.split("")  # without rules the text would be cut in another way than training did
        known = covered_pairs(self.vectors, pairs)
        setting = {"method": METHOD, "pairs": _hash(known)}

        def score(encode: Callable[[], npt.NDArray[np.float64]]) -> Result:
            correlation = correlate(name, encode(), known, len(pairs))
            return {"spearman": correlation.spearman if correlation else None}

        def teacher() -> npt.NDArray[np.float64]:
            return self.sentences.encode(sentences_of(known)).astype(np.float64)

        of_teacher = saved_result(self.out, f"{name}-teacher", setting | self._teacher_origin, partial(score, teacher))
        static = partial(average_sentences, self.vectors, known)
        of_static = saved_result(self.out, f"{name}-static", setting | self._static_origin, partial(score, static))
        return TaskFigures(name, "spearman", of_teacher, of_static, covered=len(known), total=len(pairs))

    def test_texts(self, tasks: Sequence[str] | None = None) -> list[str]:
        """Return the texts of the tasks' test parts. Raises X2StaticError: the data cannot be used."""
        return [text for task in read_tasks(self.data, self.seed, tasks) for text in task.test.texts]

    def origin(self) -> Result:
        """Return what vectors and teacher are, by hashes, and the method's version."""
        return {"method": METHOD, **self._teacher_origin, **self._static_origin}

    @property
    def _teacher_origin(self) -> Result:
        return {**self._weights_origin, "precision": self.sentences.precision}

    @property
    def _weights_origin(self) -> Result:
        files = self.sentences.files
        return {"weights": files.weights, "teacher_config": files.config, "tokenizer": files.tokenizer}

    @cached_property
    def _static_origin(self) -> Result:
        digest = hashlib.sha256(np.ascontiguousarray(self.vectors.matrix).data)
        digest.update("\n".join(self.vectors.words).encode(errors="surrogatepass"))
        rules = self.vectors.segmentation
        return {"vectors": digest.hexdigest(), "words": rules.sha256 if rules else None}


def _hash(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
