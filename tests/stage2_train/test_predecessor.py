"""train --continue: a run that begins with the vectors and moments of a finished one, carried over by word."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.schemas.caches import encoding, marker, plan, write_shard
from tests.stage2_train.caches import DIM, config, make_cache, opened, result, shard_content
from tests.stage2_train.driver import drive
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.durable.storage import canonical_json
from x2static.schemas.cache import Cache
from x2static.schemas.manifest import Plan
from x2static.schemas.shard import shard_name
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import predecessor
from x2static.stage2_train.checkpoint import TENSORS, TRANSFORM, checkpoints
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.negative_sampling import uniform_vectors
from x2static.stage2_train.predecessor import Predecessor
from x2static.stage2_train.trainer import train

NAMES = ("vectors", "first_moment", "second_moment")


def grow(cache: Path, renamed: dict[str, str] | None = None) -> Path:
    """Add a shard to a cache of three, some of its words under other names."""
    content = shard_content(3, 130, DIM)
    lexicon = [(renamed or {}).get(word, word) for word in content.lexicon]
    changed = type(content)(**{**vars(content), "lexicon": lexicon})
    write_shard(cache / "shards", 3, changed, marker(3, fingerprint=encoding(dim=DIM).fingerprint))
    whole = plan(4)
    (cache / "plans" / "0.json").write_bytes(canonical_json(Plan.model_validate(whole).model_dump(mode="json")))
    return cache


def end_of(run: Path) -> dict[str, torch.Tensor]:
    """Vectors and moments at the end of a run."""
    tensors: dict[str, torch.Tensor] = load_file(checkpoints(run)[-1] / TENSORS)
    return tensors


def start_of(cache: Path, run: Path, **changes: object) -> tuple[list[str], dict[str, torch.Tensor], Learner]:
    """Words, vectors and moments with which a run that continues another begins, and a learner that begins fresh."""
    wish, _, vocabulary = opened(cache, **changes)
    learner, fresh = (Learner.zeros((len(vocabulary), DIM), torch.device("cpu")) for _ in range(2))
    for one in (learner, fresh):
        one.vectors.copy_(torch.from_numpy(uniform_vectors(wish.seed, len(vocabulary), DIM)))
    Predecessor.open(run).carry_over(learner, vocabulary)
    fresh.steps = learner.steps
    return vocabulary.words.to_pylist(), learner.tensors(), fresh


def test_on_the_same_cache_a_run_begins_with_the_rows_and_moments_of_the_end_of_the_other(cache: Path, whole_run: Path):
    words, start, fresh = start_of(cache, whole_run, seed=5)
    end = end_of(whole_run)
    assert words == WordVectors.load(whole_run).words
    assert all(torch.equal(start[name], end[name]) for name in NAMES)
    assert start["second_moment"].count_nonzero() > 0
    assert fresh.steps == WordVectors.load(whole_run).run["steps"]


def test_on_a_grown_cache_words_keep_their_rows_in_any_order_and_new_ones_begin_fresh(
    cache_copy: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch
):
    old = WordVectors.load(whole_run).words
    grow(cache_copy, renamed={"w00": "new", "w01": "newer"})
    monkeypatch.setattr(predecessor, "ROWS_AT_ONCE", 7)  # several pieces of a vocabulary of some forty
    words, start, fresh = start_of(cache_copy, whole_run)
    end = end_of(whole_run)
    both = [word for word in words if word in old]
    assert set(words) - set(old) >= {"new", "newer"}
    assert [old.index(word) for word in both] != sorted(old.index(word) for word in both)  # the order differs
    for name in NAMES:
        for row, word in enumerate(words):
            if word in old:
                assert torch.equal(start[name][row], end[name][old.index(word)]), (name, word)
            elif name == "vectors":
                assert torch.equal(start[name][row], fresh.vectors[row]), word
            else:
                assert not start[name][row].any(), (name, word)


def test_a_run_in_a_whitened_space_goes_on_in_that_space_on_a_grown_cache(cache_copy: Path, tmp_path: Path):
    whitened = {"transform": "whiten", "dim": 5, "init": "closed-form", "epochs": 1}
    first, second = (config(cache_copy, tmp_path / name, **whitened) for name in ("first", "second"))
    train(first)
    grow(cache_copy, renamed={"w00": "new"})
    train(second.model_copy(update={"continue_run": first.out}))
    assert (second.out / TRANSFORM).read_bytes() == (first.out / TRANSFORM).read_bytes()
    vectors = WordVectors.load(second.out)
    assert vectors.dim == 5
    assert end_of(second.out)["vectors"].shape[1] == 6  # with the bias
    assert "new" in vectors.words
    assert vectors.run["continued"]["words_new"] >= 1
    assert np.isfinite(vectors.matrix).all()
    assert vectors.run["losses"][0] < WordVectors.load(first.out).run["losses"][0] * 1.1


def test_words_that_fall_out_of_the_vocabulary_are_dropped(cache: Path, whole_run: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", continue_run=whole_run, max_vocab=10, epochs=1)
    assert train(wish)["vocabulary"] == 10
    told = WordVectors.load(wish.out).run["continued"]
    assert (told["words_carried_over"], told["words_new"]) == (10, 0)
    assert told["words_dropped"] == len(WordVectors.load(whole_run)) - 10


def test_the_loss_goes_on_from_where_it_was(cache: Path, whole_run: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", continue_run=whole_run, epochs=1, seed=3)
    train(wish)
    (loss,) = WordVectors.load(wish.out).run["losses"]
    first, second = WordVectors.load(whole_run).run["losses"]
    assert loss < second < first


def test_epochs_steps_and_draws_count_anew_and_run_json_tells_what_was_continued(
    cache_copy: Path, whole_run: Path, tmp_path: Path
):
    grow(cache_copy, renamed={"w00": "new"})
    wish = config(cache_copy, tmp_path / "run", continue_run=whole_run)
    figures = train(wish)
    run, before = WordVectors.load(wish.out).run, WordVectors.load(whole_run).run
    assert figures["epochs"] == 2 == len(run["losses"])
    alone = train(config(cache_copy, tmp_path / "alone"))
    assert (figures["steps"], figures["targets"]) == (alone["steps"], alone["targets"])  # equal seed, equal draws
    assert result(wish.out)[0] != result(tmp_path / "alone")[0]
    words, old = WordVectors.load(wish.out).words, WordVectors.load(whole_run).words
    assert run["continued"] == {
        "run": str(whole_run),
        "content": Predecessor.open(whole_run).content,
        "steps": before["steps"],
        "words_carried_over": len(set(words) & set(old)),
        "words_new": len(set(words) - set(old)),
        "words_dropped": len(set(old) - set(words)),
    }
    assert run["continued"]["words_new"] > 0
    settings = json.loads((wish.out / "settings.json").read_text())
    assert settings["continue"] == run["continued"]["content"]
    assert str(whole_run) not in json.dumps(settings)


def test_a_run_that_continued_can_be_continued(cache: Path, whole_run: Path, tmp_path: Path):
    train(config(cache, tmp_path / "second", continue_run=whole_run, epochs=1))
    train(config(cache, tmp_path / "third", continue_run=tmp_path / "second", epochs=1))
    runs = [WordVectors.load(folder).run for folder in (whole_run, tmp_path / "second", tmp_path / "third")]
    assert runs[2]["continued"]["steps"] == runs[0]["steps"] + runs[1]["steps"]
    assert runs[2]["losses"][-1] < runs[1]["losses"][-1] < runs[0]["losses"][-1]


@pytest.fixture
def continued(cache_copy: Path, whole_run: Path, tmp_path: Path) -> Path:
    """A run on a grown cache that nobody interrupted."""
    grow(cache_copy, renamed={"w00": "new"})
    train(config(cache_copy, tmp_path / "continued", continue_run=whole_run))
    return tmp_path / "continued"


@pytest.mark.parametrize(
    ("event", "n", "minutes"),
    [("kill-batch", 4, 60), ("kill-batch", 9, 0), ("kill-batch", 25, 60), ("kill-write", 5, 0), ("SIGTERM", 7, 60)],
)
def test_a_run_that_continues_another_goes_on_to_the_same_bytes_however_it_is_stopped(
    cache_copy: Path, whole_run: Path, continued: Path, tmp_path: Path, event: str, n: int, minutes: float
):
    wish = config(cache_copy, tmp_path / "run", continue_run=whole_run, checkpoint_minutes=minutes)
    stopped = drive(wish, event, n)
    assert stopped.returncode in (-signal.SIGKILL, 130), stopped.stderr
    figures = train(wish)
    assert figures["resumed"] == (n != 4)  # killed before its first checkpoint, it begins again
    assert result(wish.out) == result(continued)
    assert figures["steps"] == WordVectors.load(continued).run["steps"]


def test_a_run_stopped_before_it_took_a_step_keeps_the_step_count_of_the_other(
    cache: Path, whole_run: Path, tmp_path: Path
):
    sparse = {"batch_size": 1, "subsample": 1e-4, "epochs": 1, "continue_run": whole_run}
    with pytest.raises(Interrupted):
        train(config(cache, tmp_path / "run", **sparse), lambda progress: signal.raise_signal(signal.SIGINT))
    state = json.loads((newest(tmp_path / "run") / "state.json").read_text())["state"]
    assert state["targets"] == 0  # the first paragraph had none
    assert state["steps"] == WordVectors.load(whole_run).run["steps"]
    train(config(cache, tmp_path / "whole", **sparse))
    assert train(config(cache, tmp_path / "run", **sparse))["resumed"]
    assert result(tmp_path / "run") == result(tmp_path / "whole")


def test_a_run_that_continues_another_grows_by_epochs(
    cache_copy: Path, whole_run: Path, continued: Path, tmp_path: Path
):
    out = tmp_path / "run"
    train(config(cache_copy, out, continue_run=whole_run, epochs=1))
    assert train(config(cache_copy, out, continue_run=whole_run, epochs=2))["resumed"]
    assert result(out) == result(continued)


def test_the_run_that_is_continued_may_move_but_not_change(cache: Path, whole_run: Path, tmp_path: Path):
    train(config(cache, tmp_path / "run", continue_run=whole_run, epochs=1))
    moved = Path(shutil.copytree(whole_run, tmp_path / "moved"))
    assert train(config(cache, tmp_path / "run", continue_run=moved, epochs=1))["finished_before"]
    train(config(cache, moved, epochs=3))
    for wish in (moved, None):
        with pytest.raises(X2StaticError, match=r"continue: '\w{64}' there, ('\w{64}'|None) here"):
            train(config(cache, tmp_path / "run", continue_run=wish, epochs=1))


def change_json(path: Path, change: Callable[[dict], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def newest(run: Path) -> Path:
    return checkpoints(run)[-1]


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no finished run here .no such folder"),
    "not finished": (lambda run: (run / "run.json").unlink(), "no finished run here .*run its command again"),
    "foreign": (lambda run: (run / "run.json").write_text("{}"), "not what a run writes"),
    "no checkpoint": (lambda run: shutil.rmtree(run / "checkpoints"), "no checkpoint any more .*train it again"),
    "gone on": (
        lambda run: change_json(run / "run.json", lambda told: told.update(epochs=1)),
        "newest checkpoint is in epoch 3, but it finished with 1; run its command again",
    ),
    "no state": (lambda run: (newest(run) / "state.json").unlink(), "the run is damaged"),
    "no tensors": (
        lambda run: (newest(run) / "state.safetensors").unlink(),
        "state.safetensors is not what was written",
    ),
    "cut": (lambda run: (newest(run) / "state.safetensors").write_bytes(b"x"), "state.safetensors is not what was"),
    "no words": (lambda run: (run / "vocabulary.arrow").unlink(), "the run is damaged"),
    "half the words": (lambda run: (run / "vocabulary.arrow").write_bytes(b"ARROW1"), "the run is damaged"),
    "other space": (
        lambda run: change_json(run / "run.json", lambda told: told["configuration"].update(transform="whiten", dim=9)),
        "another space .transform: 'whiten' there, 'none' here; dim: 9 there, None here",
    ),
    "closed form": (
        lambda run: change_json(run / "run.json", lambda told: told["configuration"].update(objective="closed-form")),
        "closed-form takes no steps, so it has no moments .*--init closed-form",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_that_cannot_be_continued_is_refused_in_one_line_and_no_folder_is_claimed(
    cache: Path, whole_run: Path, tmp_path: Path, damage: str
):
    run = Path(shutil.copytree(whole_run, tmp_path / "old"))
    do, message = DAMAGE[damage]
    do(run)
    with pytest.raises(X2StaticError, match=f"--continue {run}: .*{message}") as caught:
        train(config(cache, tmp_path / "run", continue_run=run))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_cache_of_another_encoding_is_refused_and_both_are_named(cache: Path, whole_run: Path, tmp_path: Path):
    other = make_cache(tmp_path / "other", context="sentence")
    with pytest.raises(X2StaticError) as caught:
        train(config(other, tmp_path / "run", continue_run=whole_run))
    for part in (str(whole_run), f"trained on {cache}", f"encoded otherwise than {other}", "teacher fake"):
        assert part in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_closed_form_cannot_begin_from_a_run(cache: Path, whole_run: Path, tmp_path: Path):
    with pytest.raises(X2StaticError, match="closed-form begins from nothing; leave out --continue"):
        train(config(cache, tmp_path / "run", continue_run=whole_run, objective="closed-form"))


def test_a_run_is_not_continued_into_itself(cache: Path, whole_run: Path):
    with pytest.raises(X2StaticError, match="this is --out itself; give another --out"):
        train(config(cache, whole_run, continue_run=whole_run))


def test_a_vocabulary_without_a_word_in_common_is_refused(cache_copy: Path, whole_run: Path, tmp_path: Path):
    for index in range(3):
        content = shard_content(index, 130, DIM)
        changed = type(content)(**{**vars(content), "lexicon": [f"x{word}" for word in content.lexicon]})
        shutil.rmtree(cache_copy / "shards" / shard_name(index))
        write_shard(cache_copy / "shards", index, changed, marker(index, fingerprint=encoding(dim=DIM).fingerprint))
    with pytest.raises(X2StaticError, match=r"none of its \d+ words is in the vocabulary of this cache"):
        train(config(cache_copy, tmp_path / "run", continue_run=whole_run))
    assert not (tmp_path / "run").exists()


def test_a_matrix_of_another_width_is_refused(cache: Path, whole_run: Path):
    vocabulary = opened(cache)[2]
    learner = Learner.zeros((len(vocabulary), DIM + 1), torch.device("cpu"))
    with pytest.raises(X2StaticError, match=rf"vectors is of shape \[{len(vocabulary)}, {DIM}\] instead of"):
        Predecessor.open(whole_run).carry_over(learner, vocabulary)


def test_the_transform_goes_over_into_the_new_run_and_counts_in_its_identity(
    cache: Path, whole_run: Path, tmp_path: Path
):
    run = Path(shutil.copytree(whole_run, tmp_path / "old"))
    plain = Predecessor.open(run).content
    (run / TRANSFORM).write_bytes(b"fitted")
    assert Predecessor.open(run).content != plain
    Predecessor.open(run).hand_down(tmp_path)
    assert (tmp_path / TRANSFORM).read_bytes() == b"fitted"
    change_json(run / "run.json", lambda told: told["configuration"].update(transform="whiten"))
    wish = tmp_path / "run", Cache.open(cache), "whiten", None
    Predecessor.open(run).check(*wish)
    (run / TRANSFORM).unlink()
    with pytest.raises(X2StaticError, match=r"transform.safetensors is missing"):
        Predecessor.open(run).check(*wish)


def test_vectors_of_a_continued_run_are_finite_and_used(continued: Path, whole_run: Path):
    now, then = WordVectors.load(continued), WordVectors.load(whole_run)
    shared = [word for word in now.words if word in then]
    cosines = [float(now.unit_matrix[now.index[word]] @ then.unit_matrix[then.index[word]]) for word in shared]
    assert np.median(cosines) > 0.5  # they go on from the old ones instead of anywhere else
