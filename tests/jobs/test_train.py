"""Train: a recipe becomes a bundle that a map accepts; bad recipes are refused before anything starts."""

import json

import numpy as np
import pytest

from cluster import ddp
from jobs import map as map_job
from jobs.recipe_config import NetworkConfig
from jobs.train import main
from models.bundle import load_bundle
from models.card import read_card
from tests.jobs.recipes import Recipe
from tests.jobs.worlds import files_below, image, small_cells, write_tif


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Recipe:
    recipe = Recipe(tmp_path_factory.mktemp("train"))
    assert main(recipe.command()) == 0
    return recipe


def test_the_bundle_says_what_was_learnt_from_what(trained):
    card, network = load_bundle(trained.out)
    assert (card.name, card.classes, card.sensor) == ("tiny", ("bright",), "SN10")
    assert card.channels == ("red", "green", "blue", "nir", "mask")
    assert card.weights == "random:3"
    assert card.split == {"block_px": 32, "fraction": 0.2, "seed": 0}
    assert card.training_data == trained.key()
    assert network.spec.in_channels == 5


def test_the_scaling_is_the_datas_mean_and_deviation(trained):
    card = read_card(trained.out)
    valid = (trained.array != 0).all(axis=0)
    for band, offset, scale in zip(trained.array.astype(float), card.offset, card.scale, strict=False):
        assert offset == pytest.approx(band[valid].mean(), rel=2e-3)  # from a histogram
        assert scale == pytest.approx(band[valid].std(), rel=5e-3)
    assert (card.offset[-1], card.scale[-1]) == (0, 1)


