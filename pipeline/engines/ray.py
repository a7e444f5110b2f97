"""The Ray engine: encoders on all machines of a cluster; what they staged is in the cache's folder, or its bucket.

Ray places actors, says which died, and carries messages (`machine/remote.py`): jobs, positions, and the small records
of what was staged. Starting again, trying again and leaving out are ours (`units.py`). Neither the corpus nor a shard
goes through Ray: every machine sees the cache, the teacher and the text under the same names.
"""

import math
import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from secrets import token_hex
from typing import Any

import ray
import torch
from ray.exceptions import RayTaskError

from x2static.durable.errors import X2StaticError
from x2static.durable.storage import TEMPORARY
from x2static.machine.cluster import finder, nodes, refusal, versions
from x2static.machine.remote import Cluster
from x2static.machine.screen import quantity
from x2static.pipeline.engines.units import Encoders, HandOut, encode_units
from x2static.schemas.cache import MANIFEST
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.mirror import url_of
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.worker import Engine, Job, Staged, Tell, Worker, open_worker


def sized(config: EncodeConfig, asked: int | None, gpus: float) -> tuple[EncodeConfig, dict[str, float]]:
    """Return a configuration with the number of encoders, and what each takes of a machine, as Ray names it.

    Each takes `gpus` GPUs, and where the cluster has none, or the teacher is to run on the processor, an equal share of
    a machine's cores. Unless a number is asked for, there are as many as there are GPUs, or machines. Raises
    X2StaticError: the cluster does not hold so many.
    """
    able = [node for node in nodes() if node.get("CPU", 0) >= 1]
    on_gpus = config.device != "cpu" and gpus > 0 and any(node.get("GPU", 0) >= gpus for node in able)
    if config.device == "cuda" and not on_gpus:
        raise X2StaticError(f"--device cuda: no machine of the cluster has {gpus:g} GPUs; lower --gpus-per-worker")
    if on_gpus:
        takes = {"num_gpus": gpus, "num_cpus": 1.0}
    else:
        each = math.ceil((asked or len(able)) / max(1, len(able)))  # encoders on a machine
        least = min((int(node["CPU"]) for node in able), default=1)
        takes = {"num_gpus": 0.0, "num_cpus": float(max(1, least // each))}
    amounts = {"GPU": takes["num_gpus"], "CPU": takes["num_cpus"]}
    places = sum(min(int(node.get(name, 0) / n) for name, n in amounts.items() if n) for node in able)
    if (asked or 1) > places:
        what = f"{gpus:g} of its GPUs" if on_gpus else "a core"
        holds = f"the cluster holds {quantity(places, 'encoder')} that take {what} each"
        raise X2StaticError(f"--encoders {asked or 1}: {holds}; ask for fewer, or add machines")
    chosen: dict[str, Any] = {"encoders": asked or places}
    if on_gpus and not torch.cuda.is_available() and not (config.cache / MANIFEST).is_file():
        chosen |= {"precision": _precision_there(config, takes), "backend": "torch"}  # a new cache is as they compute
    return config.model_copy(update=chosen), takes


def _precision_there(config: EncodeConfig, takes: dict[str, float]) -> str:
    """Return the number format that a teacher has on a machine that encodes, where this one has no GPU."""
    find = finder()

    def precision(expected, config):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        device = find(expected, "x2static.machine.device:pick_device")(config.device)
        pick = find(expected, "x2static.stage1_encode.teacher.teacher:pick_precision")
        return pick(config.precision, config.compat, device)[0]

    remote: Any = ray.remote
    try:
        return str(ray.get(remote(**takes, max_retries=3)(precision).remote(versions(), config)))
    except RayTaskError as error:
        raise refusal(error) from error


def engine(config: EncodeConfig, pools: Sequence[Pool], takes: dict[str, float] | None = None) -> Engine:
    """Return the engine of `config.encoders` encoders on the cluster that this process is attached to."""
    return partial(_run, config, pools, takes or sized(config, config.encoders, 1.0)[1])


def _run(
    config: EncodeConfig,
    pools: Sequence[Pool],
    takes: dict[str, float],
    _: Callable[[], Worker],
    jobs: Iterable[Job],
    tell: Tell,
) -> Generator[Staged, None, None]:
    seen = config.cache.resolve() / "shards" / f"{TEMPORARY}seen-{token_hex(8)}"  # goes with the other leftovers
    seen.touch()
    on_each = math.ceil(config.encoders / len(nodes()))  # machine
    shared = config.model_copy(update={"encoders": on_each})
    place = Cluster(takes, relative=False)
    start = partial(place.start, _encode, shared, tuple(pools), seen)
    encoders = Encoders(config.encoders, start, place.ready, place.stop_all)
    return HandOut(config.cache, encoders, jobs, tell).run()


def _encode(connection: Connection, config: EncodeConfig, pools: Sequence[Pool], seen: Path, _: int) -> None:
    """Be an encoder on a machine of the cluster; `seen` is a file that the driver has made in the cache's folder."""

    @contextmanager
    def opened() -> Iterator[Worker]:
        if not url_of(config.cache) and not seen.exists():
            remedy = "name a folder of a file system that all machines share, or a bucket"
            raise X2StaticError(f"--cache {config.cache}: not the folder that the command sees; {remedy}")
        with open_worker(config, pools) as worker:
            yield worker

    encode_units(connection, opened, f"machine {socket.gethostname()} of the cluster: ")
