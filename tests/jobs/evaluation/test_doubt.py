"""Wrong pixels against uncertainty: counts of cells add up to those of whole arrays."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import map as map_job
from jobs.evaluate import main
from jobs.evaluation.doubt import MOST_LOGITS, auroc, count_doubt, doubt_of
from models.calibration import Reliability
from models.metrics import IGNORE
from tests.jobs.worlds import INFER, World, image, moved, small_cells, world, write_tif
from tests.pictures import drawn
from tiler.doubt import doubts_of
from tiler.grids import Box
from tiler.map_store import DOUBTS, MapStore


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=60))
def test_auroc_is_how_often_a_wrong_pixel_has_the_larger_value(pixels):
    values, wrong = (np.array(column) for column in zip(*pixels, strict=True))
    found = auroc(Reliability.of(values / 12, wrong))
    pairs = [(a > b) + (a == b) / 2 for a in values[wrong] for b in values[~wrong]]
    assert found == pytest.approx(np.mean(pairs)) if pairs else np.isnan(found)


class Plane:
    """As much of a map store with uncertainty as is read."""

    classes = ("industrial",)

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        probability = random.random((1, 70, 90)).astype(np.float32)
        entropy = (random.random((70, 90)) * 0.1).astype(np.float32)
        disagreement = random.normal(0, 9, (1, 70, 90)).astype(np.float32) ** 2
        self.layers = dict(zip(DOUBTS, (probability, entropy, disagreement), strict=True))
        self.layers["count"] = random.integers(1, 3, (70, 90)).astype(np.uint16)

    def read(self, name: str, box: Box) -> np.ndarray:
        return self.layers[name][(..., *box.slices)]


def test_pieces_add_up_and_only_what_several_saw_can_disagree():
    store, random = Plane(3), np.random.default_rng(4)
    truth = random.choice(np.array([0, 1, IGNORE], np.uint8), (70, 90))
    found = random.choice(np.array([0, 1, 1, IGNORE], np.uint8), (70, 90))
    boxes = [Box(0, 0, 33, 90), Box(33, 0, 70, 51), Box(33, 51, 70, 90)]
    pieces = [count_doubt(store, box, truth[box.slices], found[box.slices]) for box in boxes]
    told = doubt_of(json.loads(json.dumps(pieces)), 1)
    judged = (truth != IGNORE) & (found != IGNORE)
    bands = doubts_of(*(store.layers[name] for name in DOUBTS))
    for name, band in zip(("entropy", "mutual_information", "disagreement"), bands, strict=True):
        seen = judged & (store.layers["count"] > 1) if name == "disagreement" else judged
        wrong = (truth != found)[seen]
        assert (told[name]["pixels"], told[name]["wrong_pixels"]) == (seen.sum(), wrong.sum())
        for curve in (told[name]["equal_width"], told[name]["equal_mass"]):
            known = np.array(curve["pixels"]) > 0
            pixels, mean, rate = (np.array(curve[c])[known] for c in ("pixels", "value", "wrong"))
            assert pixels.sum() == seen.sum()
            assert (pixels * mean).sum() == pytest.approx(np.minimum(band[seen], MOST_LOGITS).sum(), rel=1e-4)
            assert (pixels * rate).sum() == pytest.approx(wrong.sum())
            assert (np.diff(mean) > 0).all()


def test_nothing_counted_is_nothing_told():
    assert doubt_of([], 1) == {}
    nobody = np.full((70, 90), IGNORE, np.uint8)
    assert doubt_of([count_doubt(Plane(1), Box(0, 0, 70, 90), nobody, nobody)], 1) == {}


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> World:
    folder: Path = tmp_path_factory.mktemp("doubt")
    here = world(folder, models=2, infer=INFER | {"uncertainty": True})
    here.scene("a", image(90, 110, 1))
    here.scene("b", image(70, 90, 2), transform=moved(30, 41))
    codes = np.where(image(120, 140, 7)[1] > 5000, 8, 3).astype(np.uint8)
    write_tif(folder / "labels.tif", codes, transform=moved(0, 0), nodata=0)
    here.settings |= {"evaluate": {"resamples": 100, "where": "all"}}
    here.settings["labels"] = {"files": str(folder / "labels.tif"), "codes": {8: 1}}
    with small_cells(), drawn():
        assert map_job.main(here.command()) == 0
        assert main(here.command()) == 0
    return here


def test_an_evaluation_tells_how_often_an_unsure_pixel_is_wrong(judged):
    found = json.loads((judged.out / "evaluation" / "evaluation.json").read_text())
    told = found["uncertainty"]
    assert set(told) == {"entropy", "mutual_information", "disagreement"}
    confusion = np.array(found["confusion"])
    assert told["entropy"]["pixels"] == confusion.sum()
    assert told["entropy"]["wrong_pixels"] == confusion.sum() - np.trace(confusion)
    with small_cells():
        store = MapStore(str(judged.out / "mosaic" / f"{found['map']}.zarr"))
        several = (store.read("count", store.extent) > 1).sum()
    assert 0 < told["disagreement"]["pixels"] <= several
    rows = list(csv.DictReader((judged.out / "evaluation" / "uncertainty.csv").read_text().splitlines()))
    assert {row["band"] for row in rows} == set(told)
    assert sum(int(row["pixels"]) for row in rows if row["band"] == "entropy") == confusion.sum()
    page = (judged.out / "report.html").read_text()
    assert page.count("Where the map is unsure") >= 2  # the table and the figure
