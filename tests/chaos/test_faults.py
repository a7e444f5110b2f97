"""A call fails: a command comes through with equal bytes, or says in a line which path failed, and goes on later."""

import errno
import random

import pytest

from tests.chaos.conftest import rounds
from tests.chaos.scenarios import World

ERRORS = ("ENOSPC", "EIO", "EACCES", "EROFS", "EDQUOT")
KINDS = "cwstnlmuor"

pytestmark = pytest.mark.chaos


def test_a_call_that_fails_is_named_or_does_no_harm_and_the_command_goes_on(world: World) -> None:
    def play(name: str, dice: random.Random) -> str | None:
        scenario, whole = world.scenarios[name], world.undisturbed(name)
        world.start(scenario)
        kind = dice.choice([kind for kind in KINDS if whole.counts[kind]] or ["o"])
        way = dice.choice(["fail", "fail", "keep-failing", "short"] if kind == "w" else ["fail", "keep-failing"])
        error = dice.choice(ERRORS)
        at = dice.randint(1, max(1, whole.counts[kind]))
        fault = {"way": way, "kinds": kind, "at": at, "errno": getattr(errno, error)}
        status, output = world.disturb(scenario, **fault)
        what = f"{way} {error} at {kind} {at} ({noted(world)})"
        if status and (complaint := world.wrong_answer(status, output)):
            return f"{what}: {complaint}: {output}"
        # A sweep or comparison goes on without what failed, and says so with the path.
        partly = "failed" in output and scenario.slow and str(world.folder) in output
        if status == 0 and not partly and (wrong := world.complaints(name)):
            return f"{what}: exit 0, but {wrong}"
        wrong = world.shortcoming(name)
        return f"{what}: run again, {wrong}\nfirst it had said {output}" if wrong else None

    rounds(world, "faults", 0.5, play)


def noted(world: World) -> str:
    """Return the call that was spoilt."""
    data = world.notes.read_bytes() if world.notes.exists() else b"not met"
    return data.decode("utf-8", "replace").replace(str(world.folder), "").strip()
