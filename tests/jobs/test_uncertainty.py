"""A map that knows what it does not know: from windows to bands, against the formulas written out in float64."""

import json

import numpy as np
import pystac
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from jobs import map as map_job
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.plan import Precision, plan_run
from tests.jobs.test_infer import by_hand
from tests.jobs.worlds import INFER, World, assert_same_map, image, layers, moved, small_cells, world
from tiler.map_store import MapStore
from tiler.scene_store import SceneStore

BANDS = ("entropy", "mutual_information", "disagreement")
APART = (20, 31)
"""Rows and columns from the first scene to the second."""


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> World:
    """Two scenes of a window each that overlap, two networks, four views, on the scenes' own pixels."""
    here = world(tmp_path_factory.mktemp("doubt"), models=2, infer=INFER | {"tta": "flips4"})
    array = image(64, 64)
    array[:, 40:50, 30:44] = 0
    here.scene("a", array, "2024-03-01")
    here.scene("b", image(64, 64, 4), "2023-05-06", transform=moved(*APART))
    with small_cells():
        assert map_job.main(here.command("infer.uncertainty=true")) == 0
    return here


def store_of(here: World) -> MapStore:
    key = json.loads((here.out / "run.json").read_text())["map"]["key"]
    return MapStore(str(here.out / "mosaic" / f"{key}.zarr"))


def answers(here: World) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Logit (member, y, x) of each scene on the map's pixels, NaN elsewhere, in float64."""
    run = plan_run(load(RunConfig, here.config))
    found = []
    for plan, (row, col) in zip(run.scenes, ((0, 0), APART), strict=True):
        scene = SceneStore(run.url("ingest", plan.name))
        tile, valid = scene.network_input(scene.grid.box), scene.read("valid", scene.grid.box, False)
        members = []
        for path in run.config.models:
            for axes in [(), (2,), (1,), (1, 2)]:
                flipped = np.flip(tile, axes)
                members.append(np.flip(by_hand([path], flipped, flips=False)[0], axes)[0])
        whole = np.full((len(members), 64 + APART[0], 64 + APART[1]), np.nan)
        whole[:, row : row + 64, col : col + 64] = np.where(valid, members, np.nan)
        found.append(whole)
    return found


def entropy(p: np.ndarray) -> np.ndarray:
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def test_the_bands_are_those_of_the_formula(mapped):
    stacked = np.array(answers(mapped))  # (scene, member, y, x)
    seen = ~np.isnan(stacked).all(axis=(0, 1))
    probabilities = 1 / (1 + np.exp(-stacked[:, :, seen]))
    with np.errstate(invalid="ignore"):
        total = entropy(np.nanmean(probabilities, axis=(0, 1)))
        alone = np.nanmean(entropy(probabilities), axis=(0, 1))
        disagreement = np.nanstd(stacked[:, :, seen].mean(axis=1), axis=0)
    with rasterio.open(mapped.out / "map" / "uncertainty.tif") as data:
        found = data.read()
        np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(~seen, found.shape))
    for band, expected, most in zip(
        found[:, seen], (total, total - alone, disagreement), (3e-3, 4e-3, 2e-2), strict=True
    ):
        assert np.abs(band - expected).max() < most  # of float16 at the windows; logits reach some tens
        assert expected.max() > 20 * most
    twice = (~np.isnan(stacked[:, 0])).all(axis=0)[seen]
    assert (found[2, seen][~twice] == 0).all()
    assert (found[1] <= found[0])[seen].all()


def test_the_file_says_what_its_bands_are(mapped):
    path = mapped.out / "map" / "uncertainty.tif"
    assert cog_validate(str(path), strict=True, quiet=True) == (True, [], [])
    with rasterio.open(path) as data:
        assert data.descriptions == BANDS
        assert data.units == ("nat", "nat", "logit")
        assert set(data.dtypes) == {"float32"}
    catalog = pystac.Catalog.from_file(str(mapped.out / "map" / "catalog.json"))
    asset = next(i.assets["uncertainty"] for i in catalog.get_items(recursive=True) if "uncertainty" in i.assets)
    listed = [(band["name"], band["unit"]) for band in asset.extra_fields["bands"]]
    assert listed == list(zip(BANDS, ("nat", "nat", "logit"), strict=True))
    assert "uncertainty" in json.loads((mapped.out / "map.json").read_text())["files"]


def test_the_map_itself_is_that_of_a_run_without(mapped, tmp_path):
    """And a run without makes what it always made: no further layer, and the names of its stores stay."""
    plain = World(tmp_path, mapped.settings | {"out": str(tmp_path / "out")})
    with small_cells():
        assert map_job.main(plain.command()) == 0
    assert store_of(plain).layers == ("logit", "spread", "count", "latest")
    assert not (plain.out / "map" / "uncertainty.tif").exists()
    one, other = layers(store_of(plain)), layers(store_of(mapped))
    assert_same_map(other, one)
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values)
    plans = [plan_run(load(RunConfig, plain.config, [f"infer.uncertainty={flag}"])) for flag in ("false", "true")]
    precision = Precision("cpu", "fp32", 1)
    made_of = [run.logits(precision)[0].made_of for run in plans]
    assert set(made_of[1]) - set(made_of[0]) == {"uncertainty"}


def test_adaptive_inference_cannot_tell(mapped, capsys):
    assert map_job.main(mapped.command("infer.uncertainty=true", "infer.adaptive=rule.json")) == 2
    assert "every network in every view" in capsys.readouterr().err


@pytest.mark.slow
def test_several_classes_have_one_entropy(tmp_path):
    from tests.jobs.worlds import write_bundle

    names = ("background", "industrial", "quarry")
    here = world(tmp_path, models=0)
    here.settings["models"] = [write_bundle(tmp_path / f"n{i}", i, classes=names) for i in (1, 2)]
    here.scene("only", image(50, 60))
    with small_cells():
        assert map_job.main(here.command("infer.uncertainty=true", "outputs=[cog]")) == 0
        store = store_of(here)
    probability = store.read("probability", store.extent)
    assert probability.shape == (3, 50, 60)
    np.testing.assert_allclose(probability.sum(axis=0), 1, atol=2e-3)
    with rasterio.open(here.out / "map" / "uncertainty.tif") as data:
        total, epistemic, disagreement = data.read()
    assert total.max() <= np.log(3) + 1e-5
    assert epistemic.max() > 0.01
    assert (disagreement == 0).all()
