"""What Ray's private state says of nodes and actors."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cluster.ray_state import draining_nodes, running
from cluster.worker import Worker
from tests.cluster.conftest import CPUS


@pytest.mark.usefixtures("ray_here")
def test_nodes_that_drain_can_be_listed() -> None:
    assert draining_nodes() == set()


@pytest.mark.usefixtures("ray_here")
def test_an_actor_that_waits_for_cpus_does_not_run() -> None:
    import ray

    actor: Any = ray.remote(Worker)
    there, waiting = (actor.options(num_cpus=cpus).remote(1, 0.0) for cpus in (1, CPUS + 1))
    ray.get(there.probe.remote())
    end_s, found = time.monotonic() + 10.0, set[int]()
    while not found and time.monotonic() < end_s:
        found = running([(3, there), (8, waiting)])
    assert found == {3}
    for one in (there, waiting):
        ray.kill(one)


def test_where_ray_says_nothing_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray._private.state", None)
    assert draining_nodes() == set()
    assert running([(0, object())]) == set()
