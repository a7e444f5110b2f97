import json
from pathlib import Path

import pytest
import torch

from tests.schemas.caches import RULES
from tests.stage2_train.caches import config, result
from tests.stage2_train.stops import stop_at
from tests.stage2_train.test_refusals import files
from x2static.durable.errors import X2StaticError
from x2static.machine.progress import Progress
from x2static.schemas.cache import SEGMENTATION, Cache, content_of
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.trainer import learning_rate, train

FIGURES = {"vocabulary", "dim", "epochs", "steps", "targets", "loss", "seconds", "words_per_second", "data_wait"}


def test_figures_and_run_json_say_how_the_vectors_came_about(cache: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run")
    figures = train(wish)
    assert figures.keys() == FIGURES | {"resumed", "finished_before"}
    vectors = WordVectors.load(wish.out)
    run = vectors.run
    assert {name: run[name] for name in FIGURES} == {name: figures[name] for name in FIGURES}
    assert (figures["vocabulary"], figures["dim"]) == vectors.matrix.shape
    assert figures["loss"] == run["losses"][-1]
    assert run["words"] == vectors.counts.sum()
    assert 2 * run["words"] / figures["words_per_second"] == pytest.approx(figures["seconds"], abs=0.001)
    assert 0 < figures["targets"] < 2 * run["words"]
    content, encoding = content_of(Cache.open(cache).shards()), Cache.open(cache).manifest.fingerprint
    texts = {"language": "en", "corpora": [{"corpus": "corpus.txt", "licence": None}]}
    assert run["cache"] == {"content": content, "encoding": encoding, "teacher": "fake", "revision": None, **texts}
    assert run["configuration"] == wish.model_dump(mode="json") | {"prior": 0.0}  # where nothing is drawn to views
    assert run["versions"]["torch"] == torch.__version__
    assert (run["threads"], run["device"]) == (1, "cpu")
    assert (wish.out / SEGMENTATION).read_text(encoding="utf-8") == RULES.rules
    settings = json.loads((wish.out / "settings.json").read_text())
    assert str(cache) not in json.dumps(settings)
    assert {"lr", "seed", "cache_content", "encoding", "vocab", "buffer_megabytes"} <= settings.keys()
    assert not {"epochs", "checkpoint_minutes", "device", "out", "cache"} & settings.keys()


def test_two_threads_give_equal_bytes_each_time_and_another_seed_others(cache: Path, tmp_path: Path):
    torch.set_num_threads(2)  # every test begins with one
    for name, seed in (("a", 0), ("b", 0), ("other", 1)):
        train(config(cache, tmp_path / name, seed=seed, epochs=1, negatives=20, batch_size=128))
    ours, again, others = (result(tmp_path / name) for name in ("a", "b", "other"))
    assert ours == again
    assert ours[0] != others[0]
    assert ours[1] == others[1]


def test_progress_counts_the_words_of_all_epochs_resumed_ones_included(cache: Path, tmp_path: Path):
    seen: list[Progress] = []
    train(config(cache, tmp_path / "run", epochs=1), seen.append)
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert seen[-1].done == seen[-1].total
    half = seen[-1].done
    more: list[Progress] = []
    train(config(cache, tmp_path / "run", epochs=2), more.append)
    assert more[0].done > half
    assert (more[-1].done, more[-1].total) == (2 * half, 2 * half)
    assert all(one.detail.startswith("loss ") for one in more)


def test_a_finished_run_is_not_touched_wherever_its_cache_is(cache: Path, cache_copy: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", epochs=1)
    first = train(wish)
    before = files(wish.out)
    again = train(config(cache_copy, wish.out, epochs=1, checkpoint_minutes=1))
    assert again == {**first, "finished_before": True}
    assert files(wish.out) == before


RATES = [
    ("constant", 0, [0, 1.5, 500, 999.5, 5000], [0.1] * 5),
    ("linear", 0, [0, 250, 500, 900, 1000, 1001], [0.1, 0.075, 0.05, 0.01, 0, 0]),
    ("cosine", 0, [0, 250, 500, 750, 1000], [0.1, 0.08535533905932738, 0.05, 0.014644660940672627, 0]),
    ("constant", 250, [0, 100, 250, 625, 1000], [0, 0.04, 0.1, 0.1, 0.1]),
    ("linear", 250, [0, 100, 250, 625, 1000], [0, 0.04, 0.1, 0.05, 0]),
    ("cosine", 250, [0, 100, 250, 625, 1000], [0, 0.04, 0.1, 0.05, 0]),
]


@pytest.mark.parametrize(("kind", "warmup", "words", "rates"), RATES)
def test_rates_follow_their_kind(kind: str, warmup: float, words: list[float], rates: list[float]):
    assert [learning_rate(one, 0.1, kind, warmup, 1000) for one in words] == pytest.approx(rates, abs=1e-15)
    assert learning_rate(700, 0.1, kind, warmup, 1000) == 0.1 or kind != "constant"  # to the bit


def test_no_step_is_wasted_at_rate_zero(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rates: list[float] = []
    learn = Learner.learn
    monkeypatch.setattr(Learner, "learn", lambda self, targets, lr: rates.append(lr) or learn(self, targets, lr))
    train(config(cache, tmp_path / "run", schedule="linear", warmup=0.5))
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert all(0 < rate < 0.1 * max(rates) for rate in (rates[0], rates[-1]))
    assert 0.9 * 0.01 < max(rates) <= 0.01
    assert peak / len(rates) == pytest.approx(0.25, abs=0.07)  # half of the first of two epochs


def test_a_schedule_refuses_other_epochs(cache: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", schedule="linear")
    stop_at(4, wish)
    for epochs in (1, 3):
        with pytest.raises(X2StaticError, match=rf"epochs: 2 there, {epochs} here.*another --out"):
            train(wish.model_copy(update={"epochs": epochs}))
    assert train(wish)["resumed"]
