"""Trained networks answer for every image of a collection: masks of each one's size, yes or no, classes."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from jobs import ingest, predict
from jobs.bundles import read_bundles
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.parsing import load
from jobs.predict_stage import highest_probability, mask_names
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE
from models.classifier import ClassifierSpec, build_classifier
from models.image_bundle import save_image_bundle
from models.image_cards import ClassifierCard
from models.members import load_members
from tests.jobs.worlds import files_below, write_bundle
from tests.tiler.images_for_tests import write_scratches
from tiler.image_resize import Fit
from tiler.labels import IGNORE
from tiler.mask_files import mask_png
from tiler.tile_store import TileStore

SIDE, COUNT = 64, 12
RGB = ("red", "green", "blue")


def make_run(folder: Path, **dataset: object) -> str:
    write_scratches(folder / "in", COUNT, 60, 82)
    images = {"layout": "images", "root": str(folder / "in/images"), "side_px": SIDE, "classes": "folder"}
    images |= {"masks": {"kind": "png", "root": str(folder / "in/masks")}, **dataset}
    bundles = [write_bundle(folder / f"net{seed}", seed, RGB, ("scratch",)) for seed in (1, 2)]
    settings = {
        "out": str(folder / "out"),
        "dataset": images,
        "models": bundles,
        "infer": {"precision": "fp32", "batch": 2, "tta": "none"},
    }
    settings |= {"engine": {"kind": "serial", "threads_per_worker": 1}}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    return str(folder / "run.yaml")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["stretch", "pad", "crop"])
def masked(request, tmp_path_factory):
    """A run whose threshold lies within the probabilities of untrained networks, and these at each image's size."""
    folder = tmp_path_factory.mktemp(request.param)
    run = make_run(folder, fit=request.param)
    assert ingest.main([run]) == DONE
    config = load(RunConfig, run)
    store = TileStore(plan_dataset(config).url)
    members = load_members(
        read_bundles(config.models), RGB, tta="flips4" if request.param == "pad" else "none", precision="fp32", batch=2
    )
    found = {}
    for row, tile in enumerate(store.tiles):
        logits, _ = members.predict(store.network_input(row, RGB)[None])
        with Image.open(folder / "in/images" / tile["id"]) as picture:
            width, height = picture.size
        whole = Fit.of(request.param, height, width, SIDE).restored(logits[0], height, width)[0]
        found[tile["id"]] = 1 / (1 + np.exp(-whole))
    threshold = float(np.nanmedian(np.concatenate([chance.ravel() for chance in found.values()])))
    options = ["--set", f"fuse.threshold={threshold:.3f}"]
    options += ["--set", "infer.tta=flips4"] if request.param == "pad" else []
    assert predict.main([run, *options]) == DONE
    return folder, found, round(threshold, 3), store


def test_masks_have_the_size_of_their_images_and_the_networks_answer(masked):
    folder, found, threshold, _ = masked
    for name, chance in found.items():
        with Image.open(folder / "out/predictions/masks" / Path(name).with_suffix(".png")) as picture:
            mask = np.asarray(picture)
            assert picture.mode == "P", "the palette is for the eye, the indices are the classes"
        assert mask.shape == chance.shape
        assert ((mask == IGNORE) == np.isnan(chance)).all(), "what a crop left out is not known"
        sure = ~(np.abs(chance - threshold) < 1e-5)
        with np.errstate(invalid="ignore"):
            assert ((mask == 1) == (chance >= threshold))[sure].all()


def test_every_image_has_a_row_and_the_sums_close(masked):
    folder, found, threshold, store = masked
    listed = {row["id"]: row for row in rows_of(folder / "out/predictions/images.csv")}
    assert list(listed) == [tile["id"] for tile in store.tiles]
    for name, row in listed.items():
        seen = found[name][~np.isnan(found[name])]
        assert int(row["area_px"]) == pytest.approx((seen >= threshold).sum(), abs=3)
        assert int(row["area_px"]) == int(row["area_px_scratch"])
        assert float(row["highest_probability"]) == pytest.approx(seen.max(), abs=1e-4)
        assert row["answer"] == ("yes" if int(row["area_px"]) else "no")
    scores = json.loads((folder / "out/predictions/scores.json").read_text())
    judged = [row for row in listed.values() if row["split"] == "test" and row["truth"]]
    hits = sum(row["truth"] == row["answer"] == "yes" for row in judged)
    assert scores["scores"]["network"]["hits"] == hits
    assert scores["scores"]["always yes"]["recall"] == 1
    assert sum(scores["scores"]["network"][n] for n in ("hits", "false_alarms", "misses", "rejections")) == len(judged)


def test_what_is_done_is_not_done_again(masked, capsys, monkeypatch):
    folder, _, threshold, _ = masked
    words = [str(folder / "run.yaml"), "--set", f"fuse.threshold={threshold}"]
    words += ["--set", "infer.tta=flips4"] if "pad" in folder.name else []
    before = files_below(folder / "out/predictions/masks")
    monkeypatch.setattr("jobs.predict.PredictMasks.__call__", lambda self: pytest.fail("a network was loaded"))
    capsys.readouterr()
    assert predict.main([*words, "--dry-run"]) == DONE
    assert re.search(r"predictions +1 shards of images +1 +0", capsys.readouterr().out)
    assert predict.main(words) == DONE
    assert files_below(folder / "out/predictions/masks") == before


