"""Polygons of a map: files that others open, with one row for each site of the class raster."""

import json
from datetime import date

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pystac
import pytest
import rasterio
import shapely
from rasterio.features import rasterize, shapes

from jobs import map as map_job
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.polygons import write_map_polygons
from jobs.polygons_config import PolygonsConfig
from jobs.products import class_layer, probability_layer
from jobs.publish import main
from tests.jobs.test_products import EXTENT, GRID, filled
from tests.jobs.worlds import UTM52, answering, files_below, image, moved, small_cells, world
from tiler.map_store import MapStore
from tiler.regions import Regions


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> MapStore:
    """Two waves of one class, over several cells, some of it unseen."""
    y, x = np.mgrid[0 : EXTENT.height, 0 : EXTENT.width]
    logit = (3 * np.sin(y / 41 + x / 97) * np.cos(x / 53) - 1).astype(np.float32)
    logit[300:340, 100:500] = np.nan
    return filled(tmp_path_factory.mktemp("polygons"), logit)


def halves() -> Regions:
    """Two regions, and ground that is of neither."""
    middle = (EXTENT.x0 + EXTENT.x1) // 2
    west = shapely.box(EXTENT.x0, EXTENT.y0, middle, EXTENT.y1 - 200)
    east = shapely.box(middle, EXTENT.y0, EXTENT.x1, EXTENT.y1 - 200)
    return Regions(("west", "east"), (shapely.to_wkb(west), shapely.to_wkb(east)), (0, 1))


