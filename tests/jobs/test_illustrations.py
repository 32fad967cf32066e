"""The reproduction of the illustration document from images to tables; bad command lines are refused first."""

import csv
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from jobs import illustrations
from jobs.illustrations import CLEANS, CNN, KINDS, SCALES, Scale, recipe_values, uncleaned_values, write_recipes
from jobs.image_predictions import Answers, answers, image_set
from jobs.image_recipe_config import ClassifyRecipeConfig
from jobs.parsing import load
from jobs.reproduce import main
from jobs.train_images import plan_images
from models.classifier import ClassifierSpec, build_classifier
from tiler.synthetic.illustrations import IllustrationWorld, items_of


def test_the_shipped_recipes_are_the_documents(tmp_path):
    values = recipe_values(CNN, tmp_path, "images", SCALES["paper"], 0, {"kind": "serial"})
    recipe = ClassifyRecipeConfig.model_validate(values)
    spec = ClassifierSpec(in_channels=3, classes=20, **recipe.network.model_dump(exclude={"weights"}))
    assert sum(weight.numel() for weight in build_classifier(spec).parameters()) == 5_140_470
    train = recipe.train
    assert (train["batch"], train["epochs"], train["learning_rate"]) == (128, 10, 1e-3)
    assert train["schedule"] == {"name": "LambdaLR", "rule": "inverse_time:1e-6"}
    assert (recipe.data.split.test, recipe.data.split.validation) == (0.2, 0.3)
    affine = recipe.data.augment[0]
    assert affine == {
        "RandomAffine": {
            "rotation_degrees": [-10, 10],
            "shift": [-0.1, 0.1],
            "shear_degrees": [-0.2, 0.2],
            "zoom": [0.8, 1.2],
        }
    }
    assert recipe.data.augment[1:] == ("HorizontalFlip", "VerticalFlip")
    world = recipe_values("illustrations", tmp_path, "images", SCALES["paper"], 0, {"kind": "serial"})
    assert (world["dataset"]["side_px"], SCALES["paper"].images) == (224, 25_503)


@pytest.mark.parametrize("scale", SCALES)
def test_every_file_of_a_scale_is_one_that_can_be_run_by_itself(scale, tmp_path):
    files = write_recipes(tmp_path, "images", SCALES[scale], 3, {"kind": "serial"})
    assert set(files) == set(KINDS)
    for name, path in files.items():
        assert load(KINDS[name], str(path)).model_dump(exclude={"out"})
    for name in (*CLEANS, "clean"):
        step = yaml.safe_load(files[name].read_text())["steps"][0]["clean"]
        assert (step["clusters"], step["seed"]) == (2, 3)
    cnn, other = (yaml.safe_load(path.read_text()) for path in (files[CNN], files[CNN]))
    other = uncleaned_values(other, tmp_path, "list.csv")
    assert {key for key in cnn if cnn[key] != other[key]} == {"out", "data"}
    assert {key for key in other["data"] if cnn["data"].get(key) != other["data"][key]} == {"exclude"}
    assert "curation" not in other["data"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "nowhere"], "not a folder"),
        (["--truth", "kinds.csv"], "goes with --data"),
        (["--seed", "-1"], "whole number from 0"),
        (["--encoder", "vit=nowhere"], "no bundle there"),
        (["--workers", "2"], "--engine ray"),
        (["--data", "{empty}"], "'boats'"),
        (["--data", "{text}"], "['boats'] have no image"),
        (["--data", "{single}"], "have one image"),
        (["--data", "{one}"], "two classes"),
        (["--data", "{single}", "--truth", "nowhere.csv"], "no such file"),
    ],
)
def test_bad_command_lines_are_refused(words, told, tmp_path, capsys):
    random = np.random.default_rng(0)
    for root, counts in {
        "empty": {"boats": 0, "cars": 4},
        "single": {"boats": 1, "cars": 9},
        "one": {"cars": 4},
        "text": {"boats": 0, "cars": 4},
    }.items():
        for name, count in counts.items():
            (tmp_path / root / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 255, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / root / name / f"{number}.png")
    (tmp_path / "text/boats/readme.txt").write_text("images are to come")
    places = {name: tmp_path / name for name in ("empty", "single", "one", "text")}
    asked = [word.format(**places) for word in words]
    assert main(["illustrations", "--out", str(tmp_path / "out"), *asked]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "data").exists()


