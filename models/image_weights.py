"""Where the weights of a classifier or an autoencoder begin; sources as in models/weight_sources.py."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from models.autoencoder import Autoencoder
from models.card import BundleCard
from models.classifier import Classifier
from models.fitting import fit
from models.image_bundle import load_autoencoder, load_classifier, read_image_bundle
from models.image_cards import read_autoencoder_card, read_classifier_card
from models.weight_sources import Provenance, Source, digest, resolve, seed_of, split_spec
from models.weights import channel_map

Network = TypeVar("Network", Classifier, Autoencoder)


def begin_with(
    build: Callable[[], Network], weights: str, *, channels: Sequence[str] | None = None
) -> tuple[Network, Provenance]:
    """Build a network and give it the weights that `weights` names: random:SEED, recipe:FOLDER, file:PATH or hub:ID.

    A source has to be a whole network of the same form; where it has other channels, the first convolution takes
    those that both know by name (new ones begin as zeros), or repeats them where there are no names.
    channels: names of the network's channels, in order. torch's global generator is left as it was.
    Raises ValueError: unknown scheme, or weights that do not fit; FileNotFoundError: nothing there.
    """
    scheme, what = split_spec(weights)
    with torch.random.fork_rng(devices=[]):
        if scheme == "random":
            torch.manual_seed(seed_of(weights, what))
        network = build()
    if scheme == "random":
        state = network.network.state_dict()
        return network, Provenance(weights, digest(state), len(state), 0, 0, "as built")
    of_classifier = isinstance(network, Classifier)
    read_card: Callable[[Path], BundleCard] = read_classifier_card if of_classifier else read_autoencoder_card

    def load_recipe(folder: str) -> Source:
        files = read_image_bundle(Path(folder))
        card, loaded = load_classifier(files) if of_classifier else load_autoencoder(files)
        return Source(loaded.state_dict(), card)

    source, sha256 = resolve(scheme, what, load_recipe, read_card)
    by_name = channel_map(weights, source.card, channels, needed=False)
    found = fit(network.network, source.state, "tile" if by_name is None else by_name, weights)
    network.network.load_state_dict(found.tensors)
    of_card = source.card.digest() if source.card is not None and source.card.weights_sha256 else ""
    return network, Provenance(
        weights, sha256, len(found.tensors), 0, found.unexpected, found.stem, "of the data", of_card
    )
