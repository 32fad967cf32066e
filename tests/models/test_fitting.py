import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fitting import fit, tile_stem, zero_stem
from models.networks import NetworkSpec, build

torch.set_num_threads(1)

LIGHT = "tu-mobilenetv3_small_050"


def network(in_channels=5, encoder=LIGHT, classes=1):
    return build(NetworkSpec(architecture="unet", encoder=encoder, in_channels=in_channels, classes=classes))


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 9))
def test_tiling_follows_the_formula(saved, wanted):
    weight = torch.randn(4, saved, 3, 2)
    tiled = tile_stem(weight, wanted)
    for i in range(wanted):
        torch.testing.assert_close(tiled[:, i], weight[:, i % saved] * saved / wanted)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 3))
def test_appended_zeros_do_not_see_the_new_channels(saved, extra):
    weight = torch.randn(4, saved, 3, 2)
    x = torch.randn(1, saved + extra, 7, 9)
    expected = torch.nn.functional.conv2d(x[:, :saved], weight)
    torch.testing.assert_close(torch.nn.functional.conv2d(x, zero_stem(weight, saved + extra)), expected)


def test_channels_cannot_be_taken_away_with_zeros():
    with pytest.raises(ValueError, match="Cannot append to 5 channels to get 3"):
        zero_stem(torch.zeros(1, 5, 1, 1), 3)


def test_a_whole_network_fits_with_and_without_its_wrapper():
    source = network()
    for state in (source.state_dict(), source.network.state_dict()):
        found = fit(network().network, state, "tile", "test")
        assert found.whole
        assert found.unexpected == 0
        assert found.stem == "as saved"
        assert found.tensors.keys() == source.network.state_dict().keys()
        assert all(torch.equal(found.tensors[k], v) for k, v in source.network.state_dict().items())


@pytest.mark.parametrize("architecture", ["unet_classic", "unet3plus"])
def test_a_network_without_an_encoder_is_taken_whole_or_not_at_all(architecture):
    def bare(in_channels, width=2):
        return build(NetworkSpec(architecture=architecture, width=width, in_channels=in_channels)).network

    source = bare(3)
    found = fit(bare(5), source.state_dict(), "tile", "test")
    assert found.whole
    assert found.stem == "tile 3 -> 5"
    stem = "down.0.0.weight" if architecture == "unet_classic" else "down.0.0.0.weight"
    torch.testing.assert_close(found.tensors[stem], tile_stem(source.state_dict()[stem], 5))
    with pytest.raises(ValueError, match="has shape"):
        fit(bare(3, width=4), source.state_dict(), "tile", "test")
    with pytest.raises(ValueError, match="same architecture and options"):
        fit(bare(3), network().state_dict(), "tile", "test")


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "convnext_atto", "regnetx_002"])
def test_a_classifier_of_timm_gives_its_features_to_the_encoder(name):
    torch.manual_seed(5)
    classifier = timm.create_model(name, pretrained=False, num_classes=7).eval()
    target = network(3, f"tu-{name}").network.eval()
    found = fit(target, classifier.state_dict(), "tile", name)
    assert not found.whole
    assert found.stem == "as saved"
    assert found.unexpected >= 2  # weight and bias of the classifier, and what follows the features
    target.load_state_dict(found.tensors, strict=False)
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = classifier.forward_intermediates(x, intermediates_only=True)[-1]
        torch.testing.assert_close(target.encoder(x)[-1], expected)


def test_an_encoder_of_smp_fits_by_its_own_keys():
    source, target = network(3, "efficientnet-b0"), network(3, "efficientnet-b0").network
    found = fit(target, source.network.encoder.state_dict(), "tile", "test")
    assert not found.whole
    assert set(found.tensors) == {k for k in target.state_dict() if k.startswith("encoder.")}
    assert all(torch.equal(v, source.network.state_dict()[k]) for k, v in found.tensors.items())


def test_counters_of_old_files_may_be_absent():
    state = {k: v for k, v in network().network.state_dict().items() if "num_batches_tracked" not in k}
    assert len(fit(network().network, state, "tile", "test").tensors) == len(state)


def test_misfits_are_refused_with_names_and_shapes():
    state = network().network.state_dict()
    some = next(iter(state))
    with pytest.raises(ValueError, match=f"1 tensors are missing \\({some}\\), 0 have no place"):
        fit(network().network, {k: v for k, v in state.items() if k != some}, "tile", "test")
    with pytest.raises(ValueError, match=r"0 tensors are missing \(none\), 1 have no place in it \(extra\)"):
        fit(network().network, {**state, "extra": torch.zeros(1)}, "tile", "test")
    with pytest.raises(ValueError, match=r"segmentation_head\.0\.weight has shape \(1, .*needs \(3, "):
        fit(network(classes=3).network, state, "tile", "test")
    with pytest.raises(ValueError, match="tensors are missing"):
        fit(network().network, {"fc.weight": torch.zeros(2, 2)}, "tile", "test")
