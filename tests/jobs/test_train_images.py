"""Recipes for whole images: a collection becomes a classifier or an autoencoder; bad ones are refused."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cluster import ddp
from jobs.image_recipe_config import ImageDataConfig, ImageSplitConfig
from jobs.image_training_data import parts_of
from jobs.train import main
from models.classification_scores import classification_scores
from models.image_bundle import load_autoencoder, load_classifier, read_image_bundle
from tiler.tile_store import TileEntry, TileStore

SIDE_PX = 16
COUNTS = {"blue": 12, "green": 24, "red": 40}


def write_images(root: Path, counts: dict[str, int]) -> None:
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            image = random.integers(0, 140, (20, 26, 3), dtype=np.uint8)
            image[..., ("red", "green", "blue").index(name)] += 90
            Image.fromarray(image).save(root / name / f"{number:03}.png")


class ImageRecipe:
    """A recipe on a folder of pictures, whose class is the brightest band."""

    def __init__(self, folder: Path, task: str = "classify", counts: dict[str, int] | None = None) -> None:
        self.folder, self.out, self.task = folder, folder / "models" / "kinds", task
        write_images(folder / "images", COUNTS if counts is None else counts)
        dataset = {
            "layout": "images", "root": str(folder / "images"), "classes": "folder", "side_px": SIDE_PX,
            "split": {"validation": 0.25, "test": 0.25},
        }  # fmt: skip
        self.run = {"out": str(folder / "run"), "sensor": "RGB", "dataset": dataset, "engine": {"kind": "serial"}}
        small = {"widths": [4, 6], "hidden": 8} if task == "classify" else {"width": 4, "bottleneck": 6}
        self.settings = {
            "task": task,
            "out": str(self.out),
            "network": {"weights": "random:1", **small},
            "data": {
                "run": str(folder / "run.yaml"),
                "scaling": "range",
                "augment": ["HorizontalFlip", "RandomAffine"],
            },
            "train": {"epochs": 4, "batch": 8, "learning_rate": 1e-2, "optimizer": "Adam", "precision": "fp32"},
            "engine": {"kind": "serial", "threads_per_worker": 1},
        }

    def command(self, *changes: str) -> list[str]:
        (self.folder / "run.yaml").write_text(yaml.safe_dump(self.run))
        path = self.folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(self.settings))
        return [str(path), *(word for change in changes for word in ("--set", change))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    recipe = ImageRecipe(tmp_path_factory.mktemp("classify"))
    assert main(recipe.command()) == 0
    return recipe


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_the_bundle_says_what_was_learnt(trained):
    card, network = load_classifier(read_image_bundle(trained.out))
    assert card.classes == ("blue", "green", "red")
    assert sum(card.class_counts) == card.split["images"]["train"] == 38
    assert (card.offset, card.scale) == ((0.0,) * 3, (255.0,) * 3)
    assert card.side_px == SIDE_PX
    assert card.metrics["accuracy"] > 0.7
    assert network.spec.widths == (4, 6)


def test_the_kept_epoch_is_the_best_by_validation_accuracy(trained):
    history = json.loads((trained.out / "history.json").read_text())
    best = max(row["accuracy"] for row in history)
    kept = [row["epoch"] for row in history if row.get("best")][-1]
    card, _ = load_classifier(read_image_bundle(trained.out))
    assert card.metrics["accuracy"] == best == history[kept]["accuracy"]
    assert card.metrics["epoch"] == kept
    assert (trained.out / "curves.png").is_file()


def test_scores_of_the_test_part_close_with_their_matrix(trained):
    report = json.loads((trained.out / "scores.json").read_text())
    assert report["judged"] == "test"
    table, confusion = rows_of(trained.out / "classes.csv"), rows_of(trained.out / "confusion.csv")
    names = [row["class"] for row in table]
    matrix = np.array([[int(row[name]) for name in names] for row in confusion])
    assert matrix.sum() == sum(int(row["support"]) for row in table) == 19
    assert [int(row["support"]) for row in table] == matrix.sum(1).tolist()
    scores = classification_scores(matrix)
    assert report["scores"]["test"] == pytest.approx(scores)
    assert np.mean([float(row["f1"]) for row in table]) == pytest.approx(scores["macro_f1"])
    assert report["always_the_most_frequent"]["accuracy"] == pytest.approx(10 / 19)
    card, _ = load_classifier(read_image_bundle(trained.out))
    assert card.metrics["test_macro_f1"] == pytest.approx(scores["macro_f1"])
    assert card.verdict["collapsed"] is False


def test_what_is_trained_is_not_trained_again(trained, capsys, monkeypatch):
    monkeypatch.setattr(ddp, "launch_inline", lambda *_, **__: pytest.fail("trained again"))
    assert main(trained.command()) == 0
    assert "is trained already" in capsys.readouterr().out
    assert main([*trained.command(), "--dry-run"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("train"))
    assert line.split()[:5] == ["train", "4", "epochs", "4", "0"]


def test_another_recipe_begins_where_that_ended(trained, tmp_path):
    out = tmp_path / "next"
    assert main(trained.command(f"out={out}", f"network.weights=recipe:{trained.out}", "train.epochs=1")) == 0
    first = json.loads((trained.out / "history.json").read_text())[0]["training_loss"]
    assert json.loads((out / "history.json").read_text())[0]["training_loss"] < first
    assert main(trained.command(f"network.weights=recipe:{trained.out}", "network.hidden=9")) == 2


def test_a_training_that_is_killed_goes_on_from_its_last_checkpoint(trained, tmp_path, monkeypatch):
    import jobs.training_loop

    changes = [f"out={tmp_path / 'kinds'}"]
    plain = jobs.training_loop.train_reporting

    def dies(*arguments, show=None, **options):
        def after(history, epoch):
            if epoch == 2:
                raise KeyboardInterrupt
            show(history, epoch)

        return plain(*arguments, show=after, **options)

    monkeypatch.setattr("jobs.image_training.train_reporting", dies)
    assert main(trained.command(*changes)) == 130
    monkeypatch.undo()
    assert main(trained.command(*changes)) == 0
    weights = [(out / "weights.safetensors").read_bytes() for out in (trained.out, tmp_path / "kinds")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("weights", ["balanced", "{blue: 3}"])
def test_classes_may_be_weighted(trained, tmp_path, capsys, weights):
    out = tmp_path / "kinds"
    assert main(trained.command(f"out={out}", "train.epochs=1", f"class_weights={weights}")) == 0
    assert "always the most frequent class: accuracy 0.5263" in capsys.readouterr().out
    rows = [json.loads((folder / "history.json").read_text())[0] for folder in (out, trained.out)]
    assert rows[0]["training_loss"] != rows[1]["training_loss"]


def test_an_autoencoder_makes_vectors(tmp_path, capsys):
    recipe = ImageRecipe(tmp_path, "autoencode")
    assert main(recipe.command("data.augment=[]")) == 0
    card, network = load_autoencoder(read_image_bundle(recipe.out))
    assert card.bottleneck == 6
    assert "mse" in card.metrics
    import torch

    assert network.encode(255 * torch.rand(2, 3, 20, 26)).shape == (2, 6)
    assert not (recipe.out / "scores.json").exists()
    assert "autoencoder" in capsys.readouterr().out


def test_lists_of_removed_images_leave_them_out(trained, tmp_path):
    listed = tmp_path / "removed.csv"
    listed.write_text("id,reason\n" + "".join(f"red/{n:03}.png,photo\n" for n in range(10)))
    out = tmp_path / "kinds"
    assert main(trained.command(f"out={out}", f"data.exclude=[{listed}]", "train.epochs=1")) == 0
    card, _ = load_classifier(read_image_bundle(out))
    assert sum(card.split["images"].values()) == sum(COUNTS.values()) - 10
    listed.write_text("id\nred/zzz.png\n")
    assert main(trained.command(f"data.exclude=[{listed}]")) == 2


def test_a_recipe_may_divide_what_trains_anew():
    entries = [TileEntry(f"{label}{n}", "train", label=label) for label in "ab" for n in range(50)]
    entries += [TileEntry(f"t{n}", "test", label="a") for n in range(7)]
    parts = parts_of(entries, ImageSplitConfig(validation=0.3, seed=1), frozenset({"a0"}))
    counts = {part: sum(p == part for p in parts.values()) for part in ("train", "validation", "test")}
    assert counts == {"train": 69, "validation": 30, "test": 7}  # ceil(0.3 * 99) = 30
    assert sum(parts[f"b{n}"] == "validation" for n in range(50)) == 15
    with pytest.raises(ValueError, match="1 images are in no part"):
        parts_of([TileEntry("x")], ImageSplitConfig(), frozenset())


def test_the_documents_counts_of_8_to_2_and_7_to_3():
    entries = [TileEntry(f"i{n}", "test" if n % 9 == 0 else "", label="a") for n in range(15_932)]
    parts = parts_of(entries, ImageSplitConfig(test=0.2, validation=0.3), frozenset())
    counts = {part: sum(p == part for p in parts.values()) for part in ("train", "validation", "test")}
    assert counts == {"train": 8_921, "validation": 3_824, "test": 3_187}  # ceil(0.3 * 12,745)
    again = parts_of(entries[::-1], ImageSplitConfig(test=0.2, validation=0.3), frozenset())
    assert again == parts
    fewer = parts_of(entries, ImageSplitConfig(test=0.2, validation=0.3), frozenset({"i3"}))
    assert sum(fewer[name] != parts[name] for name in fewer) <= 2, "the draw depends on names, not on other images"
    with pytest.raises(ValueError, match="leaves nothing to validate on"):
        ImageSplitConfig(test=0.2)
    assert "test" not in ImageSplitConfig(validation=0.3).model_dump(mode="json")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("task=clasify", "did you mean 'classify'?"),
        ("network.architecture=cn", "Did you mean 'cnn'"),
        ("network={widths: [4]}", "'network.weights' is required"),
        ("network.weights=recipe:gone", "gone"),
        ("network.side_px=2", "nothing is left"),
        ("train.loss=dice", "['loss'] are of segmentation"),
        ("train.class_weights=[1, 2, 3]", "class_weights stand beside `train`"),
        ("class_weights={pink: 2}", "['pink'] are not among ['blue', 'green', 'red']"),
        ("train.best={metric: mIoU}", "metric of best"),
        ("data.channels=[red, nir]", "['nir'] are not offered"),
        ("data.augment=[RandomAfine]", "did you mean 'RandomAffine'?"),
        ("data.exclude=[gone.csv]", "gone.csv does not exist"),
        ("data.run=gone.yaml", "gone.yaml does not exist"),
    ],
)
def test_a_bad_recipe_is_refused_before_anything_starts(tmp_path, monkeypatch, capsys, change, told):
    recipe = ImageRecipe(tmp_path, counts={"blue": 4, "green": 4, "red": 4})
    monkeypatch.setattr("jobs.train_images.engine_of", lambda *_: pytest.fail("nothing may start"))
    assert main(recipe.command(change)) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("counts", "names", "told"),
    [
        ({"blue": 1, "red": 9}, [], "['blue'] have one image"),
        ({"blue": 4, "red": 9}, ["blue", "green", "red"], "['green'] have no image"),
        ({"red": 9}, [], "has 1 classes of whole images"),
    ],
)
def test_thin_classes_are_refused_before_anything_starts(tmp_path, monkeypatch, capsys, counts, names, told):
    recipe = ImageRecipe(tmp_path, counts=counts)
    recipe.run["dataset"]["class_names"] = names
    monkeypatch.setattr("jobs.train_images.engine_of", lambda *_: pytest.fail("nothing may start"))
    assert main(recipe.command()) == 2
    assert told in capsys.readouterr().err


def test_a_class_whose_images_cannot_be_read_is_named(tmp_path, capsys):
    recipe = ImageRecipe(tmp_path, counts={"blue": 2, "red": 9})
    path = tmp_path / "images/blue/000.png"
    path.write_bytes(path.read_bytes()[:60])
    assert main(recipe.command()) == 1
    assert "['blue'] have one image" in capsys.readouterr().err


def test_a_run_of_scenes_has_no_images(tmp_path, capsys):
    recipe = ImageRecipe(tmp_path)
    del recipe.run["dataset"]
    recipe.run |= {"sensor": "SN10", "scenes": str(tmp_path / "*.tif"), "crs": "EPSG:32652"}
    assert main(recipe.command()) == 2
    assert capsys.readouterr().err


def readers(recipe, monkeypatch, *changes):
    """Return the readers of what trains and validates that a training is given; nothing is trained."""
    given = []

    def looked_at(network, training, validation, spec, **settings):
        given.extend((training, validation))
        return [{"epoch": 0, "training_loss": 1.0, "learning_rate": 1e-3, "accuracy": 0.5, "seconds": 0.1}]

    monkeypatch.setattr("jobs.image_training.train_reporting", looked_at)
    assert main(recipe.command(*changes)) == 0
    return given


@pytest.mark.parametrize("asked", [False, True])
def test_what_validates_is_not_augmented_unless_it_is_asked_for(asked, tmp_path, monkeypatch):
    recipe = ImageRecipe(tmp_path, counts={"blue": 8, "green": 8})
    training, validation = readers(recipe, monkeypatch, *["data.augment_validation=true"] * asked)
    store = TileStore(str(next((tmp_path / "run/tiles").glob("*.zarr"))))
    for part, reader, augmented in (("train", training, True), ("validation", validation, asked)):
        rows = [row for row, tile in enumerate(store.tiles) if tile["split"] == part]
        assert len(reader) == len(rows) > 0
        changed = []
        for epoch in (0, 3):
            reader.set_epoch(epoch)
            for index, row in enumerate(rows):
                image, label = reader[index]
                assert store.class_names[label] == store.tiles[row]["label"]
                changed.append(not np.array_equal(image, store.images([row])[0].astype(np.float32)))
        assert any(changed) == augmented
        assert np.mean(changed) > 0.9 or not augmented


def test_that_option_is_another_training_and_leaves_the_keys_of_others_alone():
    plain = ImageDataConfig(run="a.yaml").model_dump(mode="json")
    assert "augment_validation" not in plain
    assert ImageDataConfig(run="a.yaml", augment_validation=True).model_dump(mode="json") == plain | {
        "augment_validation": True
    }
