"""Other programs open what a run publishes: geopandas, GDAL's command line, and QGIS, with the styles beside files."""

import json
import shutil
import subprocess

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features

from jobs import map as map_job
from tests.jobs.worlds import World, answering, image, world
from tests.tiler.test_styles import LOAD, SYSTEM_PYTHON, has_qgis

PRODUCTS = ("probability", "class", "spread", "count", "latest")


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("interop")
    here = world(folder, outputs=["cog", "stac", "polygons", "statistics"])
    here.scene("only", image(330, 540), "2024-03-02")
    everything = {"type": "Polygon", "coordinates": [[[120, 30], [140, 30], [140, 45], [120, 45], [120, 30]]]}
    whole = {"type": "Feature", "properties": {"name": "all"}, "geometry": everything}
    (folder / "regions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [whole]}))
    here.settings["regions"] = {"file": str(folder / "regions.geojson"), "name": "name"}
    with answering():
        assert map_job.main(here.command()) == 0
    return here


def test_geopandas_opens_polygons_and_statistics(published):
    folder = published.out / "map"
    sites, same = geopandas.read_parquet(folder / "polygons.parquet"), geopandas.read_file(folder / "polygons.fgb")
    with rasterio.open(folder / "class.tif") as data:
        assert sites.crs.to_epsg() == same.crs.to_epsg() == data.crs.to_epsg()
        found = rasterio.features.shapes(data.read(1), connectivity=8, transform=data.transform)
        shapes = [shape for shape, value in found if value == 1]
        pixels = int((data.read(1) == 1).sum())
    assert len(sites) == len(same) == len(shapes) > 0
    assert sites.pixels.sum() == same.pixels.sum() == pixels
    assert sites.geometry.is_valid.all()
    assert sorted(sites.geometry.area.round(3)) == sorted(same.geometry.area.round(3))
    regions = geopandas.read_parquet(folder / "statistics.parquet")
    assert regions.region.tolist() == ["all"]
    assert regions.industrial_m2.sum() == pytest.approx(sites.area_m2.sum(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ogrinfo"), reason="GDAL's command line is not installed")
def test_ogr_counts_the_sites(published):
    command = ["ogrinfo", "-so", "-al", str(published.out / "map" / "polygons.fgb")]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    count = len(geopandas.read_parquet(published.out / "map" / "polygons.parquet"))
    assert f"Feature Count: {count}" in told
    assert "area_m2: Real" in told


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
