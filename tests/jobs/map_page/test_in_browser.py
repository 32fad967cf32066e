"""The page in a real browser: it loads without a complaint, layers draw pictures, swipe, click and permalinks work."""

import functools
import http.server
import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyproj
import pytest
from affine import Affine
from PIL import Image

from cluster.engine import SerialEngine
from jobs import embed
from jobs import map as map_job
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.export_page import main as export_main
from jobs.infer import infer
from jobs.ingest import main as ingest_main
from jobs.map_page.xyz import Bounds
from jobs.parsing import load
from jobs.plan import plan_run
from tests.browser import browsing, missing
from tests.jobs.map_page.tables import add_tables
from tests.jobs.vectors import EMBED, write_embedder
from tests.jobs.worlds import answering, image, small_cells, world

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser")]

LAYERS = ("probability", "class", "spread", "count")


@contextmanager
def served(*words: str) -> Iterator[str]:
    """Run `sandan serve` on a free port as a user does; yields its address."""
    command = [sys.executable, "-m", "jobs.cli", "serve", *words, "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("map page"), line
            yield line.split()[2]
        finally:
            process.terminate()
            process.wait(20)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain web server of the standard library: no range requests, nothing computed."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def plain_server(folder) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def address(published, other) -> Iterator[str]:
    with served(str(published.out), "--compare", str(other.out)) as found:
        yield f"{found}/"


@pytest.fixture(scope="module")
def folder_address(published, other, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("static") / "page"
    assert export_main([str(published.out), "--compare", str(other.out), "--out", str(folder)]) == 0
    with plain_server(folder) as found:
        yield f"{found}/"


@pytest.fixture(params=["address", "folder_address"])
def page(request) -> str:
    """The page from `sandan serve`, and the folder of `sandan export-page` from a plain web server."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def tab():
    with browsing() as found:
        yield found
        assert found.faults == []


def pixels(tab, left: float = 0.3, right: float = 1.0) -> np.ndarray:
    """What the map shows right of the panel: (y, x, 3)."""
    tab.settle()
    picture = np.asarray(Image.open(io.BytesIO(tab.page.screenshot())).convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    return picture[int(0.1 * height) : int(0.85 * height), int(left * width) : int(right * width)]


def zoomed(page: str, **view: object) -> str:
    """A view close to the middle of the map."""
    return page + "#" + "&".join(f"{key}={value}" for key, value in view.items())


def middle(shown) -> dict[str, object]:
    bounds = shown.bounds
    return {
        "z": 15,
        "lat": round((bounds.south + bounds.north) / 2, 6),
        "lon": round((bounds.west + bounds.east) / 2, 6),
    }


def test_every_layer_draws_a_picture_of_its_own(page, tab, shown):
    seen = {}
    for layer in (*LAYERS, "none"):
        name = layer if layer == "none" else f"a/{layer}"
        tab.open(zoomed(page, **middle(shown), layer=name, ground="none", opacity=100))
        seen[layer] = pixels(tab)
    empty = seen.pop("none")
    assert np.ptp(empty.reshape(-1, 3), axis=0).max() < 8, "without layers there is only the paper"
    for layer, picture in seen.items():
        assert (np.abs(picture - empty).max(axis=2) > 12).mean() > 0.15, layer
    for ground in ("imagery-colour", "imagery-nir"):
        tab.open(zoomed(page, **middle(shown), layer="none", ground=f"a/{ground}"))
        assert pixels(tab).std() > 20, ground


def test_radios_opacity_and_ground_change_the_map(page, tab, shown):
    tab.open(zoomed(page, **middle(shown), layer="a/probability", ground="none", opacity=100))
    before = pixels(tab)
    tab.page.get_by_text("Class", exact=True).click()
    assert (pixels(tab) != before).any()
    full = pixels(tab)
    tab.page.locator("#opacity").fill("20")
    faint = pixels(tab)
    assert faint.std() < full.std()
    tab.page.select_option("#ground", "a/imagery-colour")
    assert pixels(tab).std() > faint.std()
    assert "layer=a/class" in tab.page.url
    assert "opacity=20" in tab.page.url


def test_swipe_shows_one_run_left_and_the_other_right(page, tab, shown):
    view = {**middle(shown), "ground": "none", "opacity": 100}
    tab.open(zoomed(page, **view, layer="a/class"))
    mine = pixels(tab)
    tab.open(zoomed(page, **view, layer="b/class"))
    others = pixels(tab)
    assert (mine != others).any(), "the runs differ in their threshold"
    tab.open(zoomed(page, **view, layer="a/class"))
    tab.page.select_option("#swipe", "b/class")
    divider = tab.page.locator("#divider")
    box = divider.bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 2, 400)
    tab.page.mouse.down()
    tab.page.mouse.move(780, 400, steps=4)
    tab.page.mouse.up()
    swiped = pixels(tab)
    edge = 780 - int(0.3 * 1200)
    reach = 60  # of the handle and the names beside it
    np.testing.assert_array_equal(swiped[200:, : edge - reach], mine[200:, : edge - reach])
    np.testing.assert_array_equal(swiped[200:, edge + reach :], others[200:, edge + reach :])
    assert "split=65" in tab.page.url
    divider.press("ArrowLeft")
    assert "split=63" in tab.page.url
    tab.page.select_option("#swipe", "none")
    assert divider.is_hidden()
    np.testing.assert_array_equal(pixels(tab), mine)


def test_a_click_tells_values_and_what_made_them(page, tab, shown):
    tab.open(zoomed(page, **middle(shown), layer="a/probability"))
    tab.page.mouse.click(760, 400)
    tab.page.wait_for_selector("table.values")
    told = tab.page.inner_text("#place-body")
    assert told.count("Probability") == 2  # of both runs
    assert "net0" in tab.page.locator(".provenance").first.text_content()
    assert "at=" in tab.page.url
    assert "no data" not in tab.page.locator("table.values").first.inner_text()


def test_a_permalink_gives_the_same_view_again(page, tab, shown):
    tab.open(
        zoomed(page, **middle(shown), layer="a/spread", swipe="a/imagery-nir", split=70, opacity=55, ground="none")
    )
    tab.page.mouse.click(700, 500)
    tab.page.wait_for_selector("table.values")
    link, picture = tab.page.url, pixels(tab)
    tab.open(link)
    tab.page.wait_for_selector("table.values")
    np.testing.assert_array_equal(pixels(tab), picture)
    assert tab.page.url == link
    tab.page.click("#link")


def test_values_read_from_tiles_are_those_of_the_server(address, folder_address, tab, shown):
    values = {}
    for page in (address, folder_address):
        tab.open(zoomed(page, **middle(shown)))
        tab.page.mouse.click(800, 300)
        tab.page.wait_for_selector("table.values")
        rows = tab.page.locator("table.values").first.inner_text().splitlines()
        values[page] = dict(row.split("\t") for row in rows)
    served_values, read = values[address], values[folder_address]
    assert served_values["Class"] == read["Class"]
    assert float(read["Probability"].removeprefix("≈ ")) == pytest.approx(float(served_values["Probability"]), abs=0.01)


def test_on_a_phone_the_panel_is_a_sheet_that_unfolds(page, shown):
    with browsing(390, 780) as tab:
        tab.open(page)
        panel = tab.page.locator("#panel").bounding_box()
        assert panel["x"] == 0
        assert panel["width"] == 390
        assert panel["height"] < 200
        assert tab.page.locator("#layers").is_hidden()
        tab.page.mouse.click(195, 250)
        tab.page.wait_for_selector("table.values")
        assert tab.page.locator("#panel").bounding_box()["height"] > 300
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
        assert tab.faults == []


def test_a_name_that_is_markup_stays_text(published, tab):
    with served(str(published.out), "--attribution", "<img src=x onerror=document.title='bad'>") as found:
        tab.open(found)
        assert "<img" in tab.page.inner_text(".leaflet-control-attribution")
        assert "bad" not in tab.page.title()


def test_regions_zoom_and_sites_are_outlined(published, tab, tmp_path):
    shutil.copytree(published.out, tmp_path / "out", symlinks=True)
    sites, _ = add_tables(tmp_path / "out")
    folder = tmp_path / "page"
    assert export_main([str(tmp_path / "out"), "--out", str(folder), "--layers", "class"]) == 0
    with served(str(tmp_path / "out")) as found, plain_server(folder) as copied:
        for address in (found, copied):
            tab.open(address + "/")
            before = tab.page.evaluate("sandanMap.getZoom()")
            assert tab.page.locator("#region-table tbody tr").all_inner_texts()[0].startswith(("West <b>", "East"))
            tab.page.locator("#region-table tbody tr", has_text="East").click()
            tab.settle()
            assert tab.page.evaluate("sandanMap.getZoom()") > before
            tab.page.check("#polygons")
            tab.settle()
            drawn = tab.page.evaluate("document.querySelectorAll('.leaflet-areas-pane path').length")
            assert drawn == len(sites) + 2  # the region is drawn in two lines


def test_similar_places_of_a_click_are_outlined(tab, tmp_path):
    here = world(tmp_path, embed={**EMBED, "model": write_embedder(tmp_path / "embedder")})
    here.scene("a", image(150, 210))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
    assert embed.main(here.command()) == 0
    with served(here.config) as found:
        tab.open(found)
        tab.page.mouse.click(760, 400)
        tab.page.click("#find-similar")
        tab.page.wait_for_selector("#similar-places")
        rows = tab.page.locator("#similar-places tbody tr")
        assert rows.count() == 11  # of twelve windows all but that of the click
        assert tab.page.evaluate("document.querySelectorAll('.leaflet-places-pane path').length") == 12
        rows.first.click()


def test_windows_colour_in_while_a_run_goes_and_its_map_is_offered(tab, tmp_path):
    here = world(tmp_path)
    here.scene("a", image(150, 210))
    assert ingest_main(here.command()) == 0
    run = plan_run(load(RunConfig, here.config))
    with served(here.config) as found:
        tab.open(found)
        assert tab.page.inner_text("#notice").startswith("There is no map yet")
        tab.page.get_by_text("infer: 0 of").wait_for()
        grey = pixels(tab)
        with answering():
            infer(run, SerialEngine(1), run.logits(decide(run, None)), decide(run, None))
        tab.page.get_by_text("infer: 24 of 24").wait_for()
        tab.page.get_by_text("infer: 24").click()
        tab.settle()
        green = pixels(tab)
        more = (green[..., 1] - green[..., 0]) - (grey[..., 1] - grey[..., 0])
        assert (more > 20).mean() > 0.1
        with answering(), small_cells():
            assert map_job.main(here.command()) == 0
        tab.page.get_by_text("Show it").click()
        tab.page.locator("#layer-choice span", has_text="Probability").wait_for()
        tab.settle()


def test_the_page_and_python_agree_on_which_tiles_there_are(folder_address, tab):
    tab.open(folder_address)
    random = np.random.default_rng(5)
    cases = []
    for _ in range(300):
        zoom, west, south = int(random.integers(0, 9)), random.uniform(-180, 180), random.uniform(-80, 70)
        bounds = Bounds(west, south, west + random.uniform(0.01, 60), south + random.uniform(0.01, 9))
        side = 1 << zoom
        near = sorted(bounds.tiles(zoom))[int(random.integers(0, bounds.tile_count(zoom)))]
        x, y = ((near[i] + int(random.integers(-1, 2))) % side for i in (0, 1))
        cases.append((bounds, zoom, x, y))
    asked = [[one.to_json(), {"x": x, "y": y, "z": zoom}] for one, zoom, x, y in cases]
    code = """async (cases) => {
        const { touches } = await import("/static/tiles.js");
        return cases.map((one) => touches(...one));
    }"""
    found = tab.page.evaluate(code, asked)
    assert found == [one.holds(zoom, x, y) for one, zoom, x, y in cases]
    assert 20 < sum(found) < 280


def test_a_map_across_the_antimeridian_is_one_map(tab, tmp_path):
    here = world(tmp_path)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True).transform(180.0, 65.0)
    here.scene("far", image(150, 210), crs="EPSG:32660", transform=Affine(10, 0, x - 1050, 0, -10, y + 750))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
    folder = tmp_path / "page"
    assert export_main([str(here.out), "--out", str(folder)]) == 0
    with served(str(here.out)) as found, plain_server(folder) as copied:
        for address in (found, copied):
            tab.open(f"{address}/#z=14&lat=65&lon=180&layer=a/probability&ground=none&opacity=100")
            picture = pixels(tab, left=0.0)
            paper = pixels(tab)[-1, -1]
            drawn = (np.abs(picture - paper).max(axis=2) > 12)[picture.shape[0] // 2 - 20 : picture.shape[0] // 2 + 20]
            at = np.flatnonzero(drawn.mean(axis=0) > 0.5)
            assert at.min() < 590
            assert at.max() > 610
            assert drawn[:, 560:640].mean() > 0.95  # no gap where the world begins again
