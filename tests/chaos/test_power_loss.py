"""The power is lost, and with it what was not synced: the same command makes whole what it finds, or names it."""

import random

import pytest

from tests.chaos.conftest import rounds
from tests.chaos.scenarios import World, differing, state_of
from tests.chaos.trouble import Disk

pytestmark = pytest.mark.chaos


def test_what_a_loss_of_power_leaves_is_made_whole_by_the_same_command_or_named(world: World) -> None:
    def play(name: str, dice: random.Random) -> str | None:
        scenario, whole = world.scenarios[name], world.undisturbed(name)
        world.start(scenario)
        disk, cut = Disk(world.place), dice.randint(0, len(whole.calls))
        disk.run(whole.calls[:cut])
        disk.write(dice)
        what = f"after {cut} of {len(whole.calls)} calls"
        status, output = world.disturb(scenario)
        if status and (complaint := world.wrong_answer(status, output)):
            return f"{what}: {complaint}: {output}"
        wrong = [] if status else world.complaints(name)
        return f"{what}: {wrong}" if wrong else None

    rounds(world, "power loss", 1.0, play)


def test_the_calls_that_were_noted_make_the_folder_as_it_is(world: World) -> None:
    """So the recording misses nothing."""
    for name in ("encode, int8 and word sums", "cache merge --copy", "train", "baseline pca", "data fetch"):
        whole = world.undisturbed(name)
        world.start(world.scenarios[name])
        disk = Disk(world.place)
        disk.run(whole.calls)
        disk.write(None)
        assert not differing(state_of(world.place), whole.state), name
