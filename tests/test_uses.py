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
def frozen(tmp_path_factory) -> Path:
    """A transformer with random weights, beside nine dates of 25 x 25 km."""
    return _frozen(tmp_path_factory.mktemp("uses"))


@pytest.fixture(scope="module")
def found(frozen: Path) -> dict[str, Any]:
    """Everything but drift."""
    return _measured(frozen, "search,change,duplicates")


@pytest.fixture(scope="module")
def drifts(frozen: Path) -> dict[tuple[str, str | None], Any]:
    """What was planted, and where, to what was said of it."""
    return {(row["planted"], row.get("where")): row for row in _measured(frozen, "drift")["drift"]}


def _measured(frozen: Path, parts: str) -> dict[str, Any]:
    folder = frozen.parent
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(ROOT / "benchmarks" / "uses.py"), str(folder), "--bbox", *BBOX]
    words += ["--embedder", f"frozen={frozen}", "--only", parts, "--json", str(folder / "uses.json")]
    subprocess.run(words, cwd=folder, env=environment, check=True)
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


def test_planted_drift_is_flagged_and_nothing_else(drifts):
    assert drifts["nothing", None]["drifting"] == []
    for planted in ("haze 0.25", "half missing", "gain 1.1", "gain 1.25", "gain 0.9"):
        assert drifts[planted, "west"]["drifting"] == ["west"], planted
    controls = drifts["controls", None]
    # of nine, at a rate of 0.05: three come in 0.8 % of tries
    assert max(controls["false alarms, whole"], controls["false alarms, halves"]) <= 2


@pytest.mark.parametrize("factor", [0.9, 1.1, 1.25])
def test_the_gain_that_was_planted_is_named(drifts, factor):
    for where, region in (("west", "west"), ("everywhere", "all")):
        row = drifts[f"gain {factor:g}", where]
        assert row["drifting"] == [region]
        assert [reason.split()[1] for reason in row["reasons"][region] if reason.startswith("gain")] == [
            "red", "green", "blue", "nir"
        ]  # fmt: skip
        assert row["gains"][region] == pytest.approx(dict.fromkeys(row["gains"][region], factor), rel=0.02)
    beside = drifts[f"gain {factor:g}", "west"]["gains"]["east"]
    assert beside == pytest.approx(dict.fromkeys(beside, 1), rel=0.02)


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
