"""Killed anywhere, and run again: every command ends with the bytes of an undisturbed run, and nothing is left over."""

import random

import pytest

from tests.chaos.conftest import rounds
from tests.chaos.scenarios import World

WAYS = ("die-before", "die-after", "die-half")
CHANGING = "cwstnlmu"  # the kinds of calls that change files

pytestmark = pytest.mark.chaos


def test_a_command_that_is_killed_anywhere_and_run_again_ends_like_one_that_is_not(world: World) -> None:
    def play(name: str, dice: random.Random) -> str | None:
        scenario, whole = world.scenarios[name], world.undisturbed(name)
        world.start(scenario)
        kills = []
        for _ in range(dice.randint(1, 3)):
            calls = len(whole.calls)
            if calls and dice.random() < 0.7:
                trouble = {"way": dice.choice(WAYS), "kinds": CHANGING, "at": dice.randint(1, calls)}
            else:
                trouble = {"seconds": f"{dice.uniform(0.001, whole.seconds):.3f}"}
            status, output = world.disturb(scenario, **trouble)
            kills.append(f"{trouble} -> {status}")
            if status == 0:
                break
            if status != -9:
                return f"{kills}: does not go on: {output}"
        wrong = world.shortcoming(name)
        return f"{kills}: {wrong}" if wrong else None

    rounds(world, "kills", 1.0, play)
