"""OpenVINO: the same network through other kernels, as close as its number format allows."""

import importlib.util

import pytest
import torch
from torch import nn

from models.compiling import compiled_for_inference
from models.imagery import Imagery
from models.networks import NetworkSpec, build
from models.openvino_network import OpenVinoNetwork
from models.precision import prepare, supports
from models.predict import load_ensemble
from tests.models.test_members import CHANNELS, files


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    spec = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=3)
    return build(spec, offset=[1.0, 2.0, 3.0], scale=[4.0, 5.0, 6.0]).eval()


def formats() -> list[tuple[str, float]]:
    """Number formats of this machine, and the error in standard deviations that they may cost."""
    return [(name, error) for name, error in (("fp32", 1e-4), ("bf16", 0.2)) if supports("cpu", name)]


def test_it_answers_what_the_network_answers(network):
    tiles = torch.randn(2, 3, 64, 96) * 5
    with torch.inference_mode():
        exact = network(tiles)
        for name, error in formats():
            other = compiled_for_inference(prepare(network, name, "cpu"), "openvino")
            found = other(tiles)
            assert found.dtype == torch.float32
            assert (found - exact).abs().max() < error * exact.std()
            torch.testing.assert_close(other(tiles), found, rtol=0, atol=0)


def test_each_shape_is_converted_once(network, monkeypatch):
    made = []
    monkeypatch.setattr(OpenVinoNetwork, "_convert", lambda self, shape: made.append(shape) or (lambda x: [x]))
    other = OpenVinoNetwork(network.network)
    for height in (32, 64, 32, 64):
        assert other(torch.zeros(1, 3, height, 32)).shape == (1, 3, height, 32)
    assert made == [(1, 3, 32, 32), (1, 3, 64, 32)]


@pytest.mark.slow
def test_an_ensemble_runs_on_it():
    bundles = [files("one", 1), files("two", 2, ("mask", "red"), temperature=2.0)]
    random = torch.Generator().manual_seed(5)
    bands = torch.randint(1, 12, (2, 96, 128), generator=random).numpy().astype("uint16")
    valid = (torch.rand((96, 128), generator=random) < 0.8).numpy()
    more = torch.empty((0, 96, 128)).numpy()
    imagery = Imagery.of(bands, valid, torch.tensor([4.0, 5.0]).numpy(), more, "cpu")
    ask = imagery, [(0, 0), (32, 64), (7, 11)], 64
    plain = load_ensemble(bundles, CHANNELS, precision="fp32", batch=2).predict_windows(*ask)
    other = load_ensemble(bundles, CHANNELS, precision="fp32", batch=2, compile="openvino").predict_windows(*ask)
    assert abs(other.astype("float32") - plain.astype("float32")).max() <= 2e-3 * abs(plain.astype("float32")).max()
    assert abs(plain.astype("float32")).max() > 0.1


def test_without_its_package_it_is_refused(network, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'sandan\[openvino\]'"):
        OpenVinoNetwork(network.network)


def test_on_a_gpu_it_is_refused(network):
    with pytest.raises(ValueError, match="is for CPUs"):
        OpenVinoNetwork(nn.Conv2d(1, 1, 1, device="meta"))
