"""Maps in sheets: the same pixels as one file, each sheet a product of its own, found from the catalogue."""

import json
import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate

from jobs import map as map_job
from jobs.map_config import PublishConfig
from jobs.sheets import in_sheets, sheets_of
from tests.jobs.worlds import World, answering, image, moved, small_cells, world
from tiler.grids import CELL_PX, Box
from tiler.product_specs import specs_of

CORNER = st.integers(-9, 9).map(lambda n: n * 1000)
SIDE = st.integers(1, 20_000)


@given(CORNER, CORNER, SIDE, SIDE, st.integers(1, 5))
def test_sheets_cover_a_map_once_and_are_the_same_places_in_every_map(y0, x0, height, width, cells):
    extent, side = Box(y0, x0, y0 + height, x0 + width), cells * CELL_PX
    sheets = list(sheets_of(extent, cells))
    assert sum(s.box.height * s.box.width for s in sheets) == height * width
    assert len({s.name for s in sheets}) == len(sheets)
    for sheet in sheets:
        assert not sheet.box.empty
        row, col = sheet.box.y0 // side, sheet.box.x0 // side
        assert sheet.name == f"r{row}_c{col}"
        whole = Box(row * side, col * side, (row + 1) * side, (col + 1) * side)
        assert sheet.box == whole.clip(extent)


def test_a_map_is_in_sheets_where_either_side_is_too_long():
    settings = PublishConfig(one_file_px=100)
    assert not in_sheets(Box(-50, 7, 50, 107), settings)
    assert in_sheets(Box(-50, 7, 51, 20), settings)
    assert in_sheets(Box(-50, 7, -49, 108), settings)


def mapped(folder: Path, name: str, *changes: str) -> World:
    """A map over four sheets of one cell each, of which one was never seen."""
    here = world(folder / name, grid={"crs": "EPSG:32652", "resolution_m": 10})
    here.scene("a", image(40, 330), "2024-03-01", transform=moved(0, 0))
    here.scene("b", image(240, 60, 2), "2023-05-06", transform=moved(60, 40))
    with answering(), small_cells():
        assert map_job.main(here.command(*changes)) == 0
    return here


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[World, World]:
    """One file each, and sheets."""
    folder = tmp_path_factory.mktemp("sheets")
    sheets = "publish.one_file_px=100", "publish.sheet_cells=1"
    return mapped(folder, "whole"), mapped(folder, "sheets", *sheets)


NAMES = ("probability", "class", "spread", "count", "latest")


def described(here: World) -> dict:
    return json.loads((here.out / "map.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_the_virtual_raster_is_the_whole(both, name):
    whole, sheets = both
    spec = specs_of(("industrial",))[name]
    with (
        rasterio.open(whole.out / "map" / f"{name}.tif", driver="GTiff") as one,
        rasterio.open(sheets.out / "map" / described(sheets)["files"][name]["href"], driver="VRT") as many,
    ):
        assert many.name.endswith(".vrt")
        expected = one.read()
        if name == "count":  # what no sheet holds is outside the map
            outside = many.read(1) == spec.nodata
            assert (expected[0][outside] == 0).all()
            expected[0][outside] = spec.nodata
        np.testing.assert_array_equal(many.read(), expected)
        same = ("height", "width", "crs", "transform", "dtypes", "descriptions", "units", "colorinterp")
        assert [getattr(many, fact) for fact in same] == [getattr(one, fact) for fact in same]
        assert many.nodata == one.nodata or np.isnan([many.nodata, one.nodata]).all()
        assert many.overviews(1) == one.overviews(1)
        if name == "class":
            assert many.colormap(1)[1] == one.colormap(1)[1]
        if name != "count":
            found, wanted = many.tags(1), one.tags(1)
            for key in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV", "VALID_PERCENT"):
                key = f"STATISTICS_{key}"
                assert float(found[key]) == pytest.approx(float(wanted[key]), rel=1e-6)
        assert many.tags()["SANDAN_MAP"]


def test_each_sheet_is_a_valid_file_that_the_catalogue_knows(both):
    _, here = both
    sheets = described(here)["sheets"]
    assert len(sheets) == 3, "one of four was never seen"
    catalog = pystac.Catalog.from_file(str(here.out / "map" / "catalog.json"))
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    for name, told in sheets.items():
        item = items[f"out-map-{name}"]
        assert set(item.assets) == set(NAMES)
        for product, asset in item.assets.items():
            path = Path(asset.get_absolute_href())
            assert path.samefile(here.out / "map" / told["files"][product]["href"])
            assert path.stat().st_size == told["files"][product]["size_bytes"] == asset.extra_fields["file:size"]
            assert cog_validate(str(path), strict=True, quiet=True) == (True, [], [])
        y0, x0, y1, x1 = told["box"]
        assert item.properties["proj:shape"] == [y1 - y0, x1 - x0]
        for link in item.get_links("derived_from"):
            if "mlm:name" in link.extra_fields:
                assert Path(link.get_absolute_href()).exists()
    with rasterio.open(here.out / "map" / "count.vrt", driver="VRT") as data:
        assert (data.read(1) == 65535).any()
    seen = [[one["id"] for one in items[f"out-map-{name}"].properties["sandan:scenes"]] for name in sheets]
    assert seen == [["a"], ["a"], ["b"]], "a sheet names the scenes that reach it"
    whole = items["out-map"]
    assert whole.assets["class"].href.endswith("class.vrt")


def test_the_report_shows_the_map(both):
    one, many = ((here.out / "report.html").read_text() for here in both)
    assert many.count("<img") == one.count("<img") > 1


@pytest.mark.skipif(which("gdalinfo") is None, reason="GDAL's command line is not installed")
def test_gdal_itself_reads_it(both):
    _, here = both
    for name in NAMES:
        path = here.out / "map" / f"{name}.vrt"
        done = subprocess.run(["gdalinfo", "-checksum", str(path)], capture_output=True, text=True, check=True)
        assert "ERROR" not in done.stderr
        assert "Checksum=" in done.stdout