def test_the_area_may_be_chosen_on_what_validates(tmp_path, capsys):
    run = make_run(tmp_path)
    assert ingest.main([run]) == DONE
    words = [run, "--set", "predict.min_area_px=validation", "--set", "predict.masks=false"]
    assert predict.main(words) == DONE
    scores = json.loads((tmp_path / "out/predictions/scores.json").read_text())
    listed = rows_of(tmp_path / "out/predictions/images.csv")
    validation = [int(row["area_px"]) for row in listed if row["split"] == "validation" and row["truth"] == "yes"]
    assert scores["min_area_px"] == max(1, min(validation)), "all of so few must be found for 95 %"
    assert not (tmp_path / "out/predictions/masks").exists()
    assert "always yes" in capsys.readouterr().out


def test_an_image_without_an_answer_is_named_by_the_exit_code(tmp_path, capsys):
    run = make_run(tmp_path)
    broken = sorted((tmp_path / "in/images/public").glob("*.jpg"))[0]
    broken.write_bytes(broken.read_bytes()[:300])
    assert ingest.main([run]) == INCOMPLETE
    capsys.readouterr()
    assert predict.main([run]) == INCOMPLETE
    told = capsys.readouterr()
    assert f"{COUNT - 1} images answered" in told.out
    assert "1 images have no answer" in told.err
    assert broken.name not in {Path(row["id"]).name for row in rows_of(tmp_path / "out/predictions/images.csv")}


def write_classifier(folder: Path, classes: tuple[str, ...]) -> str:
    spec = ClassifierSpec(in_channels=3, classes=len(classes), side_px=32, widths=(3, 4), hidden=5)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_classifier(spec, (128.0,) * 3, (64.0,) * 3)
    card = ClassifierCard(
        kind="classifier", name=folder.name, architecture=spec.architecture, channels=RGB, sensor="RGB",
        offset=(128.0,) * 3, scale=(64.0,) * 3, training_data="none", weights="random:3", classes=classes, side_px=32,
        widths=(3, 4), hidden=5,
    )  # fmt: skip
    save_image_bundle(folder, network, card)
    return str(folder)


def test_classifiers_name_a_class_and_are_scored(tmp_path, capsys):
    run = make_run(tmp_path)
    assert ingest.main([run]) == DONE
    capsys.readouterr()
    bundle = write_classifier(tmp_path / "kinds", ("company", "public"))
    assert predict.main([run, "--set", f"models=[{bundle}]"]) == DONE
    assert "always the most frequent class" in capsys.readouterr().out
    listed = rows_of(tmp_path / "out/predictions/images.csv")
    assert len(listed) == COUNT
    for row in listed:
        chances = {name: float(row[f"p_{name}"]) for name in ("company", "public")}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert row["answer"] == max(chances, key=lambda name: chances[name])
    scores = json.loads((tmp_path / "out/predictions/scores.json").read_text())
    judged = [row for row in listed if row["split"] == "test"]
    right = np.mean([row["answer"] == row["label"] for row in judged])
    assert scores["scores"]["test"]["accuracy"] == pytest.approx(right)
    other = write_classifier(tmp_path / "others", ("company", "stranger"))
    assert predict.main([run, "--set", f"models=[{other}]"]) == DONE
    assert "do not know the classes ['public']" in capsys.readouterr().out


@pytest.fixture(scope="module")
def ingested(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    run = make_run(folder)
    assert ingest.main([run]) == DONE
    write_classifier(folder / "kinds", ("a", "b"))
    write_bundle(folder / "other", 1, RGB, ("dent",))
    return Path(run)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["models=[]"], "names no bundle"),
        (["models=[nowhere]"], "no bundle at nowhere"),
        (["dataset.preprocess=[gray]", "out={folder}/gray"], "are not ingested"),
        (["models=[{folder}/net1,{folder}/kinds]"], "several kinds"),
        (["models=[{folder}/net1,{folder}/other]"], "same classes"),
        (["predict.min_area_px=0"], "min_area_px"),
    ],
)
def test_bad_input_starts_nothing(ingested, capsys, changes, told):
    words = [word for change in changes for word in ("--set", change.format(folder=ingested.parent))]
    assert predict.main([str(ingested), *words]) == BAD_INPUT
    assert told in capsys.readouterr().err
    assert not (ingested.parent / "out/predictions").exists()


def test_two_images_never_share_a_mask():
    assert mask_names(["a/x.jpg", "a/y.png", "b/x.jpg"]) == ["a/x.png", "a/y.png", "b/x.png"]
    assert mask_names(["a/x.jpg", "a/x.png"]) == ["a/x.jpg.png", "a/x.png.png"]
    assert len({name.casefold() for name in mask_names(["X.jpg", "x.png"])}) == 2


def test_the_highest_probability_is_that_of_any_class_but_background():
    one = np.array([[[-2.0, 0.5, np.nan]]], np.float32)
    assert highest_probability(one) == pytest.approx(1 / (1 + np.exp(-0.5)))
    several = np.array([[[0.0, 3.0]], [[1.0, 3.0]], [[0.5, -1.0]]], np.float32)
    softmax = np.exp(several) / np.exp(several).sum(axis=0)
    assert highest_probability(several) == pytest.approx((1 - softmax[0]).max())
    several[1, 0, 0] = np.nan
    assert highest_probability(several) == pytest.approx(1 - softmax[0, 0, 1])
    assert highest_probability(np.full((1, 2, 2), 900, np.float32)) == 1


def test_a_mask_reads_back_as_its_indices(tmp_path):
    classes = np.array([[0, 1, 2], [9, 254, IGNORE]], np.uint8)
    (tmp_path / "mask.png").write_bytes(mask_png(classes))
    with Image.open(tmp_path / "mask.png") as picture:
        assert np.asarray(picture).tolist() == classes.tolist()
        assert picture.convert("RGB").getpixel((0, 0)) == (0, 0, 0)
        assert picture.convert("RGB").getpixel((1, 0)) != picture.convert("RGB").getpixel((2, 0))
