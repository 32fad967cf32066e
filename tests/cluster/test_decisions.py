"""The budgets of a pool."""

from __future__ import annotations

from cluster.decisions import Policy


def test_the_respawn_budget_grows_with_the_pool() -> None:
    assert Policy(2).respawns < Policy(60).respawns
    assert Policy(60).respawns > 2 * 60  # all machines may be taken away at once, twice
