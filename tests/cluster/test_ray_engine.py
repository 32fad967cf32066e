"""What the Ray engine adds to the pool: it connects late, decides once, and holds its workers alone."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.engine import Resources
from cluster.ray_engine import RayEngine, threads_limit
from tests.cluster.conftest import CPUS


def test_nothing_is_started_before_it_is_used() -> None:
    RayEngine(Resources(), "no-such-host:1").close()


@pytest.mark.usefixtures("ray_here")
def test_resources_are_decided_against_the_cluster_and_ray_stays() -> None:
    import ray

    with RayEngine(Resources()) as engine:
        assert (engine.resources.workers, engine.resources.threads_per_worker) == (2, CPUS // 2)
        assert engine.facts()["nodes"] == 1
    assert ray.is_initialized()  # who connected first disconnects


@pytest.mark.usefixtures("ray_here")
def test_one_stage_at_a_time() -> None:
    engine = RayEngine(Resources(workers=1, threads_per_worker=1))
    run: Any = engine.run(lambda: abs, range(5))
    next(run)
    with pytest.raises(RuntimeError, match="while a stage runs"):
        engine.ask(int)
    with pytest.raises(RuntimeError, match="while another runs"):
        next(iter(engine.run(lambda: abs, [1])))
    run.close()
    assert engine.ask(int) == 0


@pytest.mark.usefixtures("ray_here")
def test_more_workers_than_cpus_share_them() -> None:
    results = list(RayEngine(Resources(workers=CPUS + 1)).run(lambda: abs, range(-3, 0)))
    assert sorted(r.key for r in results) == [-3, -2, -1]


@pytest.mark.parametrize(
    ("nodes", "limit"),
    [
        ([(4, 0)], 4),
        ([(0, 0), (2, 0), (2, 0)], 2),
        ([(0, 0), (32, 0), (16, 4), (12, 2)], 4),
        ([(0, 0)], None),
        ([], None),
    ],
)
def test_a_worker_fits_on_one_node(nodes: list[tuple[int, int]], limit: int | None) -> None:
    assert threads_limit({"cpus": cpus, "gpus": gpus} for cpus, gpus in nodes) == limit
