"""The server: what it answers, and what it refuses."""

import io
import shutil
from contextlib import ExitStack

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from starlette.testclient import TestClient

from jobs.map_page.pictures import png_of, tile_picture
from jobs.map_page.place import pixel_of
from jobs.map_page.published_run import open_published
from jobs.map_page.server import app_of
from jobs.map_page.shown import Shown
from tiler.grids import PixelGrid


@pytest.fixture(scope="module")
def asked(published, other) -> TestClient:
    page = Shown(str(published.out), str(other.out), "A & B", ExitStack())
    return TestClient(app_of(page), base_url="http://localhost:8000")


def test_the_page_names_its_layers_and_both_runs(asked, shown):
    told = asked.get("/page.json").json()
    assert [run["key"] for run in told["runs"]] == ["a", "b"]
    names = [layer["id"] for layer in told["runs"][0]["layers"]]
    assert names == ["probability", "class", "spread", "count", "latest", "imagery-colour", "imagery-nir"]
    assert told["bounds"] == shown.bounds.to_json()
    assert told["attribution"] == "A & B"
    assert told["live"] is True
    assert told["similar"] is False


def test_a_tile_is_the_picture_of_its_layer(asked, shown):
    layer = shown.by_id["probability"]
    at = next(one for one in layer.bounds.tiles(14) if tile_picture(layer, 14, *one) is not None)
    answer = asked.get(f"/tiles/a/probability/14/{at[0]}/{at[1]}.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == png_of(tile_picture(layer, 14, *at))
    empty = asked.get("/tiles/a/probability/14/0/0.png")
    assert np.asarray(Image.open(io.BytesIO(empty.content)).convert("RGBA")).max() == 0


@pytest.mark.parametrize(
    "address",
    [
        "/tiles/a/nothing/3/1/1.png",
        "/tiles/c/probability/3/1/1.png",
        "/tiles/a/probability/99/1/1.png",
        "/tiles/a/probability/3/8/1.png",
        "/tiles/a/..%2f..%2frun.json/3/1/1.png",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/run.json",
        "/docs",
        "/openapi.json",
        "/regions.json",
        "/sites/3/4.json",
        "/rasters/a/imagery-colour/info",
        "/rasters/a/%2fetc%2fpasswd/info",
        "/rasters/a/probability/statistics",
        "/rasters/a/probability/preview.png",
    ],
)
def test_what_is_in_no_table_is_not_there(asked, address):
    assert asked.get(address).status_code == 404


@pytest.mark.parametrize(
    "query",
    ["lon=200&lat=1", "lon=1", "lat=1&lon=nan", "lon=x&lat=1", "lon=127&lat=37&top=0", "lon=127&lat=37&top=9999"],
)
def test_places_that_cannot_be_are_refused(asked, query):
    assert asked.get(f"/similar?{query}").status_code == 422
    if "top" not in query:
        assert asked.get(f"/place?{query}").status_code == 422


def test_only_this_machine_is_answered_and_nothing_is_taken(asked):
    assert asked.get("/", headers={"host": "evil.example"}).status_code == 400
    assert asked.get("/", headers={"host": "127.0.0.1:8000"}).status_code == 200
    assert asked.post("/page.json").status_code == 405
    assert asked.delete("/static/page.js").status_code == 405
    answer = asked.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers


def test_a_place_has_the_values_of_the_rasters_and_what_made_them(asked, published):
    with rasterio.open(published.out / "map" / "probability.tif") as data:
        values = data.read(1)
        grid = PixelGrid(data.crs.to_wkt(), tuple(data.transform)[:6], data.height, data.width)
    with rasterio.open(published.out / "map" / "count.tif") as data:
        row, col = (int(one[0]) for one in np.nonzero(data.read(1) == 2))
    import pyproj

    x, y = grid.xy(np.array(row + 0.5), np.array(col + 0.5))
    lon, lat = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(float(x), float(y))
    assert pixel_of(grid, lon, lat) == (row, col)
    first, second = asked.get("/place", params={"lon": lon, "lat": lat}).json()["runs"]
    found = {one["layer"]: one["value"] for one in first["values"]}
    assert found["probability"] == pytest.approx(values[row, col].item())
    assert found["count"] == 2
    assert {scene["id"] for scene in first["scenes"]} == {"a", "b"}
    assert [model["name"] for model in first["models"]] == ["net0"]
    assert first["made"]["files"] != second["made"]["files"]
    assert first["pixel"]["cell"].startswith("r")


def test_of_a_swept_run_the_scenes_around_a_place_are_named(published, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(published.out, out, symlinks=True, ignore=shutil.ignore_patterns("ingest"))
    run = open_published(str(out), ExitStack())
    rings = {one["id"]: shapely.Polygon(one["outline"]) for one in run.record["scenes"]}
    page = TestClient(app_of(Shown(str(out), None, None, ExitStack())), base_url="http://localhost")
    for wanted, where in (({"b"}, rings["b"] - rings["a"]), ({"a", "b"}, rings["a"] & rings["b"])):
        at = where.representative_point()
        (told,) = page.get("/place", params={"lon": at.x, "lat": at.y}).json()["runs"]
        assert {one["id"] for one in told["scenes"]} == wanted
        assert not any(one["known"] for one in told["scenes"])


def test_outside_of_the_map_is_said(asked):
    (run, _) = asked.get("/place?lon=10&lat=10").json()["runs"]
    assert run["inside"] is False
    assert {one["told"] for one in run["values"]} == {"no data"}


def test_similar_places_want_embeddings(asked):
    answer = asked.get("/similar?lon=127.05&lat=37.74")
    assert answer.status_code == 404


@pytest.mark.filterwarnings("ignore:Use `@`:PendingDeprecationWarning")  # rasterio with affine 3
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # rio-tiler: NaN as fill value
def test_other_programs_get_values_and_colours_of_their_own(asked, shown):
    layer = shown.by_id["probability"]
    x, y = next(one for one in layer.bounds.tiles(14) if tile_picture(layer, 14, *one) is not None)
    tile = asked.get(f"/rasters/a/probability/tiles/WebMercatorQuad/14/{x}/{y}.png?rescale=0,1&colormap_name=viridis")
    assert tile.headers["content-type"] == "image/png"
    assert asked.get("/rasters/b/class/WebMercatorQuad/tilejson.json").json()["tiles"][0].startswith("http://localhost")
    lon, lat = (layer.bounds.west + layer.bounds.east) / 2, (layer.bounds.south + layer.bounds.north) / 2
    point = asked.get(f"/rasters/a/count/point/{lon},{lat}?url=/etc/passwd").json()
    own = {one["layer"]: one["value"] for one in asked.get(f"/place?lon={lon}&lat={lat}").json()["runs"][0]["values"]}
    assert point["values"][0] == own["count"]
    huge = f"/rasters/a/class/tiles/WebMercatorQuad/14/{x}/{y}.png?tilesize=50000"
    assert asked.get(huge).status_code == 400
    assert asked.get(f"/rasters/a/class/tiles/WebMercatorQuad/14/{x}/{y}.png?rescale=x").status_code == 422
