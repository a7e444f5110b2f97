"""Where trainings and trials run: `--engine`, and what belongs to it."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from x2static.machine.processes import Place
from x2static.pipeline.options import TEXT, Decorated

PLACE_OPTIONS = ("engine", "address", "gpus_per_worker")


def place_options(command: Decorated) -> Decorated:
    """Give a command the options that say where its processes run."""
    for option in (
        click.option(
            "--gpus-per-worker",
            type=click.FloatRange(min=0),
            help="GPUs of each process, with Ray [default: 1, where machines have some].",
        ),
        click.option(
            "--address",
            type=TEXT,
            help="Ray cluster: auto for this machine's, or HOST:PORT; by default one is started on this machine alone.",
        ),
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where its processes run: on this machine, or on a Ray cluster whose machines see the same files.",
        ),
    ):
        command = option(command)
    return command


@contextmanager
def place(at_once: int, engine: str, address: str | None, gpus_per_worker: float | None) -> Iterator[Place]:
    """Attach to the place that the options name, for so many processes at a time, and let go.

    Raises X2StaticError: there is no such cluster, or Ray is not installed.
    """
    if engine == "local":
        if address is not None or gpus_per_worker is not None:
            name = "--address" if address is not None else "--gpus-per-worker"
            raise click.UsageError(f"{name} is of a Ray cluster; give --engine ray, or leave it out")
        yield Place()
        return
    from x2static.machine.cluster import connect

    with connect(address):
        from x2static.machine.remote import Cluster

        yield Cluster(at_once, gpus_per_worker)
