"""Members: what each network says alone is what it says in an ensemble of one."""

import numpy as np
import pytest

from models.bundle import bundle_files
from models.card import Card
from models.members import Members, load_members
from models.networks import NetworkSpec
from models.predict import load_ensemble
from models.weights import build_with_weights

ENCODER, CHANNELS = "tu-mobilenetv3_small_050", ("red", "nir", "mask")


def files(name: str, seed: int, channels=CHANNELS, temperature: float = 1.0) -> dict[str, bytes]:
    offset, scale = [5.0] * len(channels), [3.0] * len(channels)
    spec = NetworkSpec(architecture="unet", encoder=ENCODER, in_channels=len(channels))
    network, _ = build_with_weights(spec, f"random:{seed}", offset=offset, scale=scale)
    network.network.segmentation_head[0].weight.data.mul_(10)
    card = Card(
        name=name,
        architecture="unet",
        encoder=ENCODER,
        channels=channels,
        sensor="SN10",
        offset=tuple(offset),
        scale=tuple(scale),
        classes=("industrial",),
        training_data="none",
        weights=f"random:{seed}",
        temperature=temperature,
    )
    return bundle_files(network, card)


@pytest.fixture(scope="module")
def bundles() -> list[dict[str, bytes]]:
    return [files("one", 1), files("two", 2, ("mask", "red"), temperature=2.0)]


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    return np.random.default_rng(0).normal(5, 3, (3, 3, 32, 64)).astype(np.float32)


def test_each_says_what_it_says_alone_with_and_without_views(bundles, tiles):
    members = load_members(bundles, CHANNELS, precision="fp32", batch=2)
    assert isinstance(members, Members)
    assert members.names == ("one", "two")
    first, mean = members.predict_each(tiles)
    assert first.shape == mean.shape == (2, 3, 1, 32, 64)
    assert first.dtype == mean.dtype == np.float32
    for place, bundle in enumerate(bundles):
        for tta, found in (("none", first), ("flips4", mean)):
            alone, _ = load_ensemble([bundle], CHANNELS, tta=tta, precision="fp32", batch=2).predict(tiles)
            np.testing.assert_allclose(found[place], alone, atol=1e-4)
    assert np.abs(first - mean).max() > 0.1
    together, _ = members.predict(tiles)
    np.testing.assert_allclose(mean.mean(axis=0), together, atol=1e-4)


def test_one_view_is_its_own_mean(bundles, tiles):
    first, mean = load_members(bundles, CHANNELS, tta="none", precision="fp32").predict_each(tiles)
    np.testing.assert_array_equal(first, mean)


def test_networks_run_once_in_each_view(bundles, tiles, monkeypatch):
    members = load_members(bundles, CHANNELS, precision="fp32", batch=2)
    seen = []
    for member in members._members:
        member.network.network.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    members.predict_each(tiles)
    assert seen == [8, 8, 8, 8]  # two batches of two tiles (the last filled up) in four views, for each of two networks


def test_tiles_of_another_form_and_answers_without_sense_are_refused(bundles, tiles):
    members = load_members(bundles, CHANNELS, precision="fp32")
    with pytest.raises(ValueError, match="take tiles"):
        members.predict_each(tiles[:, :2])
    bad = tiles.copy()
    bad[1, 0, 3, 3] = np.inf
    with pytest.raises(FloatingPointError, match="'one' are not finite"):
        members.predict_each(bad)
