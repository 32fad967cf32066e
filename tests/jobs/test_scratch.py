"""The shipped recipes of the scratch document say what it says, at any scale."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.config import RunConfig
from jobs.network_gates import scores_of_task
from jobs.parsing import load, parse
from jobs.recipe_config import RecipeConfig
from jobs.scratch import (
    RECIPES,
    ROWS,
    SCALES,
    VARIANTS,
    Experiment,
    judged_variant,
    variant_of,
    world_dataset,
)
from jobs.scratch_table import GOAL
from jobs.training import network_values
from models.networks import NetworkSpec
from models.train_spec import TrainSpec

ENGINE = {"kind": "serial"}
DOCUMENT = {
    "A": ("unet_classic", 150, 4, 1e-3, "Adam", "none", "batch_dice", "company"),
    "B": ("unet_classic", 100, 4, 1e-3, "Adam", "none", "batch_dice", "rgb"),
    "C": ("deeplabv3", 50, 16, 1e-3, "Adam", "none", "bce", "rgb"),
    "D": ("unet_classic", 100, 4, 1e-3, "Adam", "none", "batch_dice", "no-light"),
    "E": ("unet_classic", 100, 4, 1e-3, "RMSprop", "CosineAnnealingLR", "batch_dice", "gray"),
    "F": ("unet_classic", 100, 4, 1e-4, "Adam", "CosineAnnealingWarmRestarts", "batch_dice", "rgb"),
    "G": ("unet_classic", 10, 4, 1e-4, "Adam", "LambdaLR", "batch_dice", "rgb"),
    "H": ("unet3plus", 10, 4, 1e-3, "Adam", "LambdaLR", "batch_dice", "rgb"),
}


def experiment(folder: Path, scale: str, **changes) -> Experiment:
    return replace(Experiment(folder, world_dataset(folder / "data"), SCALES[scale], 3, ENGINE, "company"), **changes)


def recipe(name: str) -> RecipeConfig:
    return load(RecipeConfig, str(RECIPES / f"{name}.yaml"))


@pytest.mark.parametrize("name", DOCUMENT)
def test_recipes_hold_the_documents_settings(name):
    found, spec = recipe(name), TrainSpec(**recipe(name).train)
    settings = spec.epochs, spec.batch, spec.learning_rate, spec.optimizer.name, spec.schedule.name, spec.loss
    assert (found.network.architecture, *settings, variant_of(name)) == DOCUMENT[name]
    assert (found.classes, found.data.channels) == (("scratch",), ("red", "green", "blue"))
    NetworkSpec(**network_values(found.network.model_dump(), 3, 1))


def test_the_reported_rows_are_the_documents():
    reported = {row.name: (row.loss, row.iou) for row in ROWS if row.iou is not None}
    assert list(reported) == list(DOCUMENT)
    assert max(reported, key=lambda name: reported[name][1]) == "F"
    assert [iou for _, iou in reported.values()] == [0.1842, 0.1916, 0.1470, 0.1808, 0.2042, 0.2107, 0.1602, 0.1831]


def test_the_matched_row_differs_from_h_in_its_network_and_from_g_in_its_rate():
    g, h, matched = (recipe(name).model_dump(exclude={"out"}) for name in ("G", "H", "G-1e-3"))
    assert matched | {"network": h["network"]} == h
    assert matched["train"] | {"learning_rate": 1e-4} == g["train"]
    assert matched | {"train": g["train"]} == g


def test_the_picture_of_bce_is_row_b_with_another_loss():
    b, bce = (recipe(name).model_dump(exclude={"out"}) for name in ("B", "B-bce"))
    assert bce["train"] == b["train"] | {"loss": "bce"}
    assert bce | {"train": b["train"]} == b


def test_variants_differ_in_colours_and_sources_alone():
    runs = {name: load(RunConfig, str(RECIPES / f"{name}.yaml")).dataset for name in VARIANTS}
    assert [runs[name].preprocess for name in VARIANTS] == [(), (), ("gray",), ("light_removal",)]
    assert [runs[name].sources for name in VARIANTS] == [(), ("company",), (), ()]
    rest = [run.model_dump(exclude={"preprocess", "sources"}) for run in runs.values()]
    assert all(one == rest[0] for one in rest)
    assert not runs["rgb"].split.same_as_val


def test_who_learns_from_one_source_is_judged_on_all():
    assert variant_of("A") == "company"
    assert judged_variant("A") == judged_variant("B") == "rgb"
    assert (judged_variant("D"), judged_variant("E")) == ("no-light", "gray")


@pytest.mark.parametrize("scale", SCALES)
def test_every_file_of_a_reproduction_loads_and_can_be_run_by_itself(tmp_path, scale):
    one = experiment(tmp_path, scale)
    runs, recipes = one.write_runs(), one.write_recipes()
    assert set(runs) == set(VARIANTS)
    assert set(recipes) == {row.name for row in ROWS}
    sides = {load(RunConfig, str(path)).dataset.side_px for path in runs.values()}
    assert len(sides) == 1
    for name, path in recipes.items():
        found = load(RecipeConfig, str(path))
        assert Path(found.data.run) == runs[variant_of(name)]
        assert found.data.tile_px <= sides.copy().pop()
        spec = TrainSpec(**found.train)
        assert spec.seed == 3
        assert found.network.weights == "random:4"
        assert (spec.batch, spec.learning_rate) == (TrainSpec(**recipe(name).train).batch, spec.learning_rate)
        NetworkSpec(**network_values(found.network.model_dump(), 3, 1))


def test_paper_changes_nothing_but_places_and_seeds(tmp_path):
    one = experiment(tmp_path, "paper")
    for row in ROWS:
        ours, shipped = one.recipe_values(row.name), recipe(row.name).model_dump(mode="json", exclude_defaults=True)
        assert ours["train"] == shipped["train"] | {"seed": 3}
        assert ours["network"] == shipped["network"] | {"weights": "random:4"}
        assert ours["data"] == shipped["data"] | {"run": str(tmp_path / "recipes" / f"{variant_of(row.name)}.yaml")}


def test_a_smaller_scale_keeps_the_cycles_of_warm_restarts(tmp_path):
    train = experiment(tmp_path, "small").recipe_values("F")["train"]
    shipped = recipe("F").train
    assert train["epochs"] / train["schedule"]["t_0"] == shipped["epochs"] / shipped["schedule"]["t_0"]


def test_the_documents_split_is_an_option(tmp_path):
    values = experiment(tmp_path, "small", test="same-as-val").run_values("gray")
    split = parse(RunConfig, values, "gray").dataset.split
    assert split.same_as_val
    assert split.validation == pytest.approx(2800 / 16300, abs=1e-3)
    dataset = world_dataset(tmp_path) | {"split": {"by": "folder"}}
    values = experiment(tmp_path, "small", test="same-as-val", dataset=dataset).run_values("rgb")
    assert values["dataset"]["split"] == {"by": "folder", "test": "same-as-val"}


def test_one_source_alone_is_named_only_where_there_are_several(tmp_path):
    assert experiment(tmp_path, "tiny").run_values("company")["dataset"]["sources"] == ["company"]
    assert "sources" not in experiment(tmp_path, "tiny", alone="").run_values("company")["dataset"]
    assert "sources" not in experiment(tmp_path, "tiny").run_values("rgb")["dataset"]


def test_lists_of_kept_photos_are_named_where_they_are(tmp_path):
    assert "curation" not in experiment(tmp_path, "tiny").run_values("gray")
    one = experiment(tmp_path, "tiny", kept=True)
    assert one.run_values("gray")["curation"] == str(tmp_path / "recipes/kept-gray.csv")


def test_the_goal_stands_in_the_recipes_of_the_rows_that_reached_it(tmp_path):
    asked = {row.name: recipe(row.name).gates for row in ROWS}
    reached = {row.name for row in ROWS if row.iou is not None and row.iou >= GOAL}
    assert {name for name, gates in asked.items() if gates is not None} == reached == {"E", "F"}
    assert asked["F"].least == {"iou_fg": GOAL}
    assert asked["F"].least.keys() <= set(scores_of_task(recipe("F")))
    assert "gates" not in experiment(tmp_path, "tiny").recipe_values("F"), "the table asks for the best row"