def test_every_format_holds_the_sites_of_the_class_raster(store, tmp_path):
    config = PolygonsConfig(connectivity=8, formats=("geoparquet", "flatgeobuf", "pmtiles"))
    with small_cells():
        files = write_map_polygons(store, tmp_path, config, 0.5, halves())
    assert {p.name for p in tmp_path.iterdir()} == {"polygons.parquet", "polygons.fgb", "polygons.pmtiles"}
    kind, probability = class_layer(store, EXTENT, 0.5), probability_layer(store, EXTENT, 0.5)
    place = store.grid.grid_of(EXTENT).affine
    whole = [shapely.geometry.shape(s) for s, _ in shapes(kind, mask=kind == 1, connectivity=8, transform=place)]

    table = pq.read_table(files["geoparquet"])
    found = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    assert len(found) == len(whole) > 5
    assert sorted(np.round(shapely.area(found), 3)) == sorted(np.round(shapely.area(whole), 3))
    assert table["id"].to_pylist() == list(range(1, len(found) + 1))
    inside = rasterize(
        zip(found, table["id"].to_pylist(), strict=True), out_shape=kind.shape, transform=place, dtype="int32"
    )
    regions = halves().at(EXTENT)
    for row in table.to_pylist():
        here = inside == row["id"]
        assert row["pixels"] == here.sum()
        assert row["probability"] == pytest.approx(probability[here].mean(), abs=1e-6)
        assert row["spread"] == pytest.approx(store.read("spread", EXTENT)[0][here].mean(), abs=1e-6)
        assert (row["observations"], row["observations_min"]) == (3, 3)
        assert row["last_seen_from"] == row["last_seen_to"] == date(1970, 1, 6)
        assert (row["class"], row["class_value"]) == ("industrial", 1)
        counts = np.bincount(regions[here] + 1, minlength=3)[1:]
        assert row["region"] == (("west", "east")[counts.argmax()] if counts.any() else None)
        assert row["area_m2"] == pytest.approx(here.sum() * 120, rel=0.01)
        assert list(row["bbox"].values()) == list(found[row["id"] - 1].bounds)

    geo = json.loads(pq.read_metadata(files["geoparquet"]).metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert (geo["version"], column["encoding"], column["geometry_types"]) == ("1.1.0", "WKB", ["MultiPolygon"])
    assert pyproj.CRS.from_json_dict(column["crs"]) == pyproj.CRS.from_user_input(GRID.crs)
    assert column["bbox"] == list(shapely.total_bounds(found))
    assert column["covering"]["bbox"]["ymax"] == ["bbox", "ymax"]

    meta, _, blobs, columns = pyogrio.raw.read(files["flatgeobuf"])
    assert meta["crs"] == "EPSG:32652"
    ids = columns[list(meta["fields"]).index("id")]
    assert shapely.equals(shapely.from_wkb(blobs), found[ids - 1]).all()
    assert set(meta["fields"]) == set(table.column_names) - {"geometry", "bbox"}
    near = pyogrio.raw.read(files["flatgeobuf"], bbox=found[3].bounds)[2]
    assert 0 < len(near) < len(found)  # it has a spatial index
    assert pyogrio.read_info(files["pmtiles"])["crs"] == "EPSG:3857"


def test_several_classes_have_their_own_probability_and_spread(tmp_path):
    random = np.random.default_rng(3)
    coarse = random.normal(0, 3, (3, -(-EXTENT.height // 64), -(-EXTENT.width // 64))).astype(np.float32)
    logit = np.kron(coarse, np.ones((1, 64, 64), np.float32))[:, : EXTENT.height, : EXTENT.width]
    classes = ("background", "industrial", "port")
    store = filled(tmp_path, logit, classes=classes)
    (tmp_path / "out").mkdir()
    with small_cells():
        files = write_map_polygons(store, tmp_path / "out", PolygonsConfig(connectivity=4), 0.5)
    table = pq.read_table(files["geoparquet"])
    assert set(table["class"].to_pylist()) == {"industrial", "port"}
    assert "region" not in table.column_names
    probability, kind = probability_layer(store, EXTENT, 0.5), class_layer(store, EXTENT, 0.5)
    found = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    assert set(shapely.get_type_id(found)) == {shapely.GeometryType.POLYGON}
    place = store.grid.grid_of(EXTENT).affine
    for row, shape in zip(table.to_pylist(), found, strict=True):
        here = rasterize([shape], out_shape=kind.shape, transform=place, dtype="uint8") > 0
        value = row["class_value"]
        assert (kind[here] == value).all()
        assert row["probability"] == pytest.approx(probability[value][here].mean(), abs=1e-5)
        assert row["spread"] == pytest.approx(np.abs(logit[value][here]).mean(), abs=1e-4)


def test_a_map_without_sites_has_empty_files(tmp_path):
    store = filled(tmp_path, np.full((EXTENT.height, EXTENT.width), -3, np.float32))
    (tmp_path / "out" / ".polygons.of-a-killed-process").mkdir(parents=True)
    config = PolygonsConfig(formats=("geoparquet", "flatgeobuf", "pmtiles"))
    with small_cells():
        files = write_map_polygons(store, tmp_path / "out", config, 0.5)
    assert set(files) == {"geoparquet", "flatgeobuf"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"polygons.parquet", "polygons.fgb"}
    assert len(pq.read_table(files["geoparquet"])) == 0
    assert len(pyogrio.raw.read(files["flatgeobuf"])[2]) == 0


def test_publish_writes_lists_and_replaces_them(tmp_path, capsys):
    ground = shapely.to_geojson(shapely.box(120, 30, 127.0435, 45))
    (tmp_path / "r.geojson").write_text(
        f'{{"type": "Feature", "properties": {{"name": "west"}}, "geometry": {ground}}}'
    )
    here = world(
        tmp_path, outputs=["cog", "stac", "polygons"], regions={"file": str(tmp_path / "r.geojson"), "name": "name"}
    )
    here.scene("a-20230506", image(150, 190))
    here.scene("b", image(64, 256, 2), transform=moved(20, 60))
    with answering():
        assert map_job.main(here.command()) == 0
    folder = here.out / "map"
    files = json.loads((here.out / "map.json").read_text())["files"]
    for name in ("polygons", "polygons_flatgeobuf"):
        assert (folder / files[name]["href"]).stat().st_size == files[name]["size_bytes"]
    items = pystac.Catalog.from_file(str(folder / "catalog.json")).get_items(recursive=True)
    assert any("polygons_flatgeobuf" in item.assets for item in items)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    table = pq.read_table(folder / "polygons.parquet")
    with rasterio.open(folder / "class.tif") as raster:
        kind, place = raster.read(1), raster.transform
        assert raster.crs.to_string() == UTM52
    whole = list(shapes(kind, mask=kind == 1, connectivity=8, transform=place))
    assert len(table) == len(whole) > 3
    assert sum(table["pixels"].to_pylist()) == (kind == 1).sum()
    assert date(2023, 5, 6) in table["last_seen_to"].to_pylist()
    assert set(table["region"].to_pylist()) == {"west", None}

    before = files_below(here.out)
    assert main(here.command()) == 0
    assert files_below(here.out) == before
    assert main(here.command("polygons.min_area_m2=2000", "polygons.simplify_px=1")) == 0
    assert len(pq.read_table(folder / "polygons.parquet")) < len(table)
    with rasterio.open(folder / "class.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), kind)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("polygons.connectivity=6", "connectivity"),
        ("polygons.min_area=5", "min_area_m2"),
        ("polygons.formats=[shapefile]", "formats"),
        ("polygons.simplify_px=-1", "simplify_px"),
    ],
)
def test_bad_settings_are_told_before_anything_runs(change, told, tmp_path):
    here = world(tmp_path, outputs=["polygons"])
    here.scene("only", image(60, 80))
    with pytest.raises(ValueError, match=told):
        load(RunConfig, here.config, [change])
    assert not here.out.exists()


def test_pmtiles_need_a_gdal_that_writes_them(monkeypatch):
    monkeypatch.setattr("pyogrio.list_drivers", lambda: {"FlatGeobuf": "rw"})
    with pytest.raises(ValueError, match="writes no pmtiles"):
        PolygonsConfig(formats=("pmtiles",))
    PolygonsConfig(formats=("flatgeobuf",))
