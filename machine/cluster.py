"""A Ray cluster: started here or attached to, quietly; and the same versions on every machine of it."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from x2static.durable.errors import X2StaticError, first_line
from x2static.machine.packages import package_version, require

VERSIONS = ("x2static", "torch", "transformers")  # what computes: of other versions, vectors may be others
STORE_BYTES = 100_000_000  # of a Ray that is started here; results are files, and nothing large travels
ANSWER_SECONDS = 3.0  # that a cluster's address has to take a connection


@contextmanager
def connect(address: str | None, cpus: int | None = None) -> Iterator[None]:
    """Attach to the cluster at an address, "auto" for that of this machine, or start a Ray here (None), and let go.

    `cpus` are those that a Ray started here counts on; None is all. Whoever is attached already stays so. Ray takes
    the handlers of signals for itself; they are put back. Raises X2StaticError: Ray is not installed, or no cluster is
    at the address.
    """
    require("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of every cluster that it starts
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of it
    os.environ.setdefault("RAY_worker_niceness", "0")  # of a Ray that is started here; 15 gives way to all else
    import ray

    if ray.is_initialized():
        yield
        return
    if address is not None:
        _knock(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": None}
    here: dict[str, Any] = {"include_dashboard": False, "num_cpus": cpus, "object_store_memory": STORE_BYTES}
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if main else {}
    try:
        try:
            ray.init(address=address or "local", **(quiet if address else quiet | here))
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            if address is None:
                raise X2StaticError(f"Ray cannot be started on this machine: {first_line(error)}") from error
            raise X2StaticError(_no_cluster(address, first_line(error).split(". ")[0])) from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _knock(address: str) -> None:
    """Raise X2StaticError unless something answers at an address, for whose answer Ray waits long."""
    address = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address  # as Ray itself does
    if address == "auto":  # Ray looks among the processes of this machine
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "//" in host:
        expected = "expected auto or HOST:PORT, of a cluster that this machine belongs to"
        raise X2StaticError(f"--address {address}: {expected}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise X2StaticError(_no_cluster(address, first_line(error))) from error


def _no_cluster(address: str, why: str) -> str:
    remedy = "begin one with `ray start`, on this machine too, or leave --address out for a Ray on this machine alone"
    return f"--address {address}: no Ray cluster that this machine belongs to ({why}); {remedy}"


def nodes() -> list[dict[str, float]]:
    """Return what each machine of the cluster has, as Ray names it: CPU, GPU, memory."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def versions() -> dict[str, str]:
    """Return the versions of what computes, as they are here."""
    return {name: package_version(name) for name in VERSIONS}


def finder() -> Callable[[Mapping[str, str], str], Any]:
    """Return what finds "module:name" of x2static on another machine, if its versions are those of `versions()` here.

    It travels by value, so it works where x2static is another, or none; use it in functions and classes that are made
    in a function, which travel so, too. Raises RuntimeError on that machine: other versions; both are named.
    """

    def find(expected: Mapping[str, str], where: str) -> Any:
        import importlib
        import socket
        from importlib.metadata import PackageNotFoundError, version

        differing = []
        for name, ours in expected.items():
            try:
                theirs = version(name)
            except PackageNotFoundError:
                theirs = "not installed"
            if theirs != ours:
                differing.append(f"{name} {theirs} there, {ours} here")
        if differing:
            remedy = "install the same versions on all machines"
            raise RuntimeError(f"machine {socket.gethostname()} of the cluster: {'; '.join(differing)}; {remedy}")
        module, _, name = where.partition(":")
        return getattr(importlib.import_module(module), name)

    return find


def refusal(error: Exception) -> X2StaticError:
    """Return what a machine of the cluster said of why it cannot, without Ray's frame around it."""
    cause = getattr(error, "cause", None) or error
    return cause if isinstance(cause, X2StaticError) else X2StaticError(first_line(cause))
