"""The report page of a run: needs nothing but itself, and names what the map was made of."""

import base64
import io
import json
import re

import numpy as np
import pyproj
import pytest
from PIL import Image

from jobs import evaluate as evaluate_job
from jobs import map as map_job
from jobs.config import RunConfig
from jobs.page import write_page
from jobs.page_figures import imagery
from jobs.parsing import load
from jobs.plan import Run, plan_run
from jobs.record import read_record
from tests.jobs.test_report import Page
from tests.jobs.worlds import KOREA, UTM52, World, answering, image, moved, small_cells, world, write_tif
from tests.pictures import drawn
from tiler.grids import PixelGrid
from tiler.scene_store import SceneStore
from tiler.warp import Mapping, nearest


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> World:
    """A map of two scenes, evaluated; one network has a history."""
    here = world(tmp_path_factory.mktemp("page"), models=2)
    history = [{"epoch": e, "training_loss": 1 / (e + 1), "mIoU": 0.2 * e, "learning_rate": 1e-3} for e in range(3)]
    (here.folder / "net1" / "history.json").write_text(json.dumps(history))
    array = image(90, 140)
    array[:, 30:40, 20:90] = 0
    here.scene("left-20230405", array)
    here.scene("right", image(80, 110, 3), transform=moved(20, 100))
    write_tif(here.folder / "labels.tif", (array[0] > 5000).astype(np.uint8) + 1, nodata=None)
    here.settings["labels"] = {"files": str(here.folder / "labels.tif"), "codes": {2: 1}}
    with answering(), small_cells(), drawn():
        assert map_job.main(here.command()) == 0
        assert evaluate_job.main(here.command()) == 0
    return here


def run_of(here: World, *changes: str) -> Run:
    return plan_run(load(RunConfig, here.config, changes))


def test_nothing_in_it_comes_from_elsewhere(reported):
    text = (reported.out / "report.html").read_text()
    page = Page(text)
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    assert not re.search(r"url\(|@import|<script|<link", text)
    assert "script" not in page.tags


def test_it_names_scenes_networks_settings_and_metrics(reported):
    page = Page((reported.out / "report.html").read_text())
    record = json.loads((reported.out / "run.json").read_text())
    for scene in record["scenes"]:
        assert scene["id"] in page.words
        assert scene["fingerprint"] in page.words
    for model in record["models"]:
        assert model["name"] in page.words
        assert model["digest"] in page.words
    for word in ("mIoU on held-back blocks", "all background", "NDVI rule", "overlap_px: 32", "2023-04-05", "90 × 140"):
        assert word in page.words
    assert record["git_commit"] in page.words
    evaluation = json.loads((reported.out / "evaluation" / "evaluation.json").read_text())
    assert f"{evaluation['rows'][0]['mIoU']:.4g}" in page.words


def test_its_figures_are_pictures(reported):
    page = Page((reported.out / "report.html").read_text())
    pictures = [base64.b64decode(a.split(",", 1)[1]) for a in page.addresses if a.startswith("data:image/png")]
    assert len(pictures) == 9  # map, probabilities, time, work, training; the four of the evaluation
    for picture in pictures:
        opened = Image.open(io.BytesIO(picture))
        assert min(opened.size) > 100
        assert np.asarray(opened.convert("L")).std() > 1
    assert "Training" in page.words


def test_an_evaluation_of_another_map_is_not_shown(reported):
    run = run_of(reported)
    record = read_record(run)
    other = json.loads(json.dumps(record))
    other["config"]["fuse"]["threshold"] = 0.25
    try:
        write_page(run, other)
        page = Page((reported.out / "report.html").read_text())
        assert "all background" not in page.words
        assert "from a probability of 0.5 on" in page.words
    finally:
        write_page(run, record)
    assert "all background" in Page((reported.out / "report.html").read_text()).words


def test_what_was_set_aside_is_a_warning(reported):
    run = run_of(reported)
    record = read_record(run)
    try:
        write_page(run, record | {"quarantined": {"ingest/x_r0_c0": "<b>damaged</b> & gone"}})
        text = (reported.out / "report.html").read_text()
        assert "ingest/x_r0_c0: &lt;b&gt;damaged&lt;/b&gt; &amp; gone" in text
    finally:
        write_page(run, record)


@pytest.mark.usefixtures("drawn_pictures")
def test_a_report_without_rasters_and_on_a_geographic_grid(tmp_path):
    here = world(tmp_path, grid={"crs": "EPSG:4326", "resolution_deg": 0.0001})
    here.scene("only", image(50, 90))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
    text = (here.out / "report.html").read_text()
    assert "mapped, km²" not in Page(text).words  # a pixel of degrees has no one area
    assert text.count("data:image/png") == 4


def test_imagery_shows_the_first_scene_and_true_colours(reported):
    run = run_of(reported)
    stores = {s.scene.id: SceneStore(run.url("ingest", s.name)) for s in run.scenes}
    left = stores["left-20230405"].grid
    a, b, c, d, e, f = left.transform
    grid = PixelGrid(left.crs, (a, b, c - 50, d, e, f + 70), 120, 230)
    rgb, valid = imagery(stores, grid)
    first, second = image(90, 140), image(80, 110, 3)
    first[:, 30:40, 20:90] = 0
    expected = np.zeros((4, 120, 230), np.uint16)
    expected[:, 27:107, 105:215] = second
    here = expected[:, 7:97, 5:145]
    here[...] = np.where((first != 0).all(axis=0), first, here)
    np.testing.assert_array_equal(valid, (expected != 0).all(axis=0))
    np.testing.assert_array_equal(rgb, expected[:3])


def test_of_scenes_outside_the_picture_nothing_is_shown(reported):
    run = run_of(reported)
    stores = {s.scene.id: SceneStore(run.url("ingest", s.name)) for s in run.scenes}
    a, b, c, d, e, f = stores["left-20230405"].grid.transform
    beside = PixelGrid(UTM52, (a, b, c - 5000, d, e, f), 20, 30)
    for grid in (beside, PixelGrid(KOREA, (9.0, 0.0, 100_000.0, 0.0, -9.0, 1_400_000.0), 20, 30)):
        rgb, valid = imagery(stores, grid)
        assert not valid.any()
        assert not rgb.any()


def test_imagery_in_another_projection_is_that_of_each_scene_on_the_whole_picture(reported):
    run = run_of(reported)
    stores = {s.scene.id: SceneStore(run.url("ingest", s.name)) for s in run.scenes}
    left = stores["left-20230405"].grid
    west, north = pyproj.Transformer.from_crs(left.crs, KOREA, always_xy=True).transform(*left.affine @ (0, 0))
    grid = PixelGrid(KOREA, (11.0, 0.0, west - 400, 0.0, -11.0, north + 300), 170, 330)
    rgb, valid = imagery(stores, grid)
    expected, seen = np.zeros((3, 170, 330), np.float32), np.zeros((170, 330), bool)
    for name in sorted(stores):
        bands, there, source = stores[name].quicklook()
        mapping = Mapping(grid, source)
        new = nearest(mapping, grid.box, there, source.box, False) & ~seen
        expected[:, new] = nearest(mapping, grid.box, bands[:3], source.box, 0)[:, new]
        seen |= new
    assert 0.1 < seen.mean() < 0.9
    np.testing.assert_array_equal(valid, seen)
    np.testing.assert_array_equal(rgb, expected)
