"""The local engine: encoders on this machine, one in this process, or several in processes of their own."""

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from multiprocessing.connection import Connection

import torch

from x2static.machine.processes import Place
from x2static.pipeline.engines.units import Encoders, HandOut, encode_units
from x2static.schemas.encoding import EncodeConfig
from x2static.stage1_encode.pools.pool import Pool
from x2static.stage1_encode.worker import Engine, Job, Staged, Tell, Worker, open_worker, run_here


def engine(config: EncodeConfig, pools: Sequence[Pool]) -> Engine:
    """Return the engine of `config.encoders` processes that load a teacher each; of one, which is this process."""
    return run_here if config.encoders == 1 else partial(_run, config, pools)


def _run(
    config: EncodeConfig, pools: Sequence[Pool], _: Callable[[], Worker], jobs: Iterable[Job], tell: Tell
) -> Generator[Staged, None, None]:
    place = Place()
    start = partial(place.start, _encode, config, pools)
    encoders = Encoders(config.encoders, start, place.ready, place.stop_all)
    return HandOut(config.cache, encoders, jobs, tell).run()


def _encode(connection: Connection, config: EncodeConfig, pools: Sequence[Pool], number: int) -> None:
    """Be one of some encoders."""
    torch.set_num_threads(max(1, torch.get_num_threads() // config.encoders))
    if config.device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    encode_units(connection, partial(open_worker, config, pools))
