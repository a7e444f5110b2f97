"""Fine-tuning trains a copy of the whole teacher, learns what can be learnt, and repeats exactly."""

import random

import numpy as np
import pytest
import torch

from tests.baselines.caches import alone, reader
from tests.teachers import NOUNS, english_sentence
from x2static.baselines import fine_tuning
from x2static.baselines.fine_tuning import Classifier, FineTuning, fine_tune
from x2static.baselines.teacher import TeacherSentences
from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.teacher.model import load_model
from x2static.stage1_encode.texts import windows_of

QUICK = FineTuning(lr=2e-3, epochs=4, batch_size=16)


@pytest.fixture(scope="module")
def sentences() -> TeacherSentences:
    return TeacherSentences.load(str(reader(window=24).teacher.folder), "cpu", "float32")


def toy_task(count: int, seed: int) -> tuple[list[str], list[int]]:
    drawn = random.Random(seed)
    labels = [drawn.randrange(2) for _ in range(count)]
    others = [noun for noun in NOUNS if noun not in ("cat", "dog")]
    return [f"the {drawn.choice(others)} of the {('cat', 'dog')[label]}" for label in labels], labels


def test_a_toy_task_is_learnt_by_every_weight_below_the_head(sentences, monkeypatch):
    classifiers = []
    monkeypatch.setattr(
        fine_tuning, "Classifier", lambda *values: classifiers.append(Classifier(*values)) or classifiers[0]
    )
    seen = []
    test, expected = toy_task(100, 1)
    predicted = fine_tune(sentences, *toy_task(200, 0), test, QUICK, seen.append)
    assert [(progress.done, progress.total) for progress in seen] == [(step, 52) for step in range(53)]
    assert predicted.dtype == np.int64
    assert np.mean(predicted == expected) >= 0.95
    before = load_model(sentences.files.folder, torch.float32, False).state_dict()
    same = [name for name, tensor in classifiers[0].model.state_dict().items() if torch.equal(tensor, before[name])]
    assert all("pooler" in name for name in same), same


def test_the_learning_rate_rises_to_its_highest_and_falls_towards_zero(sentences, monkeypatch):
    rates, step = [], torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self, *rest: (rates.append(self.param_groups[0]["lr"]), step(self, *rest))
    )
    fine_tune(sentences, *toy_task(20, 0), [], FineTuning(lr=1e-3, epochs=1, batch_size=1, warmup=0.2))
    assert np.array(rates[:5]) / 1e-3 == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert np.array(rates[4:]) / 1e-3 == pytest.approx(np.linspace(1, 1 / 16, 16))


def test_a_run_repeats_exactly_for_a_seed_and_leaves_teacher_and_random_state_as_they_were(sentences):
    drawn = random.Random(2)
    texts = [english_sentence(drawn) for _ in range(64)]
    labels = [drawn.randrange(3) for _ in texts]
    before, state = sentences.encode(texts[:5]), torch.get_rng_state()
    one, same, other = (
        fine_tune(sentences, texts, labels, texts, FineTuning(lr=1e-3, epochs=1, batch_size=8, seed=seed)).tolist()
        for seed in (0, 0, 1)
    )
    assert one == same != other
    assert sentences.encode(texts[:5]).tobytes() == before.tobytes()
    assert torch.equal(torch.get_rng_state(), state)


def test_scores_are_a_linear_layer_on_unbatched_means(sentences):
    classifier = Classifier(sentences, 3).eval()
    texts = ["the cat", "the old dog sees the river and the house", "Peter", ""]
    weight, bias = (parameter.detach().numpy() for parameter in classifier.head.parameters())
    for text, scores in zip(texts, classifier(windows_of(sentences.teacher, texts)).detach().numpy(), strict=True):
        assert scores == pytest.approx(weight @ alone(reader(window=24), text) + bias, abs=1e-4)


@pytest.mark.parametrize(
    ("texts", "labels", "settings", "message"),
    [
        ([], [], QUICK, "0 texts and 0 labels; it needs texts"),
        (["a"], [0, 1], QUICK, "1 texts and 2 labels"),
        (["a", "b"], [0, -1], QUICK, "the lowest of which is -1"),
        (*toy_task(64, 0), FineTuning(lr=1e30, epochs=3, batch_size=8), r"the loss is .* at step \d+; lower the lea"),
    ],
)
def test_labels_that_do_not_fit_and_a_loss_that_is_not_finite_are_refused(sentences, texts, labels, settings, message):
    with pytest.raises(X2StaticError, match=message):
        fine_tune(sentences, texts, labels, [], settings)
