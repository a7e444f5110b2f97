"""Caches to join and to cut: parts of one, and caches of other corpora."""

import shutil
from pathlib import Path

from tests.schemas.caches import plan
from x2static.schemas.manifest import Plan


def part_of(cache: Path, folder: Path, number: int, count: int = 3) -> Path:
    """Copy every `count`-th shard of a cache, as `--part` encodes them on another machine."""
    shutil.copytree(cache, folder)
    for shard in folder.glob("shards/0*"):
        if int(shard.name) % count != number:
            shutil.rmtree(shard)
    return folder


def plan_of(name: str, units: int) -> Plan:
    """Return the plan of a corpus of its own."""
    return plan(units).model_copy(update={"corpus": name, "identity": {"kind": "text", "xxh3": name}})


def flip(path: Path) -> None:
    """Change a byte of a file of its own, whatever it was linked with."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
