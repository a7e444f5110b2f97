"""Every path that a command takes, and every kind of thing that may lie there: done, or one line that names it."""

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipeline.compare.conftest import PAPER, write_pairs
from tests.pipeline.ran import run_here
from tests.stage2_train.caches import make_cache
from x2static.machine.screen import visible

CLOSED = ("--objective", "closed-form", "--min-count", "1")
COMPARE = ("compare", "run", "--baselines", "none", "--no-classification")
TRAIN = ("train", "--cache", "cache", "--out", "new", *CLOSED)
SWEEP = ("sweep", "--cache", "cache", "--out", "new", *CLOSED, "--data", "data")
ENCODE = ("encode", "--model", "absent", "--cache", "new")  # without a teacher: what is read before it is loaded
PLACE = "PLACE"  # the argument that is looked at

# Commands whose other arguments are right; after each, what would be right in the place.
COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "encode --ase": ((*ENCODE, "--corpus", "words.txt", "--ase", PLACE), "words.txt"),
    "encode --config": ((*ENCODE, "--corpus", "words.txt", "--config", PLACE), "config.toml"),
    "train --cache": (("train", "--out", "new", *CLOSED, "--cache", PLACE), "cache"),
    "train --out": (("train", "--cache", "cache", *CLOSED, "--out", PLACE), "new"),
    "train --vocab": ((*TRAIN, "--vocab", PLACE), "words.txt"),
    "train --continue": (("train", "--cache", "cache", "--out", "new", "--min-count", "1", "--continue", PLACE), "run"),
    "sweep --cache": (("sweep", "--out", "new", "--data", "data", "-p", "dim=2", *CLOSED, "--cache", PLACE), "cache"),
    "sweep --data": (("sweep", "--cache", "cache", "--out", "new", "-p", "dim=2", *CLOSED, "--data", PLACE), "data"),
    "sweep --space": ((*SWEEP, "--trials", "1", "--space", PLACE), "space.toml"),
    "sweep -p vocab": ((*SWEEP, "-p", f"vocab={PLACE}"), "words.txt"),
    "evaluate": (("evaluate", "run", PLACE, "--data", "data"), "run"),
    "evaluate --data": (("evaluate", "run", "--data", PLACE), "data"),
    "evaluate --task bias": (("evaluate", "run", "--task", "bias", "--data", PLACE), "words.txt"),
    "baseline --vectors": (("baseline", "load", "--out", "new", "--vectors", PLACE), "v.txt"),
    "baseline --out": (("baseline", "load", "--vectors", "v.txt", "--out", PLACE), "new"),
    "compare": (("compare", PLACE, *COMPARE[2:], "--out", "new", "--data", "data"), "run"),
    "compare --data": ((*COMPARE, "--out", "new", "--data", PLACE), "data"),
    "compare --results": ((*COMPARE, "--out", "new", "--data", "data", "--results", PLACE), "new.md"),
    "compare --reference": ((*COMPARE, "--out", "new", "--data", "data", "--reference", PLACE), "reference"),
    "data list --to": (("data", "list", "--to", PLACE), "new"),
    "export": (("export", PLACE, "--to", "word2vec", "--out", "new"), "run"),
    "export --out": (("export", "run", "--to", "word2vec", "--out", PLACE), "new"),
    "export --force": (("export", "run", "--to", "word2vec", "--force", "--out", PLACE), "new"),
    "report": (("report", PLACE, "--out", "new"), "run"),
    "report --out": (("report", "run", "--out", PLACE), "new"),
    "report --data": (("report", "run", "--out", "new", "--data", PLACE), "data"),
    "cache info": (("cache", "info", PLACE), "cache"),
    "cache verify": (("cache", "verify", PLACE), "cache"),
    "cache merge": (("cache", "merge", PLACE, "--out", "new"), "cache"),
    "cache merge --out": (("cache", "merge", "cache", "--out", PLACE), "new"),
    "cache sample": (("cache", "sample", PLACE, "--first", "1", "--out", "new"), "cache"),
    "cache sample --out": (("cache", "sample", "cache", "--first", "1", "--out", PLACE), "new"),
}


def _pipes_for_files(path: Path, right: Path) -> None:
    """Copy what would be right, a named pipe in place of each file."""
    if right.is_dir():
        shutil.copytree(right, path, copy_function=lambda _, copy: os.mkfifo(copy))
    else:
        path.mkdir()
        os.mkfifo(path / "a.txt")


