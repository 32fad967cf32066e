"""A run at work on the map: states of its units, and what the page says of a run that is not finished."""

import json
import shutil
from contextlib import ExitStack

import numpy as np
import pytest
from starlette.testclient import TestClient

from cluster.engine import SerialEngine
from jobs import map as map_job
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.infer import infer
from jobs.ingest import ingest
from jobs.map_page.server import app_of
from jobs.map_page.shown import Shown
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.run_map import run_map
from jobs.run_map_figure import run_map_picture
from tests.jobs.worlds import World, answering, image, moved, small_cells, world


@pytest.fixture
def here(tmp_path) -> World:
    found = world(tmp_path)
    found.scene("a", image(100, 150))
    found.scene("b", image(70, 64, 2), transform=moved(500, 700))
    return found


def states(here: World) -> dict[str, str]:
    return {one.stage: one.states for one in run_map(plan_run(load(RunConfig, here.config))).stages}


def answers(here: World) -> TestClient:
    return TestClient(app_of(Shown(here.config, None, None, ExitStack())), base_url="http://localhost")


def test_units_go_from_to_do_to_done_stage_by_stage(here):
    with small_cells():
        before = states(here)
        assert {stage: set(found) for stage, found in before.items()} == {
            "ingest": {"p"},
            "infer": {"p"},
            "quarantined windows": set(),
            "mosaic": {"p"},
        }
        run = plan_run(load(RunConfig, here.config))
        ingest(run, SerialEngine(1))
        assert set(states(here)["ingest"]) == {"d"}
        with answering():
            infer(run, SerialEngine(1), run.logits(decide(run, None)), decide(run, None))
        after = states(here)
        assert set(after["infer"]) == {"d"}
        assert set(after["mosaic"]) == {"p"}
        with answering():
            assert map_job.main(here.command()) == 0
        assert {letter for found in states(here).values() for letter in found} == {"d"}
        assert {stage: len(found) for stage, found in states(here).items()} == {s: len(f) for s, f in before.items()}


def test_units_own_the_pixels_of_their_scenes_once(here):
    run = plan_run(load(RunConfig, here.config))
    seen = run_map(run)
    for stage in seen.stages:
        if stage.stage not in ("ingest", "infer"):
            continue
        for plan in run.scenes:
            covered = np.zeros((plan.scene.grid.height, plan.scene.grid.width), int)
            for work in (one for one in stage.work if one.grid == plan.scene.grid):
                covered[work.box.slices] += 1
            assert (covered == 1).all(), stage.stage


def test_failed_units_and_skipped_windows_show(here, tmp_path):
    west, north = 327_350.0, 4_178_410.0
    ring = [[west, north], [west + 200, north], [west + 200, north - 200], [west, north - 200], [west, north]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    area = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32652"}},
        "features": [{"type": "Feature", "properties": {}, "geometry": shape}],
    }
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    here.settings["area"] = str(tmp_path / "area.geojson")
    run = plan_run(load(RunConfig, here.config))
    ingest(run, SerialEngine(1))
    plans = run.logits(decide(run, None))
    unit = next(iter(plans[0].shards())).unit
    run.storage.put("failures/infer.json", json.dumps({unit: {"reason": "no memory", "attempts": 3}}).encode())
    seen = {one.stage: one for one in run_map(run).stages}
    assert seen["infer"].states[0] == "f"
    assert seen["infer"].reasons == {unit: "no memory"}
    assert seen["infer"].count("s") > 0
    assert seen["infer"].count("p") == 0
    picture = run_map_picture(run_map(run))
    assert picture is not None
    assert picture.startswith(b"\x89PNG")


def test_a_page_of_an_unfinished_run_says_so_and_shows_its_work(here):
    ingest(plan_run(load(RunConfig, here.config)), SerialEngine(1))
    asked = answers(here)
    told = asked.get("/page.json").json()
    assert told["runs"] == []
    assert told["notice"].startswith("There is no map yet")
    units, now = asked.get("/live/units.json").json(), asked.get("/live/states.json").json()
    assert units["plan"] == now["plan"]
    for outlines, found in zip(units["stages"], now["stages"], strict=True):
        assert len(outlines["outlines"]) == len(found["states"]) == sum(found["counts"].values())
    rings = np.array([point for one in units["stages"] for ring in one["outlines"] for point in ring])
    west, south, east, north = told["bounds"]
    assert west - 0.1 < rings[:, 0].min() < rings[:, 0].max() < east + 0.1
    assert south - 0.1 < rings[:, 1].min() < rings[:, 1].max() < north + 0.1
    assert now["published"] is None


def test_a_stage_of_too_many_units_is_left_out(here, monkeypatch):
    monkeypatch.setattr("jobs.run_map.MOST_UNITS", 3)
    seen = {one.stage: one for one in run_map(plan_run(load(RunConfig, here.config))).stages}
    assert (seen["infer"].work, seen["infer"].states) == ((), "")
    assert len(seen["ingest"].work) == len(seen["ingest"].states) == 2


@pytest.mark.slow
def test_a_map_that_is_published_meanwhile_is_taken_up(here):
    asked = answers(here)
    assert asked.get("/page.json").json()["runs"] == []
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
    (run,) = asked.get("/page.json").json()["runs"]
    assert run["map"] == json.loads((here.out / "map.json").read_text())["key"]
    assert asked.get("/tiles/a/class/14/0/0.png").status_code == 200


def copied(published, folder) -> None:
    for name in ("maps", "map.json", "run.json"):
        source = published.out / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)


def test_a_map_is_taken_up_with_its_record_and_not_before(published, tmp_path):
    """Publish writes the pointer first: what was read then would be the new files with what is told of the old ones."""
    copied(published, tmp_path)
    shown = Shown(str(tmp_path), None, None, ExitStack())
    before = shown.runs[0].run.key
    pointer = json.loads((tmp_path / "map.json").read_text())
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "map.json").write_text(json.dumps({**pointer, "key": "newer"}))
    shown.refresh()
    assert shown.runs[0].run.key == before
    record["products"]["key"] = "newer"
    (tmp_path / "run.json").write_text(json.dumps(record))
    shown.refresh()
    assert shown.runs[0].run.key == "newer"


def test_a_folder_without_a_configuration_cannot_be_followed(published, tmp_path):
    copied(published, tmp_path)
    asked = TestClient(app_of(Shown(str(tmp_path), None, None, ExitStack())), base_url="http://localhost")
    told = asked.get("/page.json").json()
    assert told["live"] is False
    assert [layer["kind"] for layer in told["runs"][0]["layers"]] == ["map"] * 5  # no scene stores, no imagery
    assert asked.get("/live/states.json").status_code == 404
