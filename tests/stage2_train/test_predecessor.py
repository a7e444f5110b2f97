"""train --continue: a run that begins with the vectors and moments of a finished one, carried over by word."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.schemas.caches import amend, plan
from tests.stage2_train.caches import DIM, add_shard, config, make_cache, opened, result, shard_content
from tests.stage2_train.test_refusals import other_words
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.durable.storage import canonical_json, read_sealed
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train import checkpoint
from x2static.stage2_train.checkpoint import TENSORS, TRANSFORM, Predecessor, checkpoints
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives.negative_sampling import uniform_vectors
from x2static.stage2_train.trainer import train


@pytest.fixture
def grown(cache_copy: Path) -> Path:
    """The cache with a fourth shard, in which some words have other names."""
    lexicon = [{"w00": "new", "w01": "newer"}.get(word, word) for word in shard_content(3, 130, DIM).lexicon]
    add_shard(cache_copy, 3, lexicon=lexicon)
    (cache_copy / "plans" / "0.json").write_bytes(canonical_json(plan(4).model_dump(mode="json")))
    return cache_copy


def newest(run: Path) -> Path:
    return checkpoints(run)[-1]


@pytest.mark.parametrize("same", [True, False])
def test_words_keep_their_rows(cache: Path, grown: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch, same: bool):
    old, end = WordVectors.load(whole_run).words, load_file(newest(whole_run) / TENSORS)
    monkeypatch.setattr(checkpoint, "ROWS_AT_ONCE", 7)  # several pieces of a vocabulary of some forty
    wish, _, vocabulary = opened(cache if same else grown, seed=5)
    words, learner = vocabulary.words.to_pylist(), Learner.zeros((len(vocabulary), DIM), torch.device("cpu"))
    fresh = torch.from_numpy(uniform_vectors(wish.seed, len(vocabulary), DIM))
    learner.vectors.copy_(fresh)
    Predecessor.open(whole_run).carry_over(learner, vocabulary)
    assert learner.steps == WordVectors.load(whole_run).run["steps"]
    both = [word for word in words if word in old]
    rows = [old.index(word) for word in both]
    assert (set(words) == set(old), rows == sorted(rows)) == (same, same)
    for name in end:
        for row, word in enumerate(words):
            begun = fresh[row] if name == "vectors" else torch.zeros(DIM)
            expected = end[name][old.index(word)] if word in old else begun
            assert torch.equal(learner.tensors()[name][row], expected), (name, word)


def test_a_run_of_a_cache_that_has_grown_is_refused_with_the_options_that_go_on(grown, whole_run, tmp_path):
    with pytest.raises(X2StaticError, match=rf"has it grown\?.* `--continue {whole_run} --out NEW`$"):
        train(config(grown, whole_run))
    train(config(grown, tmp_path / "new", continue_run=whole_run))


def test_a_run_without_steps_of_a_cache_that_has_grown_is_made_anew(cache_copy, tmp_path):
    train(config(cache_copy, tmp_path / "run", objective="closed-form"))
    add_shard(cache_copy, 1, n_tokens=5)
    with pytest.raises(X2StaticError, match=r"closed-form takes seconds: give another --out NEW to make it anew"):
        train(config(cache_copy, tmp_path / "run", objective="closed-form"))


@pytest.mark.parametrize("changes", [{}, {"max_vocab": 10}])
def test_epochs_and_draws_count_anew(grown: Path, whole_run: Path, tmp_path: Path, changes: dict[str, int]):
    wish = config(grown, tmp_path / "run", continue_run=whole_run, **changes)
    figures = train(wish)
    vectors, old = WordVectors.load(wish.out), WordVectors.load(whole_run)
    assert figures["epochs"] == 2 == len(vectors.run["losses"])
    alone = train(config(grown, tmp_path / "alone", **changes))
    assert (figures["steps"], figures["targets"]) == (alone["steps"], alone["targets"])  # equal seed, equal draws
    assert result(wish.out)[0] != result(tmp_path / "alone")[0]
    ours, theirs, content = set(vectors.words), set(old.words), Predecessor.open(whole_run).content
    words = {"words_carried_over": len(ours & theirs), "words_new": len(ours - theirs)}
    words["words_dropped"] = len(theirs - ours)
    assert vectors.run["continued"] == {"run": str(whole_run), "content": content, "steps": old.run["steps"], **words}
    settings = json.loads((wish.out / "settings.json").read_text())
    assert settings["continue"] == content
    assert str(whole_run) not in json.dumps(settings)


def test_a_run_that_continued_can_be_continued_and_its_loss_falls_on(cache: Path, whole_run: Path, tmp_path: Path):
    train(config(cache, tmp_path / "second", continue_run=whole_run, epochs=1, seed=3))
    train(config(cache, tmp_path / "third", continue_run=tmp_path / "second", epochs=1))
    runs = [WordVectors.load(folder).run for folder in (whole_run, tmp_path / "second", tmp_path / "third")]
    assert runs[2]["continued"]["steps"] == runs[0]["steps"] + runs[1]["steps"]
    assert runs[2]["losses"][-1] < runs[1]["losses"][-1] < runs[0]["losses"][-1]


def test_a_run_stopped_before_a_step_keeps_the_count(cache: Path, whole_run: Path, tmp_path: Path):
    sparse = {"batch_size": 1, "subsample": 1e-4, "epochs": 1, "continue_run": whole_run}
    with pytest.raises(Interrupted):
        train(config(cache, tmp_path / "run", **sparse), lambda progress: signal.raise_signal(signal.SIGINT))
    state = json.loads((newest(tmp_path / "run") / "state.json").read_text())["state"]
    assert state["targets"] == 0  # the first paragraph had none
    assert state["steps"] == WordVectors.load(whole_run).run["steps"]
    train(config(cache, tmp_path / "whole", **sparse))
    assert train(config(cache, tmp_path / "run", **sparse))["resumed"]
    assert result(tmp_path / "run") == result(tmp_path / "whole")


def test_the_run_that_is_continued_may_move_and_not_change_or_be_this_one(cache: Path, whole_run: Path, tmp_path: Path):
    train(config(cache, tmp_path / "run", continue_run=whole_run, epochs=1))
    moved = Path(shutil.copytree(whole_run, tmp_path / "moved"))
    assert train(config(cache, tmp_path / "run", continue_run=moved, epochs=1))["finished_before"]
    train(config(cache, moved, epochs=3))
    for wish in (moved, None):
        with pytest.raises(X2StaticError, match=r"continue: '\w{12}\.\.\.' there, ('\w{12}\.\.\.'|None) here"):
            train(config(cache, tmp_path / "run", continue_run=wish, epochs=1))
    with pytest.raises(X2StaticError, match="this is --out itself"):
        train(config(cache, whole_run, continue_run=whole_run))


def configured(run: Path, **changes: object) -> None:
    amend(run / "run.json", configuration=read_sealed(run / "run.json")["configuration"] | changes)


OTHERWISE = "trained on .*cache .teacher fake., which was encoded otherwise than .*cache .teacher fake"
REFUSED: list[tuple[Callable[[Path, Path], object], str]] = [
    (lambda run, cache: shutil.rmtree(run), "no finished run here .no such folder"),
    (lambda run, cache: (run / "run.json").unlink(), "no finished run here .*run its command again"),
    (lambda run, cache: (run / "run.json").write_text("{}"), "not what a run writes"),
    (lambda run, cache: shutil.rmtree(run / "checkpoints"), "no checkpoint any more"),
    (lambda run, cache: amend(run / "run.json", epochs=1), "newest .* is in epoch 3, but it finished with 1"),
    (lambda run, cache: (newest(run) / "state.json").unlink(), "the run is damaged"),
    (lambda run, cache: (newest(run) / TENSORS).write_bytes(b"x"), f"{TENSORS} is not what was written"),
    (lambda run, cache: (run / "vocabulary.arrow").write_bytes(b"ARROW1"), "the run is damaged"),
    (lambda run, cache: configured(run, dim=9), "another space .dim: 9 there, None here"),
    (lambda run, cache: configured(run, objective="closed-form"), "takes no steps.*--init closed-form"),
    (lambda run, cache: (shutil.rmtree(cache), make_cache(cache, context="sentence")), OTHERWISE),
    (lambda run, cache: other_words(cache), r"none of its \d+ words is in the vocabulary of this cache"),
]


@pytest.mark.parametrize(("damage", "message"), REFUSED)
def test_runs_that_cannot_be_continued_are_refused_and_no_folder_is_claimed(
    cache_copy: Path, whole_run: Path, tmp_path: Path, damage: Callable[[Path, Path], object], message: str
):
    run = Path(shutil.copytree(whole_run, tmp_path / "old"))
    damage(run, cache_copy)
    with pytest.raises(X2StaticError, match=f"{run}.*{message}") as caught:
        train(config(cache_copy, tmp_path / "run", continue_run=run))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_transform_counts_in_the_identity_and_a_missing_one_is_refused(small: Path, tmp_path: Path):
    train(config(small, tmp_path / "old", transform="center", epochs=1))
    train(config(small, tmp_path / "next", transform="center", epochs=1, continue_run=tmp_path / "old", seed=5))
    assert (tmp_path / "next" / TRANSFORM).read_bytes() == (tmp_path / "old" / TRANSFORM).read_bytes()
    whole = Predecessor.open(tmp_path / "old").content
    (tmp_path / "old" / TRANSFORM).unlink()
    with pytest.raises(X2StaticError, match=f"{TRANSFORM}: missing"):
        Predecessor.open(tmp_path / "old")
    amend(tmp_path / "old" / "run.json", files={})  # as 0.1.0 would have it
    assert Predecessor.open(tmp_path / "old").content != whole
    with pytest.raises(X2StaticError, match=f"{TRANSFORM} is missing"):
        train(config(small, tmp_path / "run", continue_run=tmp_path / "old", transform="center"))
