"""What the STAC catalogue is told: outlines on the sphere, and files where they can be found."""

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from cluster.engine import SerialEngine
from jobs.catalog import catalog_facts, outline
from jobs.config import RunConfig
from jobs.mosaic import planned_map
from jobs.parsing import load
from jobs.plan import plan_run
from tests.jobs.published_maps import rasters_of_map
from tests.jobs.worlds import ORIGIN, UTM52, answering, image, make, moved, small_cells, world
from tiler.grids import PixelGrid
from tiler.map_store import MapStore


@pytest.mark.parametrize("crs", [UTM52, "EPSG:5179"])
def test_an_outline_is_the_grids_border_counter_clockwise(crs):
    grid = PixelGrid(crs, tuple(ORIGIN)[:6], 3000, 5000)
    geometry, bbox = outline(grid)
    polygon = shapely.from_geojson(__import__("json").dumps(geometry))
    assert polygon.is_valid
    assert shapely.is_ccw(polygon.exterior)
    assert np.allclose(polygon.bounds, bbox, atol=1e-6)
    assert geometry["coordinates"][0][0] == geometry["coordinates"][0][-1]
    back = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = back.transform(*np.array(geometry["coordinates"][0]).T)
    rows, cols = grid.rowcol(x, y)
    on_border = (
        np.isclose(rows, 0, atol=0.01)
        | np.isclose(rows, 3000, atol=0.01)
        | np.isclose(cols, 0, atol=0.01)
        | np.isclose(cols, 5000, atol=0.01)
    )
    assert on_border.all()
    assert len(rows) > 40
    assert np.ptp(rows) == pytest.approx(3000, abs=0.02)


def test_an_outline_across_180_degrees_is_two_polygons():
    fiji = PixelGrid("EPSG:3832", (1000.0, 0.0, 3_200_000.0, 0.0, -1000.0, -1_500_000.0), 300, 400)
    geometry, (west, south, east, north) = outline(fiji)
    assert geometry["type"] == "MultiPolygon"
    assert -180 < east < -177 < 178 < west < 180
    assert -17 < south < north < -13
    parts = [shapely.Polygon(part[0]) for part in geometry["coordinates"]]
    assert sorted(round(abs(x)) for part in parts for x in part.bounds[::2])[-2:] == [180, 180]
    near = PixelGrid("EPSG:3832", (1000.0, 0.0, 3_200_000.0 - 2_000_000, 0.0, -1000.0, -1_500_000.0), 300, 400)
    one, (left, _, right, _) = outline(near)
    assert one["type"] == "Polygon"
    assert sum(shapely.area(part) for part in parts) == pytest.approx(shapely.Polygon(one["coordinates"][0]).area)
    assert (west + east + 360) / 2 - (left + right) / 2 == pytest.approx(2_000_000 / 111_319.49, rel=1e-6)


def test_facts_of_a_run(tmp_path):
    here = world(tmp_path, models=2)
    here.scene("b", image(70, 90), "2024-05-06")
    here.scene("a", image(64, 80, 1), "2023-01-02", transform=moved(5, 50))
    here.scene("c", image(64, 80, 1), transform=moved(9, 9))
    with answering(), small_cells():
        make(here, SerialEngine(1))
        run = plan_run(load(RunConfig, here.config, ["fuse.threshold=0.6"]))
        plans, plan = planned_map(run)
        rasters = rasters_of_map(MapStore(run.url("mosaic", plan.name)), here.out / "map", 0.6)
    files = {name: file.facts() for name, file in rasters.products.items()}
    facts = catalog_facts(run, plans, plan, files, rasters.statistics, "now", "before")
    assert facts.run_id == "out"
    assert [facts.start.date().isoformat(), facts.end.date().isoformat()] == ["2023-01-02", "2024-05-06"]
    assert facts.shape == (plan.extent.height, plan.extent.width)
    assert facts.transform == plan.grid.grid_of(plan.extent).transform
    assert (facts.epsg, facts.resolution_m) == (32652, 10)
    assert set(facts.assets) == set(files)
    assert [c.name for c in facts.assets["class"].classes] == ["background", "industrial"]
    assert facts.assets["probability"].classes == []
    (band,) = facts.assets["probability"].bands
    assert band.name == "probability"
    with rasterio.open(here.out / "map" / "probability.tif") as data:
        tags = data.tags(1)
    assert band.statistics == {name: float(tags[f"STATISTICS_{name.upper()}"]) for name in band.statistics}
    assert 0 < band.statistics["mean"] < 1
    assert {s.id: s.datetime and s.datetime.year for s in facts.scenes} == {"a": 2023, "b": 2024, "c": None}
    assert {m.classes for m in facts.models} == {("background", "industrial")}
    assert [m.outputs for m in facts.models] == [1, 1]
    assert [m.digest for m in facts.models] == [card.digest() for card in run.cards]
    for number, model in enumerate(facts.models):
        assert model.href == str((tmp_path / f"net{number}" / "weights.safetensors").resolve())
    assert {href for scene in facts.scenes for href in scene.hrefs} == {str(p) for p in (tmp_path / "scenes").iterdir()}
    assert facts.properties == {"sandan:map": plan.name, "sandan:threshold": 0.6}
    assert (facts.version, facts.predecessor) == ("now", "../before/map.json")


def test_on_degrees_there_is_no_resolution_in_metres(tmp_path):
    here = world(tmp_path, grid={"crs": "EPSG:4326", "resolution_deg": 0.0002})
    here.scene("only", image(64, 90))
    with answering(), small_cells():
        make(here, SerialEngine(1))
        run = plan_run(load(RunConfig, here.config))
        plans, plan = planned_map(run)
    facts = catalog_facts(run, plans, plan, {}, {}, "now")
    assert (facts.epsg, facts.resolution_m, facts.start) == (4326, None, None)
