"""What one training worker does, called as it is: no engine, no job."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from cluster import ddp
from cluster.engine import SerialEngine
from jobs.config import RunConfig
from jobs.ingest import ingest
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.recipe_config import DataConfig, NetworkConfig
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


class Killed(BaseException):
    """Nobody catches it."""


def dying_after(step: int):
    """Return what hears of progress and ends the run at the n-th step that it hears of."""
    heard = []

    def hear(message: dict) -> None:
        if "step" in message:
            heard.append(message)
            if len(heard) == step:
                raise Killed

    return hear


def curve_of(messages: list[dict]) -> list[tuple[int, int, float]]:
    """Return the losses in the order in which they were told."""
    return [(m["epoch"], m["step"], m["loss"]) for m in messages if "step" in m]


MIDWAY = {"checkpoint_steps": 1}


@pytest.fixture(scope="module")
def straight(tmp_path_factory, scenes):
    """A run with a checkpoint after each step that nobody ended."""
    out = tmp_path_factory.mktemp("straight") / "net"
    return out, *trained(out, scenes, **MIDWAY)


@pytest.mark.parametrize("step", [2, 4, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 3))])
def test_a_run_that_ends_at_any_step_goes_on_to_the_same_curve_bit_for_bit(straight, scenes, tmp_path, step):
    """The step that was not in a checkpoint yet is done again."""
    _, weights, messages = straight
    out, folder = tmp_path / "net", str(tmp_path / "checkpoints")
    config = task(out, scenes, **MIDWAY)
    with pytest.raises(Killed):
        ddp.launch_inline(train_worker, config, storage_path=folder, progress=dying_after(step))
    rest: list[dict] = []
    ddp.launch_inline(train_worker, config, storage_path=folder, progress=rest.append)
    assert curve_of(rest) == curve_of(messages)[step - 1 :]
    found = load_bundle(out)[1].state_dict()
    assert all(torch.equal(weights[name], found[name]) for name in weights)
    whole, again = (json.loads((o / "history.json").read_text()) for o in (straight[0], out))
    for row in (*whole, *again):
        row.pop("seconds")
    assert again == whole


def test_a_damaged_checkpoint_costs_a_step_and_one_of_other_settings_is_refused(straight, scenes, tmp_path, caplog):
    _, weights, messages = straight
    out, folder = tmp_path / "net", tmp_path / "checkpoints"
    config = task(out, scenes, **MIDWAY)
    with pytest.raises(Killed):
        ddp.launch_inline(train_worker, config, storage_path=str(folder), progress=dying_after(4))
    with pytest.raises(ValueError, match=r"other settings \(seed: 0 -> 9\)"):
        ddp.launch_inline(train_worker, task(out, scenes, **MIDWAY, seed=9), storage_path=str(folder))
    states = sorted(folder.rglob("state.pt"))
    assert len(states) == 2
    states[-1].write_bytes(states[-1].read_bytes()[:-100])
    rest: list[dict] = []
    ddp.launch_inline(train_worker, config, storage_path=str(folder), progress=rest.append)
    assert curve_of(rest) == curve_of(messages)[2:]
    assert str(states[-1]) in caplog.text
    found = load_bundle(out)[1].state_dict()
    assert all(torch.equal(weights[name], found[name]) for name in weights)


DRIVER = """
import json, sys
from cluster import ddp
from jobs.training import train_worker

def tell(message):
    print(json.dumps(message), flush=True)

ddp.launch_inline(train_worker, json.load(open(sys.argv[1])), storage_path=sys.argv[2], progress=tell)
"""


@pytest.mark.slow
def test_a_driver_killed_by_the_system_again_and_again_ends_with_the_same_network(scenes, tmp_path):
    long = {"checkpoint_steps": 1, "epochs": 3}
    weights, messages = trained(tmp_path / "straight" / "net", scenes, **long)
    out = tmp_path / "net"
    (tmp_path / "task.json").write_text(json.dumps(task(out, scenes, **long)))
    words = [sys.executable, "-c", DRIVER, str(tmp_path / "task.json"), str(tmp_path / "checkpoints")]
    told: dict[tuple[int, int], float] = {}
    for steps in (1, 2, 3):
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as driver:
            heard = 0
            for line in driver.stdout:
                message = json.loads(line)
                if "step" in message:
                    heard += 1
                    told.setdefault((message["epoch"], message["step"]), message["loss"])
                    assert told[message["epoch"], message["step"]] == message["loss"], "a step that was done again"
                if heard == steps:
                    os.kill(driver.pid, signal.SIGKILL)
                    break
        assert driver.returncode == -signal.SIGKILL
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    told |= {(m["epoch"], m["step"]): m["loss"] for m in map(json.loads, done.stdout.splitlines()) if "step" in m}
    assert told == {(epoch, step): loss for epoch, step, loss in curve_of(messages)}
    found = load_bundle(out)[1].state_dict()
    assert all(torch.equal(weights[name], found[name]) for name in weights)


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
    from jobs.training_loop import kept_row

    rows = [{"epoch": 0, "mIoU": 0.5, "best": True}, {"epoch": 1, "mIoU": 0.7, "best": True}, {"epoch": 2, "mIoU": 0.6}]
    assert kept_row(rows)["epoch"] == 1
    assert kept_row([{"epoch": 0}, {"epoch": 1}])["epoch"] == 1