def test_it_learns(trained):
    history = json.loads((trained.out / "history.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1, 2]
    losses = [row["training_loss"] for row in history]
    assert losses[-1] < 0.9 * losses[0]
    assert all(0 <= row["mIoU"] <= 1 for row in history)
    assert read_card(trained.out).metrics["mIoU"] == history[-1]["mIoU"]


def test_a_command_that_is_killed_goes_on_from_its_last_checkpoint(trained, tmp_path, monkeypatch):
    """In this process too; and a finished run leaves no checkpoints."""
    out = tmp_path / "again"
    change = f"out={out}"

    def ended(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("jobs.training._write_bundle", ended)
        assert main(trained.command(change)) == 130
    assert len(list((out / "training").rglob("state.pt"))) == 2
    with monkeypatch.context() as patch:
        patch.setattr("models.trainer.Trainer.run_epoch", lambda *_: pytest.fail("all epochs are done"))
        assert main(trained.command(change)) == 0
    assert (out / "weights.safetensors").read_bytes() == (trained.out / "weights.safetensors").read_bytes()
    assert list((out / "training").rglob("*.pt")) == []


def test_a_recipe_that_is_trained_is_not_trained_again(trained, capsys, monkeypatch):
    monkeypatch.setattr(ddp, "launch_inline", lambda *_, **__: pytest.fail("it is trained"))
    monkeypatch.setattr("jobs.train.engine_of", lambda *_: pytest.fail("no worker is needed"))
    before = files_below(trained.folder / "models") | files_below(trained.world.out)
    assert main(trained.command()) == 0
    assert "is trained already" in capsys.readouterr().out
    # who does the work is no part of the recipe
    assert main(trained.command("engine.workers=2", "engine.kind=ray")) == 0
    assert files_below(trained.folder / "models") | files_below(trained.world.out) == before


def test_a_recipe_is_named_by_all_that_shapes_the_network(trained):
    base = trained.key()
    assert trained.key("engine.workers=5", f"out={trained.folder}/elsewhere") == base
    changes = ["train.epochs=4", "train.seed=1", "network.weights=random:4", "data.tile_px=96", "data.augment=[]"]
    changes += ["data.split.seed=2", "classes=[dark]", "network.architecture=unetplusplus", "data.tiles_per_epoch=13"]
    keys = [trained.key(change) for change in changes]
    assert len({base, *keys}) == len(changes) + 1
    assert trained.key("train.alpha=0.5") == base  # said or left to its default: the same


def test_a_dry_run_knows_what_is_trained(trained, capsys):
    before = files_below(trained.folder)
    assert main([*trained.command(), "--dry-run"]) == 0
    assert [line.split()[:5] for line in capsys.readouterr().out.split("\n")[2:4]] == [
        ["ingest", "1", "shards", "1", "0"],
        ["train", "3", "epochs", "3", "0"],
    ]
    assert main([*trained.command("train.epochs=7"), "--dry-run"]) == 0
    assert "train   7 epochs  0     7" in capsys.readouterr().out
    assert set(files_below(trained.folder)) == set(before)


def test_a_map_takes_the_bundle(trained):
    with small_cells():
        assert map_job.main(trained.world.command(f"models=[{trained.out}]")) == 0
    record = json.loads((trained.world.out / "run.json").read_text())
    assert record["models"][0]["training_data"] == trained.key()
    assert record["config"]["labels"]["codes"] == {"2": 1}
    assert "Training" in (trained.world.out / "report.html").read_text()


def test_a_network_without_an_encoder_is_trained_and_maps(trained, tmp_path):
    recipe = Recipe(tmp_path)
    recipe.settings["network"] = {"architecture": "unet_classic", "width": 2, "padding": "valid", "weights": "random:1"}
    assert main(recipe.command("train.epochs=1", "train.batch=2", "data.tiles_per_epoch=2")) == 0
    card = read_card(recipe.out)
    assert (card.encoder, card.options) == (None, {"width": 2, "padding": "valid"})
    with small_cells():
        assert map_job.main(recipe.world.command(f"models=[{recipe.out}]")) == 0
    assert "unet_classic" in (recipe.world.out / "report.html").read_text()


def test_options_that_are_not_set_leave_no_trace_in_keys():
    plain = NetworkConfig(architecture="unet", weights="random:0").model_dump()
    assert set(plain) == {"architecture", "encoder", "weights", "stem", "scaling"}
    assert plain["encoder"] == "efficientnet-b5"
    bare = NetworkConfig(architecture="unet3plus", weights="random:0", width=4, deep_supervision=True).model_dump()
    assert (bare["encoder"], bare["width"], bare["deep_supervision"]) == (None, 4, True)
    assert "padding" not in bare


def test_weights_of_a_recipe_begin_where_that_ended(trained, tmp_path, capsys):
    """recipe: names a bundle; one epoch from a trained network starts lower than from a random one."""
    bundle = tmp_path / "next"
    changes = [f"out={bundle}", f"network.weights=recipe:{trained.out}", "train.epochs=1"]
    assert main(trained.command(*changes)) == 0
    first = json.loads((trained.out / "history.json").read_text())[0]["training_loss"]
    assert json.loads((bundle / "history.json").read_text())[0]["training_loss"] < first
    assert read_card(bundle).weights == f"recipe:{trained.out}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("network.architecture=unetpluplus", "Did you mean 'unetplusplus'?"),
        ("network.encoder=tu-mobilenetv3_smal_050", "Did you mean 'tu-mobilenetv3_small_050'?"),
        ("network.encoder=efficientnetb5", "Did you mean 'efficientnet-b5'?"),
        ("network.weights=fil:x.pth", "Did you mean file:?"),
        ("network.weights=imagenet", "name no source"),
        ("network.weights=random:abc", "the seed must be a whole number"),
        ("network.weights=file:gone.safetensors", "file:gone.safetensors, which is not there"),
        ("network.weights=recipe:gone", "gone"),
        ("network.weights=hub:no/such-model", "hub:no/such-model"),
        ("network={architecture: unet}", "'network.weights' is required"),
        ("network.architecture=unet_classic", "unet_classic has no encoder"),
        ("network.padding=valid", "or choose unet_classic"),
        ("train.epoch=3", "did you mean 'epochs'?"),
        ("train.epochs=0", "epochs"),
        ("train.loss=bce_dise", "Did you mean 'bce_dice'?"),
        ("data.run=gone.yaml", "gone.yaml does not exist"),
        ("data.tile_px=16", "data.tile_px"),
        ("engine.kind=spark", "'spark' is unknown"),
        ("classes=[]", "classes"),
        ("data.channels=[red, gems0, mask]", "['gems0'] are not offered"),
        ("data.channels=[red, red]", "repeat"),
        ("data.augment=[HorizontalFlop]", "did you mean 'HorizontalFlip'?"),
        ("data.sampling.weights=gone.csv", "gone.csv does not exist"),
        ("data.sampling.label_fraction=0", "label_fraction"),
    ],
)
def test_a_bad_recipe_is_refused_before_anything_starts(tmp_path, monkeypatch, capsys, change, told):
    recipe = Recipe(tmp_path)
    monkeypatch.setattr("jobs.train.engine_of", lambda *_: pytest.fail("nothing may start"))
    assert main(recipe.command(change)) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert error.startswith("sandan train: ")
    assert not (recipe.out / "card.json").exists()
    assert not recipe.world.out.exists()


def test_a_run_without_labels_teaches_nothing(tmp_path, capsys):
    recipe = Recipe(tmp_path)
    del recipe.world.settings["labels"]
    assert main(recipe.command()) == 2
    assert "has no labels" in capsys.readouterr().err


def test_a_class_that_the_recipe_does_not_name_is_refused(tmp_path, capsys):
    recipe = Recipe(tmp_path)
    recipe.world.settings["labels"]["codes"] = {2: 2}
    assert main(recipe.command()) == 2
    assert "hold class indices up to 2, the recipe names ['bright'] (indices up to 1)" in capsys.readouterr().err


def test_several_classes_are_found_by_softmax_and_calibrated(tmp_path):
    recipe = Recipe(tmp_path)
    three = np.digitize(recipe.array[0], (2500, 4500)).astype(np.uint8) + 1
    write_tif(tmp_path / "labels.tif", three, nodata=None)
    recipe.world.settings["labels"]["codes"] = {2: 1, 3: 2}
    recipe.settings["classes"] = ["dark", "medium", "bright"]
    assert main(recipe.command("train.epochs=2", "train.loss=bce_dice")) == 0
    card, network = load_bundle(recipe.out)
    assert network.spec.classes == 3
    assert card.classes == ("dark", "medium", "bright")
    assert {"iou_0", "iou_1", "iou_2", "macro_f1"} <= set(card.metrics)


def test_weights_of_scenes_are_read_and_part_of_the_key(trained, tmp_path):
    table = tmp_path / "weights.csv"
    table.write_text("id,weight\ns-20240102,2.5\n")
    assert trained.key(f"data.sampling.weights={table}") != trained.key()
    table.write_text("id,weight\nother,1\n")
    with pytest.raises(ValueError, match=r"names \['other'\], which are not among the 1 ids"):
        trained.key(f"data.sampling.weights={table}")


def test_a_bundle_that_was_trained_anew_makes_another_start(trained, tmp_path):
    """The same address, other weights: what begins there is another network."""
    bundle = tmp_path / "start"
    assert main(trained.command(f"out={bundle}", "train.epochs=1")) == 0
    before = trained.key(f"network.weights=recipe:{bundle}")
    assert main(trained.command(f"out={bundle}", "train.epochs=1", "train.seed=4")) == 0
    assert trained.key(f"network.weights=recipe:{bundle}") != before


def test_the_card_tells_its_calibration_and_its_origin(trained):
    card = read_card(trained.out)
    assert card.origin["spec"] == "random:3"
    assert 0.05 <= card.temperature <= 20
    assert card.metrics["ece_calibrated"] <= card.metrics["ece"] + 0.05
    pictures = sorted(p.name for p in (trained.out / "epochs").iterdir())
    assert pictures == ["0000.png", "0001.png", "0002.png"]
    assert list((trained.out / "tensorboard").iterdir())


def test_a_scene_that_cannot_be_read_stops_the_training(tmp_path, capsys):
    from tests.jobs.worlds import damage, undamaged

    recipe = Recipe(tmp_path)
    bad = recipe.world.scene("bad", image(333, 290), **undamaged())
    damage(bad)
    assert main(recipe.command()) == 1
    assert "['bad'] could not be ingested" in capsys.readouterr().err
    assert not (recipe.out / "card.json").exists()
