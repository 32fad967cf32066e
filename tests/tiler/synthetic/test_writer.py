"""Files: what is drawn is what is written, block by block, and other programs can read it."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import rasterio
import shapely

from tests.tiler.synthetic import worlds
from tests.tiler.synthetic.worlds import CLEAR, country, estate, grid_at
from tiler.sensors import SENSORS
from tiler.synthetic import writer
from tiler.synthetic.canvas import transformer
from tiler.synthetic.country import WORLD_CRS
from tiler.synthetic.render import render


@pytest.mark.parametrize("floating", [False, True])
def test_files_hold_the_whole_scene_whatever_the_blocks(tmp_path, monkeypatch, floating):
    monkeypatch.setattr(writer, "BLOCK_PX", 64)
    grid = grid_at(estate(), 100, 150)
    how = replace(CLEAR, missing=0.2, clouds=0.2)
    told = []
    files = writer.write_scene(country(), grid, how, tmp_path, "a-20240501", floating=floating, on_block=told.append)
    drawn = render(country(), grid, how, grid.box, floating=floating)
    assert sum(told) == 100 * 150
    with rasterio.open(files.image) as data:
        np.testing.assert_array_equal(data.read(), drawn.image)
        assert data.descriptions == SENSORS["SN10"].bands
        assert data.profile["tiled"]
        assert data.compression.name == "deflate"
        assert np.isnan(data.nodata) if floating else data.nodata == 0
        assert data.crs.to_epsg() == 32652
        assert data.transform == grid.affine
    for name in writer.LAYERS:
        with rasterio.open(files.layers[name]) as data:
            np.testing.assert_array_equal(data.read(1), getattr(drawn, name))
    assert not list(tmp_path.rglob("*part*"))


def test_a_broken_write_leaves_no_file(tmp_path):
    def stop(pixels):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write_scene(country(), grid_at(estate(), 30, 40), CLEAR, tmp_path, "a", on_block=stop)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_grid_of_other_pixels_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"10 m.*20"):
        writer.write_scene(country(), grid_at(estate(), 30, 40, side_m=20.0), CLEAR, tmp_path, "a")


def test_a_place_outside_the_plane_is_refused():
    grid = writer.grid_over((-70.0, -30.0, -69.99, -29.99), "SN10", "EPSG:32652")
    with pytest.raises(ValueError, match="East Asia"):
        render(country(), grid, CLEAR, grid.box)


def test_estates_are_listed_with_what_they_are(tmp_path):
    site = estate()
    lon, lat = transformer(WORLD_CRS, "EPSG:4326").transform(site.x_m, site.y_m)
    path = tmp_path / "e.geojson"
    count = writer.write_estates(country(), (lon - 0.03, lat - 0.02, lon + 0.03, lat + 0.02), path)
    features = json.loads(path.read_text())["features"]
    assert len(features) == count >= 1
    mine = next(f for f in features if f["properties"]["id"] == site.name)
    assert mine["properties"] | {"area_km2": 0} == {
        "id": site.name, "kind": "estate", "subtype": site.subtype, "active": True, "area_km2": 0
    }  # fmt: skip
    shape = shapely.geometry.shape(mine["geometry"])
    assert shape.is_valid
    assert shape.distance(shapely.Point(lon, lat)) < 0.01


def test_coarse_air_over_a_scene(tmp_path):
    writer.write_air(country(), grid_at(estate(), 300, 410), date(2024, 5, 1), "AIR", tmp_path / "air.tif")
    with rasterio.open(tmp_path / "air.tif") as data:
        assert (data.count, data.height, data.width) == (6, 4, 6)
        assert data.descriptions[3] == "NO2"
        assert data.dtypes[0] == "float32"


def test_zones():
    assert writer.utm_crs(126.5) == "EPSG:32652"
    assert writer.utm_crs(119.99) == "EPSG:32650"
    assert worlds.grid_at(estate(), 3, 5).height == 3
