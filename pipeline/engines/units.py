"""Jobs handed out to encoders, wherever these run: what every engine of several encoders does.

An encoder asks for jobs, reads one ahead of the one in hand, and says what it staged. The jobs of one that died go to
others, and it is started again. A job that fails, by an exception or with its encoder, is tried again behind all others
and by an encoder that has nothing else in hand, so that it is known whose fault it is; after three failures it is left
out.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from x2static.durable.errors import X2StaticError, panics_caught
from x2static.machine.screen import quantity
from x2static.pipeline.terminal import FULL, message
from x2static.stage1_encode.worker import Job, Position, Staged, Tell, Worker, new_attempt

ASK = "a job, please"  # beside those in hand
IDLE = "a job, please, for there is none in hand"
TELL_SECONDS = 0.5  # between the positions that an encoder sends: a thousand of them have one listener
TRIES = 3  # that a unit has; and an encoder, to stage one before it dies
# Failures without a unit staged in between, or four of each encoder where that is more, for a rack may go at once: then
# it is not the units, and the rest is not tried.
MOST_IN_A_ROW = 20
SHOWN = 5  # units of those that failed, in the last line

NO_ROOM = FULL.partition("{")[0]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """What went wrong in an encoder, in words."""

    problem: str
    of_unit: bool  # the first of those in hand; anything else would go wrong with every unit


@dataclass(frozen=True)
class Warned:
    """A warning that an encoder logged."""

    logger: str
    level: int
    text: str


class Encoder(Protocol):
    """An encoder as whoever hands out jobs sees it."""

    def send(self, message: Job | None, /) -> None:
        """Send a job, or that there is none now."""

    def receive(self) -> Any:
        """Return its next message; None where it has died."""

    def death(self) -> str:
        """Return how it died, in words."""


@dataclass(frozen=True)
class Encoders:
    """How an engine runs encoders."""

    count: int  # of them, at most
    start: Callable[[int], Any]  # one, by its number
    ready: Callable[[list[Any]], Iterable[Any]]  # waits until some have a message, or have died
    stop: Callable[[list[Any]], None]  # all, and waits until they have stopped


@dataclass
class _Seat:
    """The place of an encoder, and of those that are started when it dies."""

    number: int
    in_hand: dict[int, Job] = field(default_factory=dict)  # by shard, in the order in which they are done
    alone: bool = False  # whether its job has failed before, and is to be the only one in hand
    idle: bool = False  # whether it waits for a job
    deaths: int = 0  # since one staged something here


class HandOut:
    """The handing out of jobs: what is to be done, who has what in hand, what failed."""

    def __init__(self, cache: Path, encoders: Encoders, jobs: Iterable[Job], tell: Tell) -> None:
        """Get ready to do the jobs of a cache; nothing is started yet."""
        self.cache, self.encoders, self.tell = cache, encoders, tell
        self.fresh, self.failed = deque(jobs), deque[Job]()
        self.seats: dict[Any, _Seat] = {}  # by encoder
        self.problems: dict[int, list[str]] = {}  # of each unit that failed, by shard
        self.in_a_row = 0  # failures since a unit was staged
        self.most_in_a_row = max(MOST_IN_A_ROW, 4 * encoders.count)
        self.death = ""  # how an encoder died last
        self.said: set[str] = set()  # warnings

    def run(self) -> Generator[Staged, None, None]:
        """Start encoders, hand jobs out to them, and yield what they staged.

        Raises X2StaticError: units failed three times each, when all others are done; or, at once, what no encoder can
        help, or encoders that die again and again without having staged anything.
        """
        try:
            for number in range(min(self.encoders.count, len(self.fresh))):
                self._start(_Seat(number))
            while self._goes_on():
                for encoder in self.encoders.ready(list(self.seats)):
                    message = encoder.receive()
                    if isinstance(message, Staged):
                        seat = self.seats[encoder]
                        del seat.in_hand[message.job.shard]
                        self.problems.pop(message.job.shard, None)
                        seat.deaths = self.in_a_row = 0
                        yield message
                    else:
                        self._heed(encoder, message)
                for encoder, seat in self.seats.items():
                    if seat.idle and (self.fresh or self.failed):
                        seat.alone, seat.idle = not self.fresh, False
                        self._hand(encoder, (self.fresh or self.failed).popleft())
        finally:
            self.encoders.stop(list(self.seats))
        self._complain()

    def _goes_on(self) -> bool:
        """Return whether something is left to do. Raises X2StaticError: there is, and nobody to do it."""
        if self.in_a_row >= self.most_in_a_row:
            return False
        left = bool(self.fresh or self.failed)
        if left and not self.seats:
            what = f"no encoder came to the end of a unit ({self.death})"
            raise X2StaticError(f"{self.cache}: {what}; run the same command again to go on, with fewer --encoders")
        return left or any(seat.in_hand for seat in self.seats.values())

    def _heed(self, encoder: Encoder, message: Any) -> None:
        """Do what a message asks for, other than to take a unit; None is that its encoder has died."""
        seat = self.seats[encoder]
        if message is None:
            self._bury(encoder)
        elif message == ASK and self.fresh and not seat.alone:
            self._hand(encoder, self.fresh.popleft())
        elif message == ASK:
            encoder.send(None)
        elif message == IDLE:
            seat.idle = True
        elif isinstance(message, Position):
            self.tell(message)
        elif isinstance(message, Failure):
            if not message.of_unit:
                raise X2StaticError(message.problem)
            self._take_back(seat, message.problem, 1)
        elif isinstance(message, Warned) and message.text not in self.said:  # each encoder may say it
            self.said.add(message.text)
            logging.getLogger(message.logger).log(message.level, "%s", message.text)

    def _start(self, seat: _Seat) -> None:
        self.seats[self.encoders.start(seat.number)] = seat

    def _hand(self, encoder: Encoder, job: Job) -> None:
        self.seats[encoder].in_hand[job.shard] = job
        encoder.send(job)

    def _bury(self, encoder: Encoder) -> None:
        """Take back what a dead encoder had in hand, and start it again if that helps."""
        seat = self.seats.pop(encoder)
        self.death = encoder.death()
        left = quantity(len(seat.in_hand), "unit")
        logger.warning("an encoder is gone, %s; others take over %s", self.death, left)
        self._take_back(seat, self.death, len(seat.in_hand))
        waiting = sum(other.idle for other in self.seats.values())
        if seat.deaths + 1 < TRIES and len(self.fresh) + len(self.failed) > waiting:
            self._start(_Seat(seat.number, deaths=seat.deaths + 1))

    def _take_back(self, seat: _Seat, problem: str, n_blamed: int) -> None:
        """Take back what an encoder has in hand; the first so many jobs of it failed."""
        jobs = [replace(job, attempt=new_attempt()) for job in seat.in_hand.values()]
        seat.in_hand.clear()
        self.fresh.extendleft(reversed(jobs[n_blamed:]))
        for job in jobs:
            self.tell(Position(job.shard, 0, 0))
        for job in jobs[:n_blamed]:
            problems = self.problems.setdefault(job.shard, [])
            problems.append(problem)
            self.in_a_row += 1
            if len(problems) < TRIES:
                self.failed.append(job)
            else:
                logger.warning("unit %d is left out, it failed %d times: %s", job.shard, TRIES, problem)

    def _complain(self) -> None:
        """Raise X2StaticError if units failed, with what they failed of."""
        if not self.problems:
            return
        named = [f"unit {shard} ({problems[-1]})" for shard, problems in sorted(self.problems.items())]
        units = ", ".join([*named[:SHOWN], *([f"and {len(named) - SHOWN:,} more"] if len(named) > SHOWN else [])])
        what = f"{quantity(len(named), 'unit')} could not be encoded: {units}"
        rest = "the rest is saved; run the same command again to try only these"
        if self.in_a_row >= self.most_in_a_row:
            rest = f"after {self.most_in_a_row} failures in a row nothing more was tried; the same command goes on"
        raise X2StaticError(f"{self.cache}: {what}; {rest}")


class Connection(Protocol):
    """An encoder's own end of what it is talked to by."""

    def send(self, message: Any, /) -> None:
        """Send a message."""

    def recv(self) -> Any:
        """Return the next job, or None."""


