"""What a training and an evaluation make of a list of kept tiles; the tiles are those of an AI-Hub delivery."""

import csv

import numpy as np
import pytest
import yaml

from jobs import curate
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.image_recipe_config import AutoencodeRecipeConfig
from jobs.parsing import load
from jobs.recipe_config import DataConfig, RecipeConfig
from jobs.shell import DONE
from jobs.train import plan_train
from jobs.train_images import plan_images
from jobs.training import TrainingTask, open_ground
from jobs.training_data import plan_data
from tests.jobs.worlds import ARCHITECTURE, ENCODER
from tests.tiler.rasters_for_tests import moved, numbers, write_tif

SIDE, TRAIN, VALIDATION = 40, 6, 3


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Write a delivery of 9 tiles, of which tile 1 is a copy of tile 0, its run, and a recipe."""
    folder = tmp_path_factory.mktemp("curated")
    for index in range(TRAIN + VALIDATION):
        letter, name = "T" if index < TRAIN else "V", f"SN10_CHN_{index:05d}_230409.tif"
        image = numbers(4, SIDE, SIDE, seed=max(1, index))
        write_tif(folder / f"delivery/{letter}S_SN10_SN10/{name}", image, crs=None, transform=None)
        label = np.full((SIDE, SIDE), 90, np.int8)
        label[: 3 + index] = 10
        write_tif(folder / f"delivery/{letter}L_SN10/{name}", label, transform=moved(0, 100 * index))
    dataset = {"root": str(folder / "delivery"), "tile_px": SIDE}
    run = {"out": str(folder / "out"), "dataset": dataset, "engine": {"kind": "serial", "threads_per_worker": 1}}
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    settings = {
        "out": str(folder / "models/one"),
        "network": {"architecture": ARCHITECTURE, "encoder": ENCODER, "weights": "random:3"},
        "data": {"run": str(folder / "run.yaml"), "tile_px": 32, "augment": []},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def kept(recipe):
    """Leave the copy out, and one tile of the validation by hand."""
    run, listed = str(recipe.parent / "run.yaml"), recipe.parent / "mine.csv"
    listed.write_text("id,why\nSN10_CHN_00007_230409,blurred\n")
    assert curate.main(["filter", run, "--duplicates", "exact", "--list", str(listed)]) == DONE
    assert curate.main(["apply", run]) == DONE
    return recipe.parent / "out/curation/kept.csv"


def ids(path) -> list[str]:
    with path.open(newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def names(*indices: int) -> list[str]:
    return [f"SN10_CHN_{index:05d}_230409" for index in indices]


def test_removed_tiles_are_left_out_of_both_parts(recipe, kept):
    assert ids(kept) == names(0, 2, 3, 4, 5, 6, 8)
    data = plan_data(DataConfig(run=str(recipe.parent / "run.yaml"), tile_px=SIDE, curation=str(kept)))
    assert data.tiles(SIDE) == TRAIN - 1
    task = TrainingTask(
        *("one", "", "", (data.planned.url,), 1.0, ("red", "mask"), ("industrial",)),
        network={},
        data={"tile_px": SIDE, "sampling": {}},
        train={},
        threads=1,
        left_out=tuple(data.left_out),
    )
    ground, _, _ = open_ground(task)
    tiles = ground.store.tiles
    assert [tiles[row]["id"] for row in ground.rows] == names(0, 2, 3, 4, 5)
    assert [tiles[row]["id"] for row, _ in ground.held_back()] == names(6, 8)
    rows = ground.store.facts("sums")[[0, 2, 3, 4, 5], 0].sum(axis=0)
    assert ground.statistics().mean[0] == pytest.approx(rows[1] / rows[0]), "statistics are of what is kept"


def test_what_is_kept_is_part_of_the_recipes_key_and_its_path_is_not(recipe, kept, tmp_path):
    def key(*changes: str) -> str:
        return plan_train(load(RecipeConfig, str(recipe), changes)).key

    other = tmp_path / "elsewhere.csv"
    other.write_bytes(kept.read_bytes())
    assert key(f"data.curation={kept}") == key(f"data.curation={other}") != key()
    other.write_text("id\n" + "\n".join(names(0, 2, 3, 4, 5, 6)) + "\n")
    assert key(f"data.curation={other}") != key(f"data.curation={kept}")
    everything = tmp_path / "all.csv"
    everything.write_text("id\n" + "\n".join(names(*range(9))) + "\n")
    assert key(f"data.curation={everything}") == key(), "a list of all removes nothing"


def test_the_run_may_name_the_list_and_a_recipe_another_one(recipe, kept, tmp_path):
    run = load(RunConfig, str(recipe.parent / "run.yaml"), [f"curation={kept}"])
    assert plan_dataset(run).left_out() == set(names(1, 7))
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(run.model_dump(mode="json", include={"out", "dataset", "curation"})))
    assert plan_data(DataConfig(run=str(path), tile_px=SIDE)).left_out == set(names(1, 7))
    other = tmp_path / "all.csv"
    other.write_text("id\n" + "\n".join(names(*range(9))) + "\n")
    assert plan_data(DataConfig(run=str(path), tile_px=SIDE, curation=str(other))).left_out == set()


def test_single_versions_may_be_left_out_as_well(recipe, kept):
    run, version = str(recipe.parent / "run.yaml"), recipe.parent / "out/curation/0001/removed.csv"
    data = plan_data(DataConfig(run=run, tile_px=SIDE, exclude=(str(version),)))
    assert data.left_out == set(names(1, 7))

    def key(*changes: str) -> str:
        return plan_train(load(RecipeConfig, str(recipe), changes)).key

    assert key(f"data.exclude=[{version}]") == key(f"data.curation={kept}")


def test_whole_images_are_divided_after_curation(recipe, kept):
    settings = {
        "task": "autoencode",
        "out": str(recipe.parent / "models/ae"),
        "network": {"weights": "random:0", "side_px": 32, "width": 2, "bottleneck": 4},
        "data": {"run": str(recipe.parent / "run.yaml"), "curation": str(kept), "split": {"validation": 0.2}},
    }
    planned = plan_images(AutoencodeRecipeConfig.model_validate(settings))
    assert set(planned.parts) == set(names(0, 2, 3, 4, 5, 6, 8))
    assert sorted(planned.parts.values()) == ["train"] * 5 + ["validation"] * 2, "7 images: 0.2 rounds up to 2"


def test_lists_that_do_not_fit_are_refused(recipe, kept, tmp_path):
    def planned(text: str | None):
        path = tmp_path / "bad.csv"
        if text is not None:
            path.write_text(text)
        return plan_data(DataConfig(run=str(recipe.parent / "run.yaml"), tile_px=SIDE, curation=str(path)))

    with pytest.raises(ValueError, match="does not exist; give a CSV"):
        planned(None)
    with pytest.raises(ValueError, match="no column id"):
        planned("name\nx\n")
    with pytest.raises(ValueError, match="names 1 tiles that the data set does not hold"):
        planned("id\nstranger\n")
