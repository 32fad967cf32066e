"""Publish: files that every GIS opens, a catalogue, a record; written when something changed, and only then."""

import json
import math
import subprocess
import sys

import numpy as np
import pystac
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from cluster.engine import SerialEngine
from jobs import map as map_job
from jobs.config import RunConfig
from jobs.estimate import publish_memory
from jobs.mosaic import planned_map
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.publish import estimate, is_published, main, publish, publish_key
from tests.jobs.worlds import (
    UTM51,
    World,
    answering,
    files_below,
    image,
    layers,
    make,
    moved,
    small_cells,
    world,
    write_bundle,
)
from tiler.fuse import Fused
from tiler.grids import CELL_PX, Box, Cell, MapGrid
from tiler.map_store import MapStore, create_map_store

PRODUCTS = ("probability", "class", "spread", "count", "latest")


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> World:
    """A map of two scenes of two zones that is larger than a block."""
    here = world(tmp_path_factory.mktemp("published"), models=2, grid={"crs": "EPSG:5179", "resolution_m": 10})
    here.settings["infer"] |= {"tile_px": 256, "overlap_px": 32}
    array = image(540, 330)
    array[:, 200:260, 100:300] = 0
    here.scene("b-20240102", array)
    here.scene("a-20230506", image(130, 170, 2), transform=moved(-90, -120))
    with answering():
        assert map_job.main(here.command()) == 0
    return here


def store_of(here: World) -> MapStore:
    return MapStore(str(next((here.out / "mosaic").iterdir())))


def expected(here: World, threshold: float = 0.5) -> dict[str, np.ndarray]:
    found = layers(store_of(here))
    with np.errstate(invalid="ignore"):
        inside = found["logit"].astype(float) >= math.log(threshold / (1 - threshold))
    return {
        "probability": 1 / (1 + np.exp(-found["logit"].astype(float))),
        "class": np.where(found["count"] > 0, inside.astype(np.uint8), 255),
        "spread": found["spread"],
        "count": found["count"],
        "latest": found["latest"],
    }


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_product_is_a_valid_cog(published, name):
    path = str(published.out / "map" / f"{name}.tif")
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_product_holds_the_map_in_its_place(published, name):
    store = store_of(published)
    with rasterio.open(published.out / "map" / f"{name}.tif") as data:
        assert data.driver == "GTiff"
        assert data.crs.to_epsg() == 5179
        assert tuple(data.transform)[:6] == store.grid.grid_of(store.extent).transform
        assert (data.height, data.width) == (store.extent.height, store.extent.width)
        assert data.overviews(1)[0] == 2
        assert data.nodata is not None
        values, wanted = data.read(1), expected(published)[name]
        np.testing.assert_allclose(values, wanted, atol=1e-6)
        nobody = layers(store)["count"] == 0
        if name == "count":
            assert (values[nobody] == 0).all()
        else:
            np.testing.assert_array_equal(data.read_masks(1) == 0, nobody)
        tags = data.tags(1)
        known = values[data.read_masks(1) > 0].astype(float)
        for key, number in (("MINIMUM", known.min()), ("MAXIMUM", known.max()), ("MEAN", known.mean())):
            assert float(tags[f"STATISTICS_{key}"]) == pytest.approx(number, rel=1e-5)
        assert data.descriptions[0]
        assert nobody.any()


def test_every_product_has_a_style_and_the_record_the_seams(published):
    record = json.loads((published.out / "run.json").read_text())
    for name in PRODUCTS:
        style = (published.out / "map" / f"{name}.qml").read_text()
        assert "rasterrenderer" in style
        assert record["products"]["files"][f"{name}_style"]["size_bytes"] == len(style.encode())
    assert record["products"]["numbers"]["seams"]["window"]["index"] > 0


def test_classes_have_colours(published):
    with rasterio.open(published.out / "map" / "class.tif") as data:
        table = data.colormap(1)
        assert table[0] != table[1]
        assert data.nodata == 255
        assert set(np.unique(data.read(1))) == {0, 1, 255}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:rioxarray")
def test_rioxarray_opens_it(published):
    import rioxarray

    with rioxarray.open_rasterio(published.out / "map" / "probability.tif", masked=True) as data:
        assert data.rio.crs.to_epsg() == 5179
        store = store_of(published)
        assert tuple(data.rio.transform())[:6] == store.grid.grid_of(store.extent).transform
        np.testing.assert_array_equal(np.isnan(data.values[0]), layers(store)["count"] == 0)


