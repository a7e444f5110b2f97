"""A vocabulary trained in parts is what one process trains."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage1_encode.runs import files_of
from tests.stage2_train.caches import config
from tests.stage2_train.objectives.test_prior import some_views
from tests.stage2_train.stops import at
from x2static.durable.errors import X2StaticError
from x2static.schemas.training import TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.checkpoint import checkpoints, parts_begun
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.objectives import views
from x2static.stage2_train.parts import folder_of, train_in_parts, train_part
from x2static.stage2_train.trainer import train
from x2static.stage2_train.vocabulary import Part

POOL = {"negatives_mode": "shared", "pool": 32}
NEAR = 1e-6  # relative; 1e-8 is what is seen here, 1e-7 after 384 steps with products in bfloat16


def here(wish: TrainConfig, parts: list[Part]) -> None:
    """Train parts one after the other, in this process."""
    for part in parts:
        train_part(wish, part)


def assert_same(parts: Path, whole: Path) -> None:
    """Vectors, figures and losses of a run in parts are those of a whole one, up to the rounding of sums."""
    ours, theirs = WordVectors.load(parts), WordVectors.load(whole)
    assert ours.words == theirs.words
    assert np.array_equal(ours.counts, theirs.counts)
    assert np.linalg.norm(ours.matrix - theirs.matrix) < NEAR * np.linalg.norm(theirs.matrix)
    np.testing.assert_allclose(ours.matrix, theirs.matrix, rtol=1e-4, atol=1e-6 * np.abs(theirs.matrix).max())
    assert ours.run["losses"] == pytest.approx(theirs.run["losses"], rel=1e-8)
    for name in ("steps", "targets", "words", "epochs", "cache", "device", "threads", "versions"):
        assert ours.run[name] == theirs.run[name]
    assert ours.run.keys() - {"parts"} == theirs.run.keys()
    names = [{file for file in files_of(run) if not file.startswith("checkpoints")} for run in (parts, whole)]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="fresh negatives"),
        pytest.param(POOL, id="a pool"),
        pytest.param({**POOL, "pool": 2, "transform": "whiten"}, id="a pool that has no word of some part, whitened"),
        pytest.param({"transform": "center", "init": "closed-form", "schedule": "linear"}, id="from the closed form"),
        pytest.param({**POOL, "transform": "whiten", "dim": 6, "init": "closed-form"}, id="fewer dimensions"),
        pytest.param({**POOL, "init": "zeros", "subsample": 1e-4}, id="few targets, none in some batches of a part"),
    ],
)
@pytest.mark.parametrize("of", [2, pytest.param(7, marks=pytest.mark.exhaustive)])
def test_parts_together_are_one_process(small: Path, tmp_path: Path, of: int, changes: dict[str, object]):
    train(config(small, tmp_path / "whole", **changes))
    figures = train_in_parts(config(small, tmp_path / "parts", **changes), of, here)
    assert_same(tmp_path / "parts", tmp_path / "whole")
    assert figures["loss"] == WordVectors.load(tmp_path / "parts").run["losses"][-1]
    assert WordVectors.load(tmp_path / "parts").run["parts"] == of
    again = train_in_parts(config(small, tmp_path / "parts", **changes), of, here)
    assert again == {**figures, "resumed": False, "finished_before": True}


@pytest.mark.parametrize("changes", [{}, POOL])
def test_parts_of_vectors_that_are_drawn_to_views_are_one_process(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
):
    # A cache that holds none.
    monkeypatch.setattr(views.Objective, "put_together", lambda _, s, __: some_views(len(s.vocabulary), s.dim))
    changes = {**changes, "init": "views", "transform": "whiten", "prior": 50.0}
    train(config(small, tmp_path / "whole", **changes))
    train_in_parts(config(small, tmp_path / "parts", **changes), 3, here)
    assert_same(tmp_path / "parts", tmp_path / "whole")
    train(config(small, tmp_path / "without", **{**changes, "prior": 0.0}))
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "parts", tmp_path / "without")


@pytest.mark.parametrize("changes", [{}, POOL])
def test_a_part_moves_its_rows_as_the_whole_does_compiled_too(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
):
    monkeypatch.setattr("x2static.stage2_train.learner.FEWEST_VALUES", 0)
    train(config(small, tmp_path / "whole", transform="whiten", **changes))
    train_in_parts(config(small, tmp_path / "parts", transform="whiten", **changes), 3, here)
    assert_same(tmp_path / "parts", tmp_path / "whole")


def killed_at(n: int, wish: TrainConfig, of: int) -> None:
    """Train in parts until something goes wrong in the n-th step of the parts together."""

    def fail() -> None:
        raise KeyError("killed")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyError, match="killed"):
        patch.setattr(Learner, "learn", at(n, fail, Learner.learn))
        train_in_parts(wish, of, here)


def test_parts_that_were_killed_go_on_from_their_checkpoints(small: Path, tmp_path: Path):
    whole, parts = (
        config(small, tmp_path / name, **POOL, transform="whiten", checkpoint_minutes=0) for name in ("whole", "parts")
    )
    train(whole)
    killed_at(40, parts, 2)  # a part has 26 steps
    assert parts_begun(parts.out) == [Part(0, 2), Part(1, 2)]
    assert [len(checkpoints(folder_of(parts, part))) for part in parts_begun(parts.out)] == [2, 2]
    called = []

    def counted(wish: TrainConfig, left: list[Part]) -> None:
        called.extend(left)
        here(wish, left)

    train_in_parts(parts, 2, counted)
    assert called == [Part(1, 2)]
    assert_same(parts.out, whole.out)


def test_parts_go_on_with_a_run_that_one_process_began_and_the_reverse(small: Path, tmp_path: Path):
    wish = {**POOL, "transform": "whiten"}
    train(config(small, tmp_path / "whole", epochs=3, **wish))
    train(config(small, tmp_path / "run", epochs=1, **wish))
    train_in_parts(config(small, tmp_path / "run", epochs=2, **wish), 2, here)
    train(config(small, tmp_path / "run", epochs=3, **wish))
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_parts_go_on_in_the_middle_of_an_epoch(small: Path, tmp_path: Path):
    whole, parts = (config(small, tmp_path / name, **POOL, checkpoint_minutes=0) for name in ("whole", "parts"))
    train(whole)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(Learner, "learn", at(8, lambda: {}["killed"], Learner.learn))
        train(parts)
    train_in_parts(parts, 3, here)
    assert_same(parts.out, whole.out)


def test_parts_carry_over_a_finished_run(small: Path, tmp_path: Path):
    train(config(small, tmp_path / "before", epochs=1))
    train(config(small, tmp_path / "whole", continue_run=tmp_path / "before"))
    train_in_parts(config(small, tmp_path / "parts", continue_run=tmp_path / "before"), 2, here)
    assert_same(tmp_path / "parts", tmp_path / "whole")
    # and a run in parts is one that can be carried over
    train(config(small, tmp_path / "after", continue_run=tmp_path / "parts"))


def test_a_damaged_checkpoint_of_a_part_is_found_and_made_again(small: Path, tmp_path: Path):
    whole, parts = (config(small, tmp_path / name, checkpoint_minutes=0) for name in ("whole", "parts"))
    train(whole)
    killed_at(40, parts, 2)
    tensors = checkpoints(folder_of(parts, Part(0, 2)))[-1] / "state.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-4] + b"\1\2\3\4")
    train_in_parts(parts, 2, here)
    assert_same(parts.out, whole.out)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"objective": "closed-form", "init": "auto"}, "closed-form cannot be trained in parts .it takes no steps"),
        ({"objective": "views", "init": "auto"}, "views cannot be trained in parts"),
        ({"objective": "sentence", "init": "closed-form"}, "sentence cannot be trained .*other words' vectors, too"),
        ({}, "--parts 1000 asked for, but the vocabulary has"),
    ],
)
def test_what_cannot_be_done_is_refused(small: Path, tmp_path: Path, changes: dict[str, object], why: str):
    with pytest.raises(X2StaticError, match=why):
        train_in_parts(config(small, tmp_path / "run", **changes), 1000, here)


def test_other_parts_and_one_process_are_refused_while_parts_are_under_way(small: Path, tmp_path: Path):
    wish = config(small, tmp_path / "run")
    killed_at(30, wish, 2)
    with pytest.raises(X2StaticError, match=r"--parts 3 asked for, but parts of 2 are under way.*give --parts 2"):
        train_in_parts(wish, 3, here)
    with pytest.raises(X2StaticError, match=r"2 parts of this run under way; give --parts 2"):
        train(wish)
    shutil.rmtree(wish.out / "parts")
    train_in_parts(wish, 3, here)


def test_parts_that_are_joined_already_are_not_taken_for_new_ones(small: Path, tmp_path: Path):
    wish, kept = config(small, tmp_path / "run", epochs=1), tmp_path / "kept"

    def keep(config: TrainConfig, parts: list[Part]) -> None:
        here(config, parts)
        shutil.copytree(config.out / "parts", kept)

    train_in_parts(wish, 2, keep)
    shutil.copytree(kept, wish.out / "parts")  # as if it had been killed when they were joined
    train_in_parts(wish.model_copy(update={"epochs": 2}), 3, here)
    train(config(small, tmp_path / "whole"))
    assert_same(wish.out, tmp_path / "whole")


def test_parts_on_other_devices_are_refused_for_they_draw_otherwise(small: Path, tmp_path: Path):
    wish = config(small, tmp_path / "run")

    def one_elsewhere(config: TrainConfig, parts: list[Part]) -> None:
        train_part(config, parts[0])
        settings = folder_of(config, parts[0]) / "settings.json"
        recorded = json.loads(settings.read_text())
        recorded.pop("xxh3")
        settings.write_text(json.dumps({**recorded, "draws": "NVIDIA H200"}))
        train_part(config, parts[1])

    with pytest.raises(X2StaticError, match=r"2-of-2: drawn on cpu, but part 1-of-2 on NVIDIA H200; .*--device"):
        train_in_parts(wish, 2, one_elsewhere)


@pytest.mark.parametrize("of", [1, 3, 60])
def test_parts_share_out_all_words_the_frequent_ones_too(of: int):
    parts, words = [Part(number, of) for number in range(of)], torch.randint(0, 60, (200,))
    rows = [list(range(60))[part.rows(60)] for part in parts]
    assert sorted(row for some in rows for row in some) == list(range(60))
    for part, own in zip(parts, rows, strict=True):
        ascending, places = part.ascending(words)
        assert [own[row] for row in ascending] == words[places].tolist()
        assert words[places].tolist() == sorted(word for word in words.tolist() if word in own)
        assert (places.diff()[ascending.diff() == 0] > 0).all()
