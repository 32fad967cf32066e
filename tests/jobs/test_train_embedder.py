"""Train with `task: embed`: frames or places of scenes become an embedder's bundle."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from cluster import ddp
from cluster.engine import SerialEngine
from jobs.embed_recipe_config import METHODS, EmbedDataConfig, EmbedRecipeConfig, recipe_kind
from jobs.embedding_data import open_items, plan_embedding_data
from jobs.embedding_training import EmbeddingTask, prepare
from jobs.parsing import load
from jobs.shell import DONE, INCOMPLETE
from jobs.train import main
from jobs.train_embedder import plan_embedder
from models.embedder_bundle import load_embedder, load_unmerged, read_embedder
from models.embedder_card import read_embedder_card
from models.lora import lora_state
from tests.jobs.embedding_recipes import BANDS, EmbeddingRecipe, drifting
from tests.jobs.worlds import files_below, image, moved, world
from tiler.item_split import in_spans

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> EmbeddingRecipe:
    recipe = EmbeddingRecipe(tmp_path_factory.mktemp("train"))
    assert main(recipe.command()) == 0
    return recipe


def planned(recipe, *changes):
    config = load(recipe_kind, recipe.config, changes)
    assert isinstance(config, EmbedRecipeConfig)
    return plan_embedder(config)


def task_of(recipe, *changes) -> EmbeddingTask:
    found = planned(recipe, *changes)
    return found._task((recipe.store,), 1)


def test_the_card_says_what_was_learnt_from_what(trained):
    card = read_embedder_card(trained.out)
    assert (card.name, card.sensor, card.channels, card.dimension) == ("tiny", "COMS", BANDS, 192)
    assert (card.method, card.lora["rank"], card.side_px, card.weights) == ("timely", 4, 32, "random:3")
    assert card.training_data == planned(trained).key
    assert {"training_loss", "triplet_loss", "triplet_accuracy", "similarity_gap"} == set(card.metrics)
    history = json.loads((trained.out / "history.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1]
    assert history[-1]["triplet_loss"] == card.metrics["triplet_loss"]
    assert list((trained.out / "training").rglob("*.pt")) == []


def test_a_gate_judges_the_card_and_does_not_train_again(trained, capsys):
    card = read_embedder_card(trained.out)
    bound = card.metrics["triplet_accuracy"]
    assert main([trained.config, "--set", f"gates.least.triplet_accuracy={bound}"]) == DONE
    assert (
        main([trained.config, "--set", f"gates.most.triplet_loss={card.metrics['triplet_loss'] - 1e-6}"]) == INCOMPLETE
    )
    told = capsys.readouterr()
    assert told.out.count("is trained already") == 2
    assert f"gate passed: triplet_accuracy is {bound:.4f}, at least {bound:g} is asked" in told.err


def test_evaluation_knows_what_validates_and_scaling_is_of_what_trains(trained):
    card, (images, valid) = read_embedder_card(trained.out), drifting(240)
    held = in_spans(trained.times, card.split["validation_spans"])
    assert held.sum() == card.split["items"]["validation"] > 20
    away = np.abs(trained.times[:, None] - trained.times[held]).min(1)
    trains = away > np.timedelta64(12, "h")
    assert trains.sum() == card.split["items"]["train"]
    for band in range(3):
        values = images[trains, band][valid[trains, band]].astype(float)
        assert card.offset[band] == pytest.approx(values.mean(), rel=1e-6)
        assert card.scale[band] == pytest.approx(values.std(), rel=1e-6)


def test_the_adapter_learnt_and_the_base_stayed(trained, tmp_path):
    assert main(trained.command("method=frozen", f"out={tmp_path}/frozen")) == 0
    files, frozen = read_embedder(trained.out), read_embedder(tmp_path / "frozen")
    assert files["weights.safetensors"] == frozen["weights.safetensors"]
    assert "adapter.safetensors" not in frozen
    before, after = (read_embedder_card(f).metrics for f in (frozen, files))
    assert after["similarity_gap"] > before["similarity_gap"] + 0.05
    assert after["triplet_accuracy"] > before["triplet_accuracy"]


def test_a_bundle_embeds(trained):
    card, embedder = load_embedder(read_embedder(trained.out))
    images, valid = (torch.from_numpy(array[:5]) for array in drifting(240))
    with torch.no_grad():
        vectors = embedder(images, valid)
    assert vectors.shape == (5, card.dimension)
    assert vectors.isfinite().all()


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"timely", "frozen"}))
def test_every_method_becomes_a_bundle(trained, tmp_path, method):
    small = ("data.samples_per_epoch=32", "data.validation_samples=8", "train.epochs=1")
    assert main(trained.command(f"method={method}", f"out={tmp_path}/net", *small)) == 0
    card, unmerged = load_unmerged(read_embedder(tmp_path / "net"))
    assert card.method == method
    moved_b = [value for name, value in lora_state(unmerged).items() if name.endswith("lora_b")]
    assert all(bool((value != 0).any()) for value in moved_b)
    assert not [name for name in unmerged.state_dict() if "head." in name and "network.head" not in name]


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_map_is_fitted_before_training_and_stays(trained, tmp_path, method):
    small = ("data.samples_per_epoch=32", "data.validation_samples=8", "train.epochs=1")
    linear = ("network.grid=2", "network.linear={numbers: 6, components: 8, pairs: 64}")
    assert main(trained.command(f"method={method}", f"out={tmp_path}/net", *small, *linear)) == 0
    card, embedder = load_embedder(read_embedder(tmp_path / "net"))
    assert (card.grid, card.linear, card.dimension, card.width) == (2, 6, 6, 192)
    assert 0 < card.metrics["linear_explained"] <= 1
    images, valid = (torch.from_numpy(array[:40]) for array in drifting(240))
    with torch.no_grad():
        vectors = embedder(images, valid)
    assert vectors.shape == (40, 6)
    assert vectors.std(0).min() > 1e-3
    assert not hasattr(embedder, "head")


def test_what_a_linear_map_is_fitted_to_is_in_the_expected_memory(trained):
    linear = "network.linear={numbers: 6, components: 8, pairs: 100000}"
    plain, fitted = (planned(trained, "out=elsewhere", *more).estimates()[-1] for more in ((), (linear,)))
    assert fitted.peak_memory_bytes - plain.peak_memory_bytes > 3 * 4 * 100_000 * 192


def test_a_linear_map_of_more_than_the_samples_can_tell_is_refused(trained, tmp_path, capsys):
    few = ("data.samples_per_epoch=20", "network.linear={numbers: 6, components: 16, pairs: 64}")
    assert main(trained.command(f"out={tmp_path}/net", *few)) != 0
    assert "20 samples are too few for 16 components" in "".join(capsys.readouterr())


def test_an_embedder_of_an_embedder_begins_where_it_ended(trained, tmp_path):
    weights = f"network.weights=recipe:{trained.out}"
    assert main(trained.command("method=frozen", weights, f"out={tmp_path}/next")) == 0
    first, second = (load_embedder(read_embedder(folder)) for folder in (trained.out, tmp_path / "next"))
    assert second[0].origin["digest"] == first[0].digest()
    images = torch.from_numpy(drifting(240)[0][:3])
    with torch.no_grad():
        assert (first[1](images) - second[1](images)).abs().max() < 1e-5


def test_what_is_trained_is_not_trained_again(trained, capsys, monkeypatch):
    monkeypatch.setattr(ddp, "launch_inline", lambda *_, **__: pytest.fail("it is trained"))
    before = files_below(trained.out)
    assert main(trained.command()) == 0
    assert "is trained already" in capsys.readouterr().out
    assert main(trained.command("engine.workers=2", "engine.kind=ray")) == 0
    assert files_below(trained.out) == before


def test_a_recipe_is_named_by_all_that_shapes_the_network(trained):
    base = planned(trained).key
    assert planned(trained, "engine.workers=5", f"out={trained.folder}/elsewhere").key == base
    changes = ["method=frozen", "margin=0.3", "positive_hours=[3,-3]", "negative.exclude_hours=24", "train.seed=1"]
    changes += ["network.lora.rank=2", "network.weights=random:4", "data.split.days=5", "data.channels=[ir,wv]"]
    keys = [planned(trained, change).key for change in changes]
    assert len({base, *keys}) == len(changes) + 1


class Killed(BaseException):
    pass


def test_a_killed_training_goes_on_to_the_same_adapter(trained, tmp_path, monkeypatch):
    from jobs import training_launch

    steps = {"count": 0}
    report = training_launch.TrainingClock.step

    def dying(self, reached, of):
        report(self, reached, of)
        steps["count"] += 1
        if steps["count"] in (4, 9):
            raise Killed

    small = ("train.checkpoint_steps=2", "data.samples_per_epoch=24", "data.validation_samples=4", "train.batch=4")
    changes = (*small, f"out={tmp_path}/net")
    with monkeypatch.context() as patch:
        patch.setattr("jobs.training_launch.TrainingClock.step", dying)
        for _ in range(2):
            with pytest.raises(Killed):
                main(trained.command(*changes))
        assert main(trained.command(*changes)) == 0
    assert main(trained.command(*small, f"out={tmp_path}/straight")) == 0
    straight, resumed = (read_embedder(tmp_path / name) for name in ("straight", "net"))
    assert resumed["adapter.safetensors"] == straight["adapter.safetensors"]
    assert steps["count"] > 12  # and some were done twice


@pytest.mark.slow
@pytest.mark.parametrize("linear", [(), ("network.grid=2", "network.linear={numbers: 6, components: 8, pairs: 64}")])
def test_two_workers_of_ray_train_what_one_does(trained, tmp_path, linear):
    if linear:
        assert main(trained.command(*linear, f"out={tmp_path}/one")) == 0
    changes = (*linear, "engine.kind=ray", "engine.workers=2", f"out={tmp_path}/two")
    assert main(trained.command(*changes)) == 0
    folders = (tmp_path / "one" if linear else trained.out, tmp_path / "two")
    (_, one), (_, two) = (load_unmerged(read_embedder(folder)) for folder in folders)
    if linear:
        torch.testing.assert_close(two.linear_weight, one.linear_weight)
    for name, value in lora_state(one).items():
        torch.testing.assert_close(lora_state(two)[name], value, rtol=0, atol=2e-4)
    first, second = (read_embedder_card(folder).metrics for folder in folders)
    assert first == pytest.approx(second, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("method=timly", "did you mean 'timely'"),
        ("data.channels=[ir,vis]", "are not offered"),
        ("network.architecture=vit_tiny_patch16_225", "Did you mean 'vit_tiny_patch16_224'"),
        ("network.weights=file:none.safetensors", "which is not there"),
        ("train.loss=dice", "are of segmentation"),
        ("train.batsh=4", "did you mean 'batch'"),
        ("positive_hours=[0]", "none of them 0"),
        ("data.split.kind=places", "frames have no places"),
        ("data.run=nowhere.zarr", "is no finished frame store"),
        ("augment=[HorizontalFlop]", "did you mean 'HorizontalFlip'"),
        ("task=embbed", "did you mean 'embed'"),
    ],
)
def test_bad_recipes_are_refused_before_anything_starts(trained, tmp_path, capsys, change, told):
    assert main(trained.command(change, f"out={tmp_path}/net")) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "net").exists()


def test_a_folder_with_a_network_that_maps_is_not_overwritten(trained, tmp_path, capsys):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "card.json").write_text(json.dumps({"format": 1, "name": "n"}))
    assert main(trained.command(f"out={tmp_path}/net")) == 2
    assert "holds something else" in capsys.readouterr().err


def test_a_split_without_triplets_is_told(trained, tmp_path, capsys):
    with pytest.raises(ValueError, match="what validates has no triplets"):
        prepare(task_of(trained, "positive_hours=[300]", "data.split.kind=time"))


def test_per_image_and_range_scaling_are_what_they_say(trained):
    for how, offset in (("range", (0.0,) * 3), ("per_image", (0.0,) * 3)):
        found = prepare(task_of(trained, f"data.scaling={how}")).scaling
        assert found[0] == offset
        assert found[1] == ((255.0,) * 3 if how == "range" else (1.0,) * 3)


def test_files_of_a_run_are_ingested_and_several_series_train_together(trained, tmp_path):
    images, _ = drifting(48, seed=3)
    for i, frame in enumerate(images):
        stamp = str(np.datetime64("2018-06-01T00") + np.timedelta64(3 * i, "h")).replace("-", "")
        stamp = stamp.replace("T", "").replace(":", "")[:10] + "00"
        for band, plane in zip(("ir1", "swir", "wv"), frame, strict=True):
            path = tmp_path / "files" / f"coms_mi_le1b_{band}_cn_{stamp}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(plane).save(path)
    run = {"out": str(tmp_path / "run"), "engine": {"kind": "serial"}}
    run["frames"] = {"files": str(tmp_path / "files"), "side_px": 32, "series": "second"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    changes = (f"data.run=[{trained.store},{tmp_path}/run.yaml]", "data.samples_per_epoch=16", "train.epochs=1")
    assert main(trained.command(*changes, f"out={tmp_path}/net")) == 0
    card = read_embedder_card(tmp_path / "net")
    assert sum(card.split["items"].values()) == 240 + 48


def test_places_of_scenes_are_embedded(tmp_path):
    made = world(tmp_path, models=0)
    for name, seed, day in (("a", 0, "2024-03-01"), ("b", 1, "2024-06-01"), ("c", 2, "2024-08-20")):
        array = image(200, 150, seed=seed)
        array[:, :40, :70] = 0
        made.scene(name, array, acquired=f"{day}T02:00:00Z", transform=moved(3 * seed, 2 * seed))
    del made.settings["models"], made.settings["infer"]
    recipe = EmbeddingRecipe(tmp_path, frames=30)
    recipe.settings["data"] = {"run": made.config, "tile_px": 64, "split": {"kind": "places", "validation": 0.3}}
    recipe.settings["data"]["missing_limit"] = 0.5
    recipe.settings["train"]["batch"] = 4
    assert main(recipe.command()) == 0
    card = read_embedder_card(recipe.out)
    assert (card.sensor, card.channels) == ("SN10", ("red", "green", "blue", "nir"))
    assert card.split["validation_places"]
    assert all(120 < lon < 135 and 30 < lat < 45 for lon, lat in card.split["validation_places"])
    assert main(recipe.command("positive_hours=[3]", f"out={tmp_path}/other")) == 2
    (tmp_path / "removed.csv").write_text("id\nb/512px_r0_c0\n")  # curated at another side: ground counts
    changed = recipe.settings["data"] | {"exclude": [str(tmp_path / "removed.csv")]}
    data = plan_embedding_data(EmbedDataConfig.model_validate(changed))
    stores = data.ingest(SerialEngine())
    days = set(open_items("scenes", stores, (), 0.5, 64, data.left_out).times.astype("datetime64[D]").astype(str))
    assert days == {"2024-03-01", "2024-08-20"}


def test_curves_and_views_are_drawn(trained, tmp_path, drawn_pictures):
    small = ("data.samples_per_epoch=16", "train.epochs=1", "data.validation_samples=4")
    assert main(trained.command(*small, f"out={tmp_path}/net")) == 0
    for name in ("curves.png", "views.png"):
        assert (tmp_path / "net" / name).read_bytes()[:4] == b"\x89PNG"