def _socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _nothing(path: Path, _: Path) -> None:
    pass


ODD = "odd\x1b[31m\nname"
KINDS: dict[str, tuple[str, Callable[[Path, Path], object]]] = {
    "nothing": ("absent", _nothing),
    "a file of bytes": ("plain", lambda path, _: path.write_bytes(b"\xff\xfe\0\n")),
    "an empty folder": ("empty", lambda path, _: path.mkdir()),
    "below a file": ("words.txt/below", _nothing),
    "a named pipe": ("pipe", lambda path, _: os.mkfifo(path)),
    "pipes for files": ("pipes", _pipes_for_files),
    "a socket": ("socket", _socket),
    "/dev/null": ("/dev/null", _nothing),
    "/dev/zero": ("/dev/zero", _nothing),
    "a link to nothing": ("dangling", lambda path, _: path.symlink_to("nowhere")),
    "a link to itself": ("circle", lambda path, _: path.symlink_to("circle")),
    "control characters": (ODD, _nothing),
    "300 characters": ("n" * 300, _nothing),
}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that is right, not to be changed."""
    folder = tmp_path_factory.mktemp("right")
    make_cache(folder / "cache", shards=2, paragraphs=30, dim=4)
    words = [f"w{i:02d}" for i in range(40)]
    write_pairs(folder / "data", words)
    (folder / "reference").mkdir()
    (folder / "reference" / "word_similarity.csv").write_text(PAPER)
    (folder / "words.txt").write_text("\n".join(words))
    (folder / "space.toml").write_text("dim = [2]\n")
    (folder / "config.toml").write_text("")
    (folder / "v.txt").write_text("w00 1 2\nw01 3 4\n")
    return folder


@contextmanager
def seconds_at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError where a block takes longer."""

    def raise_it(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, raise_it)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return kind and content of everything in a folder, but for empty ones and the files of locks."""
    state = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            state[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return {name: what for name, what in state.items() if not name.endswith(".lock")}


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_lies_at_a_path_a_command_is_done_or_names_it_in_a_line_and_changes_nothing(
    command, right, tmp_path, monkeypatch, capsys
):
    arguments, valid = COMMANDS[command]
    if not (right / "run").exists():
        monkeypatch.chdir(right)
        assert run_here(capsys, ["train", "--cache", "cache", "--out", "run", *CLOSED]).status == 0
    replaced = {("export --force", "a file of bytes")}
    for what, (name, make) in KINDS.items():
        folder = Path(shutil.copytree(right, tmp_path / "".join(filter(str.isalnum, what))))
        monkeypatch.chdir(folder)
        make(Path(name), right / valid)
        before = state_of(folder)
        with seconds_at_most(100):  # it takes one; the first, which imports torch, ten, more beside others
            ran = run_here(capsys, [argument.replace(PLACE, name) for argument in arguments])
        after, where = state_of(folder), (command, what, ran.err[-500:])
        if (command, what) not in replaced:
            assert before.items() <= after.items(), where
        assert "\x1b" not in ran.out + ran.err, where
        assert "unexpected" not in ran.err, where
        assert ran.status in (0, 1, 2), where
        if ran.status:
            assert after == before, where
            *others, error = ran.err.splitlines()
            assert error.lower().startswith("error: "), where
            assert not [line for line in others if line.lower().startswith("error: ")], where
            shown = {visible(name), visible(name.replace("\n", " ")), repr(name)[1:-1]}
            assert any(form in error.replace("\\\\", "\\") for form in shown), where
        else:
            assert what not in ("a named pipe", "a socket", "/dev/null", "/dev/zero", "a link to itself"), where


def test_a_file_is_written_where_a_link_leads_and_the_link_stays(right, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(shutil.copytree(right, tmp_path / "here"))
    assert run_here(capsys, ["train", "--cache", "cache", "--out", "run", *CLOSED]).status == 0
    Path("link").symlink_to("end.md")
    for again in ([], ["--force"]):
        assert run_here(capsys, ["export", "run", "--to", "word2vec", "--out", "link", *again]).status == 0
        assert (str(Path("link").readlink()), Path("end.md").is_file()) == ("end.md", True)
    assert run_here(capsys, [*COMPARE, "--out", "new", "--data", "data", "--results", "link"]).status == 0
    assert str(Path("link").readlink()) == "end.md"
    assert Path("end.md").read_text().startswith("# Static word vectors compared")
