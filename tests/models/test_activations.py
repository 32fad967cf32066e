"""Activations that are alive at once: counted as by hand, without computing and without touching the network."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.activations import live_bytes_per_pixel
from models.networks import NetworkSpec
from models.weights import build_with_weights

FLOAT = 4


def conv(inputs, outputs, **more):
    return nn.Conv2d(inputs, outputs, 1, **more)


@settings(deadline=None, max_examples=30)
@given(widths=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_a_chain_holds_what_goes_into_a_layer_and_what_comes_out(widths):
    layers = [conv(inputs, outputs) for inputs, outputs in zip([3, *widths], widths, strict=False)]
    before = [0, *widths]  # the image is not the network's
    wanted = FLOAT * max(one + other for one, other in zip(before, widths, strict=False))
    assert live_bytes_per_pixel(nn.Sequential(*layers), 3, 32) == wanted


def test_what_is_changed_in_place_or_only_looked_at_takes_nothing():
    plain, other = nn.Sequential(conv(3, 5), nn.ReLU(inplace=True), nn.Flatten()), nn.Sequential(conv(3, 5), nn.ReLU())
    assert live_bytes_per_pixel(plain, 3, 32) == 5 * FLOAT
    assert live_bytes_per_pixel(other, 3, 32) == 2 * 5 * FLOAT


def test_what_is_kept_for_later_counts_until_then():
    class Skipping(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.rest = (
                conv(2, 4),
                nn.Sequential(conv(4, 8, stride=2), conv(8, 8), nn.Upsample(scale_factor=2)),
            )

        def forward(self, x):
            first = self.first(x)
            return torch.cat([first, self.rest(first)], 1)

    # a quarter of the pixels between; then 4 kept, 8 enlarged, and 12 of both
    assert live_bytes_per_pixel(Skipping(), 2, 32) == FLOAT * (4 + 8 + 12)


@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "deeplabv3plus"])
def test_a_network_is_left_as_it_was_and_sides_hardly_matter(architecture):
    spec = NetworkSpec(architecture=architecture, encoder="tu-mobilenetv3_small_050", in_channels=5)
    network, _ = build_with_weights(spec, "random:1", offset=[0.0] * 5, scale=[1.0] * 5)
    network.train()
    frozen = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    frozen.eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    large = live_bytes_per_pixel(network, 5)
    assert large == pytest.approx(live_bytes_per_pixel(network, 5, 128), rel=0.1)
    assert 5 * FLOAT < large < 2000
    assert network.training
    assert not frozen.training
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(not value.is_meta for value in network.state_dict().values())
