"""The teacher and its encoder: what is refused and probed, several batches at once, and memory that runs out."""

import gc
import os
import shutil
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stage1_encode.conftest import Readers
from tests.stage1_encode.runs import changed, files_of, paragraphs, run, write_lines
from x2static.durable.errors import X2StaticError
from x2static.machine.device import ResultStream
from x2static.schemas.cache import Cache
from x2static.stage1_encode.encoder import Encoder, shared_cores
from x2static.stage1_encode.pools.contexts import ContextMeans
from x2static.stage1_encode.pools.pool import Accumulator, Shape, States
from x2static.stage1_encode.teacher.batches import padded_width
from x2static.stage1_encode.teacher.files import TeacherFiles, config_sha256, weights_sha256
from x2static.stage1_encode.teacher.model import held_window, load_model
from x2static.stage1_encode.teacher.teacher import Teacher, keep_few_kernels, pick_precision
from x2static.stage1_encode.text.windows import PreparedText, Window

CPU = torch.device("cpu")


@pytest.fixture
def folder(readers: Readers, tmp_path: Path) -> Path:
    return Path(shutil.copytree(readers("bert").teacher.folder, tmp_path / "teacher"))


@pytest.mark.parametrize(("lengths", "width"), [([3, 16], 16), ([33], 34), ([65, 2], 68), ([129], 136)])
def test_batches_are_padded_to_few_widths_but_never_beyond_the_window(readers, lengths, width):
    files = TeacherFiles.find(str(readers("bert").teacher.folder), None)
    teacher = Teacher(files, "float32", CPU, trust_remote_code=False)
    batch = [Window(np.full(length, 7), np.zeros((0, 3), np.int64)) for length in lengths]
    assert tuple(teacher.states(batch).shape) == (len(lengths), width, 32)
    assert padded_width(21, window=64) == 21, "steps of one"
    assert padded_width(509, window=510) == 510, "the teacher holds no more"
    assert len({padded_width(longest, 512) for longest in range(1, 513)}) == 96
    assert max(padded_width(longest, 512) / longest for longest in range(33, 513)) < 1.07


def test_a_window_that_the_files_overstate_is_found_out(folder: Path) -> None:
    model = load_model(folder, torch.float32, trust_remote_code=False)
    assert held_window(model, None, padding=0) == 512
    # The table is cut down behind the model's back, as a checkpoint with fewer positions than its tokenizer says.
    table = model.embeddings.position_embeddings
    table.weight = torch.nn.Parameter(table.weight[:472], requires_grad=False)
    assert held_window(model, None, padding=0) == 472


def test_hashes_cover_several_weight_files_by_name_and_content_and_a_models_own_code(folder: Path) -> None:
    one = weights_sha256(folder)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert weights_sha256(folder) == one
    weights, code = {one}, {config_sha256(folder)}
    for content in ("x", "y"):
        (folder / "model-00002-of-00002.safetensors").write_text(content)
        weights.add(weights_sha256(folder))
        (folder / "modeling.py").write_text(content)
        code.add(config_sha256(folder))
    assert len(weights) == len(code) == 3


@pytest.mark.parametrize(("field", "value"), [("window", 400), ("attention", "eager"), ("dim", 31)])
def test_a_teacher_that_behaves_otherwise_than_the_caches_is_refused(field, value, folder, tmp_path):
    corpus, cache = write_lines(tmp_path / "corpus.txt", paragraphs(8)), tmp_path / "cache"
    run(folder, corpus, cache, unit=4)
    encoding = Cache.open(cache).manifest.encoding.model_copy(update={field: value})
    changed(cache, "manifest.json", encoding=encoding.model_dump(), fingerprint=encoding.fingerprint)
    for shard in cache.glob("shards/0*"):
        changed(shard, "shard.json", encoding=encoding.fingerprint)
    shutil.rmtree(cache / "shards" / "000001")
    with pytest.raises(X2StaticError, match=rf"{field}: {value!r} != "):
        run(folder, corpus, cache, unit=4)
    assert not (cache / "shards" / "000001").exists()


