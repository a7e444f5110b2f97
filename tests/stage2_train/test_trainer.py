import json
import logging
import shutil
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.schemas.caches import RULES, plan
from tests.stage2_train.caches import DIM, config, result, rewritten_shard, shard_content, write_cache
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer
from x2static.machine.device import pick_device
from x2static.machine.progress import Progress
from x2static.schemas.cache import SEGMENTATION, Cache, content_of
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.trainer import train

FIGURES = {"vocabulary", "dim", "epochs", "steps", "targets", "loss", "seconds", "words_per_second", "data_wait"}


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_loss_falls(cache: Path, tmp_path: Path):
    train(config(cache, tmp_path / "run", epochs=6))
    losses = WordVectors.load(tmp_path / "run").run["losses"]
    assert len(losses) == 6
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert losses[0] < 6 * np.log(2)  # what vectors that know nothing lose, with five negatives
    assert losses[-1] < 0.9 * losses[0]


def test_figures_and_run_json_tell_how_the_vectors_came_about(cache: Path, tmp_path: Path):
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
    opened = Cache.open(cache)
    assert run["cache"] == {
        "content": content_of(opened.shards()),
        "encoding": opened.manifest.fingerprint,
        "teacher": "fake",
        "revision": None,
    }
    assert run["configuration"] == wish.model_dump(mode="json")
    assert run["versions"]["torch"] == torch.__version__
    assert (run["threads"], run["device"]) == (1, "cpu")


def test_equal_seeds_give_equal_bytes_and_another_seed_others(cache: Path, whole_run: Path, tmp_path: Path):
    train(config(cache, tmp_path / "same", checkpoint_minutes=0))
    train(config(cache, tmp_path / "other", seed=1))
    assert result(tmp_path / "same") == result(whole_run)
    assert result(tmp_path / "other")[0] != result(whole_run)[0]
    assert result(tmp_path / "other")[1] == result(whole_run)[1]


def test_two_threads_give_equal_bytes_each_time(cache: Path, tmp_path: Path):
    torch.set_num_threads(2)
    try:
        for name in ("a", "b"):
            train(config(cache, tmp_path / name, epochs=1, negatives=20, batch_size=128))
    finally:
        torch.set_num_threads(1)
    assert result(tmp_path / "a") == result(tmp_path / "b")


def test_every_setting_that_can_change_the_vectors_does_or_is_known_not_to(
    cache: Path, whole_run: Path, tmp_path: Path
):
    for name, value in {"lr": 0.02, "negatives": 4, "subsample": 0.03, "batch_size": 31, "buffer_megabytes": 2}.items():
        train(config(cache, tmp_path / name, **{name: value}))
        assert result(tmp_path / name)[0] != result(whole_run)[0], name


def test_the_segmentation_rules_go_along_with_the_vectors(cache_copy: Path, whole_run: Path, tmp_path: Path):
    rules = RULES.rules
    train(config(cache_copy, tmp_path / "run", epochs=1))
    assert (tmp_path / "run" / SEGMENTATION).read_text(encoding="utf-8") == rules
    (cache_copy / SEGMENTATION).write_text("other rules", encoding="utf-8")
    with pytest.raises(X2StaticError, match="not the rules that this cache was made with"):
        train(config(cache_copy, tmp_path / "other"))
    assert not (tmp_path / "other").exists()


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


