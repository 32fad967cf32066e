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
from jobs.map_page.regions import FINEST, outlines_of, regions_of
from jobs.map_page.server import LEAST_PACKED_BYTES, app_of
from jobs.map_page.shown import Shown
from jobs.map_page.sites import BLOCK_ZOOM, ZOOM, all_sites, sites_in
from tests.jobs.map_page.tables import REGIONS, add_tables, replace_outline


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
    assert BLOCK_ZOOM < ZOOM
    at_once = dict(all_sites(run.run, run.bounds))
    assert {at for at in run.bounds.tiles(ZOOM) if sites_in(run.run, *at)["features"]} == set(at_once)
    assert all(one == sites_in(run.run, *at) for at, one in at_once.items())
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
        place = REGIONS.index(one["name"])
        assert one["outline"] == f"regions/{place}.json"
        ((found, outline),) = outlines_of(run.run, place)
        assert found == place
        assert in_metres(run, outline).symmetric_difference(shape).area < 0.02 * shape.area
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
    assert asked.get(f"/regions/{len(REGIONS)}.json").status_code == asked.get("/regions/-1.json").status_code == 404
    words = ["--layers", "class", "--zoom", "9", "--out", str(tmp_path / "page")]
    assert export_main([run.run.out, *words]) == 0
    page = json.loads((tmp_path / "page" / "page.json").read_text())
    assert json.loads((tmp_path / "page" / "regions.json").read_text()) == asked.get("/regions.json").json()
    for place in range(len(REGIONS)):
        served = asked.get(f"/regions/{place}.json").json()
        assert json.loads((tmp_path / "page" / "regions" / f"{place}.json").read_text()) == served
    files = {
        one.relative_to(tmp_path / "page" / "sites").with_suffix("").as_posix() for one in tmp_path.rglob("sites/*/*")
    }
    assert set(page["sites"]["there"]) == files
    for key in files:
        served = asked.get(f"/sites/{key}.json").json()
        assert json.loads((tmp_path / "page" / "sites" / f"{key}.json").read_text()) == served


def test_outlines_leave_small_islands_out_and_the_table_has_none_of_them(with_tables, tmp_path):
    run, _, regions = with_tables
    out = tmp_path / "out"
    shutil.copytree(run.run.out, out, symlinks=True)
    left, bottom, right, top = (side for side in regions["East"].bounds)
    finest = max(right - left, top - bottom) * FINEST
    isles = [shapely.Point(right + 5 * finest, bottom + k * 3 * finest).buffer(finest / 3) for k in range(100)]
    large = shapely.box(right + 9 * finest, bottom, right + 12 * finest, top)
    replace_outline(out, 1, shapely.union_all([regions["East"], large, *isles]))
    told = ShownRun.of("a", open_published(str(out), ExitStack()))
    assert "coordinates" not in json.dumps(regions_of(told.run))
    ((_, outline),) = outlines_of(told.run, 1)
    assert shapely.get_num_geometries(shapely.geometry.shape(outline)) == 2
    assert in_metres(run, outline).area == pytest.approx(regions["East"].area + large.area, rel=0.01)


def test_tables_are_packed_for_who_takes_it_and_pictures_are_not(with_tables):
    run, _, _ = with_tables
    asked = TestClient(app_of(Shown(run.run.out, None, None, ExitStack())), base_url="http://localhost")
    x, y = next(at for at in run.bounds.tiles(ZOOM) if len(json.dumps(sites_in(run.run, *at))) > LEAST_PACKED_BYTES)
    packed, plain = (
        asked.get(f"/sites/{x}/{y}.json", headers={"accept-encoding": how}) for how in ("gzip", "identity")
    )
    assert packed.json() == plain.json()
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert "content-encoding" not in asked.get("/tiles/a/class/5/27/12.png").headers
