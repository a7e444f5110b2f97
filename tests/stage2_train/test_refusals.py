"""What `train` refuses, and that a refusal leaves no folder behind, or the folder as it was."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from tests.stage2_train.caches import DIM, add_shard, config, shard_content
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import only_writer
from x2static.schemas.cache import SEGMENTATION
from x2static.schemas.shard import shard_name
from x2static.stage2_train.learner import Learner
from x2static.stage2_train.trainer import train

FULL = shard_content(1, 130, DIM)
NO_WORDS = int(np.flatnonzero(np.diff(FULL.word_offsets) == 0)[0])  # a context without words


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def context_of(row: int, value: float) -> np.ndarray:
    contexts = FULL.contexts.copy()
    contexts[row, 7] = value
    return contexts


def all_equal(cache: Path) -> None:
    for index in range(3):
        add_shard(cache, index, contexts=np.full_like(shard_content(index, 130, DIM).contexts, 0.3))


def other_words(cache: Path) -> None:
    for index in range(3):
        add_shard(cache, index, lexicon=[f"x{word}" for word in shard_content(index, 130, DIM).lexicon])


def nothing(cache: Path) -> None:
    pass


def damaged(**changes: object) -> Callable[[Path], None]:
    return lambda cache: add_shard(cache, 1, **changes)


# what is done to the cache, the settings, the message
Case = tuple[Callable[[Path], Any], dict[str, Any], str]
MISSING = r"missing: 1 of 3 shards \(the first is 1\).*finish `x2static encode`.*--partial"
AT_ONCE: list[Case] = [
    (lambda cache: (cache / "manifest.json").unlink(), {}, "no cache here"),
    (lambda cache: shutil.rmtree(cache / "shards"), {}, "the cache holds no shards yet; finish `x2static encode`"),
    (lambda cache: shutil.rmtree(cache / "shards" / shard_name(1)), {}, MISSING),
    (lambda cache: (cache / SEGMENTATION).write_text("x"), {}, "not the rules that this cache was made with"),
    (damaged(counts=FULL.counts + 1), {}, r"000001: lexicon\.arrow counts \d+ words, its marker says \d+; the shard"),
    (nothing, {"min_count": 10**6}, "lower --min-count"),
    (nothing, {"dim": DIM + 1}, f"--dim {DIM + 1} asked for, but its contexts have {DIM} dimensions"),
    (nothing, {"warmup": 2}, r"--warmup 2 is not shorter than the training \(--epochs 2\)"),
    (nothing, {"device": "cuda"}, "--device cuda: .*--device cpu"),
    (nothing, {"objective": "closed-form", "continue_run": "."}, "begins from nothing; leave out --continue"),
]
NOT_FINITE = "000001: context 301 .*not finite.*x2static cache repair DIR"
TOO_FAR = f"000001: context {NO_WORDS} is too far from the mean.*--transform none"
A_ROW_LESS = {"paragraphs": FULL.paragraphs[:-1], "word_offsets": FULL.word_offsets[:-1]}
ON_THE_WAY: list[Case] = [
    *((damaged(contexts=context_of(301, bad)), {}, NOT_FINITE) for bad in (np.nan, np.inf, -np.inf)),
    (damaged(word_ids=np.full_like(FULL.word_ids, 77)), {}, "000001: words.arrow names word 77"),
    (damaged(**A_ROW_LESS), {}, f"000001: words.arrow has {len(FULL.contexts) - 1} rows"),
    (damaged(contexts=FULL.contexts[:, :100]), {}, "000001: contexts .* have shape"),
    (damaged(counts=np.roll(FULL.counts, 1)), {}, "000001: lexicon.arrow counts other words than words.arrow holds"),
    (damaged(contexts=context_of(NO_WORDS, 60_000)), {"transform": "whiten"}, TOO_FAR),
    (all_equal, {"objective": "closed-form"}, "all contexts of the cache are equal"),
    (nothing, {"subsample": 1e-30}, "epoch 1 kept no target: --subsample 1e-30 is too low"),
    (nothing, {"lr": 1e38}, r"the loss is not finite in epoch 1, step \d.*lower --lr"),
    (nothing, {"lr": 1e39, "batch_size": 10**6}, "a vector is not finite after epoch 1.*lower --lr"),
]


@pytest.mark.parametrize("case", AT_ONCE + ON_THE_WAY)
def test_what_is_refused_saves_nothing_and_makes_no_folder_if_that_is_seen_at_once(
    case: Case, cache_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    change, changes, message = case
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    change(cache_copy)
    with pytest.raises(X2StaticError, match=message):
        train(config(cache_copy, tmp_path / "run", buffer_megabytes=64, **changes))
    assert (tmp_path / "run").exists() == (case in ON_THE_WAY)
    assert not (tmp_path / "run" / "run.json").exists()
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


OTHER_RUNS: list[Case] = [
    (nothing, {"lr": 0.5, "dim": 7}, r"settings \(dim: None there, 7 here; lr: 0.01 there, 0.5 here\).*another --out"),
    (damaged(n_tokens=5), {}, r"the text of the cache is not what this run was made of .*another --out|--out NEW"),
    (
        damaged(n_tokens=5),
        {"lr": 0.5},
        r"lr: 0.01 there, 0.5 here; cache_content: '\w{12}\.\.\.' there, '\w{12}\.\.\.' here",
    ),
    (nothing, {"schedule": "linear"}, r"settings \(schedule: 'constant' there, 'linear' here\)"),
    (nothing, {"epochs": 1}, "--epochs 1 asked for, but this run has begun or finished epoch 2"),
]


@pytest.mark.parametrize("case", OTHER_RUNS)
@pytest.mark.parametrize("finished", [True, False])
def test_another_run_is_refused_and_kept(finished: bool, case: Case, cache_copy: Path, whole_run: Path, tmp_path: Path):
    change, changes, message = case
    out = Path(shutil.copytree(whole_run, tmp_path / "run"))
    if not finished:
        (out / "run.json").unlink()
    before = files(out)
    change(cache_copy)
    with pytest.raises(X2StaticError, match=message):
        train(config(cache_copy, out, **changes))
    assert files(out) == before


def test_a_vocabulary_file_is_known_by_its_words(cache: Path, tmp_path: Path):
    wish = config(cache, tmp_path / "run", vocab=tmp_path / "words.txt")
    wish.vocab.write_text("w00\nw01\nw02\n")
    assert train(wish)["vocabulary"] == 3
    wish.vocab.write_text("w02\nw01\nw00\n")
    assert train(wish)["finished_before"]
    wish.vocab.write_text("w00\nw01\n")
    with pytest.raises(X2StaticError, match="vocab: "):
        train(wish)


def test_folders_of_others_are_refused_and_one_with_a_lock_and_leftovers_is_free(cache: Path, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(X2StaticError, match=r"photos: not empty and no run .*holiday.jpg is there"):
        train(config(cache, tmp_path / "photos"))
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["holiday.jpg"]
    with only_writer(tmp_path / "run", "run"), pytest.raises(X2StaticError, match="another x2static process"):
        train(config(cache, tmp_path / "run"))
    (tmp_path / "run" / ".tmp-settings.json").write_text("{")
    assert train(config(cache, tmp_path / "run", epochs=1))["epochs"] == 1
    assert not (tmp_path / "run" / ".tmp-settings.json").exists()


def test_damaged_settings_of_a_run_are_named(cache: Path, whole_run: Path, tmp_path: Path):
    out = Path(shutil.copytree(whole_run, tmp_path / "run"))
    (out / "settings.json").write_text("[]")
    with pytest.raises(X2StaticError, match=r"settings.json: "):
        train(config(cache, out))


def test_a_full_device_is_reported(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Learner, "learn", Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory")))
    expected = r"run: the device's memory does not hold \d+ vectors.*a buffer of 1 MB; lower --max-vocab, --dim or"
    with pytest.raises(X2StaticError, match=expected):
        train(config(cache, tmp_path / "run"))
