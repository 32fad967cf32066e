"""What one training worker does, called as it is: no engine, no job."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from cluster import ddp
from cluster.engine import SerialEngine
from jobs.config import DataConfig, NetworkConfig, RunConfig
from jobs.ingest import ingest
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.training import TrainingTask, train_worker
from models.bundle import load_bundle
from models.card import read_card
from tests.jobs.worlds import ARCHITECTURE, CHANNELS, ENCODER, image, world, write_tif
from tiler.split import Split


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> tuple[str, ...]:
    """The store of one labelled scene."""
    folder = tmp_path_factory.mktemp("training")
    here = world(folder, models=0)
    array = image(150, 120, low=500, high=6500)
    here.scene("s", array)
    write_tif(folder / "labels.tif", (array[0] > 3500).astype(np.uint8) + 1, nodata=None)
    here.settings["labels"] = {"files": str(folder / "labels.tif"), "codes": {2: 1}}
    run = plan_run(load(RunConfig, here.config))
    ingest(run, SerialEngine(1))
    return tuple(run.url("ingest", s.name) for s in run.scenes)


def task(out: Path, scenes: tuple[str, ...], **train: object) -> dict:
    spec = {"epochs": 2, "batch": 4, "learning_rate": 2e-3, "precision": "fp32", **train}
    data = DataConfig(run="", tile_px=64, tiles_per_epoch=8, split=Split(block_px=32)).model_dump()
    data["sampling"]["weights"] = {}
    network = NetworkConfig(architecture=ARCHITECTURE, encoder=ENCODER, weights="random:5").model_dump()
    network["begin"] = network["weights"]
    return asdict(TrainingTask(out.name, str(out), "key", scenes, None, CHANNELS, ("bright",), network, data, spec, 1))


def trained(out: Path, scenes: tuple[str, ...], **train: object) -> tuple[dict, list[dict]]:
    """Train, and return the weights and the messages."""
    messages: list[dict] = []
    ddp.launch_inline(train_worker, task(out, scenes, **train), progress=messages.append)
    return load_bundle(out)[1].state_dict(), messages


@pytest.fixture(scope="module")
def once(tmp_path_factory, scenes):
    out = tmp_path_factory.mktemp("once") / "net"
    return out, *trained(out, scenes)


def test_training_repeats_itself(once, scenes, tmp_path):
    _, weights, _ = once
    again, _ = trained(tmp_path / "net", scenes)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    other, _ = trained(tmp_path / "other", scenes, seed=9)
    assert not all(torch.equal(weights[name], other[name]) for name in weights)


def test_progress_is_told_step_by_step_and_epoch_by_epoch(once):
    out, _, messages = once
    steps = [(m["epoch"], m["step"]) for m in messages if "step" in m]
    assert steps == [(0, 1), (0, 2), (1, 1), (1, 2)]
    epochs = [m for m in messages if "done_epoch" in m]
    assert [m["done_epoch"] for m in epochs] == [0, 1]
    history = json.loads((out / "history.json").read_text())
    assert [row["training_loss"] for row in history] == [m["training_loss"] for m in epochs]
    assert epochs[0]["training_loss"] == pytest.approx(np.mean([m["loss"] for m in messages[:2]]), rel=1e-5)


def test_the_card_keeps_only_scores(once):
    card = read_card(once[0])
    assert {"training_loss", "mIoU", "iou_fg"} <= set(card.metrics)
    assert not {"epoch", "seconds", "learning_rate"} & set(card.metrics)
    assert card.training_data == "key"


def test_the_card_is_written_last(scenes, tmp_path, monkeypatch):
    """Its presence says that the rest is there."""
    from cluster.storage import Storage

    written = []
    put = Storage.put
    monkeypatch.setattr(Storage, "put", lambda self, key, data: (written.append(key), put(self, key, data))[1])
    trained(tmp_path / "net", scenes, epochs=1)
    assert written[-1] == "card.json"
    shown = {"curves.png", "epochs/0000.png"}
    assert set(written) == {"history.json", "weights.safetensors", "card.json"} | shown


def test_the_bundle_tells_the_scores_of_the_epoch_it_holds():
    from jobs.training import kept_row

    rows = [{"epoch": 0, "mIoU": 0.5, "best": True}, {"epoch": 1, "mIoU": 0.7, "best": True}, {"epoch": 2, "mIoU": 0.6}]
    assert kept_row(rows)["epoch"] == 1
    assert kept_row([{"epoch": 0}, {"epoch": 1}])["epoch"] == 1