@pytest.mark.parametrize("folder", [lambda out: out / "map", lambda out: (out / "map").resolve()])
def test_the_catalogue_names_scenes_models_and_files(published, folder):
    """Through the link and in the folder itself the catalogue names the same files."""
    catalog = pystac.Catalog.from_file(str(folder(published.out) / "catalog.json"))
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    record = json.loads((published.out / "run.json").read_text())
    for model in record["models"]:
        found = items[model["name"]]
        assert found.properties["mlm:architecture"] == model["architecture"]
        assert found.properties["mlm:hyperparameters"]["bundle_digest"] == model["digest"]
        assert found.assets["weights"].extra_fields["file:checksum"].endswith(model["weights_sha256"])
        href = found.assets["weights"].get_absolute_href()
        assert (published.folder / model["name"] / "weights.safetensors").samefile(href)
    maps = [item for item in items.values() if "probability" in item.assets]
    assert len(maps) == 1
    west, south, east, north = maps[0].bbox
    assert 120 < west < east < 130
    assert 30 < south < north < 40
    for name in PRODUCTS:
        path = published.out / "map" / f"{name}.tif"
        assert path.samefile(maps[0].assets[name].get_absolute_href())
        assert maps[0].assets[name].extra_fields["file:size"] == path.stat().st_size
    assert maps[0].properties["sandan:scenes"] == [
        {"id": "a-20230506", "datetime": "2023-05-06T00:00:00Z"},
        {"id": "b-20240102", "datetime": "2024-01-02T00:00:00Z"},
    ]
    sources = {link.target for link in maps[0].get_links("derived_from")}
    assert {str(path) for path in (published.folder / "scenes").iterdir()} <= sources
    assert maps[0].properties["sandan:threshold"] == 0.5


def test_an_unchanged_rerun_touches_nothing(published, capsys):
    before = files_below(published.out)
    assert main(published.command()) == 0
    assert files_below(published.out) == before
    assert "map/class.tif" in capsys.readouterr().out


def test_a_threshold_is_published_anew_and_nothing_else_is_done(published, monkeypatch):
    before = files_below(published.out)
    probability = (published.out / "map" / "probability.tif").read_bytes()
    monkeypatch.setattr(SerialEngine, "run", lambda *_: pytest.fail("logits and map stay"))
    planned = plan_run(load(RunConfig, published.config, ["fuse.threshold=0.7"]))
    assert estimate(planned).done == 0
    try:
        assert main(published.command("fuse.threshold=0.7")) == 0
        assert estimate(planned).done == estimate(planned).units == len(PRODUCTS)
        with rasterio.open(published.out / "map" / "class.tif") as data:
            np.testing.assert_array_equal(data.read(1), expected(published, 0.7)["class"])
        assert (published.out / "map" / "probability.tif").read_bytes() == probability
        changed = {name for name, facts in files_below(published.out).items() if before.get(name) != facts}
        changed_places = {name.split("/")[0] for name in changed}
        assert changed_places == {"maps", "map.json", "run.json", "report.html", "stages", "markers"}
        assert not {name for name in changed if name.startswith("maps/")} & before.keys()  # whose readers see it whole
        record = json.loads((published.out / "run.json").read_text())
        assert record["config"]["fuse"]["threshold"] == 0.7
        last, change = record["products"]["last"], record["products"]["change"]
        first, now = (expected(published, threshold)["class"] for threshold in (0.5, 0.7))
        assert (last["threshold"], last["numbers"]["positive_px"]) == (0.5, (first == 1).sum())
        assert (change["lost_px"], change["gained_px"]) == (((first == 1) & (now == 0)).sum(), 0)
        assert "Since the last map" in (published.out / "report.html").read_text()
    finally:
        assert main(published.command()) == 0
    with rasterio.open(published.out / "map" / "class.tif") as data:
        np.testing.assert_array_equal(data.read(1), expected(published)["class"])


def test_a_publication_that_was_cut_short_is_done_again(published):
    (published.out / "map.json").unlink()
    (published.out / "map" / "spread.tif").write_bytes(b"half")
    (published.out / "map").unlink()
    assert main(published.command()) == 0
    assert cog_validate(str(published.out / "map" / "spread.tif"), strict=True, quiet=True)[0]