def test_precision_is_chosen_by_what_the_processor_computes_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert pick_precision("auto", None, CPU)[0] == "bfloat16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    precision, why = pick_precision("auto", None, CPU)
    assert precision == "float32"
    assert "does not compute with bfloat16" in why
    assert pick_precision("auto", "paper", CPU)[0] == "float16"
    assert pick_precision("float32", None, CPU) == ("float32", "it was asked for")


def unit_of(lengths: list[int]) -> PreparedText:
    """Return a unit of one paragraph, each of whose contexts is a window of so many pieces, 5 and following."""
    unit = PreparedText()
    for length in lengths:
        span = (unit.add_context(["word"]), 0, length)
        unit.windows.append(Window(np.arange(5, 5 + length), np.array([span])))
    unit.n_paragraphs = 1
    return unit


class SmallDevice:
    """A teacher on a device that holds only so many pieces at once; the state of a piece is its id."""

    def __init__(self, room: int) -> None:
        self.room, self.dim, self.device, self.window, self.n_layers = room, 1, CPU, 512, 0
        self.sizes: list[int] = []

    def states(self, batch: list[Window]) -> torch.Tensor:
        width = max(len(window.pieces) for window in batch)
        self.sizes.append(width * len(batch))
        if width * len(batch) > self.room:
            raise torch.OutOfMemoryError("out of memory")
        rows = [np.pad(window.pieces, (0, width - len(window.pieces))) for window in batch]
        return torch.from_numpy(np.stack(rows)).float()[..., None]


def encoder_of(room: int, max_tokens: int) -> Encoder:
    return Encoder(None, SmallDevice(room), max_tokens)  # type: ignore[arg-type]


def test_out_of_memory_halves_the_batches_for_good_and_the_means_stay() -> None:
    unit = unit_of([10, 3, 8, 10, 5, 1, 10, 7])
    encoder = encoder_of(room=25, max_tokens=100)
    contexts = encoder.encode([unit], "corpus, unit 0").contexts()
    np.testing.assert_array_equal(contexts[:, 0], [5 + (len(window.pieces) - 1) / 2 for window in unit.windows])
    assert encoder.max_tokens <= 25
    assert encoder.n_tokens == 54 <= encoder.n_padded <= 8 * 10, "what ran out of memory does not count"
    too_large = [size for size in encoder.teacher.sizes if size > 25]
    assert 0 < len(too_large) <= 3
    encoder.encode([unit], "corpus, unit 1")
    again = [size for size in encoder.teacher.sizes if size > 25]
    assert again == too_large, "the next unit begins with the smaller batches"


def test_out_of_memory_between_portions_loses_no_window_and_the_means_stay() -> None:
    texts = [unit_of([10, 3, 8, 10]), unit_of([5, 1, 10]), unit_of([7, 2])]
    expected = [5 + (len(window.pieces) - 1) / 2 for text in texts for window in text.windows]
    for text in texts[:-1]:
        text.last = False
    unit = encoder_of(room=12, max_tokens=100).encode(texts, "corpus, unit 0")
    np.testing.assert_array_equal(unit.contexts()[:, 0], expected)
    content = unit.words.of_shard()
    assert content.word_offsets.tolist() == list(range(10))
    assert content.paragraphs.tolist() == [0] * 4 + [1] * 3 + [2] * 2
    assert (content.lexicon, content.counts.tolist(), content.n_paragraphs) == (["word"], [9], 3)


def test_a_window_that_does_not_fit_alone_is_an_error_that_names_the_unit() -> None:
    with pytest.raises(X2StaticError, match=r"corpus, unit 7: .*one window of 10 pieces; choose --device cpu"):
        encoder_of(room=9, max_tokens=100).encode([unit_of([10, 10])], "corpus, unit 7")


