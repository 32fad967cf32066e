"""Regions and sites of a map: what the page is sent of them."""

import json
import shutil
from contextlib import ExitStack

import pyproj
import pytest
import shapely
from starlette.testclient import TestClient

from jobs.export_page import main as export_main
from jobs.map_page.description import ShownRun
from jobs.map_page.published_run import open_published
from jobs.map_page.regions import regions_of
from jobs.map_page.server import app_of
from jobs.map_page.shown import Shown
from jobs.map_page.sites import ZOOM, sites_in
from tests.jobs.map_page.tables import REGIONS, add_tables


@pytest.fixture(scope="module")
def with_tables(published, tmp_path_factory):
    out = tmp_path_factory.mktemp("tables") / "out"
    shutil.copytree(published.out, out, symlinks=True)
    sites, regions = add_tables(out)
    return ShownRun.of("a", open_published(str(out), ExitStack())), sites, regions


def in_metres(run, geometry):
    crs = run.by_id["class"].grid.crs
    change = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    return shapely.transform(shapely.geometry.shape(geometry), change.transform, interleaved=False)


def test_every_site_is_in_one_tile_with_its_shape(with_tables):
    run, sites, _ = with_tables
    found = [one for at in run.bounds.tiles(ZOOM) for one in sites_in(run.run, *at)["features"]]
    assert sorted(one["properties"]["id"] for one in found) == list(range(1, len(sites) + 1))
    for one in found:
        site = sites[one["properties"]["id"] - 1]
        assert in_metres(run, one["geometry"]).symmetric_difference(site).area < 0.01 * site.area + 1
        assert one["properties"]["area_m2"] == pytest.approx(site.area)
        last = one["properties"]["id"] == len(sites)
        assert one["properties"]["first_seen"] == (None if last else "2024-05-06")
    assert sites_in(run.run, 0, 0)["features"] == []
    with pytest.raises(ValueError, match="no tile"):
        sites_in(run.run, 1 << ZOOM, 0)


def test_regions_have_areas_shares_and_outlines(with_tables):
    run, sites, regions = with_tables
    told = regions_of(run.run)
    assert told["classes"] == ["industrial"]
    assert [one["name"] for one in told["regions"]] == list(REGIONS)
    for one, shape in zip(told["regions"], regions.values(), strict=True):
        area = sum(shape.intersection(site).area for site in sites)
        assert one["km2"]["industrial"] == pytest.approx(area / 1e6)
        assert one["share"]["industrial"] == pytest.approx(area / shape.area)
        assert in_metres(run, one["outline"]).symmetric_difference(shape).area < 0.02 * shape.area
        west, south, east, north = one["bounds"]
        assert run.bounds.west - 0.01 < west < east < run.bounds.east + 0.01
        assert south < north


def test_both_are_served_and_exported(with_tables, tmp_path):
    run, _, _ = with_tables
    asked = TestClient(app_of(Shown(run.run.out, None, None, ExitStack())), base_url="http://localhost")
    told = asked.get("/page.json").json()
    assert told["regions"] is True
    assert told["sites"] == {"zoom": ZOOM}
    assert asked.get("/sites/0/99999.json").status_code == 404
    words = ["--layers", "class", "--zoom", "9", "--out", str(tmp_path / "page")]
    assert export_main([run.run.out, *words]) == 0
    page = json.loads((tmp_path / "page" / "page.json").read_text())
    assert json.loads((tmp_path / "page" / "regions.json").read_text()) == asked.get("/regions.json").json()
    files = {
        one.relative_to(tmp_path / "page" / "sites").with_suffix("").as_posix() for one in tmp_path.rglob("sites/*/*")
    }
    assert set(page["sites"]["there"]) == files
    for key in files:
        served = asked.get(f"/sites/{key}.json").json()
        assert json.loads((tmp_path / "page" / "sites" / f"{key}.json").read_text()) == served
