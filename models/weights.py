"""Where the weights of a network begin: always named, never downloaded, never random by default.

    file:PATH      .safetensors, or .pth / .pt / .bin read with torch.load(weights_only=True)
    hub:ID[@rev]   a model of the Hugging Face hub that is already in the local cache
    recipe:NAME    a bundle of our own (a directory), or what `load_recipe` makes of the name
    random:SEED    drawn from a seeded generator

A file may hold a whole network or only an encoder (of smp or timm). A whole network must match key by
key; an encoder must be complete, and the decoder is then drawn from `decoder_seed`, so that the result
is a pure function of the arguments.

A bundle knows the names of its channels. It can be the start of any network that has some of them, in any order and
with any others beside them: pass `channels`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from models import bundle
from models.card import BundleCard, read_card
from models.channels import ChannelMap
from models.fitting import STEMS, fit
from models.names import lookup
from models.networks import NetworkSpec, SegmentationNetwork, build
from models.not_initialised import NotInitialised
from models.weight_sources import LoadRecipe, Provenance, Source, digest, resolve, seed_of, split_spec


def build_with_weights(
    spec: NetworkSpec,
    weights: str,
    *,
    offset: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    channels: Sequence[str] | None = None,
    stem: str = "auto",
    scaling: str = "data",
    decoder_seed: int = 0,
    load_recipe: LoadRecipe | None = None,
) -> tuple[SegmentationNetwork, Provenance]:
    """Build a network and give it the weights that `weights` names; see `initialise`."""
    with torch.random.fork_rng(devices=[]), NotInitialised():
        network = build(spec, offset, scale)
    provenance = initialise(
        network,
        weights,
        channels=channels,
        stem=stem,
        scaling=scaling,
        decoder_seed=decoder_seed,
        load_recipe=load_recipe,
    )
    return network, provenance


def initialise(
    network: SegmentationNetwork,
    spec: str,
    *,
    channels: Sequence[str] | None = None,
    stem: str = "auto",
    scaling: str = "data",
    decoder_seed: int = 0,
    load_recipe: LoadRecipe | None = None,
) -> Provenance:
    """Set the weights of `network` in place, from the source that `spec` names.

    spec: file:PATH, hub:ID[@rev], recipe:NAME or random:SEED. The weights.safetensors of a bundle is one too.
    channels: names of the network's channels, in order.
    stem: what to do where the source has other input channels. "names": each channel of the source goes to the
    channel of its name, the others begin as zeros; "tile": repeat its channels by position (w[:, i mod c] * c / C);
    "zero": append channels of zeros. "auto": "names" where both sides have names, else "tile".
    scaling: "data" leaves offset and scale as they were built; "source" takes those of the source for the channels
    that it has. With "source" and only new channels, the logits are at first those of the source for the same pixels;
    with "data", for the same scaled values (right where the sensor is another one, with other units).
    load_recipe: gives the tensors of recipe:NAME, or a `Source` with its card; default: NAME is a bundle's directory.
    Raises ValueError: unknown scheme, or weights that do not fit; FileNotFoundError: nothing there.
    """
    scheme, what = split_spec(spec)
    lookup({**STEMS, "auto": None, "names": None}, stem, "stem rule")
    lookup({"data": None, "source": None}, scaling, "scaling")
    if channels is not None and len(channels) != network.spec.in_channels:
        raise ValueError(
            f"The network takes {network.spec.in_channels} channels, got the names {list(channels)}. Name each one."
        )
    if scheme == "random":
        _randomise(network, seed_of(spec, what))
        state = network.network.state_dict()
        return Provenance(spec, digest(state), len(state), 0, 0, "as built")
    source, sha256 = resolve(scheme, what, load_recipe or _load_bundle, read_card)
    by_name = channel_map(spec, source.card, channels, needed=stem == "names" or scaling == "source")
    rule = by_name if by_name is not None and stem in ("auto", "names") else "tile" if stem == "auto" else stem
    found = fit(network.network, source.state, rule, spec)
    if not found.whole:
        _randomise(network, decoder_seed)
    loaded = len(found.tensors)
    missing = len(network.network.state_dict()) - loaded
    network.network.load_state_dict(found.tensors, strict=False)
    taken = "of the data"
    if scaling == "source" and by_name is not None and source.card is not None:
        network.offset.copy_(torch.tensor(by_name.values(source.card.offset, network.offset.tolist())))
        network.scale.copy_(torch.tensor(by_name.values(source.card.scale, network.scale.tolist())))
        taken = "of the source"
    of_card = source.card.digest() if source.card is not None and source.card.weights_sha256 else ""
    return Provenance(spec, sha256, loaded, missing, found.unexpected, found.stem, taken, of_card)


def channel_map(
    spec: str, card: BundleCard | None, channels: Sequence[str] | None, *, needed: bool
) -> ChannelMap | None:
    """Return how the channels of a source become those of a network, by their names; None: one side has no names.

    Raises ValueError: that, where it is `needed`.
    """
    if card is not None and channels is not None:
        return ChannelMap(card.channels, tuple(channels))
    if needed:
        lacking = "The source has no card" if card is None else "The network's channels have no names"
        raise ValueError(
            f"Weights {spec!r} were to be mapped by the names of channels. {lacking}. "
            "Start from a bundle and pass `channels`, or choose stem='tile' or 'zero' and scaling='data'."
        )
    return None


def _load_bundle(name: str) -> Source:
    card, network = bundle.load_bundle(Path(name))
    return Source(network.state_dict(), card)


def _randomise(network: SegmentationNetwork, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build(network.spec)
    network.network.load_state_dict(fresh.network.state_dict())
