"""The contract of every entry of `NETWORKS`, and the scaling module around them."""

import socket

import pytest
import torch

from models.network_options import WITHOUT_ENCODER
from models.networks import NETWORKS, NetworkSpec, SegmentationNetwork, build
from models.tta import VIEWS

torch.set_num_threads(1)

LIGHT = "tu-mobilenetv3_small_050"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a network was built or run, and something opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def light(architecture: str, in_channels: int, classes: int = 1, encoder: str = LIGHT, **options) -> NetworkSpec:
    size = {"width": 4} if architecture in WITHOUT_ENCODER else {"encoder": encoder}
    return NetworkSpec(architecture=architecture, in_channels=in_channels, classes=classes, **size, **options)


def lively(spec: NetworkSpec) -> SegmentationNetwork:
    """A network in eval mode whose running statistics fit its input: its logits are not all alike."""
    torch.manual_seed(0)
    network = build(spec, [0.3] * spec.in_channels, [1.7] * spec.in_channels).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average of what is seen: one pass is enough
    with torch.no_grad():
        network(torch.randn(4, spec.in_channels, 64, 96))
    return network.eval()


@pytest.mark.parametrize("architecture", NETWORKS)
class TestContract:
    @pytest.mark.parametrize(("bands", "size"), [(3, (64, 96)), (5, (37, 70)), (6, (33, 64))])
    def test_forward_and_backward(self, architecture, bands, size):
        torch.manual_seed(1)
        network = build(light(architecture, bands, classes=2)).train()
        logits = network(torch.randn(2, bands, *size))
        assert logits.shape == (2, 2, *size)
        assert logits.dtype == torch.float32
        logits.square().mean().backward()
        stem = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d)).weight
        assert stem.shape[1] == bands
        assert stem.grad is not None
        assert (stem.grad.abs().sum((0, 2, 3)) > 0).all()  # every band is learnt from

    def test_state_saved_and_loaded_predicts_the_same_bytes(self, architecture):
        network = lively(light(architecture, 5))
        other = build(light(architecture, 5)).eval()
        x = torch.randn(2, 5, 40, 72)
        with torch.inference_mode():
            before = network(x)
            assert not torch.equal(other(x), before)
            other.load_state_dict(network.state_dict())
            assert torch.equal(other(x), before)

    @pytest.mark.parametrize("size", [(64, 96), (45, 70)])
    def test_the_mean_over_views_commutes_with_flips(self, architecture, size):
        network, views = lively(light(architecture, 5)), VIEWS["flips4"]
        x = torch.randn(1, 5, *size)

        def mean(image):
            return torch.stack([view.invert(network(view.apply(image))) for view in views]).mean(0)

        with torch.inference_mode():
            plain, spread = mean(x), network(x).std()
            assert (network(views[1].apply(x)) - views[1].apply(network(x))).abs().max() > 1e-2 * spread
            for view in views:
                assert (mean(view.apply(x)) - view.apply(plain)).abs().max() < 1e-4 * spread

    def test_the_seed_decides_the_weights(self, architecture):
        states = []
        for seed in (3, 3, 4):
            torch.manual_seed(seed)
            states.append(build(light(architecture, 4)).state_dict())
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


class TestArchitecturesWithoutEncoder:
    @pytest.mark.parametrize("size", [(64, 96), (37, 5), (1, 1)])
    def test_a_valid_padded_network_answers_for_every_pixel(self, size):
        network = lively(light("unet_classic", 3, classes=2, padding="valid"))
        with torch.inference_mode():
            assert network(torch.randn(1, 3, *size)).shape == (1, 2, *size)

    def test_a_valid_padded_network_sees_the_image_mirrored(self):
        network = lively(light("unet_classic", 3, padding="valid"))
        x = torch.randn(1, 3, 100, 116)
        framed = torch.nn.functional.pad(x, (92, 92, 92, 92), mode="reflect")
        with torch.inference_mode():
            torch.testing.assert_close(network(x), network.network((framed - 0.3) / 1.7))

    def test_deep_supervision_answers_five_times_while_it_trains(self):
        network = build(light("unet3plus", 3, classes=2, deep_supervision=True)).train()
        x = torch.randn(2, 3, 37, 70)
        assert network(x).shape == (2, 5, 2, 37, 70)
        assert network.eval()(x).shape == (2, 2, 37, 70)

    def test_options_come_back_from_a_spec(self):
        plain = NetworkSpec(architecture="unet_classic", in_channels=3)
        assert plain.encoder is None
        assert plain.options() == {}
        assert light("unet_classic", 3, padding="valid").options() == {"width": 4, "padding": "valid"}
        assert NetworkSpec(architecture="unet", in_channels=3).encoder == "efficientnet-b5"


