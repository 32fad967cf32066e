"""When a pool gets nowhere."""

from __future__ import annotations

import pytest

from cluster.decisions import Policy
from cluster.faults import Fault, Kind
from cluster.patience import Patience

HUNG, DEAD, TAKEN = Fault(Kind.START, "stuck"), Fault(Kind.NODE, "boom"), Fault(Kind.TAKEN, "preempted")
DEATHS = Policy(2).respawns


@pytest.mark.parametrize(
    ("lost", "working", "ends"),
    [
        ([], False, None),
        ([DEAD] * DEATHS, False, None),
        ([DEAD] * (DEATHS + 1), True, f"{DEATHS + 1} workers died and no unit finished in between; the last: boom"),
        ([TAKEN] * 999, False, None),
        ([HUNG] * 5, False, None),
        ([HUNG] * 6, False, "6 workers hung before they were ready; the last: stuck"),
        ([HUNG] * 999, True, None),
        ([HUNG] * 5 + [DEAD] * DEATHS, False, None),
    ],
)
def test_what_ends_a_pool_of_two(lost: list[Fault], working: bool, ends: str | None) -> None:
    patience = Patience(Policy(2, starts=3))
    for why in lost:
        patience.lost(why)
    found = patience.end(working)
    assert (found and found.reason) == ends


def test_what_goes_well_is_a_new_beginning() -> None:
    patience = Patience(Policy(1, starts=1))
    patience.lost(HUNG)
    patience.ready()
    assert patience.end(working=False) is None
    for _ in range(99):
        patience.lost(DEAD)
        patience.lost(HUNG)
        patience.settled()
    assert patience.end(working=False) is None
