"""The temperature at the end of a training: the fit to all pixels, whoever passed them; no fit where there is none."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import nn

from models import fit_temperature as module
from models.calibration import Reliability, SlopeGrid
from models.fit_temperature import Calibration, fit_temperature
from models.networks import NetworkSpec, SegmentationNetwork
from models.ranks import Ranks, current_ranks
from tests.processes import forking

torch.set_num_threads(1)

CPU = torch.device("cpu")


class Drawn:
    """Images that are honest logits, and labels drawn from them; lopsided, some ignored, sample 0 altogether."""

    def __init__(self, count: int = 7, classes: int = 1, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.images = rng.normal(-0.3, 1.6, (count, classes, 32, 64)).astype(np.float32)
        shares = np.exp(np.concatenate([np.zeros_like(self.images), self.images], 1) if classes == 1 else self.images)
        cumulated = np.cumsum(shares / shares.sum(1, keepdims=True), 1)
        self.labels = (rng.random((count, 1, 32, 64)) > cumulated[:, :-1]).sum(1).astype(np.uint8)
        self.labels[:, :3, 10:] = 255
        if count > 1:
            self.labels[0] = 255
        self.epochs: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.images[index], self.labels[index]

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def boaster(classes: int = 1, times: float = 3.0) -> SegmentationNetwork:
    """A network that says its input `times` over."""
    layer = nn.Conv2d(classes, classes, 1, bias=False)
    layer.weight.data = times * torch.eye(classes)[:, :, None, None]
    spec = NetworkSpec(architecture="unet", encoder="resnet18", in_channels=classes, classes=classes)
    return SegmentationNetwork(spec, nn.Sequential(layer, nn.Dropout2d(0.5)), torch.zeros(classes), torch.ones(classes))


def ece(logits: np.ndarray, labels: np.ndarray) -> float:
    """The calibration error of the pixels themselves."""
    shares = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    if logits.shape[1] == 1:
        share = torch.sigmoid(torch.from_numpy(logits[:, 0]).double()).numpy()
        return Reliability.of(share, labels == 1, labels != 255).curve().error
    return Reliability.of(shares.max(1), shares.argmax(1) == labels, labels != 255).curve().error


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("times", [0.4, 3.0])
def test_a_network_that_boasts_is_divided_by_what_it_boasts_by(classes, times):
    reader = Drawn(12, classes)
    found = fit_temperature(boaster(classes, times), reader, Ranks(), CPU, images_per_pass=4)
    assert found is not None
    assert found.temperature == pytest.approx(times, rel=0.06)
    assert found.pixels == (reader.labels != 255).sum()
    logits = times * reader.images
    assert found.ece_before == pytest.approx(ece(logits, reader.labels), abs=2e-3)
    assert found.ece_after == pytest.approx(ece(logits / found.temperature, reader.labels), abs=2e-3)
    assert found.ece_after < 0.4 * found.ece_before


def test_several_classes_have_the_temperature_of_one_grid_over_all_pixels():
    reader = Drawn(5, 3)
    found = fit_temperature(boaster(3, 2.0), reader, Ranks(), CPU, images_per_pass=2)
    assert found.temperature == pytest.approx(SlopeGrid.of(2 * reader.images, reader.labels).temperature(), rel=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_size_of_a_pass_does_not_matter(classes):
    found = [fit_temperature(boaster(classes), Drawn(7, classes), Ranks(), CPU, size) for size in (1, 3, 7, 16)]
    assert [f.pixels for f in found] == [found[0].pixels] * 4
    assert [f.temperature for f in found] == pytest.approx([found[0].temperature] * 4, rel=1e-9)


def test_a_large_validation_of_several_classes_is_thinned_evenly(monkeypatch):
    whole = fit_temperature(boaster(3), Drawn(12, 3), Ranks(), CPU, 4)
    monkeypatch.setattr(module, "SOFTMAX_PIXELS", 12 * 32 * 64 // 4)
    thin = fit_temperature(boaster(3), Drawn(12, 3), Ranks(), CPU, 4)
    assert thin.pixels == (Drawn(12, 3).labels[:, ::2, ::2] != 255).sum()
    assert thin.temperature == pytest.approx(whole.temperature, rel=0.1)
    binary = fit_temperature(boaster(), Drawn(12), Ranks(), CPU, 4)
    assert binary.pixels == (Drawn(12).labels != 255).sum()  # a histogram costs little: all are counted


@pytest.mark.parametrize("classes", [1, 3])
def test_no_temperature_where_none_fits(classes):
    def fitted(change):
        reader = Drawn(4, classes)
        change(reader)
        return fit_temperature(boaster(classes), reader, Ranks(), CPU, 4)

    def always_right(reader):
        reader.labels = (reader.images[:, 0] > 0 if classes == 1 else reader.images.argmax(1)).astype(np.uint8)

    def nothing_labelled(reader):
        reader.labels[:] = 255

    def empty(reader):
        reader.images, reader.labels = reader.images[:0], reader.labels[:0]

    assert [fitted(change) for change in (always_right, nothing_labelled, empty)] == [None] * 3


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("times", [30.0, 0.03])
def test_a_temperature_beyond_all_reason_is_none(monkeypatch, classes, times):
    def fitted():
        return fit_temperature(boaster(classes, times), Drawn(6, classes), Ranks(), CPU, 4)

    assert fitted() is None
    if (classes, times) != (3, 0.03):  # the grid of several classes ends at 1/32
        monkeypatch.setattr(module, "LOWEST", 0.0)
        monkeypatch.setattr(module, "HIGHEST", 100.0)
        assert fitted() is not None


def test_errors_of_reading_are_not_taken_for_a_missing_temperature():
    reader = Drawn(4)
    reader.labels[2, 20, 20] = 7
    with pytest.raises(ValueError, match=r"hold the labels \[7\]"):
        fit_temperature(boaster(), reader, Ranks(), CPU, 4)


def test_the_network_stays_as_it_was_but_for_its_mode():
    network, reader = boaster().train(), Drawn(4)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    generator = torch.random.get_rng_state()
    fit_temperature(network, reader, Ranks(), CPU, 4)
    assert not network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert reader.epochs == [0]


class Convolved(Drawn):
    """Five channels for a network with wide kernels, whose rounding a change of the pass would show."""

    def __init__(self, count: int, classes: int) -> None:
        super().__init__(count, classes, seed=5)
        noise = np.random.default_rng(6).standard_normal((count, 5, 32, 64)).astype(np.float32)
        self.images = np.concatenate([self.images, noise], 1)[:, :5]


def convolving(classes: int) -> SegmentationNetwork:
    torch.manual_seed(2)
    layer = nn.Conv2d(5, classes, 5, padding=2)
    for channel in range(classes):
        layer.weight.data[channel, channel, 2, 2] += 2
    spec = NetworkSpec(architecture="unet", encoder="resnet18", in_channels=5, classes=classes)
    return SegmentationNetwork(spec, nn.Sequential(layer), torch.zeros(5), torch.ones(5))


def everything() -> dict[str, list]:
    """What a worker finds; 1 image leaves the second of two workers without any."""
    return {
        f"{classes}, {count}": _plain(
            fit_temperature(convolving(classes), Convolved(count, classes), current_ranks(), CPU, 2)
        )
        for classes in (1, 3)
        for count in (1, 7)
    }


def _plain(found: Calibration | None) -> list:
    return [] if found is None else [found.temperature, found.ece_before, found.ece_after, found.pixels]


def worker(rank: int, directory: Path) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/meet", rank=rank, world_size=2)
    try:
        torch.save(everything(), directory / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_workers_find_what_one_finds(tmp_path):
    processes.start_processes(worker, (tmp_path,), nprocs=2, start_method=forking().get_start_method())
    two = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    one = everything()
    assert two[0] == two[1]
    for what, expected in one.items():
        assert len(expected) == 4, what
        if what.startswith("1"):
            assert two[0][what] == expected  # integers: to the last bit
        else:
            assert two[0][what] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("classes", "passes"), [(1, 3), (3, 6)])
def test_every_pass_has_the_same_number_of_images(classes, passes):
    """The last one is filled up: kernels, and with them the rounding of logits, depend on the shape."""
    network, sizes = boaster(classes), []
    network.register_forward_hook(lambda module, given, logits: sizes.append(len(logits)))
    assert fit_temperature(network, Drawn(7, classes), Ranks(), CPU, 3) is not None
    assert sizes == [3] * passes
