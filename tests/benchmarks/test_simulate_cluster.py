"""A small cluster of made-up workers over the real handing out of units, their jobs, commits and markers."""

from benchmarks.simulate_cluster import ALWAYS, FILES, simulate


def test_no_unit_is_lost_or_doubled_when_workers_racks_and_the_coordinator_die():
    figures = simulate(n_workers=60, n_units=1500, request_seconds=0.03, seed=1)
    assert (figures["lost"], figures["doubled"], figures["left_out"]) == (0, 0, ALWAYS)
    assert figures["committed"] == 1500 - ALWAYS
    assert figures["begun_again"] > 60, "what was in hand when the coordinator was killed"
    assert ALWAYS <= figures["tried_again_by_the_same_command"] < 10
    assert f"{ALWAYS} units could not be encoded" in figures["said"]
    stored = len(FILES) + 1  # and the marker
    assert figures["requests"]["PUT"] >= stored * figures["committed"]