def test_counts_and_classes_of_answers_do_not_depend_on_the_order():
    random = np.random.default_rng(1)
    labels, said = random.integers(0, 5, 60), random.integers(0, 5, 60)
    order = random.permutation(60)
    names = tuple(f"{n}.png" for n in range(60))
    one = Answers(names, labels, {"network": said})
    other = Answers(tuple(np.array(names)[order].tolist()), labels[order], {"network": said[order]})
    assert np.array_equal(one.matrix("network", 5), other.matrix("network", 5))
    assert one.matrix("network", 5).trace() == (labels == said).sum()
    chosen = labels < 2
    assert one.matrix("network", 5, chosen)[2:].sum() == 0
    assert one.matrix("network", 5, chosen).sum() == chosen.sum()


TINY = Scale(
    400,
    8,
    "",
    side_px=16,
    autoencoder={"network": {"width": 2, "bottleneck": 4}, "train": {"epochs": 1, "batch": 16}},
    cnn={"network": {"widths": [4, 4], "hidden": 6}, "train": {"epochs": 1, "batch": 16}},
)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_from_a_world_to_the_tables_and_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(illustrations.SCALES, "tiny", TINY)
    words = ["illustrations", "--scale", "tiny", "--out", str(tmp_path)]
    assert main(words) == 0
    told = capsys.readouterr().out
    for word in ("1905/1364, 0.3829, 1.0540", "327/2942", "NO: 14564 - 1905 = 12659", "0.135 as printed, 0.033"):
        assert word in told
    steps = {row["step"]: row for row in rows(tmp_path / "counts.csv")}
    assert {row["here they close"].split(":")[0] for row in steps.values()} == {"", "yes"}
    assert int(steps["images"]["here"]) == 400
    curation = tmp_path / "data/curation"
    kept = {row["id"] for row in rows(curation / "kept.csv")}
    assert len(kept) == int(steps["left to divide"]["here"])
    world = IllustrationWorld(illustrations.WORLD_SEED, 400, 8)
    photos = {i.path.removeprefix("images/") for label in world.counts for i in items_of(world, label) if i.photo}
    clusters = rows(curation / "0002/clusters.csv")
    scores = {row["reducer"]: row for row in rows(curation / "0002/scores.csv")}
    assert set(scores) == {"random", "pca", "mean_pool", "texture", "autoencoder", "autoencoder-contrast"}
    removal = {row["removed"].removesuffix(" (chosen)"): row for row in rows(tmp_path / "removal.csv")}
    for name, row in scores.items():
        taken = {one["id"] for one in clusters if one[name] == row["suspect"]}
        assert int(removal[name]["images"]) == len(taken)
        assert float(removal[name]["precision"]) == pytest.approx(len(taken & photos) / len(taken), abs=1e-3)
    assert {path.name for path in tmp_path.glob("*.png")} >= {"pair.png", "confusion.png", "curves.png"}
    judged = rows(tmp_path / "scores.csv")
    assert [row["who"] for row in judged][:3] == ["the document's network", "network, cleaned", "network, not cleaned"]
    assert json.loads((tmp_path / "table.json").read_text())["tables"]["counts"][0]["reported"] == "25503"

    # one reducer alone says what it says among all
    from jobs import curate

    assert curate.main(["recipe", str(tmp_path / "recipes/clean-pca.yaml")]) == 0
    alone = {row["id"]: row["pca"] for row in rows(curation / "clean/clusters.csv")}
    assert alone == {row["id"]: row["pca"] for row in clusters}

    # what a bundle answers image by image adds up to the matrix that the training wrote
    planned = plan_images(load(ClassifyRecipeConfig, str(tmp_path / "recipes/cnn.yaml")))
    found = answers(planned, "cnn")
    written = [[int(cell) for cell in list(row.values())[1:]] for row in rows(tmp_path / "models/cnn/confusion.csv")]
    assert found.matrix("cnn", 20).tolist() == written
    assert set(found.ids) <= kept
    assert len(image_set(planned).rows["test"]) == len(found.ids)

    before = {path: path.read_bytes() for path in (tmp_path / "models").rglob("weights.safetensors")}
    assert main(words) == 0, "repeating does nothing again"
    assert "is trained already" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in curation.glob("[0-9]*")) == ["0001", "0002"]
