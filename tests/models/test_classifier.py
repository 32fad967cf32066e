"""Classifiers and autoencoders: what they see, what they answer, and their bundles."""

import json
from pathlib import Path

import pytest
import torch

from models.autoencoder import Autoencoder, AutoencoderSpec, build_autoencoder
from models.bundle import load_files
from models.classifier import CLASSIFIERS, Classifier, ClassifierSpec, build_classifier
from models.image_bundle import (
    image_files,
    load_autoencoder,
    load_classifier,
    read_image_bundle,
    save_image_bundle,
)
from models.image_cards import AutoencoderCard, ClassifierCard, read_classifier_card
from models.image_networks import ConvolutionalAutoencoder

torch.set_num_threads(1)

OFFSET, SCALE = (10.0, 20.0, 30.5), (2.0, 3.0, 4.0)
FACTS = {
    "name": "kinds",
    "channels": ("red", "green", "blue"),
    "sensor": "images",
    "offset": OFFSET,
    "scale": SCALE,
    "training_data": "ab" * 6,
    "weights": "random:0",
}


def small(**changed) -> ClassifierSpec:
    return ClassifierSpec(**({"in_channels": 3, "classes": 4, "side_px": 16, "widths": (3, 4), "hidden": 5} | changed))


def classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return build_classifier(small(), OFFSET, SCALE).eval()


def autoencoder(seed: int = 0, **changed) -> Autoencoder:
    torch.manual_seed(seed)
    spec = AutoencoderSpec(**({"in_channels": 3, "side_px": 32, "width": 2, "bottleneck": 6} | changed))
    return build_autoencoder(spec, OFFSET, SCALE).eval()


def classifier_card(**changed) -> ClassifierCard:
    facts = {"architecture": "cnn", "classes": tuple("abcd"), "side_px": 16, "widths": (3, 4), "hidden": 5}
    return ClassifierCard(kind="classifier", **(FACTS | facts | changed))


def autoencoder_card(**changed) -> AutoencoderCard:
    return AutoencoderCard(kind="autoencoder", **(FACTS | {"side_px": 32, "width": 2, "bottleneck": 6} | changed))


def test_the_published_cnn_has_its_number_of_weights():
    with torch.device("meta"):
        network = CLASSIFIERS["cnn"](in_channels=3, classes=20, side_px=224, widths=(50, 80, 120), hidden=50)
    assert network.features == 94_080
    assert sum(p.numel() for p in network.parameters()) == 5_140_470


@pytest.mark.parametrize("architecture", CLASSIFIERS)
@pytest.mark.parametrize(("channels", "side_px", "classes"), [(3, 16, 2), (5, 21, 7), (1, 4, 3)])
def test_any_side_channels_and_classes(architecture, channels, side_px, classes):
    spec = small(architecture=architecture, in_channels=channels, side_px=side_px, classes=classes)
    network = build_classifier(spec).train()
    logits = network(torch.randn(3, channels, 19, 30))
    assert logits.shape == (3, classes)
    assert logits.dtype == torch.float32
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_scaling_comes_before_the_network_and_images_are_resized_by_area():
    network = classifier()
    x = 50 * torch.rand(2, 3, 32, 64)
    halves = torch.nn.functional.avg_pool2d(x, (2, 4))
    scaled = (halves - torch.tensor(OFFSET)[:, None, None]) / torch.tensor(SCALE)[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(network(x), network.network(scaled))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"architecture": "cnnn"}, "Did you mean 'cnn'"),
        ({"side_px": 3}, "nothing is left. Take 4 px or more"),
        ({"classes": 1}, "classes"),
        ({"widths": (3, 0)}, "widths"),
        ({"side_px": 4096, "hidden": 16384}, "Halve it"),
    ],
)
def test_wrong_specs_are_refused_when_they_are_made(changed, told):
    with pytest.raises(ValueError, match=told):
        small(**changed)


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match=r"takes \(n, 3, h, w\), got \(1, 4, 8, 8\)"):
        classifier()(torch.zeros(1, 4, 8, 8))
    with pytest.raises(ValueError, match=r"takes \(n, 3, h, w\)"):
        autoencoder()(torch.zeros(1, 4, 8, 8))
    with pytest.raises(ValueError, match="Cut both alike"):
        autoencoder().encode(torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 9, dtype=torch.bool))
    with pytest.raises(ValueError, match="scale must be above 0"):
        build_classifier(small(), scale=(1, 0, 1))


