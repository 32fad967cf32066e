"""Labels: class codes on a scene's own pixels, found by geography; what nobody labelled is 255."""

import numpy as np
import pyproj
import pytest
import rasterio
from numpy.testing import assert_array_equal

from tests.real_data import needs, real
from tests.tiler.rasters_for_tests import TRANSFORM, grid, moved, numbers, write_tif
from tiler.grids import Box, PixelGrid
from tiler.labels import IGNORE, LabelSpec, open_labels
from tiler.scenes import SceneSpec, open_scene
from tiler.sensors import SENSORS

CODES = {10: 1, 20: 2, 30: 0}


def labels(files, ignore=(), codes=None):
    return open_labels(LabelSpec(files=str(files), codes=CODES if codes is None else codes, ignore=ignore))


@needs("s2_aber_tiles")
def test_aberystwyth_labels_start_one_pixel_west_of_the_scene():
    folder = real("s2_aber_tiles")
    bands = {"red": 3, "green": 2, "blue": 1, "nir": 7}
    scene = open_scene(SceneSpec(id="aber", files=f"{folder}/tiles", bands=bands), SENSORS["SN10"])
    raster = f"{folder}/labels/sen2_20210527_aber_cls.tif"
    found = labels(raster, codes={3: 1}).read(scene.grid, scene.grid.box)
    with rasterio.open(raster, driver="GTiff") as data:
        codes, nodata = data.read(1), data.nodata
    assert codes.shape == (947, 931)
    expected = np.where(codes == 3, 1, 0)
    expected[codes == nodata] = IGNORE
    assert_array_equal(found, expected[:, 1:])
    assert (found != expected[:, :-1]).any(), "one pixel off would look nearly the same"


def test_codes_ignored_codes_and_nodata(tmp_path):
    codes = np.array([[10, 20, 30, 40, 90], [7, 8, 10, 0, 20]], "int8")
    spec = labels(write_tif(tmp_path / "l.tif", codes, nodata=7), ignore=(8, 90))
    assert_array_equal(spec.read(grid(2, 5), Box(0, 0, 2, 5)), [[1, 2, 0, 0, 255], [255, 255, 1, 0, 2]])


def test_outside_the_raster_nobody_labelled(tmp_path):
    codes = np.full((6, 9), 10, "uint8")
    spec = labels(write_tif(tmp_path / "l.tif", codes, transform=moved(3, 4)))
    found = spec.read(grid(20, 15), Box(1, 2, 18, 15))
    expected = np.full((17, 13), IGNORE)
    expected[2:8, 2:11] = 1
    assert_array_equal(found, expected)


def test_where_rasters_overlap_the_first_by_name_that_labels_wins(tmp_path):
    first = np.full((5, 8), 10, "uint8")
    first[1, 6:] = 99
    write_tif(tmp_path / "b.tif", np.full((5, 8), 20, "uint8"), transform=moved(0, 5))
    write_tif(tmp_path / "a.tif", first)
    expected = np.ones((5, 13), int)
    expected[:, 8:] = 2
    expected[1, 6:] = 2
    assert_array_equal(labels(tmp_path, ignore=(99,)).read(grid(5, 13), Box(0, 0, 5, 13)), expected)


def test_labels_of_another_crs_are_the_pixel_that_holds_the_centre(tmp_path):
    scene = grid(150, 230)
    x, y = pyproj.Transformer.from_crs(scene.crs, "EPSG:5179", always_xy=True).transform(
        *scene.xy(np.array(75.0), np.array(115.0))
    )
    raster = PixelGrid("EPSG:5179", (10.0, 0.0, x - 900.0, 0.0, -10.0, y + 1000.0), 170, 190)
    codes = np.random.default_rng(1).choice([10, 20, 30], (170, 190)).astype("uint8")
    spec = labels(write_tif(tmp_path / "l.tif", codes, crs="EPSG:5179", transform=raster.affine))
    box = Box(7, 5, 150, 226)
    found = spec.read(scene, box)

    rr, cc = np.mgrid[box.y0 : box.y1, box.x0 : box.x1] + 0.5
    there = pyproj.Transformer.from_crs(scene.crs, "EPSG:5179", always_xy=True).transform(*scene.xy(rr, cc))
    rows, cols = raster.rowcol(*there)
    inside = (rows >= 0) & (rows < 170) & (cols >= 0) & (cols < 190)
    expected = np.full(found.shape, IGNORE)
    expected[inside] = np.array([{10: 1, 20: 2, 30: 0}[c] for c in range(10, 31, 10)])[
        codes[rows[inside].astype(int), cols[inside].astype(int)] // 10 - 1
    ]
    sure = (np.abs(rows - np.round(rows)) > 0.02) & (np.abs(cols - np.round(cols)) > 0.02)
    assert_array_equal(found[sure], expected[sure])
    assert inside.any()
    assert not inside.all()


def test_near_keeps_what_may_overlap_and_nothing_of_another_country(tmp_path):
    for name, transform, crs in (
        ("here", moved(90, 100), "EPSG:32652"),
        ("touching", moved(0, 150), "EPSG:32652"),
        ("far", moved(5000, 0), "EPSG:32652"),
        ("zone 51", TRANSFORM, "EPSG:32651"),
    ):
        write_tif(tmp_path / f"{name}.tif", numbers(40, 60, high=3, dtype="uint8"), transform=transform, crs=crs)
    kept = labels(tmp_path).near(grid(100, 150))
    assert [h.path for h in kept.headers] == [f"{tmp_path}/here.tif"]
    assert_array_equal(
        kept.read(grid(100, 150), grid(100, 150).box), labels(tmp_path).read(grid(100, 150), Box(0, 0, 100, 150))
    )


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"labels: no file matches .*none\.tif.*check the path"):
        labels(tmp_path / "none.tif")
    write_tif(tmp_path / "l.tif", numbers(4, 5, dtype="uint8"))
    with pytest.raises(ValueError, match=r"class index 255 in `codes` is not in 0\.\.254; use `ignore`"):
        labels(tmp_path / "l.tif", codes={10: 255})
    write_tif(tmp_path / "n.tif", numbers(4, 5, dtype="uint8"), crs=None, transform=None)
    with pytest.raises(ValueError, match=r"n\.tif has no CRS and transform; labels must say where they lie"):
        labels(tmp_path)


def test_the_fingerprint_follows_files_and_codes(tmp_path):
    path = write_tif(tmp_path / "l.tif", numbers(4, 5, dtype="uint8"))
    prints = {labels(path).fingerprint, labels(path, codes={10: 2}).fingerprint, labels(path, ignore=(3,)).fingerprint}
    assert len(prints) == 3
    assert labels(path).fingerprint in prints
