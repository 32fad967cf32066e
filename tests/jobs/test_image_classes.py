"""Several kinds of damage in one collection: ingested, trained by softmax, predicted as masks of several classes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from jobs import predict, train
from jobs.bundles import read_bundles
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.parsing import load
from jobs.shell import BAD_INPUT, DONE
from models.bundle import load_bundle
from models.members import load_members
from tests.tiler.images_for_tests import picture, save
from tiler.image_resize import Fit
from tiler.tile_store import TileStore

SIDE, COUNT, RGB = 32, 14, ("red", "green", "blue")
CLASSES = ("background", "scratch", "dent")
COLOURS = {1: (250, 120, 60), 2: (30, 60, 220)}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Photos of two sizes; every third one has no dent. Masks hold codes 7 (scratch) and 9 (dent), a border of 255."""
    folder = tmp_path_factory.mktemp("damage")
    for index in range(COUNT):
        height, width = 40 + index % 2, 52
        pixels, mask = picture(height, width, index) // 3, np.zeros((height, width), np.uint8)
        y, x = np.random.default_rng(index).integers(3, 12, 2).tolist()
        for value, code, box in ((1, 7, np.s_[y : y + 8, 4:40]), (2, 9, np.s_[22:36, x : x + 20])):
            if value == 1 or index % 3:
                pixels[box], mask[box] = COLOURS[value], code
        mask[[0, -1]] = mask[:, [0, -1]] = 255
        save(folder / f"in/{index:02}.png", pixels)
        save(folder / f"masks/{index:02}.png", mask)
    masks = {"kind": "png", "root": str(folder / "masks"), "codes": {0: 0, 7: 1, 9: 2}}
    dataset = {"layout": "images", "root": str(folder / "in"), "side_px": SIDE, "masks": masks}
    engine = {"kind": "serial", "threads_per_worker": 1}
    run = {"out": str(folder / "out"), "dataset": dataset, "engine": engine}
    run |= {"models": [str(folder / "net")], "infer": {"precision": "fp32", "batch": 2, "tta": "none"}}
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    recipe = {
        "out": str(folder / "net"),
        "classes": list(CLASSES),
        "network": {"architecture": "unet_classic", "width": 2, "batch_norm": True, "weights": "random:1"},
        "data": {"run": str(folder / "run.yaml"), "tile_px": SIDE, "channels": list(RGB), "augment": []},
        "train": {"epochs": 2, "batch": 4, "learning_rate": 1e-2, "precision": "fp32"},
        "engine": engine,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def test_two_classes_of_masks_go_from_files_to_masks(world):
    assert train.main([str(world / "recipe.yaml"), "--set", "classes=[damage]", "--dry-run"]) == BAD_INPUT, (
        "one is lost"
    )
    assert train.main([str(world / "recipe.yaml")]) == DONE
    config = load(RunConfig, str(world / "run.yaml"))
    store = TileStore(plan_dataset(config).url)
    counts = store.facts("class_counts")
    assert counts.shape == (COUNT, 3)
    assert (counts[:, 1] > 0).all()
    assert (counts[:, 2] > 0).tolist() == [bool(index % 3) for index in range(COUNT)]
    assert (counts.sum(axis=1) < SIDE**2).all(), "the border is not labelled"
    card, network = load_bundle(world / "net")
    assert (card.classes, network.spec.classes) == (CLASSES, 3)
    assert {"mIoU", "iou_0", "iou_1", "iou_2"} <= card.metrics.keys()

    assert predict.main([str(world / "run.yaml")]) == DONE
    with (world / "out/predictions/images.csv").open() as file:
        listed = {row["id"]: row for row in csv.DictReader(file)}
    assert len(listed) == COUNT
    members = load_members(read_bundles([str(world / "net")]), RGB, tta="none", precision="fp32", batch=2)
    values = set()
    for index, tile in enumerate(store.tiles):
        with Image.open(world / "in" / tile["id"]) as photo:
            width, height = photo.size
        logits, _ = members.predict(store.network_input(index, RGB)[None])
        whole = Fit.of("stretch", height, width, SIDE).restored(logits[0], height, width)
        mask = np.asarray(Image.open(world / "out/predictions/masks" / tile["id"]))
        first, second = np.sort(whole, axis=0)[[-1, -2]]
        sure = first - second > 1e-4
        assert mask.shape == (height, width)
        assert (mask == whole.argmax(axis=0))[sure].all()
        row = listed[tile["id"]]
        areas = [int(row[f"area_px_{name}"]) for name in CLASSES[1:]]
        assert areas == [int((mask == value).sum()) for value in (1, 2)]
        assert int(row["area_px"]) == sum(areas)
        values |= set(np.unique(mask).tolist())
    assert len(values) > 1, "the answers differ"
    assert values <= {0, 1, 2}
    scores = json.loads((world / "out/predictions/scores.json").read_text())
    assert scores["images"] == COUNT
