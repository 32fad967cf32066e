"""The whole line with several classes: softmax and argmax of the plain mean of the logits, whoever did the work."""

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.map import main
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.publish import estimate
from tests.jobs.test_infer import by_hand, stores
from tests.jobs.test_report import Page
from tests.jobs.worlds import Stand, World, answering, image, moved, rounding, small_cells, world, write_bundle
from tests.pictures import drawn

NAMES = ("background", "industrial", "solar farm")
HEIGHT, WIDTH = 107, 173
PLACES = {"a-20230506": (0, 0), "b-20240102": (28, 61)}
"""Scenes to the row and column of their first pixel; the first one's own pixels are the map's."""


class ThreeClasses(Stand):
    """A network whose three logits at a pixel follow from that pixel alone."""

    def predict(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answer as `models.predict.Ensemble.predict` does."""
        return logits_of(tiles), spreads_of(tiles)


def logits_of(pixels: np.ndarray) -> np.ndarray:
    """Return three logits for (..., band, y, x), each of a band of its own."""
    return (pixels[..., :3, :, :].astype(np.float32) - np.float32(4500)) / np.float32(1000)


def spreads_of(pixels: np.ndarray) -> np.ndarray:
    """Return three spreads for (..., band, y, x)."""
    weights = np.array([1, 2, 3], np.float32)[:, None, None]
    return pixels[..., 3:4, :, :].astype(np.float32) / np.float32(4000) * weights


def scenes() -> dict[str, np.ndarray]:
    found = {"a-20230506": image(70, 130), "b-20240102": image(79, 112, 2)}
    found["a-20230506"][:, 20:45, 30:90] = 0
    found["b-20240102"][:, :9, :] = 0
    found["b-20240102"][2, 40:, 100] = 0
    return found


def expected() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plain answer: mean logits and spreads (class, y, x) over the scenes that saw a pixel, and their count."""
    sums, count = np.zeros((6, HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH), int)
    for name, array in scenes().items():
        row, col = PLACES[name]
        here = (slice(row, row + array.shape[1]), slice(col, col + array.shape[2]))
        seen = (array != 0).all(axis=0)
        sums[(slice(None), *here)] += np.concatenate([logits_of(array), spreads_of(array)]) * seen
        count[here] += seen
    mean = np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)
    return mean[:3], mean[3:], count


def softmax_of(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> World:
    """A published map of two scenes that overlap, its cells and windows cut without regard to either."""
    folder = tmp_path_factory.mktemp("classes")
    here = world(folder, models=0)
    here.settings["models"] = [write_bundle(folder / "three", 3, classes=NAMES)]
    for name, array in scenes().items():
        here.scene(name, array, transform=moved(*PLACES[name]))
    with answering(ThreeClasses()), small_cells(), drawn():
        assert main(here.command()) == 0
    return here


def product(out: Path, name: str) -> np.ndarray:
    with rasterio.open(out / "map" / f"{name}.tif") as data:
        return data.read()


def test_probabilities_are_the_softmax_of_the_mean_logits(mapped):
    logits, _, count = expected()
    found = product(mapped.out, "probability")
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(count == 0, found.shape))
    known = count > 0
    # no probability moves by more than half of what its logits move, and float16 storage moves those
    allowed = 1e-6 + rounding(logits).max(axis=0)
    assert (np.abs(found - softmax_of(logits)).max(axis=0)[known] <= allowed[known]).all()
    np.testing.assert_allclose(found.sum(axis=0)[known], 1, atol=1e-6)


def test_classes_are_the_most_probable_ones(mapped):
    logits, _, count = expected()
    (found,) = product(mapped.out, "class")
    np.testing.assert_array_equal(found == 255, count == 0)
    first, second = np.sort(np.nan_to_num(logits), axis=0)[::-1][:2]
    sure = (count > 0) & (first - second > 2 * rounding(logits).max(axis=0))
    assert sure.sum() > 0.98 * (count > 0).sum()
    np.testing.assert_array_equal(found[sure], logits.argmax(axis=0)[sure])
    assert min((found == value).mean() for value in (0, 1, 2, 255)) > 0.03
    np.testing.assert_array_equal(found[count > 0], product(mapped.out, "probability").argmax(axis=0)[count > 0])


