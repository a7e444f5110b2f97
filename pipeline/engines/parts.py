"""Parts of a training, each in a process of its own, here or on a cluster; those that die go on where they stopped."""

import logging
import time
from collections import Counter, deque
from multiprocessing.connection import Connection

import torch

from x2static.durable.errors import Interrupted, X2StaticError, panics_caught
from x2static.durable.storage import wait_until_free
from x2static.machine.processes import Child, Place
from x2static.machine.progress import Progress, Report
from x2static.machine.screen import quantity
from x2static.schemas.training import TrainConfig
from x2static.stage2_train.parts import folder_of, train_part
from x2static.stage2_train.vocabulary import Part

TRIES = 3  # of a part, of which a process has died
SECONDS_BETWEEN_REPORTS = 0.5  # of a part
DONE = ()  # what a process says last

logger = logging.getLogger(__name__)


def run_parts(config: TrainConfig, parts: list[Part], place: Place, at_once: int, report: Report) -> None:
    """Train parts to their ends, so many at a time.

    Raises Interrupted: by a signal, their states saved; X2StaticError: one cannot be trained, or was killed too often.
    """
    to_do, in_hand, deaths = deque(parts), dict[Child, Part](), Counter[Part]()
    done = dict.fromkeys(parts, 0.0)  # words
    try:
        while to_do or in_hand:
            while to_do and len(in_hand) < at_once:
                part = to_do.popleft()
                in_hand[place.start(_train, config, part, 1 if place.has_own_threads else at_once)] = part
            for child in place.ready(list(in_hand)):
                part, message = in_hand[child], child.receive()
                if isinstance(message, Progress):
                    done[part] = message.done
                    mean = int(sum(done.values()) / len(parts))
                    report(Progress(mean, message.total, message.unit, quantity(len(parts), "part")))
                elif isinstance(message, Exception):
                    raise message
                else:
                    del in_hand[child]
                    place.stop_all([child])
                if message is None:
                    deaths[part] += 1
                    if deaths[part] == TRIES:
                        what = f"part {part} has died {TRIES} times, the last time because {child.death()}"
                        hint = "run the same command again to go on, with fewer parts at a time (--jobs)"
                        raise X2StaticError(f"{config.out}: {what}; {hint}")
                    logger.warning("part %s: %s; it goes on from its last checkpoint", part, child.death())
                    to_do.appendleft(part)
    except (KeyboardInterrupt, Interrupted) as error:
        n_parts = quantity(len(in_hand), "part")
        logger.info("stopping, and saving the state of %s", n_parts)
        began = time.monotonic()
        place.stop_all(list(in_hand))
        in_hand.clear()
        saved = f"the state of {n_parts} saved in {time.monotonic() - began:.0f} s"
        raise Interrupted(f"stopped, {saved}; run the same command again to go on") from error
    finally:
        place.stop_all(list(in_hand))


def _train(connection: Connection, config: TrainConfig, part: Part, sharing: int) -> None:
    """Train a part: what a process does, one of so many that share a machine's threads."""
    if config.device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(part.number % torch.cuda.device_count())
    torch.set_num_threads(max(1, torch.get_num_threads() // sharing))
    folder = folder_of(config, part)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".log")  # several parts on one terminal would be a muddle
    logging.basicConfig(filename=file, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, force=True)
    said = 0.0

    def report(progress: Progress) -> None:
        nonlocal said
        if time.monotonic() - said >= SECONDS_BETWEEN_REPORTS:
            said = time.monotonic()
            connection.send(progress)

    wait_until_free(folder)  # of a killed command's process
    try:
        with panics_caught():
            train_part(config, part, report)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise  # there is nobody to tell
    except Exception as error:  # noqa: BLE001  # whatever it is, the process that started this one raises it
        connection.send(error)
    else:
        connection.send(DONE)
