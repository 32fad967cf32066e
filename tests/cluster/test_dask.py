"""Dask inside units has the worker's threads; dask on Ray, which is offered and not used, still works."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest

from cluster.engine import Done, Resources, open_engine
from tests.cluster.stages import Dasked


def test_a_graph_inside_a_unit_runs_on_the_threads_of_its_worker(ray_here: dict[str, Any]) -> None:
    """By itself dask takes a thread for each core of the machine, in each worker."""
    threads = (os.cpu_count() or 1) + 1
    with open_engine("ray", Resources(workers=1, threads_per_worker=1)) as engine:
        assert [done.record for done in engine.run(Dasked(), [0]) if isinstance(done, Done)] == [{"threads": 1}]
    if threads <= ray_here["cpus"]:
        with open_engine("ray", Resources(workers=1, threads_per_worker=threads)) as engine:
            (done,) = engine.run(Dasked(), [0])
            assert isinstance(done, Done)
            assert done.record == {"threads": threads}


def test_dask_on_ray_computes_what_threads_compute(ray_here: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's scheduler uses private parts of dask: this fails where a new version of either breaks it."""
    import dask
    import dask.array as da

    monkeypatch.setattr(dask, "persist", dask.persist)  # Ray puts its own in this place
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's deprecations of its own parts
        from ray.util.dask import ray_dask_get
    numbers = da.arange(70, chunks=70).reshape(7, 10).rechunk((4, 10))
    graph = (numbers**2 + da.flip(numbers, 1)).sum(axis=0)
    expected = graph.compute(scheduler="threads", num_workers=1)
    assert (graph.compute(scheduler=ray_dask_get) == expected).all()
    assert expected.tolist()[0] == sum((10 * n) ** 2 + 10 * n + 9 for n in range(7))