def test_spreads_and_counts_are_those_of_each_class(mapped):
    _, spreads, count = expected()
    found = product(mapped.out, "spread")
    known = count > 0
    assert (np.abs(found - spreads)[:, known] <= rounding(spreads)[:, known]).all()
    np.testing.assert_array_equal(product(mapped.out, "count")[0], count)
    assert set(np.unique(count)) == {0, 1, 2}


@pytest.mark.parametrize("name", ["probability", "class", "spread", "count", "latest"])
def test_every_product_says_what_it_holds(mapped, name):
    path = mapped.out / "map" / f"{name}.tif"
    assert cog_validate(str(path), strict=True, quiet=True) == (True, [], [])
    with rasterio.open(path) as data:
        assert (data.height, data.width) == (HEIGHT, WIDTH)
        if name in ("probability", "spread"):
            assert data.descriptions == NAMES
        if name == "class":
            assert [data.tags()[f"CLASS_{value}"] for value in range(3)] == list(NAMES)


def test_record_catalogue_and_report_agree(mapped):
    (found,) = product(mapped.out, "class")
    record = json.loads((mapped.out / "run.json").read_text())
    assert record["map"]["classes"] == list(NAMES)
    numbers = record["products"]["numbers"]
    assert numbers["class_px"] == {name: int((found == value).sum()) for value, name in enumerate(NAMES)}
    assert numbers["class_area_m2"] == {name: px * 100 for name, px in numbers["class_px"].items()}
    assert numbers["seen_px"] == int((found != 255).sum()) == sum(numbers["class_px"].values())
    catalog = pystac.Catalog.from_file(str(mapped.out / "map" / "catalog.json"))
    items = list(catalog.get_items(recursive=True))
    item = next(item for item in items if "class" in item.assets)
    assert "sandan:threshold" not in item.properties
    assets = item.assets
    listed = assets["class"].extra_fields["classification:classes"]
    assert [(c["value"], c.get("title", c["name"])) for c in listed] == list(enumerate(NAMES))
    for name in ("probability", "spread"):
        assert [band["name"] for band in assets[name].extra_fields["bands"]] == list(NAMES)
    network = next(item for item in items if "weights" in item.assets).properties["mlm:output"][0]
    assert len(network["classification:classes"]) == network["result"]["shape"][1] == 3
    page = Page((mapped.out / "report.html").read_text())
    for name, px in numbers["class_px"].items():
        assert name in page.words
        assert str(px) in page.words
    assert "Map of industrial, solar farm areas" in page.words
    assert "the largest of industrial, solar farm, background left out" in page.words


def test_publishing_is_estimated_with_its_bands(mapped):
    with small_cells():
        found = estimate(plan_run(load(RunConfig, mapped.config, ["outputs=[cog]"])))
    assert found.done == 0
    assert found.read_bytes == HEIGHT * WIDTH * (3 * 8 + 2 + 4)  # logits and spreads; count, latest
    written = sum(product(mapped.out, name).nbytes for name in ("probability", "class", "spread", "count", "latest"))
    assert found.write_bytes == pytest.approx(written * 4 / 3, rel=1e-3)


def test_an_unchanged_rerun_does_nothing_and_a_threshold_is_refused(mapped, capsys):
    before = (mapped.out / "run.json").stat().st_mtime_ns
    with small_cells():
        assert main(mapped.command()) == 0
        assert (mapped.out / "run.json").stat().st_mtime_ns == before
        capsys.readouterr()
        assert main(mapped.command("fuse.threshold=0.4")) == 2
    told = capsys.readouterr().err
    assert "threshold 0.4 is set, but the bundles tell 3 classes apart" in told
    assert told.count("\n") == 1


