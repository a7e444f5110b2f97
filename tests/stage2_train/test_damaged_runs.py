"""Damage to any file of a finished run: whoever reads it comes to the same, or says which file it is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.schemas.caches import change, flip_byte
from tests.stage2_train.caches import config, make_cache
from tests.stage2_train.conftest import single_thread
from x2static.durable.errors import X2StaticError
from x2static.durable.storage import read_sealed, sealed_json
from x2static.schemas.vectors import WordVectors
from x2static.stage2_train.checkpoint import Predecessor, checkpoints
from x2static.stage2_train.trainer import train

KINDS = {"negative-sampling": {}, "closed-form": {"objective": "closed-form"}}
FILES = ("run.json", "settings.json", "vectors.safetensors", "vocabulary.arrow", "word_segmentation.json")
WITH_STEPS = ("transform.safetensors", "NEWEST/state.json", "NEWEST/state.safetensors")
WALK = [*(("closed-form", file) for file in FILES), *(("negative-sampling", file) for file in FILES + WITH_STEPS)]


def flip_bit_at(share: float) -> Callable[[Path, Path], object]:
    def flip(path: Path, _: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(share * (len(data) - 1))] ^= 4
        path.write_bytes(data)

    return flip


def change_a_digit(path: Path, _: Path) -> None:
    """As the flip of a bit may, in a text that stays JSON."""
    data = path.read_bytes()
    at = next((at for at in range(len(data) // 2, len(data)) if 48 <= data[at] < 56), len(data) // 2)
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


WAYS: dict[str, Callable[[Path, Path], object]] = {
    **{f"flip at {share}": flip_bit_at(share) for share in (0, 0.1, 0.3, 0.7, 0.97)},
    "flip in the middle": lambda path, _: flip_byte(path),
    "digit": change_a_digit,
    "cut": lambda path, _: change(path, 0.5),
    "empty": lambda path, _: change(path, b""),
    "delete": lambda path, _: change(path, None),
    "swap": lambda path, other: shutil.copyfile(other, path),
}


def wish(cache: Path, out: Path, kind: str, **changes: object):
    settings = {"transform": "whiten", "dim": 5, "epochs": 2, "checkpoint_minutes": 0, **KINDS[kind], **changes}
    return config(cache, out, **settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache, a finished run of each kind, and one with another seed and other words, not to be changed."""
    folder = tmp_path_factory.mktemp("damage")
    make_cache(folder / "cache", shards=1, paragraphs=60, dim=16)
    with single_thread():
        for kind in KINDS:
            train(wish(folder / "cache", folder / kind, kind))
            train(wish(folder / "cache", folder / f"{kind}-other", kind, seed=1, dim=6, min_count=10))
            train(wish(folder / "cache", folder / f"{kind}-more", kind, epochs=3))
    return folder


def place(run: Path, name: str) -> Path:
    paths = checkpoints(run)
    return run / name.replace("NEWEST", str(paths[-1].relative_to(run)) if paths else "")


def vectors(run: Path) -> tuple[bytes, bytes, bytes]:
    return tuple((run / name).read_bytes() for name in FILES[2:])


@pytest.mark.parametrize(("kind", "name"), WALK)
def test_whoever_reads_a_damaged_run_comes_to_the_same_or_names_the_file(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, name: str
):
    for way, hurt in WAYS.items():
        reading: dict[str, Callable[[Path], object]] = {
            "load": lambda run: [len(WordVectors.load(run)), vectors(run)],
            "train again": lambda run: [train(wish(runs / "cache", run, kind)), vectors(run)][1],
        }
        if kind == "negative-sampling":
            reading["continue"] = lambda run: [(one := Predecessor.open(run)).content, one.tensors.read_bytes()]
            reading["train on"] = lambda run: [train(wish(runs / "cache", run, kind, epochs=3)), vectors(run)][1]
        for command, read in reading.items():
            run = Path(shutil.copytree(runs / kind, tmp_path / way / command))
            hurt(place(run, name), place(runs / f"{kind}-other", name))
            caplog.clear()
            try:
                found = read(run)
            except X2StaticError as error:
                # of two files of one run that do not fit together, either may be named
                assert Path(name).name in str(error) or (way == "swap" and run.name in str(error)), (way, command)
                assert "\n" not in str(error)
                continue
            whole = runs / ("negative-sampling-more" if command == "train on" else kind)
            if command in ("train again", "train on"):
                assert found == vectors(whole), (way, command, caplog.text)
                assert WordVectors.load(run).words == WordVectors.load(whole).words
            else:
                assert found == read(whole), (way, command)


def test_a_run_of_0_1_0_whose_vocabulary_is_damaged_ends_in_a_line_and_not_in_a_signal(runs: Path, tmp_path: Path):
    run = Path(shutil.copytree(runs / "closed-form", tmp_path / "run"))
    record = WordVectors.load(run).run
    (run / "run.json").write_bytes(sealed_json({**record, "files": {}}))
    whole = (run / "vocabulary.arrow").read_bytes()
    for at in range(0, len(whole), 3):
        (run / "vocabulary.arrow").write_bytes(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :])
        try:
            assert all(isinstance(word, str) for word in WordVectors.load(run).words)
        except X2StaticError as error:
            assert "\n" not in str(error)


def test_a_finished_run_that_says_too_little_is_refused_and_named(runs: Path, tmp_path: Path):
    run = Path(shutil.copytree(runs / "closed-form", tmp_path / "run"))
    record = read_sealed(run / "run.json")
    del record["targets"]
    (run / "run.json").write_bytes(sealed_json(record))
    with pytest.raises(
        X2StaticError, match=r"^\S+run\.json: not what a run writes; put the file back, or remove it and run"
    ):
        train(wish(runs / "cache", run, "closed-form"))
