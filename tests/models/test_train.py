import math

import numpy as np
import pytest
import torch
from torch import nn

from models.checkpoint import state_from_bytes, state_to_bytes
from models.loading import epoch_steps
from models.networks import NetworkSpec, SegmentationNetwork, build
from models.train import TrainSpec, train

torch.set_num_threads(1)

FAST = TrainSpec(epochs=4, batch=4, learning_rate=1e-2, precision="fp32")


class Fields:
    """Bright lopsided rectangles on noise; the label is the rectangle. Remembers what was read."""

    def __init__(self, count: int, seed: int = 0, channels: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.images = rng.standard_normal((count, channels, 32, 64)).astype(np.float32)
        self.labels = np.zeros((count, 32, 64), np.uint8)
        for i, (y, x) in enumerate(rng.integers(0, (16, 32), (count, 2))):
            self.labels[i, y : y + 12, x : x + 24] = 1
        self.images[:, 1] += 1.5 * self.labels
        self.labels[:, :2] = 255
        self.epochs: list[int] = []
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        self.read.append(index)
        return self.images[index], self.labels[index]

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def small_network(seed: int = 1, classes: int = 1) -> SegmentationNetwork:
    torch.manual_seed(seed)
    layers = (
        nn.Conv2d(3, 8, 5, padding=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout2d(0.1),  # so that random numbers matter to a resumed run
        nn.Conv2d(8, classes, 5, padding=2),
    )
    spec = NetworkSpec(architecture="unet", encoder="resnet18", in_channels=3, classes=classes)
    return SegmentationNetwork(spec, nn.Sequential(*layers), torch.zeros(3), torch.ones(3))


def test_a_learnable_problem_is_learnt():
    network, steps = small_network(), []
    before = torch.random.get_rng_state()
    reports = train(network, Fields(16), Fields(6, seed=9), FAST, on_step=steps.append)
    assert torch.equal(torch.random.get_rng_state(), before)
    losses = [report.training_loss for report in reports]
    assert losses[-1] < 0.6 * losses[0]
    assert reports[-1].validation["iou_fg"] > 0.6
    assert reports[-1].validation["iou_fg"] > reports[0].validation["iou_fg"]
    assert not network.training
    assert [(s.epoch, s.step, s.steps) for s in steps] == [(e, s, 4) for e in range(4) for s in range(4)]
    for report in reports:
        own = [s.loss for s in steps if s.epoch == report.epoch]
        assert report.training_loss == pytest.approx(np.mean(own))
        assert report.learning_rate == pytest.approx(1e-2 * (1 + math.cos(math.pi * report.epoch / 4)) / 2)
        assert report.seconds > 0


def test_a_network_of_the_table_learns_in_bfloat16(monkeypatch):
    monkeypatch.setattr("models.precision._cpu_has_bf16", lambda: True)
    torch.manual_seed(0)
    spec = NetworkSpec(architecture="deeplabv3plus", encoder="tu-mobilenetv3_small_050", in_channels=3)
    network = build(spec)
    reports = train(network, Fields(8), None, FAST.model_copy(update={"precision": "bf16", "epochs": 5}))
    assert reports[-1].training_loss < 0.85 * reports[0].training_loss
    assert reports[-1].validation == {}
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_the_validation_equals_a_loop_over_images():
    network, validation = small_network(), Fields(5, seed=9)
    report = train(network, Fields(4), validation, FAST.model_copy(update={"epochs": 1}))[-1]
    with torch.inference_mode():
        positive = network(torch.from_numpy(validation.images))[:, 0].numpy() > 0
    seen, truth = validation.labels != 255, validation.labels == 1
    hit, union = (truth & positive & seen).sum(), ((truth | positive) & seen).sum()
    assert report.validation["iou_fg"] == pytest.approx(hit / union, abs=2e-3)


def test_samples_are_read_in_the_order_of_the_equation():
    reader = Fields(10)
    train(small_network(), reader, None, FAST.model_copy(update={"epochs": 2}), reader_threads=1)
    expected = [epoch_steps(10, 4, FAST.seed, epoch).ravel() for epoch in range(2)]
    assert reader.read == np.concatenate(expected).tolist()
    assert reader.epochs == [0, 1]


@pytest.mark.parametrize("last", [0, 2, 3])
def test_a_resumed_run_equals_the_uninterrupted_one(last):
    straight, checkpoints = small_network(), []
    whole = train(
        straight, Fields(10), Fields(3), FAST, on_epoch=lambda r: checkpoints.append(state_to_bytes(r.state()))
    )
    resumed = small_network(seed=99)  # its own weights are replaced
    torch.manual_seed(1234)  # and the state of the generator does not matter
    rest = train(resumed, Fields(10), Fields(3), FAST, resume=state_from_bytes(checkpoints[last]))
    assert [r.epoch for r in rest] == list(range(last + 1, 4))
    for found, expected in zip(rest, whole[last + 1 :], strict=True):
        assert found.training_loss == expected.training_loss
        assert found.validation == expected.validation
        assert found.learning_rate == expected.learning_rate
    for key, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_resuming_does_not_change_the_state_it_was_given():
    states = []
    train(small_network(), Fields(4), None, FAST, on_epoch=lambda r: states.append(r.state()))
    before = state_to_bytes(states[0])
    train(small_network(), Fields(4), None, FAST, resume=states[0])
    assert state_to_bytes(states[0]) == before


def test_a_state_is_given_only_while_it_is_current():
    reports = train(small_network(), Fields(4), None, FAST)
    assert reports[-1].state()["epoch"] == 3
    with pytest.raises(ValueError, match="state after epoch 1, but the run has gone on to step 0 of epoch 4"):
        reports[1].state()


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_normalisation_keeps_its_statistics(frozen):
    network = small_network()
    before = network.network[1].running_mean.clone()
    train(network, Fields(4), None, FAST.model_copy(update={"freeze_normalisation": frozen, "epochs": 1}))
    assert torch.equal(network.network[1].running_mean, before) is frozen


def test_the_gradient_is_clipped_to_its_norm():
    def first_moment(clip):
        states = []
        spec = FAST.model_copy(update={"epochs": 1, "gradient_clip": clip})
        train(small_network(), Fields(4), None, spec, on_epoch=lambda r: states.append(r.state()))
        moments = [value["exp_avg"] for value in states[0]["optimizer"]["state"].values()]
        return float(torch.cat([m.ravel() for m in moments]).norm()) / 0.1  # (1 - beta1) of the gradient

    free = first_moment(None)
    assert first_moment(free / 4) == pytest.approx(free / 4, rel=1e-3)
    assert first_moment(free * 4) == pytest.approx(free, rel=1e-5)


def test_what_cannot_be_trained_is_refused_before_it_starts():
    with pytest.raises(ValueError, match="no samples"):
        train(small_network(), Fields(0), None, FAST)
    states = []
    train(small_network(), Fields(4), None, FAST, on_epoch=lambda r: states.append(r.state()))
    with pytest.raises(ValueError, match=r"other settings \(seed: 0 -> 1\)"):
        train(small_network(), Fields(4), None, FAST.model_copy(update={"seed": 1}), resume=states[0])


def test_a_loss_that_is_not_finite_stops_the_run():
    reader = Fields(4)
    reader.images[2, 0, 20, 20] = np.nan
    with pytest.raises(FloatingPointError, match="training loss of epoch 0 is nan"):
        train(small_network(), reader, None, FAST)


def test_an_error_of_the_reader_arrives():
    class Broken(Fields):
        def __getitem__(self, index: int):
            raise OSError("tile is gone")

    with pytest.raises(OSError, match="tile is gone"):
        train(small_network(), Broken(4), None, FAST)
