"""Children on the machines of a cluster: an actor of Ray there starts a `Child` of its own, and passes messages on.

So work that is written for a child runs on any machine as it does here: in a main thread, which hears signals, and with
a parent at whose death it saves its state. The actor does not open messages, so it imports nothing that they are about;
they are what a connection between processes sends. They are small; results are files, of a file system that all see.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, cast

from x2static.durable.errors import Interrupted, X2StaticError, first_line
from x2static.machine.cluster import finder, nodes, refusal, versions
from x2static.machine.processes import Child, Place

SECONDS_TO_SAVE = 60.0  # that children have when they are asked to end
PATIENCE_SECONDS = 60.0  # in which nobody has begun; then it is said what is waited for
AT_ONCE = 4  # calls of an actor: one that waits for a message, and those that come meanwhile


logger = logging.getLogger(__name__)


def _work(connection: Connection, packed: bytes) -> None:
    work, arguments = ForkingPickler.loads(packed)
    work(connection, *arguments)


class Relay:
    """What an actor does: it has a child and passes on what is said."""

    def __init__(self, folder: str, relative: bool, packed: bytes) -> None:
        """Start the child, in the driver's working folder, where relative paths are meant from."""
        if relative and not Path(folder).is_dir():
            what = "has no such folder; begin Ray where all machines see the same files, and the command in one of them"
            raise X2StaticError(f"{folder}: machine {socket.gethostname()} of the cluster {what}")
        with suppress(OSError):
            os.chdir(folder)
        vars(sys.modules["__main__"]).pop("__file__", None)  # a child would run Ray's program for actors again, 2 s
        self.child, self.pid = Child(_work, packed), os.getpid()

    def send(self, message: bytes) -> None:
        """Send the child a message; one that has died does not hear it, and `receive` then says so."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.child.connection.send_bytes(message)

    def receive(self) -> tuple[bytes | None, str]:
        """Return the child's next message; None, and how it ended, where it has."""
        try:
            return self.child.connection.recv_bytes(), ""
        except (EOFError, ConnectionResetError):
            self.child.process.join()
            return None, f"{self.child.death()} (on {socket.gethostname()})"

    def stop(self) -> None:
        """Have it save its state and end."""
        self.child.process.terminate()
        self.child.process.join()


def _start_actor(needs: Mapping[str, float]) -> Any:
    """Return an actor, which travels by value: x2static may be another version there, or absent, which it then says."""
    import ray

    find, expected = finder(), versions()

    class Actor:
        def __init__(self) -> None:
            self.started = threading.Event()

        def start(self, *arguments: Any) -> int:
            self.relay = find(expected, "x2static.machine.remote:Relay")(*arguments)
            self.started.set()
            return int(self.relay.pid)

        def call(self, name: str, *arguments: bytes) -> Any:
            self.started.wait()
            return getattr(self.relay, name)(*arguments)

    options = {"max_concurrency": AT_ONCE, "scheduling_strategy": "SPREAD", **needs}  # and no retries: they are ours
    return ray.remote(Actor).options(**options).remote()


class RemoteChild(Child):
    """A process on some machine of the cluster that is talked to."""

    def __init__(self, needs: Mapping[str, float], relative: bool, work: Callable[..., None], *arguments: Any) -> None:
        """Ask for it: it begins when a machine has what it needs; names of files may be `relative` to this folder."""
        self.actor, self.pid, self._death = _start_actor(needs), 0, ""  # that of the actor, when it has begun
        packed = bytes(ForkingPickler.dumps((work, arguments)))
        self.next = self.actor.start.remote(str(Path.cwd()), relative, packed)

    def send(self, message: Any) -> None:
        """Send it a message."""
        self.actor.call.remote("send", bytes(ForkingPickler.dumps(message)))

    def has_begun(self) -> bool:
        """Return whether what has come is but that it has begun."""
        import ray

        if self.pid:
            return False
        try:
            self.pid = ray.get(self.next)
        except ray.exceptions.RayError:
            return False
        self.next = self.actor.call.remote("receive")
        return True

    def receive(self) -> Any:
        """Return its next message; None where it, or its machine, is gone. Raises X2StaticError: it cannot begin."""
        import ray

        try:
            packed, self._death = ray.get(self.next)
        except ray.exceptions.RayActorError as error:
            self._death = f"its machine or the process there is gone ({first_line(error)})"
            return None
        except ray.exceptions.RayError as error:
            raise refusal(error) from error
        message = None if packed is None else ForkingPickler.loads(packed)
        if isinstance(message, Interrupted):  # its machine is taken away from it
            self._death, message = str(message), None
        if message is None:
            ray.kill(self.actor)
        else:
            self.next = self.actor.call.remote("receive")
        return message

    def death(self) -> str:
        """Return how it ended, in words."""
        return self._death


class Cluster(Place):
    """The machines of the cluster that this process is attached to (`machine/cluster.py`)."""

    tries = 3  # machines come and go
    has_own_threads = True  # Ray gives a process as many as it has processors

    def __init__(self, needs: Mapping[str, float], relative: bool = True) -> None:
        """`needs` is what each child takes of a machine, as Ray names it, `relative` whether names of files may be."""
        self.needs, self.relative = needs, relative

    @classmethod
    def shared(cls, at_once: int, gpus: float | None = None) -> "Cluster":
        """Share its processors among so many children; each has so many GPUs, by default one where there are some.

        Raises X2StaticError: no machine has so many GPUs.
        """
        of_nodes = nodes()
        cpus = [int(node.get("CPU", 0)) for node in of_nodes]
        most_gpus = max((node.get("GPU", 0.0) for node in of_nodes), default=0.0)
        gpus = min(1.0, most_gpus) if gpus is None else gpus
        if gpus > most_gpus:
            what = f"--gpus-per-worker {gpus:g}: no machine of the cluster has more than {most_gpus:g} GPUs"
            raise X2StaticError(f"{what}; ask for less, or leave it out")
        share = min(sum(cpus) // at_once, min((n for n in cpus if n), default=0))
        return cls({"num_cpus": max(1, share), "num_gpus": gpus})

    def start(self, work: Callable[..., None], *arguments: Any) -> Child:
        """Return a new child, somewhere."""
        return RemoteChild(self.needs, self.relative, work, *arguments)

    def ready(self, children: Sequence[Child]) -> list[Child]:
        """Wait until some have sent a message, or are gone, and return them."""
        import ray

        remote = cast(Sequence[RemoteChild], children)
        while True:
            pending = {child.next: child for child in remote}
            if not ray.wait(list(pending), timeout=PATIENCE_SECONDS)[0]:
                if not any(child.pid for child in remote):
                    what = "no machine of the cluster has begun yet; if none has room now (`ray status` says)"
                    logger.warning("%s, this waits until one has", what)
                continue
            done, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)  # all, of a thousand children too
            if talking := [pending[one] for one in done if not pending[one].has_begun()]:
                return list(talking)

    def stop_all(self, children: Sequence[Child]) -> None:
        """Ask all to end, wait until they have, and remove those that do not."""
        import ray

        remote = cast(Sequence[RemoteChild], children)
        if stopping := [child.actor.call.remote("stop") for child in remote if child.pid]:
            ray.wait(stopping, num_returns=len(stopping), timeout=SECONDS_TO_SAVE)
        for child in remote:
            ray.kill(child.actor)
