"""Statistics of a published map by region: as a whole raster gives them, and clear errors before anything runs."""

import csv
import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import rasterio
import shapely

from jobs import map as map_job
from jobs.config import RunConfig
from jobs.estimate import statistics_memory
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.product import inputs_of
from jobs.publish import main
from tests.jobs.published_maps import publish_made
from tests.jobs.worlds import World, answering, files_below, image, moved, small_cells, world
from tiler.coverage import shares_of
from tiler.grids import CELL_PX, Box, MapGrid
from tiler.pixel_areas import pixel_areas

OUTPUTS = ["statistics"]
EAST_PX = 70.25


def write_regions(here: World, shapes: dict[str, shapely.Geometry], crs: str = "EPSG:5179") -> dict:
    """Write polygons of the map's CRS; return what a run says of them."""
    change = pyproj.Transformer.from_crs("EPSG:5179", crs, always_xy=True)
    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": shapely.geometry.mapping(shapely.transform(shape, change.transform, interleaved=False)),
        }
        for name, shape in shapes.items()
    ]
    told = {"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": crs}}, "features": features}
    path = here.folder / "regions.geojson"
    path.write_text(json.dumps(told))
    return {"file": str(path), "name": "name"}


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> World:
    """A map of two scenes of two dates with a hole, of several cells, published with its rasters alone."""
    here = world(tmp_path_factory.mktemp("regions"), grid={"crs": "EPSG:5179", "resolution_m": 10}, outputs=["cog"])
    array = image(140, 190)
    array[:, 60:90, 30:80] = 0
    here.scene("b-20240102", array)
    here.scene("a-20230506", image(70, 90, 2), transform=moved(-40, -50))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
    return here


def extent_of(here: World) -> tuple[np.ndarray, rasterio.Affine]:
    with rasterio.open(next((here.out / "maps").glob("*/class.tif"))) as data:
        return data.read(1), data.transform


