"""Trouble for a command: a library of ours under it (disturb.c) that kills it or spoils a call; and what a loss of
power leaves of the calls that were noted.

Begun in the fork of a command by `begin`; the rest runs in the tests.
"""

import ctypes
import os
import random
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


def begin(settings: dict[str, str]) -> None:
    """Disturb this process, made the first of a group of its own, and those that it starts, from now on."""
    os.setsid()
    os.environ.update(settings)
    ctypes.CDLL(None).disturb()


class Call(NamedTuple):
    """A call that changed files, as disturb.c notes it."""

    kind: str  # c create, t create empty, w write, z resize, s sync, n rename, l link, m mkdir, u unlink
    path: str
    other: str  # the first path of a rename or link
    offset: int  # of a write; the size of a resize
    data: bytes


def read_notes(path: Path) -> Iterator[Call]:
    """Yield the calls that were noted, in order."""
    notes, at = path.read_bytes() if path.exists() else b"", 0
    while at < len(notes):
        end = notes.index(b"\n", at)
        kind, length, offset, paths = notes[at:end].decode().split(" ", 3)
        name, other = paths.split("\t")
        at = end + 1 + int(length)
        yield Call(kind, name, other, int(offset), notes[end + 1 : at])


@dataclass(eq=False)
class File:
    """A file, and what of it is on the disk."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass(eq=False)
class Change:
    """Names that one folder or two get (a node) or lose (None) at once; all of them are kept, or none."""

    names: list[tuple["Folder", str, "File | Folder | None"]]
    kept: bool | None = None


@dataclass(eq=False)
class Folder:
    """A folder, and what of it is on the disk: the names at its last sync, and changes since, in order."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    synced: dict[str, "File | Folder"] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


class Disk:
    """The tree below a folder as calls leave it, and as it is after a loss of power.

    POSIX promises no more than this: a file's bytes are there when it was synced, a name when its folder was. Of what
    is younger, each file may have all, a part, zeros, or nothing; each folder the first few of its changes.
    """

    def __init__(self, root: Path) -> None:
        """Begin with what is on the disk, the folder itself included."""
        self._top = Folder()
        self._root = root
        if root.exists():
            self._top.synced = {root.name: _load(root)}
            self._top.names = dict(self._top.synced)

    def run(self, calls: Iterable[Call]) -> None:
        """Carry out calls."""
        for call in calls:
            folder, name = self._place(call.path)
            if call.kind in "ct" and name not in folder.names:
                self._change((folder, name, File()))
            node = folder.names.get(name)
            if call.kind in "twz":
                self._write(node, call)
            elif call.kind == "s" and isinstance(node, File):
                node.synced = bytes(node.data)
            elif call.kind == "s" and isinstance(node, Folder):
                node.synced = dict(node.names)
                for change in node.changes:
                    change.kept = True
                node.changes.clear()
            elif call.kind == "m":
                self._change((folder, name, Folder()))
            elif call.kind == "u":
                self._change((folder, name, None))
            elif call.kind == "n":
                source, old = self._place(call.other)
                self._change((source, old, None), (folder, name, source.names[old]))
            elif call.kind == "l" and Path(call.other).is_relative_to(self._root):
                source, old = self._place(call.other)
                self._change((folder, name, source.names[old]))
            elif call.kind == "l":  # to an input, which is there
                self._change((folder, name, _load(Path(call.other))))

    def _write(self, node: Any, call: Call) -> None:
        if call.kind == "t":
            node.data.clear()
        elif call.kind == "z":
            del node.data[call.offset :]
            node.data.extend(bytes(call.offset - len(node.data)))
        else:
            node.data.extend(bytes(max(0, call.offset - len(node.data))))
            node.data[call.offset : call.offset + len(call.data)] = call.data

    def _change(self, *names: tuple[Folder, str, File | Folder | None]) -> None:
        change = Change(list(names))
        for folder, name, node in names:
            if node is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = node
            if change not in folder.changes:
                folder.changes.append(change)

    def _place(self, path: str) -> tuple[Folder, str]:
        folder: Any = self._top
        *above, name = [self._root.name, *Path(path).relative_to(self._root).parts]
        for part in above:
            folder = folder.names[part]
        return folder, name

    def write(self, dice: random.Random | None) -> None:
        """Write what a loss of power leaves; without dice, all there is."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._write_folder(self._top, self._root.parent, dice)

    def _write_folder(self, folder: Folder, path: Path, dice: random.Random | None) -> None:
        path.mkdir(exist_ok=True)
        for name, node in (after_loss(folder, dice) if dice else folder.names).items():
            if isinstance(node, Folder):
                self._write_folder(node, path / name, dice)
            else:
                (path / name).write_bytes(file_after_loss(node, dice) if dice else node.data)


def after_loss(folder: Folder, dice: random.Random) -> dict[str, File | Folder]:
    """Return the names in a folder of which the power was lost."""
    names = dict(folder.synced)
    keep = dice.choice([0, len(folder.changes), dice.randint(0, len(folder.changes))])
    for number, change in enumerate(folder.changes):
        if change.kept is None:
            change.kept = number < keep
        if change.kept:
            for owner, name, node in change.names:
                if owner is folder and node is None:
                    names.pop(name, None)
                elif owner is folder and node is not None:
                    names[name] = node
    return names


def file_after_loss(file: File, dice: random.Random) -> bytes:
    """Return the bytes of a file of which the power was lost."""
    now, length = bytes(file.data), len(file.data)
    if now == file.synced:
        return now
    cut = dice.randint(0, length)
    return dice.choice([now, file.synced, now[:cut], now[:cut] + bytes(length - cut), bytes(length)])


def _load(path: Path) -> File | Folder:
    if path.is_file():
        data = path.read_bytes()
        return File(bytearray(data), data)
    names = {inner.name: _load(inner) for inner in path.iterdir()}
    return Folder(dict(names), names)
