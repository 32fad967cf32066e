"""Other programs open what a run publishes: GDAL's command line, and QGIS with the styles beside the files."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import rasterio

from jobs import map as map_job
from tests.jobs.worlds import World, answering, image, world
from tests.tiler.test_styles import LOAD, SYSTEM_PYTHON, has_qgis

PRODUCTS = ("probability", "class", "spread", "count", "latest")


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> World:
    here = world(tmp_path_factory.mktemp("interop"))
    here.scene("only", image(330, 540))
    with answering():
        assert map_job.main(here.command()) == 0
    return here


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gdalinfo"), reason="GDAL's command line is not installed")
@pytest.mark.parametrize("name", PRODUCTS)
def test_gdal_sees_place_statistics_and_overviews(published, name):
    path = published.out / "map" / f"{name}.tif"
    told = json.loads(subprocess.run(["gdalinfo", "-json", str(path)], capture_output=True, check=True).stdout)
    with rasterio.open(path) as data:
        assert told["size"] == [data.width, data.height]
        assert told["geoTransform"] == list(data.transform.to_gdal())
        assert told["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
        band = told["bands"][0]
        assert band["overviews"]
        values = data.read(1, masked=True)
        assert float(band["metadata"][""]["STATISTICS_MAXIMUM"]) == pytest.approx(float(values.max()), rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gdal_translate"), reason="GDAL's command line is not installed")
def test_gdal_cuts_a_part_out_with_the_same_pixels(published, tmp_path):
    source, part = published.out / "map" / "probability.tif", tmp_path / "part.tif"
    command = ["gdal_translate", "-q", "-srcwin", "37", "11", "200", "150", str(source), str(part)]
    subprocess.run(command, check=True)
    with rasterio.open(source) as whole, rasterio.open(part) as cut:
        np.testing.assert_array_equal(cut.read(1), whole.read(1)[11:161, 37:237])


@pytest.mark.slow
@pytest.mark.skipif(not has_qgis(), reason="QGIS is not installed")
@pytest.mark.parametrize("name", PRODUCTS)
def test_qgis_opens_it_with_its_style(published, tmp_path, name):
    command = [SYSTEM_PYTHON, "-c", LOAD, str(published.out / "map" / f"{name}.tif")]
    quiet = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    found = subprocess.run(command, capture_output=True, text=True, env=quiet)
    assert found.returncode == 0, found.stderr
    assert ("industrial" if name == "class" else "singlebandpseudocolor") in found.stdout