@pytest.mark.parametrize(
    ("architecture", "options", "parameters"),
    [
        ("unet_classic", {}, 31_031_745),
        ("unet_classic", {"padding": "valid"}, 31_031_745),
        ("unet3plus", {}, 26_971_777),
        ("unet3plus", {"deep_supervision": True}, 26_989_637),
        ("deeplabv3", {"encoder_name": "resnet50", "encoder_weights": None}, 39_633_729),
    ],
)
def test_parameter_counts_from_3_channels_to_1_class(architecture, options, parameters):
    with torch.device("meta"):
        network = NETWORKS[architecture](in_channels=3, classes=1, **options)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("architecture", "bands", "parameters"),
    [
        ("unetplusplus", 5, 31_910_945),
        ("unetplusplus", 6, 31_911_377),
        ("deeplabv3plus", 5, 29_493_281),
        ("deeplabv3plus", 6, 29_493_713),
    ],
)
def test_parameter_counts_with_efficientnet_b5(architecture, bands, parameters):
    network = build(NetworkSpec(architecture=architecture, in_channels=bands))
    assert sum(p.numel() for p in network.parameters()) == parameters
    stem = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    assert tuple(stem.weight.shape) == (48, bands, 3, 3)


def test_scaling_is_x_minus_offset_over_scale_per_channel():
    spec = light("unet", 3)
    inner = torch.nn.Conv2d(3, 3, 1, bias=False)
    inner.weight.data = torch.eye(3)[:, :, None, None]
    offset, scale = torch.tensor([1.0, -2.0, 100.0]), torch.tensor([2.0, 0.5, 1000.0])
    network = SegmentationNetwork(spec, inner, offset, scale)
    x = torch.randn(2, 3, 32, 64) * 50
    expected = torch.stack([(x[:, 0] - 1) / 2, (x[:, 1] + 2) / 0.5, (x[:, 2] - 100) / 1000], dim=1)
    torch.testing.assert_close(network(x), expected)


def test_scaling_stays_float32_in_front_of_a_bfloat16_network():
    # 10,001 and 10,004 are the same number in bfloat16; after scaling they are not
    inner = torch.nn.Conv2d(1, 1, 1, bias=False)
    inner.weight.data = torch.ones(1, 1, 1, 1)
    network = SegmentationNetwork(light("unet", 1), inner, torch.tensor([10_000.0]), torch.tensor([1.0]))
    network.network.to(torch.bfloat16)
    x = torch.tensor([10_001.0, 10_004.0]).reshape(1, 1, 1, 2)
    assert network(x).flatten().tolist() == [1.0, 4.0]
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x).flatten().tolist() == [1.0, 4.0]


def test_padding_repeats_the_border_and_is_cropped_away():
    network = lively(light("unet", 3))
    x = torch.randn(1, 3, 33, 50)
    down = torch.cat([x, x[:, :, -1:].expand(-1, -1, 31, -1)], dim=2)
    full = torch.cat([down, down[..., -1:].expand(-1, -1, -1, 14)], dim=3)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), network(full)[..., :33, :50])


def test_one_pixel_is_enough():
    assert lively(light("deeplabv3plus", 3))(torch.randn(1, 3, 1, 1)).shape == (1, 1, 1, 1)


def test_encoders_of_smp_are_taken_too():
    network = build(light("unet", 4, encoder="efficientnet-b0"))
    assert network.eval()(torch.randn(1, 4, 32, 64)).shape == (1, 1, 32, 64)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"architecture": "unetplusplu"}, "Did you mean 'unetplusplus'"),
        ({"encoder": "efficientnet-b55"}, "Did you mean 'efficientnet-b5'"),
        ({"encoder": "tu-mobilenetv3_small_0500"}, "Did you mean 'tu-mobilenetv3_small_050'"),
        ({"in_channels": 0}, "in_channels"),
        ({"bands": 5}, "bands"),
        ({"architecture": "unet_classic", "encoder": "resnet18"}, "unet_classic has no encoder, got 'resnet18'"),
        ({"padding": "valid"}, r"unet does not know \['padding'\].*or choose unet_classic"),
        ({"architecture": "unet3plus", "padding": "valid"}, r"unet3plus does not know \['padding'\]"),
        ({"architecture": "unet_classic", "padding": "full"}, "padding"),
    ],
)
def test_a_wrong_spec_is_refused_when_it_is_made(changed, message):
    with pytest.raises(ValueError, match=message):
        NetworkSpec(**({"architecture": "unet", "in_channels": 5} | changed))


def test_wrong_scaling_channels_and_pairs_are_refused():
    with pytest.raises(ValueError, match="offset must hold 3 finite numbers"):
        build(light("unet", 3), offset=[0.0, 1.0])
    with pytest.raises(ValueError, match="scale must be above 0"):
        build(light("unet", 3), scale=[1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match=r"takes \(n, 3, h, w\), got \(1, 4, 32, 32\)"):
        build(light("unet", 3))(torch.zeros(1, 4, 32, 32))
    with pytest.raises(ValueError, match="deeplabv3plus cannot be built on the encoder 'tu-edgenext_xx_small'"):
        build(light("deeplabv3plus", 3, encoder="tu-edgenext_xx_small"))
