"""A linear classifier on sentence vectors: what the teacher itself, or any sentence encoder, is worth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from x2static.durable.errors import X2StaticError
from x2static.evaluation.classification.data import Task, read_tasks
from x2static.evaluation.classification.scores import ClassificationScore, accuracy, macro_f1

Encode = Callable[[list[str]], npt.NDArray[np.float32]]
STRENGTHS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of the penalty, for vectors at a mean square distance of 1 from their mean
MOST_STEPS = 500


def evaluate_sentence_classification(
    encode: Encode, data: Path | None, seed: int = 0, tasks: Sequence[str] | None = None
) -> list[ClassificationScore]:
    """Score sentence vectors on classification tasks by multinomial logistic regression.

    The strength of the penalty is chosen on the validation part; then the classifier is trained with that part too,
    and tested once. The splits are those of `evaluate_classification` with the same seed. In the scores `lr` is the
    strength and `epochs` 0.

    Args:
        encode: returns the vectors of sentences, (n, dim) float32; some sentences may be empty.
        data: where the tasks are, see `read_tasks`.
        seed: of the splits.
        tasks: names of the tasks; None for all.

    Raises:
        X2StaticError: the data cannot be used, or the encoder returns something else.
    """
    return [_evaluate(encode, task) for task in read_tasks(data, seed, tasks)]


def _evaluate(encode: Encode, task: Task) -> ClassificationScore:
    train, validation, test = _vectors(encode, task)
    labels = [torch.from_numpy(np.searchsorted(task.classes, part.labels)) for part in task.parts]
    n_classes = len(task.classes)

    def quality(strength: float) -> float:
        classifier = Linear.fit(train, labels[0], n_classes, strength)
        return accuracy(labels[1].numpy(), classifier.predict(validation))

    strength = max(STRENGTHS, key=quality)  # of equals the strongest
    classifier = Linear.fit(torch.cat([train, validation]), torch.cat(labels[:2]), n_classes, strength)
    predicted = classifier.predict(test)
    n_tokens = sum(len(text.split()) for part in task.parts for text in part.texts)
    return ClassificationScore(
        task=task.name,
        accuracy=accuracy(labels[2].numpy(), predicted),
        macro_f1=macro_f1(labels[2].numpy(), predicted),
        accuracy_deviation=None,
        macro_f1_deviation=None,
        runs=1,
        lr=strength,
        epochs=0,
        covered=n_tokens,
        total=n_tokens,
    )


def _vectors(encode: Encode, task: Task) -> list[Tensor]:
    """Return the vectors of the three parts, (n, dim) float64."""
    texts = [text for part in task.parts for text in part.texts]
    vectors = np.asarray(encode(texts))
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise X2StaticError(
            f"{task.name}: the encoder gave an array of shape {vectors.shape} for {len(texts)} sentences, "
            f"not ({len(texts)}, dim)"
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        text = texts[int(np.argmin(finite))]
        raise X2StaticError(f"{task.name}: the vector of the sentence {text[:80]!r} holds values that are not finite")
    ends = np.cumsum([len(part) for part in task.parts])[:-1]
    return [torch.from_numpy(part) for part in np.split(vectors.astype(np.float64), ends)]


@dataclass(frozen=True, eq=False)
class Linear:
    """Multinomial logistic regression.

    Attributes:
        mean: (dim,) float64, of the vectors that it was trained on.
        scale: root of their mean square distance from it.
        weights: (dim + 1, n_classes) float64, the constants in the last row.
    """

    mean: Tensor
    scale: float
    weights: Tensor

    @classmethod
    def fit(cls, vectors: Tensor, labels: Tensor, n_classes: int, strength: float) -> "Linear":
        """Minimise the mean cross-entropy + strength / 2 times the sum of squares of the weights, constants excepted.

        The vectors are centred and scaled to a mean square length of 1 before, so that a strength means the same for
        vectors of any length. The problem is convex; L-BFGS over all the data solves it.

        Args:
            vectors: (n, dim) float64.
            labels: (n,) int64, classes from 0.
            n_classes: of the labels.
            strength: of the penalty.
        """
        mean = vectors.mean(dim=0)
        distance = float((vectors - mean).square().sum(dim=1).mean().sqrt())
        scale = distance if distance > 0 else 1.0  # all vectors equal: the constants decide
        inputs = _inputs(vectors, mean, scale)
        weights = torch.zeros(inputs.shape[1], n_classes, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [weights], max_iter=MOST_STEPS, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(inputs @ weights, labels) + strength / 2 * weights[:-1].square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        return cls(mean, scale, weights.detach())

    def predict(self, vectors: Tensor) -> npt.NDArray[np.int64]:
        """Return the class of each vector, (n,) int64.

        Args:
            vectors: (n, dim) float64.
        """
        classes: npt.NDArray[np.int64] = (_inputs(vectors, self.mean, self.scale) @ self.weights).argmax(dim=1).numpy()
        return classes


def _inputs(vectors: Tensor, mean: Tensor, scale: float) -> Tensor:
    return torch.cat([(vectors - mean) / scale, torch.ones(len(vectors), 1, dtype=torch.float64)], dim=1)
