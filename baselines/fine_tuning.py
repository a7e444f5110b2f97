"""The teacher fine-tuned on a classification task: a linear layer on its mean-pooled states, all weights trained.

These are the paper's rows of parent models (Gupta & Jaggi 2021, table 4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from x2static.baselines.teacher import TeacherSentences
from x2static.durable.errors import X2StaticError
from x2static.machine.device import to_device
from x2static.machine.progress import Progress, Report, silent
from x2static.stage1_encode.teacher.batches import cut
from x2static.stage1_encode.teacher.model import load_model
from x2static.stage1_encode.text.windows import Window
from x2static.stage1_encode.texts import windows_of

POOL = 16  # batches that are sorted by length together; sorted wholly, an epoch would go from long texts to short ones

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FineTuning:
    """The settings: those that are usual for teachers of this kind (Devlin et al. 2019, appendix A.3)."""

    lr: float = 2e-5  # highest learning rate of AdamW
    epochs: int = 3
    batch_size: int = 32  # texts in a batch
    warmup: float = 0.1  # share of the steps in which the learning rate rises, linearly; behind them it falls to zero
    weight_decay: float = 0.01
    seed: int = 0  # of the head, of dropout and of the order of the texts


class Classifier(nn.Module):
    """A copy of a teacher in float32 whose states are averaged over each text's pieces, and a linear layer on top."""

    def __init__(self, sentences: TeacherSentences, n_classes: int) -> None:
        super().__init__()
        self.teacher = sentences.teacher  # gives pieces and masks
        self.model = load_model(sentences.files.folder, torch.float32, sentences.trust_remote_code)
        self.model.requires_grad_(True)
        self.head = nn.Linear(self.teacher.dim, n_classes)
        self.to(self.teacher.device)

    def forward(self, batch: list[Window]) -> torch.Tensor:
        """Return the scores of each class, (len(batch), n_classes)."""
        pieces, mask = self.teacher.inputs(batch)
        inside = np.zeros(pieces.shape, np.float32)  # 1 where a piece counts in the mean: special tokens do not
        for row, window in enumerate(batch):
            _, start, stop = window.spans[0]
            inside[row, start:stop] = 1
        weights = to_device(inside, pieces.device)
        states = self.model(input_ids=pieces, attention_mask=mask).last_hidden_state
        sums = torch.bmm(weights[:, None], states)[:, 0]
        scores: torch.Tensor = self.head(sums / weights.sum(1, keepdim=True).clamp(min=1))
        return scores


def fine_tune(
    sentences: TeacherSentences,
    texts: Sequence[str],
    labels: Sequence[int],
    test: Sequence[str],
    settings: FineTuning | None = None,
    report: Report = silent,
) -> Ids:
    """Train a copy of a teacher on labelled texts, and label others with it, (len(test),) int64.

    Labels are 0 to below the number of classes; what is longer than the teacher's window is cut. Raises X2StaticError:
    there is nothing to learn from, labels do not fit the texts, or the loss is not finite.
    """
    settings = settings or FineTuning()
    targets = np.asarray(labels, np.int64)
    if not len(targets) or len(targets) != len(texts) or targets.min() < 0:
        lowest = f", the lowest of which is {targets.min()}" if len(targets) else ""
        found = f"{len(texts)} texts and {len(targets)} labels{lowest}"
        raise X2StaticError(f"fine-tuning: {found}; it needs texts, and for each a label from 0 on")
    teacher = sentences.teacher
    on_gpu = [teacher.device] if teacher.device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu):  # whoever calls keeps their own random state
        torch.manual_seed(settings.seed)
        classifier = Classifier(sentences, int(targets.max()) + 1)
        _train(classifier, windows_of(teacher, texts), targets, settings, report)
        predicted = np.zeros(len(test), np.int64)
        classifier.eval()
        with torch.inference_mode():
            for batch in cut(windows_of(teacher, test), sentences.encoder.max_tokens, teacher.window):
                numbers = [int(window.spans[0, 0]) for window in batch]
                predicted[numbers] = classifier(batch).argmax(1).cpu().numpy()
    return predicted


def _train(classifier: Classifier, windows: list[Window], targets: Ids, settings: FineTuning, report: Report) -> None:
    optimizer = torch.optim.AdamW(classifier.parameters(), settings.lr, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(windows) // settings.batch_size)
    rising = int(settings.warmup * steps)

    def share(step: int) -> float:
        return (step + 1) / (rising + 1) if step < rising else (steps - step) / (steps - rising)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    drawn = np.random.default_rng(settings.seed)
    classifier.train()
    report(Progress(0, steps, "batches"))
    batches = (rows for _ in range(settings.epochs) for rows in _shuffled(windows, settings.batch_size, drawn))
    for step, rows in enumerate(batches, 1):
        scores = classifier([windows[row] for row in rows])
        loss = nn.functional.cross_entropy(scores, to_device(targets[rows], scores.device))
        value = float(loss.detach())
        if not np.isfinite(value):
            raise X2StaticError(f"fine-tuning: the loss is {value} at step {step}; lower the learning rate")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)  # as is usual for such teachers
        optimizer.step()
        schedule.step()
        report(Progress(step, steps, "batches", f"loss {value:.3f}"))


def _shuffled(windows: list[Window], batch_size: int, drawn: np.random.Generator) -> Iterator[Ids]:
    """Yield the rows of an epoch's batches, in random order, texts of like length together."""
    order = drawn.permutation(len(windows))
    lengths = np.array([len(window.pieces) for window in windows])
    batches = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
    for number in drawn.permutation(len(batches)):
        yield batches[number]
