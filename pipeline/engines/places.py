"""Where trainings and trials run: `--engine`, and what belongs to it."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from x2static.machine.processes import Place
from x2static.pipeline.engines.registry import ENGINES
from x2static.pipeline.options import TEXT, Decorated

PLACE_OPTIONS = ("engine", "address", "gpus_per_worker")


def place_options(command: Decorated) -> Decorated:
    """Give a command the options that say where its processes run."""
    of_engine = "Where processes run: on this machine alone, or on a Ray cluster, whose machines see the same folders."
    of_address = "The Ray cluster, auto for the one of this machine; without it, one is begun on this machine alone."
    of_gpus = "GPUs of the Ray cluster that a process takes [default: 1, where it has some, and 0 for --device cpu]."
    gpus = click.option("--gpus-per-worker", type=click.FloatRange(0), help=of_gpus)
    address = click.option("--address", type=TEXT, metavar="auto|HOST:PORT", help=of_address)
    kinds = click.Choice(ENGINES)
    engine = click.option("--engine", type=kinds, default="local", show_default=True, help=of_engine)
    return engine(address(gpus(command)))


def check_place(engine: str, address: str | None, gpus_per_worker: float | None) -> None:
    """Refuse options of a cluster without one."""
    if engine == "local" and (address is not None or gpus_per_worker is not None):
        name = "--address" if address is not None else "--gpus-per-worker"
        raise click.UsageError(f"{name} is for --engine ray; give that, too")


@contextmanager
def place(
    at_once: int, device: str, engine: str, address: str | None, gpus_per_worker: float | None
) -> Iterator[Place]:
    """Attach to the place that the options name, for so many processes at a time on a device, and let go.

    Raises X2StaticError: there is no such cluster, or Ray is not installed.
    """
    check_place(engine, address, gpus_per_worker)
    if engine == "local":
        yield Place()
        return
    from x2static.machine.cluster import connect

    with connect(address):
        from x2static.machine.remote import Cluster

        yield Cluster.shared(at_once, 0.0 if device == "cpu" and gpus_per_worker is None else gpus_per_worker)
