"""Ingest: every pixel of the files in the store, damaged scenes set aside, nothing done twice."""

import numpy as np
import pytest
import rasterio
import xarray as xr

from cluster.engine import SerialEngine
from jobs.config import RunConfig
from jobs.ingest import PlannedIngest, estimate, ingest, ingested, main
from jobs.parsing import load
from jobs.plan import Run, plan_run
from jobs.runner import markers_of
from jobs.stages import QUALITY
from tests.jobs.worlds import World, damage, files_below, image, moved, repair, undamaged, world, write_tif
from tiler.labels import IGNORE
from tiler.scene_store import SceneStore


def planned(here: World, *changes: str) -> Run:
    return plan_run(load(RunConfig, here.config, changes))


def store_of(here: World, name: str) -> SceneStore:
    (run,) = [s for s in planned(here).scenes if s.scene.id == name]
    return SceneStore(planned(here).url("ingest", run.name))


def test_the_store_holds_the_files_pixel_by_pixel(tmp_path, capsys):
    """Two pieces of one scene, in more than one shard, with labels of another grid."""
    whole = image(700, 530, seed=4)
    whole[:, 100:140, 33:77] = 0
    whole[1, 650, 500] = 0
    here = world(tmp_path)
    write_tif(tmp_path / "pieces" / "north.tif", whole[:, :301])
    write_tif(tmp_path / "pieces" / "south.tif", whole[:, 301:], transform=moved(301, 0))
    codes = np.ones((350, 200), np.uint8)
    codes[200:, 50:] = 7
    codes[0] = 9
    write_tif(tmp_path / "labels.tif", codes, transform=moved(-20, 15), nodata=None)
    here.settings["scenes"].append({"id": "two-20240203", "files": str(tmp_path / "pieces")})
    here.settings["labels"] = {"files": str(tmp_path / "labels.tif"), "codes": {7: 1}, "ignore": [9]}
    assert main(here.command()) == 0
    assert "1 of 1 scenes ingested" in capsys.readouterr().out
    store = store_of(here, "two-20240203")
    box, valid = store.grid.box, (whole != 0).all(axis=0)
    np.testing.assert_array_equal(store.read("image", box, 0)[:, valid], whole[:, valid])
    np.testing.assert_array_equal(store.read("valid", box, False), valid)
    labels = np.full((700, 530), IGNORE, np.uint8)
    labels[:330, 15:215] = (codes[20:] == 7).astype(np.uint8)
    np.testing.assert_array_equal(store.read("label", box, 0), labels)
    assert store.quality["missing_ratio"] == pytest.approx(1 - valid.mean())
    for band, values in zip(store.quality["bands"], whole, strict=True):
        assert band["mean"] == pytest.approx(values[valid].mean(), rel=1e-3)
    assert store.acquired.date().isoformat() == "2024-02-03"  # from its name
    known = valid & (labels != IGNORE)
    assert store.quality["coverage"]["labelled"] == known.sum()
    assert store.quality["coverage"]["positive"] == (known & (labels == 1)).sum()


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:rioxarray")
def test_xarray_opens_the_store_in_its_place(tmp_path):
    here = world(tmp_path)
    path = here.scene("a", image(90, 140), transform=moved(12, -7))
    assert main(here.command()) == 0
    import rioxarray  # noqa: F401

    with xr.open_zarr(store_of(here, "a").url, consolidated=False, decode_coords="all") as data:
        assert data.rio.crs.to_epsg() == 32652
        with rasterio.open(path) as file:
            assert data.rio.transform() == file.transform


def test_an_unchanged_rerun_runs_no_unit_and_touches_no_file(tmp_path, monkeypatch, capsys):
    here = world(tmp_path)
    here.scene("a", image(90, 140))
    assert main(here.command()) == 0
    before = files_below(here.out)
    monkeypatch.setattr(SerialEngine, "run", lambda *_: pytest.fail("nothing is left to run"))
    assert main(here.command()) == 0
    assert files_below(here.out) == before
    assert capsys.readouterr().out.count("1 of 1 scenes") == 2


def test_a_changed_file_is_another_scene(tmp_path):
    here = world(tmp_path)
    path = here.scene("a", image(90, 140))
    first = planned(here).scenes[0].name
    write_tif(path, image(90, 140, seed=9))
    assert planned(here).scenes[0].name != first


def test_a_scene_damaged_inside_is_set_aside_and_the_others_are_ingested(tmp_path, capsys):
    here = world(tmp_path)
    good, bad = here.scene("good", image(140, 90)), here.scene("bad", image(333, 290), **undamaged())
    kept = damage(bad)
    assert main(here.command()) == 3
    told = capsys.readouterr()
    assert "1 of 2 scenes" in told.out
    assert "quarantined: ingest/bad-" in told.err
    assert "good-" not in told.err.split("quarantined:", 1)[1]
    run = planned(here)
    assert [s.scene.id for s in ingested(run).scenes] == ["good"]
    done = markers_of(run.storage, "ingest").done()
    assert not any(unit.startswith("bad-") and unit.endswith(QUALITY) for unit in done)
    np.testing.assert_array_equal(
        store_of(here, "good").read("image", store_of(here, "good").grid.box, 0), rasterio.open(good).read()
    )
    repair(bad, kept)
    assert main(here.command()) == 0
    assert store_of(here, "bad").quality["missing_ratio"] == 0


def test_a_closed_scene_is_finished_without_a_look_at_its_shards(tmp_path):
    here = world(tmp_path)
    here.scene("a", image(90, 140))
    here.scene("b", image(1100, 2100, 2), transform=moved(5, 5))
    run = planned(here)
    ingest(run, SerialEngine(1))
    closed, opened = run.scenes
    for name in ("r0_c0", "r0_c1"):
        run.storage.delete(f"markers/ingest/{opened.name}/{name}.json")
    run.storage.delete(f"markers/ingest/{opened.name}{QUALITY}.json")
    run.storage.delete(f"markers/ingest/{closed.name}/r0_c0.json")
    found = estimate(run)
    assert (found.units, found.done) == (3, 1)
    assert found.read_bytes == opened.scene.size_bytes // 2 * 2
    filled, summed = ingest(run, SerialEngine(1))
    assert (filled.total, filled.before, filled.facts["units"]) == (3, 1, 2)
    assert (summed.total, summed.before) == (2, 1)


def test_the_estimate_is_what_the_stage_then_writes(tmp_path):
    here = world(tmp_path)
    here.scene("a", image(90, 140))
    here.scene("b", image(1100, 33, 2), transform=moved(5, 5))
    run = planned(here)
    before = estimate(run)
    assert (before.units, before.done) == (2, 0)
    assert before.write_bytes == (90 * 140 + 1100 * 33) * (4 * 2 + 1)
    assert before.read_bytes == sum(s.scene.size_bytes for s in run.scenes)
    filled, summed = ingest(run, SerialEngine(1))
    assert filled.facts["bytes_written"] == before.write_bytes
    assert summed.facts["units"] == 2
    after = PlannedIngest(run).estimates()[0]
    assert (after.units, after.done, after.read_bytes, after.write_bytes) == (2, 2, 0, 0)