def test_another_configuration_of_the_same_map_rewrites_the_record_only(published):
    before = files_below(published.out / "maps")
    assert main(published.command("engine.workers=2")) == 0
    assert json.loads((published.out / "run.json").read_text())["config"]["engine"]["workers"] == 2
    assert main(published.command()) == 0
    assert json.loads((published.out / "run.json").read_text())["config"]["engine"]["workers"] == "auto"
    assert files_below(published.out / "maps") == before


def test_a_map_with_holes_is_another_publication(published):
    run = plan_run(load(RunConfig, published.config))
    plans, plan = planned_map(run)
    assert is_published(run, plan)
    assert not is_published(run, plan, {"mosaic/cell": "disk"})
    keys = [publish_key(run, plan), publish_key(run, plan, {"x": "1"}), publish_key(run, plan, ["y"])]
    assert len(set(keys)) == 3
    assert publish_key(run, plan, {"x": "1"}) == publish_key(run, plan, {"x": "other words"})
    publish(run, plans, plan, {"mosaic/cell": "disk"})
    assert json.loads(run.storage.get("run.json"))["quarantined"] == {"mosaic/cell": "disk"}
    assert "mosaic/cell: disk" in run.storage.get("report.html").decode()
    publish(run, plans, plan, {})
    assert json.loads(run.storage.get("run.json"))["quarantined"] == {}


def test_outputs_are_those_asked_for(tmp_path):
    here = world(tmp_path, outputs=["report"])
    here.scene("only", image(60, 80), crs=UTM51)
    with answering():
        assert map_job.main(here.command()) == 0
    assert {p.name for p in (here.out / "map").iterdir()} == {"config.yaml"}
    assert (here.out / "report.html").exists()
    assert main(here.command("outputs=[cog]")) == 0
    assert {p.name for p in (here.out / "map").iterdir()} == {
        "config.yaml",
        *(f"{name}.{end}" for name in PRODUCTS for end in ("tif", "qml")),
    }


def test_publish_before_mosaic_is_refused(tmp_path, capsys):
    here = world(tmp_path)
    here.scene("only", image(60, 80))
    with answering(), small_cells():
        make(here, SerialEngine(1))
        before = files_below(here.out)
        capsys.readouterr()
        assert main(here.command("grid={crs: EPSG:5179, resolution_m: 10}")) == 2
        told = capsys.readouterr().err
        assert "cells of the map are not made" in told
        assert told.count("\n") == 1
        assert main(here.command(f"models=[{write_bundle(tmp_path / 'other', 5)}]")) == 2
        assert "run `sandan infer` first" in capsys.readouterr().err
    assert files_below(here.out) == before


PEAK = """
import sys
from pathlib import Path
from jobs.publish import prepare_worker, peak_memory_bytes
from jobs.products import map_numbers
from cluster.storage import Storage
from jobs.map_config import PublishConfig
from jobs.rasters import FinishedRasters
from jobs.sheets import write_rasters
from tiler.map_store import MapStore
prepare_worker()
store = MapStore(sys.argv[1])
finished = FinishedRasters.open(Storage(sys.argv[2]), "map", Path(sys.argv[2]))
write_rasters(store, finished, 0.5, {}, PublishConfig(), int(sys.argv[3]))
map_numbers(store, 0.5)
print(peak_memory_bytes())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "cores"), [(1, 1), (1, 2), (2, 2), (1, 4)])
def test_memory_is_as_expected_within_a_quarter(classes, cores, tmp_path):
    cells = [Cell(row, col) for row in (50, 51) for col in (60, 61, 62)]
    extent = Box(50 * CELL_PX + 37, 60 * CELL_PX + 11, 52 * CELL_PX - 100, 63 * CELL_PX)
    url, random = str(tmp_path / "map.zarr"), np.random.default_rng(0)
    create_map_store(url, MapGrid("EPSG:5179", (10.0, 10.0)), cells, extent, tuple(f"c{n}" for n in range(classes)))
    logit = random.normal(0, 3, (classes, CELL_PX, CELL_PX)).astype(np.float32)
    seen = np.ones((CELL_PX, CELL_PX), np.uint16), np.full((CELL_PX, CELL_PX), 19_000, np.int32)
    for cell in cells:
        MapStore(url).write(cell, Fused(logit, np.abs(logit), *seen))
    words = [sys.executable, "-c", PEAK, url, str(tmp_path), str(cores)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
    assert int(done.stdout) == pytest.approx(publish_memory(CELL_PX, classes, cores, len(PRODUCTS)), rel=0.25)