class TestAutoencoder:
    def test_the_published_shape(self):
        network = ConvolutionalAutoencoder(3, 224, 16, 128)
        assert network.shape == (128, 14, 14)
        assert [m.out_channels for m in network.down if isinstance(m, torch.nn.Conv2d)] == [16, 32, 64, 128]
        assert [m.out_channels for m in network.up if isinstance(m, torch.nn.Conv2d)] == [128, 64, 32, 16]

    @pytest.mark.parametrize("side_px", [16, 48])
    def test_vectors_and_images_have_their_sizes(self, side_px):
        network = autoencoder(side_px=side_px)
        x = torch.rand(2, 3, 40, 20)
        assert network.encode(x).shape == (2, 6)
        assert network.reconstruct(x).shape == network(x).shape == (2, 3, side_px, side_px)

    def test_errors_are_those_of_the_valid_pixels(self):
        network = autoencoder()
        x, valid = 30 * torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32) > 0.3
        errors = network(x, valid)
        scale = torch.tensor(SCALE)[:, None, None]
        expected = ((network.reconstruct(x, valid) - x) / scale) ** 2
        torch.testing.assert_close(errors, torch.where(valid, expected, 0.0))

    def test_what_is_not_valid_has_no_part(self):
        network = autoencoder()
        x, valid = torch.rand(1, 3, 50, 40), torch.rand(1, 1, 50, 40) > 0.3
        other = torch.where(valid, x, torch.nan)
        assert torch.equal(network.encode(x, valid), network.encode(other))
        assert torch.equal(network(x, valid), network(other, valid))

    def test_images_standardised_by_themselves_do_not_tell_brightness_and_contrast(self):
        network = autoencoder(per_image=True)
        x, valid = 30 * torch.rand(2, 3, 50, 40), torch.rand(2, 1, 50, 40) > 0.3
        torch.testing.assert_close(network.encode(0.4 * x + 9, valid), network.encode(x, valid), atol=1e-4, rtol=1e-4)
        target, _ = network.prepared(x[..., :32, :32], None)
        torch.testing.assert_close(target.mean((2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            network.reconstruct(x + 9, valid), network.reconstruct(x, valid) + 9, atol=1e-4, rtol=1e-5
        )
        assert network.encode(torch.full((1, 3, 32, 32), 7.0)).isfinite().all()

    def test_weights_of_errors_add_up_to_the_valid_pixels(self):
        network = autoencoder()
        valid = torch.rand(1, 1, 50, 40) > 0.3
        _, share = network.prepared(torch.zeros(1, 3, 50, 40), valid.expand(1, 3, 50, 40))
        assert float(share.sum()) * 50 * 40 / 32**2 == pytest.approx(3 * int(valid.sum()), rel=1e-4)

    def test_sides_that_cannot_be_halved_are_refused(self):
        with pytest.raises(ValueError, match="Take 32 or 48 px"):
            autoencoder(side_px=40)


class TestBundles:
    def test_classifiers_come_back_as_they_were(self, tmp_path):
        network = classifier()
        save_image_bundle(tmp_path / "a", network, classifier_card(metrics={"accuracy": 0.5, "kappa": float("nan")}))
        before = torch.random.get_rng_state()
        card, loaded = load_classifier(read_image_bundle(tmp_path / "a"))
        assert torch.equal(torch.random.get_rng_state(), before)
        assert card.classes == tuple("abcd")
        assert card.digest() == read_classifier_card(tmp_path / "a").digest()
        x = 30 * torch.rand(2, 3, 20, 12)
        assert torch.equal(loaded(x), network(x).detach())

    def test_autoencoders_come_back_as_they_were(self, tmp_path):
        network = autoencoder()
        save_image_bundle(tmp_path / "a", network, autoencoder_card())
        card, loaded = load_autoencoder(read_image_bundle(tmp_path / "a"))
        assert card.bottleneck == 6
        x = 30 * torch.rand(2, 3, 20, 12)
        assert torch.equal(loaded.encode(x), network.encode(x).detach())

    def test_bundles_of_another_kind_are_refused_by_what_is_needed(self):
        files = image_files(classifier(), classifier_card())
        with pytest.raises(ValueError, match="an autoencoder is needed here"):
            load_autoencoder(files)
        with pytest.raises(ValueError, match="a network that maps is needed here"):
            load_files(files)
        with pytest.raises(ValueError, match="a classifier is needed here"):
            load_classifier(image_files(autoencoder(), autoencoder_card()))

    def test_damaged_bundles_are_refused(self):
        files = image_files(classifier(), classifier_card())
        with pytest.raises(ValueError, match="was made for weights with sha256"):
            load_classifier({**files, "weights.safetensors": files["weights.safetensors"][:-1]})
        plain = json.loads(files["card.json"])
        for change, told in [
            ({"hidden": 6}, "do not fit cnn"),
            ({"classes": ["a", "b"]}, "do not fit cnn"),
            ({"classes": ["a", "a", "b", "c"]}, "unique"),
            ({"offset": [10.0, 20.0]}, "offset holds 2 numbers for 3 channels"),
            ({"offset": [10.0, 20.0, 31.0]}, "states offset"),
            ({"widths": []}, "widths"),
        ]:
            with pytest.raises(ValueError, match=told):
                load_classifier({**files, "card.json": json.dumps(plain | change).encode()})
        with pytest.raises(FileNotFoundError, match=r"weights\.safetensors"):
            read_image_bundle(Path("no-such-bundle"))

    def test_a_card_of_another_network_is_refused(self):
        with pytest.raises(ValueError, match="describes"):
            image_files(classifier(), classifier_card(hidden=6))