def published(here: World, shapes: dict[str, shapely.Geometry], crs: str = "EPSG:5179") -> tuple[list[dict], dict]:
    """Publish statistics; return rows and facts."""
    regions = write_regions(here, shapes, crs)
    with small_cells():
        assert main(here.command("outputs=[statistics]", f"regions={json.dumps(regions)}")) == 0
    with (here.out / "map" / "statistics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((here.out / "map" / "statistics.json").read_text())


def in_map(here: World, x0: float, y0: float, x1: float, y1: float) -> shapely.Geometry:
    """Return a rectangle given by pixels of the published raster."""
    _, transform = extent_of(here)
    (left, top), (right, bottom) = transform @ (x0, y0), transform @ (x1, y1)
    return shapely.box(left, bottom, right, top)


def expected(here: World, shape: shapely.Geometry) -> list[float]:
    """Return the areas of background, industrial and unseen, of the whole raster at once."""
    values, transform = extent_of(here)
    grid = MapGrid("EPSG:5179", (10.0, 10.0))
    y0, x0 = -round(transform.f / 10), round(transform.c / 10)
    pixels = shapely.transform(shape, lambda p: np.stack([p[:, 0] / 10, -p[:, 1] / 10], axis=1))
    areas = pixel_areas(grid, Box(y0, x0, y0 + values.shape[0], x0 + values.shape[1]))
    weights = shares_of(pixels, y0, x0, *values.shape) * areas
    return [float(weights[values == value].sum()) for value in (0, 1, 255)]


def test_areas_and_shares_are_those_of_the_whole_raster(mapped):
    height, width = extent_of(mapped)[0].shape
    shapes = {
        "서구": in_map(mapped, -30, -5, EAST_PX, height + 9),
        "east": in_map(mapped, EAST_PX, -5, width + 9, height + 9),
        "away": in_map(mapped, width + 50_000, 0, width + 50_010, 10),
    }
    rows, facts = published(mapped, shapes)
    assert [row["region"] for row in rows] == ["서구", "east", "away"]
    for row, shape in zip(rows[:2], list(shapes.values())[:2], strict=True):
        background, industrial, _ = expected(mapped, shape)
        seen = background + industrial
        assert float(row["background_m2"]) == pytest.approx(background, rel=1e-9)
        assert float(row["industrial_m2"]) == pytest.approx(industrial, rel=1e-9)
        assert float(row["industrial_share"]) == pytest.approx(industrial / seen, rel=1e-9)
        assert float(row["mapped_m2"]) == pytest.approx(seen, rel=1e-9)
        assert float(row["mapped_share"]) == pytest.approx(seen / float(row["region_m2"]), rel=1e-9)
        assert 0 < float(row["mapped_share"]) < 1
        assert -180 < float(row["west"]) < float(row["east"]) < 180
    away = rows[2]
    assert (float(away["mapped_m2"]), away["industrial_share"], facts["away_from_the_map"]) == (0, "", ["away"])
    assert float(away["region_m2"]) == pytest.approx(1e4, rel=0.02)
    for name in ("background_m2", "industrial_m2"):
        total = sum(float(row[name]) for row in rows)
        assert total == pytest.approx(facts["whole"][name], rel=1e-9)
    assert sum(facts["outside"].values()) == pytest.approx(0, abs=1e-3)
    assert (facts["repaired"], facts["overlaps"]) == ([], [])
    table = pq.read_table(mapped.out / "map" / "statistics.parquet")
    assert table.column("industrial_m2").to_pylist() == [float(row["industrial_m2"]) for row in rows]
    geo = json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"]
    assert pyproj.CRS.from_json_dict(geo["crs"]).to_epsg() == 5179
    assert shapely.from_wkb(table.column("geometry")[1].as_py()).equals(shapes["east"])


def test_odd_regions_are_repaired_counted_and_named(mapped):
    tie = in_map(mapped, 20, 20, 60, 50)
    left, bottom, right, top = tie.bounds
    bow = shapely.Polygon([(left, bottom), (right, top), (right, bottom), (left, top)])
    rows, facts = published(mapped, {"bow": bow, "a": in_map(mapped, 10, 10, 50, 40)}, "EPSG:32652")
    assert facts["repaired"] == ["bow"]
    assert [row["repaired"] for row in rows] == ["True", "False"]
    assert facts["overlaps"][0]["regions"] == ["bow", "a"]
    assert facts["twice"]["background_m2"] + facts["twice"]["industrial_m2"] + facts["twice"]["unseen_m2"] > 1e4
    for name in ("background_m2", "industrial_m2", "unseen_m2"):
        covered = facts["whole"][name] - facts["outside"][name] + facts["twice"][name]
        assert facts["in_regions"][name] == pytest.approx(covered, rel=1e-9, abs=1e-6)


def test_other_regions_are_published_anew_and_the_same_are_not(mapped):
    published(mapped, {"a": in_map(mapped, 10, 10, 50, 40)})
    before, first = files_below(mapped.out), json.loads((mapped.out / "map.json").read_text())
    _, facts = published(mapped, {"a": in_map(mapped, 10, 10, 50, 40)})
    assert files_below(mapped.out) == before
    _, other = published(mapped, {"a": in_map(mapped, 10, 10, 50, 41)})
    now = json.loads((mapped.out / "map.json").read_text())
    assert now["key"] != first["key"]
    for told in (first, now):
        assert {"statistics", "statistics_parquet", "statistics_facts"} <= told["files"].keys()
    assert other["sha256"] != facts["sha256"]


def test_a_product_knows_that_its_regions_changed(mapped):
    told = []
    for side in (40, 41):
        regions = write_regions(mapped, {"a": in_map(mapped, 10, 10, 50, side)})
        changes = [f"regions={json.dumps(regions)}", "outputs=[cog, statistics]"]
        told.append(inputs_of(plan_run(load(RunConfig, mapped.config, changes))).settings)
        plain = inputs_of(plan_run(load(RunConfig, mapped.config, [changes[0]]))).settings
    assert {word for word in told[0] if told[0][word] != told[1][word]} == {"regions"}
    assert "regions" not in plain


@pytest.mark.parametrize(
    ("shapes", "change", "says"),
    [
        (None, "outputs=[statistics]", "set `regions`"),
        ({"a": (0, 0, 9, 9)}, "regions.name=code", "no field 'code'"),
        ({"a": (900_000, 0, 900_009, 9)}, "outputs=[statistics]", "lies near the map"),
        ({}, "outputs=[statistics]", "regions.geojson"),
        ({"a": (0, 0, 9, 9)}, "regions.file=nowhere.gpkg", "nowhere.gpkg does not exist"),
    ],
)
def test_bad_regions_are_refused_before_anything_runs(mapped, capsys, shapes, change, says):
    changes = ["outputs=[statistics]"]
    if shapes is not None:
        regions = write_regions(mapped, {name: in_map(mapped, *box) for name, box in shapes.items()})
        changes.append(f"regions={json.dumps(regions)}")
    before = files_below(mapped.out)
    for job in (main, map_job.main):
        assert job(mapped.command(*changes, change)) == 2
        told = capsys.readouterr().err
        assert says in told
        assert told.count("\n") == 1
    assert files_below(mapped.out) == before


PEAK = """
import os, sys
import shapely
from cluster.heap import keep_memory
keep_memory()
from jobs.products import class_layer
from jobs.stages import peak_memory_bytes, prepare_worker
from tiler.map_store import MapStore
from tiler.region_sums import region_sums
from tiler.regions import Regions
prepare_worker()
store, x = MapStore(sys.argv[1]), MapStore(sys.argv[1]).extent
shapes = [shapely.box(x.x0 + 900 * k, x.y0, x.x0 + 900 * k + 950, x.y1 - 3) for k in range(7)]
regions = Regions(tuple("abcdefg"), tuple(shapely.to_wkb(shapes)), tuple(range(7)))
region_sums(lambda box: class_layer(store, box, 0.5), 2, store.grid, store.extent, regions, int(sys.argv[2]))
print(peak_memory_bytes())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "cores"), [(1, 1), (1, 2), (3, 2), (1, 4)])
def test_memory_is_as_expected_within_a_quarter(classes, cores, tmp_path):
    grid, names = MapGrid("EPSG:5179", (10.0, 10.0)), tuple(f"c{n}" for n in range(classes))
    extent = Box(50 * CELL_PX + 37, 60 * CELL_PX + 11, 52 * CELL_PX - 100, 63 * CELL_PX)
    logits = np.random.default_rng(0).normal(0, 3, (classes, extent.height, extent.width)).astype(np.float32)
    publish_made(tmp_path, logits, grid, extent, names)
    url = str(next((tmp_path / "mosaic").iterdir()))
    words = [sys.executable, "-c", PEAK, url, str(cores)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
    assert int(done.stdout) == pytest.approx(statistics_memory(CELL_PX, classes, cores), rel=0.25)