class Watching(Accumulator):
    """Does something in the lane, and something else with each batch in turn; keeps the batches' lengths."""

    def __init__(self, in_lane: Callable[[int], object], in_turn: Callable[[], object]) -> None:
        self.in_lane, self.in_turn, self.lengths = in_lane, in_turn, []

    def take(self, batch: list[Window], states: States) -> int:
        self.in_lane(len(batch[0].pieces))
        return len(batch[0].pieces)

    def add(self, part: int) -> None:
        self.lengths.append(part)
        self.in_turn()


def test_batches_are_read_side_by_side_and_taken_in_their_order() -> None:
    torch.set_num_threads(2)
    both = threading.Barrier(2, timeout=10)

    def in_lane(length: int) -> None:
        if length > 4:
            both.wait()  # passed only if two run at once
        time.sleep(0.01 * length)  # so that the later ones are ready before

    watching = Watching(in_lane, lambda: None)
    encoder_of(room=1000, max_tokens=1).read([unit_of([6, 5, 4, 3])], "corpus, unit 0", [watching], all_layers=False)
    assert watching.lengths == [6, 5, 4, 3]


@pytest.mark.parametrize("where", ["between two batches", "waiting for a batch"])
def test_one_unit_is_read_at_a_time_and_one_left_early_leaves_nothing_behind(where, monkeypatch):
    encoder = encoder_of(room=1000, max_tokens=8)

    def interrupt() -> None:
        with pytest.raises(RuntimeError, match="corpus, unit 1: another unit is being read"):
            encoder.encode([unit_of([3])], "corpus, unit 1")
        raise KeyboardInterrupt

    def waiting(futures: list[object]) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    if where == "waiting for a batch":
        monkeypatch.setattr("x2static.stage1_encode.encoder.wait", waiting)
    with pytest.raises(KeyboardInterrupt):
        encoder.read([unit_of([4] * 6)], "corpus, unit 0", [Watching(lambda _: None, interrupt)], all_layers=False)
    assert encoder.encode([unit_of([3])], "corpus, unit 1").contexts().tolist() == [[6.0]]


def test_a_unit_is_done_before_what_follows_it_is_read() -> None:
    def portions() -> Iterator[PreparedText]:
        yield unit_of([4, 2])
        raise ConnectionError("the next unit cannot be read")

    unit = encoder_of(room=1000, max_tokens=8).encode(portions(), "corpus, unit 0")
    assert unit.contexts().tolist() == [[6.5], [5.5]]


def test_a_teacher_goes_with_its_encoder() -> None:
    encoder = encoder_of(room=1000, max_tokens=8)
    gone = weakref.ref(encoder.teacher)
    encoder.encode([unit_of([4] * 6)], "corpus, unit 0")
    gc.disable()  # a cycle would keep it, and the memory of the device
    try:
        del encoder
        assert gone() is None
    finally:
        gc.enable()


def test_cores_are_shared_and_given_back() -> None:
    torch.set_num_threads(4)
    with pytest.raises(InterruptedError), shared_cores(3):
        assert torch.get_num_threads() == 1
        raise InterruptedError
    assert torch.get_num_threads() == 4


def test_few_kernels_are_kept_and_a_users_own_setting_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"})
    keep_few_kernels()
    assert os.environ == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "8"}


def test_the_cache_is_the_same_with_one_lane_and_with_three(teacher: Path, tmp_path: Path) -> None:
    lines = [*paragraphs(40), " ".join(paragraphs(120, seed=1))]  # the last one fills several windows
    corpus = write_lines(tmp_path / "t.txt", lines)
    for threads in (1, 3):
        torch.set_num_threads(threads)
        run(teacher, corpus, tmp_path / str(threads), unit=20)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")


def test_a_context_without_pieces_is_zero_whatever_lay_in_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, size: torch.full(size, torch.nan, dtype=self.dtype))
    means = ContextMeans(Shape(1, 3, CPU), "float16")
    for size in (2, 1, 5):
        window = Window(np.zeros(0, np.int64), np.zeros((0, 3), np.int64))
        means.extend(PreparedText([window], ends=array("i", [0]) * size), np.zeros(0, np.int64))
    means.end(ResultStream(CPU))
    np.testing.assert_array_equal(means.read(), np.zeros((8, 3), np.float16))
