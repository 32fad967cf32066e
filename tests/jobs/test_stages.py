"""Stages are tested by calling them, with no engine; what each computes is in the tests of its job."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import zarr

from jobs import stages
from jobs.cells import CellTask
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.infer_stage import Infer
from jobs.parsing import load
from jobs.plan import Precision, Run, plan_run
from jobs.stages import QUALITY, Ingest, Mosaic, Summarise, warped
from tests.jobs.worlds import CHANNELS, image, inferred_pair, opened, small_cells, world
from tiler.grids import Box, Cell, MapGrid
from tiler.scene_store import SceneStore, create_scene_store
from tiler.stores import is_complete


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return inferred_pair(tmp_path_factory.mktemp("stages"))


def test_stages_and_keys_travel_as_pickles(run):
    plan = run.logits(decide(run, None))[0]
    task = run.mosaic([plan]).tasks[0]
    made = [
        Ingest({s.name: (s.scene, s.labels, "url") for s in run.scenes}),
        Summarise({"a": ((), "url")}),
        Infer({"a": ("x", "y")}, ("bundle",), CHANNELS, (), "flips4", "logit", Precision("cpu", "fp32", 1)),
        Mosaic({"a": ("x", "y")}, "map"),
        next(iter(plan.shards())),
        next(iter(plan.source.shards())),
        task,
    ]
    for one in made:
        assert pickle.loads(pickle.dumps(one)) == one


def test_ingest_writes_its_own_shard_and_no_other(tmp_path):
    here = world(tmp_path)
    array = image(600, 2100, 4)
    here.scene("wide", array)
    run = plan_run(load(RunConfig, here.config))
    (plan,) = run.scenes
    url = run.url("ingest", plan.name)
    create_scene_store(url, plan.scene, labelled=False)
    work = Ingest({plan.name: (plan.scene, None, url)})()
    shards = list(plan.shards())
    assert [(s.row, s.col) for s in shards] == [(0, 0), (0, 1)]
    record = work(shards[1])
    store = SceneStore(url)
    valid = store.read("valid", store.grid.box, False)
    np.testing.assert_array_equal(valid, np.arange(2100)[None].repeat(600, 0) >= 2048)
    assert (record["pixels"], record["valid"]) == (600 * 52, 600 * 52)
    with pytest.raises(FileNotFoundError, match="not ingested to its end"):
        _ = store.quality
    work(shards[0])
    quality = Summarise({plan.name: ((), url)})()(plan.name + QUALITY)
    assert (quality["pixels"], quality["valid"]) == (600 * 2100, 600 * 2100)
    np.testing.assert_array_equal(SceneStore(url).read("image", store.grid.box, 0), array)


def test_warped_gives_any_part_of_a_cell_the_same_values(run):
    """The promise under Mosaic: blending, warping and their sum do not depend on the rectangle that is asked for."""
    scene, logits, _ = opened(run, 0)
    grid = MapGrid("EPSG:5179", (13.0, 13.0))
    from tiler.grids import footprint

    whole_box, _ = footprint(scene.grid, grid)
    whole, seen = warped(scene, logits, grid, whole_box)
    assert seen.any()
    cut = Box(whole_box.y0 + 37, whole_box.x0 + 51, whole_box.y0 + 90, whole_box.x0 + 112)
    part, part_seen = warped(scene, logits, grid, cut)
    at = cut.shift(-whole_box.y0, -whole_box.x0).slices
    np.testing.assert_array_equal(part_seen, seen[at])
    np.testing.assert_array_equal(part, whole[(slice(None), *at)])
    far = Box(whole_box.y1 + 50, whole_box.x1 + 50, whole_box.y1 + 60, whole_box.x1 + 60)
    assert warped(scene, logits, grid, far) == (None, None)


def test_a_cell_is_written_by_its_own_task_alone(run):
    from tiler.map_store import MapStore, create_map_store

    with small_cells():
        run = replace(run, footprints={})  # other tests have cells of another size
        plans = run.logits(decide(run, None))[:1]
        plan = run.mosaic(plans)
        url = run.url("mosaic", "alone")
        create_map_store(url, plan.grid, [t.cell for t in plan.tasks], plan.extent, run.classes)
        stage = Mosaic({p.name: (run.url("ingest", p.source.name), run.url("infer", p.name)) for p in plans}, url)
        task = plan.tasks[-1]
        record = stage()(task)
        store = MapStore(url)
        rows, cols = np.nonzero(store.read("count", store.extent))
        cells = {(int(r), int(c)) for r, c in zip(rows + plan.extent.y0, cols + plan.extent.x0, strict=True)}
        assert {Cell(r // 512, c // 512) for r, c in cells} == {task.cell}
        assert record["seen_px"] == len(rows) > 0
        assert len(plan.tasks) == 4
        # a task of a cell that its scene does not reach leaves it empty
        assert stage()(CellTask(plan.name, task.cell, ()))["seen_px"] == 0


def test_zarr_keeps_to_the_workers_share_of_the_cores(run, monkeypatch):
    before = zarr.config.get("threading.max_workers"), zarr.config.get("async.concurrency")
    try:
        for told, threads in (("3", 3), ("1", 1)):
            monkeypatch.setenv("OMP_NUM_THREADS", told)
            Ingest({})()
            assert zarr.config.get("threading.max_workers") == threads
            assert zarr.config.get("async.concurrency") == max(2, threads)
        monkeypatch.delenv("OMP_NUM_THREADS")
        stages.prepare_worker()
        assert zarr.config.get("threading.max_workers") == os.cpu_count()
    finally:
        zarr.config.set({"threading.max_workers": before[0], "async.concurrency": before[1]})


def test_peak_memory_is_of_this_process_and_stays():
    code = """
import numpy as np
from jobs.stages import peak_memory_bytes
before = peak_memory_bytes()
held = np.ones(300 * 2**20, np.uint8)
del held
print(before, peak_memory_bytes())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    before, after = map(int, done.stdout.split())
    assert 20 * 2**20 < before < 600 * 2**20
    assert after - before > 250 * 2**20


def test_stores_are_made_before_the_first_unit(run):
    plan = run.logits(decide(run, None))[0]
    assert is_complete(run.url("ingest", plan.source.name))
    assert is_complete(run.url("infer", plan.name))
