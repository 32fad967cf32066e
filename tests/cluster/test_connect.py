"""One way into Ray."""

from __future__ import annotations

import os
from typing import Any

import pytest

from cluster import connect as module
from cluster.connect import cluster_facts, connect
from tests.cluster.conftest import CPUS


def test_an_embedded_ray_has_the_cpus_it_was_given(ray_here: dict[str, Any]) -> None:
    assert ray_here["cpus"] == CPUS
    assert ray_here["nodes"] == [{"cpus": CPUS, "gpus": ray_here["gpus"]}]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_workers_of_an_embedded_ray_are_as_important_as_their_driver(ray_here: dict[str, Any]) -> None:
    import ray

    niceness: Any = ray.remote(num_cpus=1)(lambda: os.nice(0))
    assert ray.get(niceness.remote()) == os.nice(0)


def test_a_second_connect_is_free(ray_here: dict[str, Any]) -> None:
    assert connect(cpus=1) == ray_here == cluster_facts()


def test_no_cluster_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ray:
        @staticmethod
        def init(address: str, **options: Any) -> None:
            assert "num_cpus" not in options  # a cluster has the CPUs it has
            raise ConnectionError(f"nobody at {address}")

    with pytest.raises(ConnectionError, match="asked for the Ray cluster at 'far:1'; found none"):
        module._start(Ray, "far:1", 3)


def test_ours_is_local_in_so_many_words(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Ray:
        @staticmethod
        def init(**options: Any) -> None:
            seen.update(options)

    module._start(Ray, "local", 3)
    assert (seen["address"], seen["num_cpus"], seen["include_dashboard"]) == ("local", 3, False)
