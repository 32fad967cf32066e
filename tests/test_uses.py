"""Uses of embeddings on a synthetic country, as `benchmarks/uses.py` measures them, for an untrained network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import train
from tests.test_architecture import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
BBOX = ("127.05", "36.6", "127.33", "36.82")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Any]:
    """Nine dates of 25 x 25 km, embedded by a transformer with random weights."""
    folder = tmp_path_factory.mktemp("uses")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(ROOT / "benchmarks" / "uses.py"), str(folder), "--bbox", *BBOX]
    words += ["--embedder", f"frozen={_frozen(folder)}", "--only", "search,change,duplicates,drift"]
    subprocess.run([*words, "--json", str(folder / "uses.json")], cwd=folder, env=environment, check=True)
    return json.loads((folder / "uses.json").read_text())


def _frozen(folder: Path) -> Path:
    from benchmarks.uses_data import World

    world = World(folder / "seed1", 1)
    world.make(tuple(map(float, BBOX)))
    network = {"architecture": "vit_tiny_patch16_224", "weights": "random:1", "side_px": 48, "depth": 4, "patch_px": 8}
    recipe = {
        "task": "embed",
        "out": str(folder / "frozen"),
        "method": "frozen",
        "network": {**network, "lora": None},
        "data": {"run": str(world.folder / "map.yaml"), "tile_px": 128},
        "train": {"epochs": 1, "batch": 32, "learning_rate": 3e-4},
        "engine": {"kind": "serial"},
    }
    path = folder / "frozen.yaml"
    path.write_text(yaml.safe_dump(recipe))
    assert train.main([str(path)]) == 0
    return folder / "frozen"


def test_ids_are_those_of_brute_force_for_any_number_of_shards(found):
    assert found["shards equal brute force"] == [{"embedding": "frozen", "1": True, "2": True, "5": True}]


def test_estates_are_found_far_more_often_than_by_chance(found):
    rows = {(row["embedding"], row.get("query")): row["p@20 any"] for row in found["search"]}
    assert rows["frozen", "same date"][1] > 3 * rows["chance", None][0]


def test_planted_drift_is_flagged_and_nothing_else(found):
    rows = {row["planted in the west"]: row for row in found["drift"]}
    assert rows["nothing"]["drifting"] == []
    for planted in ("haze 0.25", "half missing"):
        assert rows[planted]["drifting"] == ["west"], planted
    assert rows["controls"]["false alarms, whole"] <= 2  # of nine, at a rate of 0.05: three come in 0.8 % of tries


def test_planted_estates_rank_high(found):
    (row,) = (row for row in found["change"] if row["embedding"] == "frozen")
    median = sorted(row["best ranks"])[len(row["best ranks"]) // 2]
    assert median <= row["windows"] // 20


def test_planted_copies_are_joined(found):
    rows = {row["by"]: row for row in found["duplicates"]}
    recall = rows["all three"]["recall"]
    assert recall["same bytes"] == recall["5 % brighter"] == 1
    assert rows["all three"]["windows joined that are no copies"] <= 5
    assert rows["a split at random"]["leaks found"] >= rows["a split at random"]["planted pairs that straddle"] * 0.5