class _Warnings(logging.Handler):
    def __init__(self, send: Callable[[Warned], None]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(Warned(record.name, record.levelno, record.getMessage()))


def encode_units(
    connection: Connection, open_worker: Callable[[], AbstractContextManager[Worker]], where: str = ""
) -> None:
    """Be an encoder: ask for jobs and do them, until there is none for one that has nothing in hand.

    `where` begins the message of an error before there is a worker.
    """
    sending, asking, told = threading.Lock(), threading.Lock(), 0.0

    def send(message: Any) -> None:
        with sending:
            connection.send(message)

    def tell(position: Position) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            send(position)

    def jobs(first: Job, ended: threading.Event) -> Iterator[Job]:
        """Yield jobs, asked for in the thread that reads ahead; none when this call of `run` has ended."""
        job: Job | None = first
        while job is not None:
            yield job
            with asking:
                if ended.is_set():
                    return
                send(ASK)
                job = connection.recv()

    logging.getLogger("x2static").addHandler(_Warnings(send))
    loaded = False
    try:
        with panics_caught(), open_worker() as worker:
            loaded = True
            while True:
                send(IDLE)
                if (job := connection.recv()) is None:
                    return
                ended = threading.Event()
                try:
                    with panics_caught():
                        for staged in worker.run(jobs(job, ended), tell):
                            send(staged)
                except Exception as error:  # noqa: BLE001
                    with asking:  # what was asked for meanwhile is taken back with the rest
                        ended.set()
                    problem = message(error)
                    send(Failure(problem, of_unit=not problem.startswith(NO_ROOM)))
    except Exception as error:  # noqa: BLE001  # whatever it is, the process that handed out the jobs says it
        problem = message(error)
        send(Failure(problem if loaded else f"{where}{problem}", of_unit=False))
