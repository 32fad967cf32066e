"""Gates of a recipe: asked before the first worker trains, of what curation kept; what is not passed is told."""

import numpy as np
import pytest
import yaml

from cluster.engine import SerialEngine
from jobs import train
from jobs.config import RunConfig
from jobs.curate_windows import WindowSubject
from jobs.gates_config import TrainingGates
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.recipe_config import DataConfig, RecipeConfig
from jobs.shell import BAD_INPUT, INCOMPLETE
from jobs.train import plan_train
from jobs.training_data import SceneData, plan_data
from jobs.training_gates import judge
from tests.jobs.grounds import BLOCK_KM, embedded, ground, rerun
from tests.jobs.worlds import ARCHITECTURE, ENCODER, image, moved, world, write_tif

TILE, SCENES = 64, 6


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Six labelled scenes of two windows each: `s4` is of another scale, a third of `s2` is missing."""
    here = world(tmp_path_factory.mktemp("gates"), models=0)
    for index in range(SCENES):
        array = image(TILE, 2 * TILE, index, *((20, 900) if index == 4 else (200, 9000)))
        if index == 2:
            array[:, :, :43] = 0
        here.scene(f"s{index}", array, transform=moved(0, 200 * index))
    write_tif(here.folder / "labels/one.tif", np.full((TILE, 200 * SCENES), 10, np.uint8), nodata=None)
    here.settings |= {"labels": {"files": str(here.folder / "labels/*.tif"), "codes": {10: 1}}}
    settings = {
        "out": str(here.folder / "models/one"),
        "network": {"architecture": ARCHITECTURE, "encoder": ENCODER, "weights": "random:3"},
        "data": {"run": here.config, "tile_px": TILE, "augment": []},
        "engine": {"kind": "serial", "threads_per_worker": 1},
    }
    path = here.folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def said(recipe, exclude=(), **gates) -> dict[str, tuple[bool, str]]:
    data = plan_data(DataConfig(run=str(recipe.parent / "map.yaml"), tile_px=TILE, exclude=exclude))
    engine = SerialEngine(1)
    assert data.ingest(engine)
    return {one.gate: (one.passed, one.told) for one in judge(data, TrainingGates(**gates), engine)}


def test_a_recipe_whose_data_do_not_pass_trains_nothing_and_ends_with_3(recipe, capsys, monkeypatch):
    monkeypatch.setattr("jobs.train.Launch.run", lambda *_: pytest.fail("a worker began"))
    words = [str(recipe), "--set", "data.gates.max_missing=0.1", "--set", "data.gates.max_odd=10"]
    assert train.main(words) == INCOMPLETE
    told = capsys.readouterr().err
    assert "nothing was trained: scene s2 misses most, 33.6%, at most 0.1 is asked (data.gates.max_missing)" in told
    assert "of scene s4 has the mean" in told
    assert "leave it out (sandan curate filter or clean" in told
    assert not (recipe.parent / "models/one/card.json").exists()
    assert train.main([str(recipe), "--set", "data.gates.max_mising=0.1"]) == BAD_INPUT


def test_what_curation_removed_is_not_asked(recipe, tmp_path):
    assert not said(recipe, max_odd=10)["max_odd"][0]
    gone = tmp_path / "gone.csv"
    gone.write_text("id\ns4/64px_r0_c0\ns4/64px_r0_c1\ns2/64px_r0_c0\n")
    found = said(recipe, (str(gone),), max_odd=10, max_missing=0.0)
    assert [passed for passed, _ in found.values()] == [True, True]


def test_outliers_are_a_share_of_the_windows(recipe):
    share = 1 / (2 * SCENES)
    passed, told = said(recipe, max_outliers=share, outlier_z=1e6)["max_outliers"]
    assert passed
    assert told.startswith("0.0% of 12 windows are like no other (outlier score above 1e+06), the loneliest is ")
    assert not said(recipe, max_outliers=share, outlier_z=1e-9)["max_outliers"][0]


def test_drift_of_scenes_that_are_not_embedded_is_not_passed(recipe):
    passed, told = said(recipe, drift={"reference": str(recipe.parent / "map.yaml")})["drift"]
    assert not passed
    assert "it could not be measured whether the scenes drift: embed: the run names no embedder" in told


def test_gates_do_not_change_what_a_training_is(recipe):
    keys = {plan_train(load(RecipeConfig, str(recipe), changes)).key for changes in ([], ["data.gates.max_odd=9"])}
    assert len(keys) == 1


def test_drift_from_the_scenes_of_another_run_is_asked_of_what_is_kept(tmp_path):
    reference = embedded(tmp_path / "before", {"2024-05-01": ground(1, 0), "2024-06-01": ground(1, 1)})
    asked = TrainingGates(drift={"reference": reference.config, "block_km": BLOCK_KM})

    def drift_of(run, left_out=()) -> tuple[bool, str]:
        (one,) = judge(SceneData(run, frozenset(left_out)), asked, SerialEngine(1))
        return one.passed, one.told

    same = plan_run(load(RunConfig, rerun(reference, tmp_path / "same", {"2024-07-01": ground(1, 2)}).config))
    assert drift_of(same) == (True, f"no region drifts from {reference.config}, none may")
    ids = WindowSubject(same).ids
    passed, told = drift_of(same, ids[: len(ids) // 2])
    assert not passed
    assert "all: drifts: 49% of what the reference saw is missing" in told
    haze = (0.5 * ground(1, 2) + 2500).astype(np.uint16)
    passed, told = drift_of(plan_run(load(RunConfig, rerun(reference, tmp_path / "haze", {"2024-07-01": haze}).config)))
    assert not passed
    assert "all: drifts: " in told
