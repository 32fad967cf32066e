"""Tiles of satellite imagery as yes or no: is there any industrial area in it? Missing pixels answer nothing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from jobs import ingest, predict
from jobs.bundles import read_bundles
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.parsing import load
from jobs.shell import BAD_INPUT, DONE
from models.image_verdict import choose_min_area_px
from models.members import load_members
from tests.jobs.worlds import write_bundle
from tests.tiler.rasters_for_tests import moved, numbers, write_tif
from tiler.labels import IGNORE
from tiler.tile_store import TileStore

SIDE, TILES, EMPTY = 32, 7, 5
CHANNELS = ("red", "green", "blue", "nir", "mask")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two tiles that train and five that validate: every other one holds industry, one is all missing."""
    folder = tmp_path_factory.mktemp("tiles")
    for index in range(TILES):
        split, file = "TV"[index > 1], f"SN10_KOR_{index:05d}_230409.tif"
        image = numbers(4, SIDE, SIDE, seed=index) * (1 + index)
        image[index % 4].flat[: SIDE * SIDE if index == EMPTY else 75 * index] = 0
        write_tif(folder / f"in/{split}S_SN10_SN10/{file}", image, crs=None, transform=None)
        label = np.full((SIDE, SIDE), 90, np.int8)
        if index % 2:
            label[-10:] = 10
        write_tif(folder / f"in/{split}L_SN10/{file}", label, transform=moved(0, 100 * index))
    bundles = [write_bundle(folder / "net", 1, CHANNELS)]
    settings = {
        "out": str(folder / "out"),
        "sensor": "SN10",
        "dataset": {"root": str(folder / "in"), "tile_px": SIDE},
        "models": bundles,
        "infer": {"precision": "fp32", "batch": 2, "tta": "none"},
        "engine": {"kind": "serial", "threads_per_worker": 1},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    assert ingest.main([str(folder / "run.yaml")]) == DONE
    store = TileStore(plan_dataset(load(RunConfig, str(folder / "run.yaml"))).url)
    members = load_members(read_bundles(bundles), CHANNELS, tta="none", precision="fp32", batch=2)
    chances = []
    for row in range(TILES):
        logits, _ = members.predict(store.network_input(row, CHANNELS)[None])
        chances.append(np.where(store.read("valid", row), 1 / (1 + np.exp(-logits[0, 0])), np.nan))
    return folder, store, chances


def predicted(folder: Path, *changes: str) -> tuple[dict[str, dict[str, str]], dict]:
    words = [word for change in changes for word in ("--set", change)]
    assert predict.main([str(folder / "run.yaml"), *words]) == DONE
    with (folder / "out/predictions/images.csv").open() as file:
        listed = {row["id"]: row for row in csv.DictReader(file)}
    return listed, json.loads((folder / "out/predictions/scores.json").read_text())


def test_areas_and_masks_are_of_what_is_seen_and_the_area_is_chosen_at_a_recall(world, capsys):
    folder, store, chances = world
    threshold = round(float(np.nanmedian(np.stack(chances))), 3)
    listed, scores = predicted(folder, f"fuse.threshold={threshold}", "predict.min_area_px=validation")
    told = capsys.readouterr().out
    assert list(listed) == [tile["id"] for tile in store.tiles]
    areas = {}
    for tile, chance in zip(store.tiles, chances, strict=True):
        row, name = listed[tile["id"]], tile["id"]
        mask = np.asarray(Image.open(folder / f"out/predictions/masks/{name}.png"))
        assert ((mask == IGNORE) == np.isnan(chance)).all()
        with np.errstate(invalid="ignore"):
            sure = ~(np.abs(chance - threshold) < 1e-5)
            assert ((mask == 1) == (chance >= threshold))[sure].all()
        areas[name] = int((mask == 1).sum())
        assert int(row["area_px"]) == areas[name]
        if np.isnan(chance).all():
            assert (row["answer"], row["truth"], row["highest_probability"]) == ("", "", ""), "nobody can know"
        else:
            assert float(row["highest_probability"]) == pytest.approx(np.nanmax(chance), abs=1e-5)
            assert row["answer"] == ("yes" if areas[name] >= scores["min_area_px"] else "no")
            assert row["truth"] == ("yes" if int(name[9:14]) % 2 else "no")
    asked = [(areas[t["id"]], listed[t["id"]]["truth"] == "yes") for t in store.tiles if t["split"] == "validation"]
    known = [one for one, tile in zip(asked, store.tiles[2:], strict=True) if listed[tile["id"]]["truth"]]
    assert scores["min_area_px"] == choose_min_area_px(*zip(*known, strict=True), 0.95) > 1
    assert scores["scores"]["network"]["hits"] == sum(truth for _, truth in known)
    assert f"of {TILES} tiles have" in told
    assert "WARNING: the area was chosen on the validation part, which also judges it" in told


def test_scenes_and_bundles_of_other_channels_are_refused(world, tmp_path, capsys):
    folder, *_ = world
    other = write_bundle(tmp_path / "air", 1, (*CHANNELS, "gems0"))
    assert predict.main([str(folder / "run.yaml"), "--set", f"models=[{other}]"]) == BAD_INPUT
    assert "the bundles need channels ['gems0'], the tiles give" in capsys.readouterr().err
    assert predict.main([str(folder / "run.yaml"), "--set", f"out={tmp_path / 'new'}"]) == BAD_INPUT
    assert "the tiles are not ingested" in capsys.readouterr().err
    scenes = {"out": str(tmp_path / "o"), "scenes": [{"id": "a", "files": ["a.tif"]}], "models": [other]}
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(scenes))
    assert predict.main([str(tmp_path / "map.yaml")]) == BAD_INPUT
    assert "maps of scenes are made by `sandan map`" in capsys.readouterr().err
