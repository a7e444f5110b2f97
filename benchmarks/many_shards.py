"""How long it takes to open a cache of many shards, with its index and without; one JSON line last.

    python -m benchmarks.many_shards [--shards 100000] [--folder DIR]

The shards are real, and tiny; their files are hard links to those of some, their markers are their own. A folder that
is there already is measured as it is. Seconds, and processor seconds behind them, of this process alone: what the index
is made in, anew; what opening takes by it, and as if there were none; what else reads all markers or folders.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.schemas.caches import MANIFEST, RULES, content, marker, plan, unit, write_shard
from x2static.durable.storage import folder_bytes, read_sealed, sealed_json
from x2static.schemas.cache import Cache, begin_cache, content_of
from x2static.schemas.index import INDEX
from x2static.schemas.manifest import Marker
from x2static.schemas.shard import MARKER, shard_name
from x2static.stage1_encode.cache_folder import inspect
from x2static.stage1_encode.plan.planning import Part
from x2static.stage2_train.shards import choose_shards

TEMPLATES = 10  # a file has 65,000 names at most


def make(folder: Path, n_shards: int) -> None:
    """Write a cache of many shards."""
    folder.mkdir(parents=True, exist_ok=True)
    begin_cache(folder, MANIFEST, RULES, {0: plan(n_shards)})
    shards = folder / "shards"
    for index in range(min(n_shards, TEMPLATES)):
        write_shard(shards, index, content(6, seed=index), marker(index))
    templates = [Marker.model_validate(read_sealed(shards / shard_name(i) / MARKER)) for i in range(TEMPLATES)]
    folders = [
        path.relative_to(shards / shard_name(0)) for path in (shards / shard_name(0)).rglob("*") if path.is_dir()
    ]
    for index in range(TEMPLATES, n_shards):
        template, into = templates[index % TEMPLATES], shards / shard_name(index)
        into.mkdir()
        for inner in sorted(folders):
            os.mkdir(into / inner)  # noqa: PTH102
        for name in template.files:
            os.link(shards / shard_name(index % TEMPLATES) / name, into / name)
        own = template.model_copy(update={"unit": unit(index), "last": index == n_shards - 1})
        (into / MARKER).write_bytes(sealed_json(own.model_dump()))


def timed(call: Callable[[], Any]) -> list[float]:
    """Return how long a call takes, in seconds and in processor seconds."""
    started, worked = time.perf_counter(), time.process_time()
    call()
    return [round(time.perf_counter() - started, 2), round(time.process_time() - worked, 2)]


def measure(folder: Path) -> dict[str, Any]:
    """Return what a cache's opening takes."""
    cache = Cache.open(folder)
    (folder / INDEX).unlink(missing_ok=True)
    figures: dict[str, Any] = {"shards": len(cache.indices()), "plans": timed(cache.plans)}
    figures["open_without_index"] = timed(cache.committed)
    figures["write_index"] = timed(cache.write_index)
    figures |= {"index_bytes": (folder / INDEX).stat().st_size, "write_index_again": timed(cache.write_index)}
    figures["open"] = timed(lambda: Cache.open(folder).committed())
    figures["choose_shards_to_train"] = timed(lambda: choose_shards(cache))
    shards = cache.shards()
    figures["content"] = timed(lambda: content_of(shards))
    figures["leftovers"], figures["folder_bytes"] = timed(cache.leftovers), timed(lambda: folder_bytes(folder))
    figures["inspect_a_hundredth"] = timed(lambda: inspect(cache, Part(1, 100)))
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="x2static-benchmark-") as temporary:
        folder = arguments.folder or Path(temporary, "cache")
        if not (folder / "manifest.json").is_file():
            make(folder, arguments.shards)
        print(json.dumps(measure(folder)))


if __name__ == "__main__":
    main()
