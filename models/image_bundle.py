"""The bundles of classifiers and autoencoders: weights (safetensors) and a card that names them by their hash."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from models.autoencoder import Autoencoder, build_autoencoder
from models.bundle import check_scaling, filled, sealed, write_files
from models.card import CARD_FILE, WEIGHTS_FILE, read_file
from models.classifier import CLASSIFIERS, Classifier, build_classifier
from models.image_cards import AutoencoderCard, ClassifierCard, read_autoencoder_card, read_classifier_card
from models.image_networks import ConvolutionalAutoencoder
from models.precision import prepare

Network = TypeVar("Network", Classifier, Autoencoder)
ImageNetwork = Classifier | Autoencoder
ImageCard = ClassifierCard | AutoencoderCard


def image_files(network: ImageNetwork, card: ImageCard) -> dict[str, bytes]:
    """Return the files of a bundle by name; the card among them carries the sha256 of the weights.

    Raises ValueError: card and network disagree, or the weights are not float32.
    """
    _check_agreement(network, card)
    return sealed({WEIGHTS_FILE: network.state_dict()}, card)


def load_classifier(
    files: Mapping[str, bytes], precision: str = "fp32", device: str = "cpu"
) -> tuple[ClassifierCard, Classifier]:
    """Return the card and the classifier of a bundle's files, ready for inference.

    precision: a key of `models.precision.PRECISIONS` or "auto"; the scaling stays float32.
    torch's global random generator is left as it was.
    Raises ValueError: a file is missing, not what it says it is, not the one that the card was made for, or the device
    cannot comply.
    """
    card = read_classifier_card(files)
    spec = card.spec()
    _check_size(files, card, partial(CLASSIFIERS[spec.architecture], **spec.model_dump(exclude={"architecture"})))
    network = _loaded(files, card, lambda: build_classifier(spec, card.offset, card.scale))
    return card, prepare(network, precision, device)


def load_autoencoder(
    files: Mapping[str, bytes], precision: str = "fp32", device: str = "cpu"
) -> tuple[AutoencoderCard, Autoencoder]:
    """Return the card and the autoencoder of a bundle's files, as `load_classifier` does."""
    card = read_autoencoder_card(files)
    spec = card.spec()
    _check_size(files, card, partial(ConvolutionalAutoencoder, **spec.model_dump(exclude={"per_image"})))
    network = _loaded(files, card, lambda: build_autoencoder(spec, card.offset, card.scale))
    return card, prepare(network, precision, device)


def save_image_bundle(directory: Path, network: ImageNetwork, card: ImageCard) -> None:
    """Write a bundle to `directory` as `models.bundle.save_bundle` does."""
    write_files(Path(directory), image_files(network, card))


def read_image_bundle(directory: Path) -> dict[str, bytes]:
    """Return the bytes of the files of a bundle on disk by name. Raises FileNotFoundError: one is not there."""
    return {name: read_file(Path(directory), name) for name in (CARD_FILE, WEIGHTS_FILE)}


def _loaded(files: Mapping[str, bytes], card: ImageCard, build: Callable[[], Network]) -> Network:
    network = filled(card, files, build)
    _check_agreement(network, card)
    return network.eval()


def _check_size(files: Mapping[str, bytes], card: ImageCard, build: Callable[[], nn.Module]) -> None:
    """Refuse a card whose network is larger than the weights, before memory is asked for: one side makes terabytes.

    Raises ValueError: the file holds fewer bytes than the network has.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        needed = sum(4 * weight.numel() for weight in build().state_dict().values())
    held = len(files.get(WEIGHTS_FILE, b""))
    if WEIGHTS_FILE in files and held < needed:
        raise ValueError(
            f"The card {card.name!r} describes a network of {needed} bytes, but {WEIGHTS_FILE} has {held}. The card or "
            "the weights belong to another bundle, or are truncated: copy both again."
        )


def _check_agreement(network: nn.Module, card: ImageCard) -> None:
    assert isinstance(network, ImageNetwork)
    if network.spec != card.spec():
        raise ValueError(f"The card {card.name!r} describes {card.spec()}, the network is {network.spec}.")
    check_scaling(card, network.offset, network.scale)