def test_the_log_tells_vocabulary_and_loss(cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    train(config(cache, tmp_path / "run", epochs=1))
    assert "vocabulary: " in caplog.text
    assert "epoch 1: loss " in caplog.text


def test_a_finished_run_is_told_again_and_not_touched(cache: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run")
    first = train(wish)
    before = files(wish.out)
    again = train(config(cache, wish.out, checkpoint_minutes=1))
    assert again == {**first, "finished_before": True}
    assert files(wish.out) == before


def test_a_finished_run_whose_vectors_are_gone_is_made_whole_from_its_checkpoint(
    cache: Path, whole_run: Path, tmp_path: Path
):
    out = Path(shutil.copytree(whole_run, tmp_path / "run"))
    (out / "vectors.safetensors").unlink()
    assert train(config(cache, out))["resumed"]
    assert result(out) == result(whole_run)


def test_training_works_outside_the_main_thread(cache: Path, whole_run: Path, tmp_path: Path):
    worker = threading.Thread(target=train, args=[config(cache, tmp_path / "run")])
    worker.start()
    worker.join()
    assert result(tmp_path / "run") == result(whole_run)


def test_a_gpu_that_is_not_there_is_refused(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(X2StaticError, match=r"--device cuda: .*--device cpu"):
        train(config(cache, tmp_path / "run", device="cuda"))
    assert pick_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    assert pick_device("cpu").type == "cpu"


def test_a_folder_without_a_cache_is_refused(tmp_path: Path):
    with pytest.raises(X2StaticError, match="no cache here"):
        train(config(tmp_path, tmp_path / "run"))


def test_a_cache_without_shards_is_refused(tmp_path: Path):
    write_cache(tmp_path / "cache", [], plans=[plan(1)])
    with pytest.raises(X2StaticError, match="the cache holds no shards; finish `x2static encode`"):
        train(config(tmp_path / "cache", tmp_path / "run"))


def test_a_cache_that_lacks_shards_is_refused_by_number(tmp_path: Path):
    write_cache(tmp_path / "cache", [shard_content(0, 5, DIM)], plans=[plan(3)])
    with pytest.raises(X2StaticError, match=r"2 of 3 shards are missing \(the first is 1\); finish `x2static encode`"):
        train(config(tmp_path / "cache", tmp_path / "run"))


def test_an_empty_vocabulary_leaves_no_folder_behind(cache: Path, tmp_path: Path):
    with pytest.raises(X2StaticError, match="lower --min-count"):
        train(config(cache, tmp_path / "run", min_count=10**6))
    assert not (tmp_path / "run").exists()


def test_other_settings_are_refused_each_named_with_both_values(cache: Path, whole_run: Path):
    before = files(whole_run)
    with pytest.raises(X2StaticError) as caught:
        train(config(cache, whole_run, lr=0.5, negatives=3, seed=9, buffer_megabytes=7))
    for part in ("lr: 0.01 there, 0.5 here", "negatives: 5 there, 3 here", "seed: 0 there, 9 here", "another --out"):
        assert part in str(caught.value)
    assert "buffer_megabytes: 1 there, 7 here" in str(caught.value)
    assert "batch_size" not in str(caught.value)
    assert files(whole_run) == before


def test_a_cache_with_other_content_is_refused(cache_copy: Path, whole_run: Path):
    with (
        rewritten_shard(cache_copy, 1, n_tokens=5),
        pytest.raises(X2StaticError, match=r"cache_content: '\w+' there, '\w+' here"),
    ):
        train(config(cache_copy, whole_run))


def test_another_vocabulary_file_is_refused_and_the_same_words_elsewhere_are_not(cache: Path, tmp_path: Path):
    first, second, third = (tmp_path / name for name in ("a.txt", "b.txt", "c.txt"))
    first.write_text("w00\nw01\nw02\n")
    second.write_text("w02\nw01\nw00\n")
    third.write_text("w00\nw01\n")
    out = tmp_path / "run"
    assert train(config(cache, out, vocab=first))["vocabulary"] == 3
    assert train(config(cache, out, vocab=second))["finished_before"]
    with pytest.raises(X2StaticError, match="vocab: "):
        train(config(cache, out, vocab=third))


def test_the_cache_may_move(cache: Path, cache_copy: Path, tmp_path: Path):
    train(config(cache, tmp_path / "run", epochs=1))
    assert train(config(cache_copy, tmp_path / "run", epochs=1))["finished_before"]


def test_fewer_epochs_than_a_finished_run_has_are_refused(cache: Path, whole_run: Path):
    with pytest.raises(X2StaticError, match="--epochs 1 asked for, but this run has begun or finished epoch 2"):
        train(config(cache, whole_run, epochs=1))


def test_fewer_epochs_than_a_stopped_run_has_begun_are_refused(cache: Path, whole_run: Path, tmp_path: Path):
    out = Path(shutil.copytree(whole_run, tmp_path / "run"))
    (out / "run.json").unlink()
    with pytest.raises(X2StaticError, match="--epochs 1 asked for, but this run has begun or finished epoch 2"):
        train(config(cache, out, epochs=1))


def test_a_folder_that_is_no_run_is_refused_and_left_alone(cache: Path, tmp_path: Path):
    out = tmp_path / "photos"
    out.mkdir()
    (out / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(X2StaticError, match=r"photos: not empty and no run .*holiday.jpg is there"):
        train(config(cache, out))
    assert [path.name for path in out.iterdir()] == ["holiday.jpg"]


def test_a_file_in_the_place_of_the_folder_is_refused(cache: Path, tmp_path: Path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(X2StaticError, match="is a file, not a folder"):
        train(config(cache, tmp_path / "run"))


def test_a_folder_with_nothing_but_a_lock_and_leftovers_is_free(cache: Path, tmp_path: Path):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".lock").touch()
    (out / ".tmp-settings.json").write_text("{")
    assert train(config(cache, out, epochs=1))["epochs"] == 1
    assert not (out / ".tmp-settings.json").exists()


@pytest.mark.parametrize(("name", "text"), [("settings.json", "[]"), ("settings.json", "{"), ("run.json", "{}")])
def test_damaged_files_of_a_run_are_named(cache: Path, whole_run: Path, tmp_path: Path, name: str, text: str):
    out = Path(shutil.copytree(whole_run, tmp_path / "run"))
    (out / name).write_text(text)
    with pytest.raises(X2StaticError, match=f"{name}: "):
        train(config(cache, out))


def test_two_processes_cannot_write_one_run(cache: Path, tmp_path: Path):
    with only_writer(tmp_path / "run", "run"), pytest.raises(X2StaticError, match="another x2static process"):
        train(config(cache, tmp_path / "run"))


def test_contexts_that_are_not_finite_stop_the_training_by_shard(cache_copy: Path, tmp_path: Path):
    contexts = shard_content(1, 130, DIM).contexts
    contexts[17, 3] = np.nan
    with rewritten_shard(cache_copy, 1, contexts=contexts), pytest.raises(X2StaticError, match="000001: context 17 "):
        train(config(cache_copy, tmp_path / "run"))


def test_a_loss_that_is_not_finite_stops_the_training(cache: Path, tmp_path: Path):
    with pytest.raises(X2StaticError, match=r"the loss is not finite in epoch 1, step \d.*lower --lr"):
        train(config(cache, tmp_path / "run", lr=1e38))
    assert not (tmp_path / "run" / "run.json").exists()


def test_vectors_that_are_not_finite_after_the_last_step_are_not_saved(cache: Path, tmp_path: Path):
    with pytest.raises(X2StaticError, match=r"a vector is not finite after epoch 1.*lower --lr"):
        train(config(cache, tmp_path / "run", lr=1e39, batch_size=10**6, buffer_megabytes=64))
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


def test_a_device_whose_memory_runs_out_is_told_with_what_can_be_lowered(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def learn(self: Learner, targets: object, lr: float) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Learner, "learn", learn)
    expected = r"run: the device's memory does not hold \d+ vectors.*a buffer of 1 MB; lower --max-vocab, --dim or"
    with pytest.raises(X2StaticError, match=expected):
        train(config(cache, tmp_path / "run"))


def test_subsampling_that_leaves_no_target_is_refused(cache: Path, tmp_path: Path):
    with pytest.raises(X2StaticError, match="epoch 1 kept no target: --subsample 1e-30 is too low"):
        train(config(cache, tmp_path / "run", subsample=1e-30))


def test_lexicons_that_miscount_are_refused(cache_copy: Path, tmp_path: Path):
    counts = shard_content(1, 130, DIM).counts + 1
    with rewritten_shard(cache_copy, 1, counts=counts), pytest.raises(X2StaticError, match="their lexicons count"):
        train(config(cache_copy, tmp_path / "run"))


def test_settings_hold_no_paths(cache: Path, whole_run: Path):
    settings = json.loads((whole_run / "settings.json").read_text())
    assert str(cache) not in json.dumps(settings)
    assert {"lr", "seed", "cache_content", "encoding", "vocab", "buffer_megabytes"} <= settings.keys()
    assert not {"epochs", "checkpoint_minutes", "device", "out", "cache"} & settings.keys()
