"""Landsat's metadata: the place of a product, from the file that belongs to it."""

import os

import numpy as np

from tiler.landsat import METADATA_BYTES, landsat_metadata_grid

MTL = """GROUP = LANDSAT_METADATA_FILE
  GROUP = PROJECTION_ATTRIBUTES
    MAP_PROJECTION = "UTM"
    DATUM = "WGS84"
    UTM_ZONE = {zone}
    GRID_CELL_SIZE_PANCHROMATIC = 15.00
    GRID_CELL_SIZE_REFLECTIVE = 30.00
    PANCHROMATIC_LINES = 99
    REFLECTIVE_LINES = {lines}
    REFLECTIVE_SAMPLES = {samples}
    CORNER_UL_PROJECTION_X_PRODUCT = {x:.3f}
    CORNER_UL_PROJECTION_Y_PRODUCT = {y:.3f}
  END_GROUP = PROJECTION_ATTRIBUTES
END_GROUP = LANDSAT_METADATA_FILE
END
"""


def mtl(path, *, lines, samples, x=417_315.0, y=-2_514_285.0, zone=23):
    path.write_text(MTL.format(lines=lines, samples=samples, x=x, y=y, zone=zone))


def test_landsat_metadata_gives_corner_pixel_centres(tmp_path):
    mtl(tmp_path / "LC08_X_MTL.txt", lines=40, samples=51)
    grid = landsat_metadata_grid(f"{tmp_path}/LC08_X_SR_B4.TIF", 40, 51)
    assert grid is not None
    assert (grid.height, grid.width) == (40, 51)
    # The centre of the first pixel lies where the metadata says; the zone is northern also south of the equator.
    assert [float(v) for v in grid.xy(np.array(0.5), np.array(0.5))] == [417_315.0, -2_514_285.0]
    assert grid.resolution == (30.0, 30.0)
    assert grid.pyproj_crs.to_epsg() == 32623


def test_landsat_metadata_of_another_size_does_not_fit(tmp_path):
    mtl(tmp_path / "LC08_X_MTL.txt", lines=40, samples=51)
    assert landsat_metadata_grid(f"{tmp_path}/LC08_X_B8.TIF", 80, 102) is None
    (tmp_path / "LC08_X_MTL.txt").write_text("REFLECTIVE_LINES = 80\nREFLECTIVE_SAMPLES = 102\n")
    assert landsat_metadata_grid(f"{tmp_path}/LC08_X_B8.TIF", 80, 102) is None


def test_landsat_metadata_of_the_own_product_counts(tmp_path):
    mtl(tmp_path / "LC08_20190114_MTL.txt", lines=40, samples=51, x=100_015.0)
    mtl(tmp_path / "LC08_20190130_MTL.txt", lines=40, samples=51, x=200_015.0)
    for date, x in (("20190114", 100_000.0), ("20190130", 200_000.0)):
        grid = landsat_metadata_grid(f"{tmp_path}/LC08_{date}_SR_B4.TIF", 40, 51)
        assert grid is not None
        assert grid.transform[2] == x


def test_metadata_that_is_no_text_no_file_or_endless_gives_no_grid(tmp_path):
    (tmp_path / "LC08_A_MTL.txt").write_bytes(b"\xff\xfe" + os.urandom(500))
    (tmp_path / "LC08_B_MTL.txt").mkdir()
    os.mkfifo(tmp_path / "LC08_C_MTL.txt")
    (tmp_path / "LC08_D_MTL.txt").write_bytes(b"A" * METADATA_BYTES)
    with open(tmp_path / "LC08_D_MTL.txt", "a") as file:
        file.write(MTL.format(lines=40, samples=51, x=0.0, y=0.0, zone=23))  # too late
    assert landsat_metadata_grid(f"{tmp_path}/LC08_X_B4.TIF", 40, 51) is None