def test_a_report_on_a_geographic_grid_names_pixels_and_no_areas(tmp_path):
    here = world(tmp_path, models=0, grid={"crs": "EPSG:4326", "resolution_deg": 0.0001})
    here.settings["models"] = [write_bundle(tmp_path / "three", 3, classes=NAMES)]
    here.scene("only", image(50, 90))
    with answering(ThreeClasses()), small_cells():
        assert main(here.command()) == 0
    numbers = json.loads((here.out / "run.json").read_text())["products"]["numbers"]
    assert numbers["class_area_m2"] is None
    page = Page((here.out / "report.html").read_text())
    assert "Pixels of each class" in page.words
    assert all(str(px) in page.words for px in numbers["class_px"].values())


@pytest.fixture(scope="module")
def of_networks(tmp_path_factory) -> World:
    """A map by two true networks of three classes in all views.

    Beside the two scenes lies one that is smaller than a window.
    """
    folder = tmp_path_factory.mktemp("networks")
    here = world(folder, models=0, outputs=["cog"])
    here.settings["models"] = [write_bundle(folder / f"three{n}", n, classes=NAMES) for n in (3, 4)]
    here.settings["infer"] |= {"tta": "flips4"}
    for name, array in scenes().items():
        here.scene(name, array, transform=moved(*PLACES[name]))
    here.scene("small", small_scene(), transform=moved(150, 20))
    assert main(here.command()) == 0
    return here


def small_scene() -> np.ndarray:
    array = image(50, 61, 5)
    array[:, 10:20, 30:] = 0
    return array


@pytest.mark.slow  # a minute of Ray; with one class the fast suite does it
def test_two_workers_of_ray_make_the_map_of_one_process(of_networks, monkeypatch):
    serial, ray = of_networks.out, of_networks.folder / "ray"
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(of_networks.command("engine={kind: ray, workers: 2, threads_per_worker: 1}", f"out={ray}")) == 0
    assert json.loads((ray / "run.json").read_text())["stages"]["infer"]["engine"]["workers"] == 2
    one, two = product(serial, "probability"), product(ray, "probability")
    np.testing.assert_array_equal(np.isnan(one), np.isnan(two))
    np.testing.assert_allclose(one, two, atol=2e-3)
    top = np.sort(one, axis=0)
    sure = top[2] - top[1] > 5e-3
    classes = product(serial, "class")[0]
    np.testing.assert_array_equal(classes[sure], product(ray, "class")[0][sure])
    assert sum((classes == value).mean() > 0.02 for value in range(3)) > 1, "one class everywhere shows nothing"


def test_the_map_is_that_of_the_networks(of_networks):
    """Where one window saw a scene, the softmax of the plain mean over networks and views of that window alone."""
    run = plan_run(load(RunConfig, of_networks.config))
    plan = next(p for p in run.logits(decide(run, None)) if p.source.scene.id == "small")
    scene, logits = stores(run, plan)
    assert (logits.lattice.rows, logits.lattice.cols) == (1, 1)
    mean, deviation = by_hand(of_networks.settings["models"], scene.network_input(logits.lattice.window(0, 0)), True)
    here = (slice(None), slice(150, 200), slice(20, 81))
    seen = (small_scene() != 0).all(axis=0)
    wanted, spread = softmax_of(mean[:, :50, :61]), deviation[:, :50, :61]
    probability = product(of_networks.out, "probability")[here]
    np.testing.assert_allclose(probability[:, seen], wanted[:, seen], atol=2 * float(rounding(mean).max()))
    assert np.isnan(probability[:, ~seen]).all()
    np.testing.assert_allclose(product(of_networks.out, "spread")[here][:, seen], spread[:, seen], atol=2e-3)
