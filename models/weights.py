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

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor

from models import bundle
from models.card import CARD_FILE, WEIGHTS_FILE, Card, read_card
from models.channels import ChannelMap
from models.fitting import STEMS, State, fit
from models.names import lookup
from models.networks import NetworkSpec, SegmentationNetwork, build

SCHEMES = ("file", "hub", "recipe", "random")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Provenance:
    """Where weights came from, and how much of the network they filled."""

    spec: str
    sha256: str
    """Of the file; for recipe and random: of the tensors, in safetensors form."""
    loaded: int
    """Tensors of the network that were set from the source."""
    missing: int
    """Tensors of the network that the source does not hold (the decoder, for an encoder's file)."""
    unexpected: int
    """Tensors of the source that the network has no place for (the classifier, for an encoder's file)."""
    stem: str
    """What happened to the first convolution: "as saved", or for example "tile 3 -> 5", "names 5 -> 6; new ..."."""
    scaling: str = "of the data"
    """Whose offset and scale the network has: "of the data", or "of the source" where it has the channel."""
    digest: str = ""
    """Of the card of the source, where it is a bundle: it names card and weights together."""


@dataclass(frozen=True)
class Source:
    """Weights with the card that says what they are."""

    state: State
    card: Card | None = None


LoadRecipe = Callable[[str], State | Source]


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
    with torch.random.fork_rng(devices=[]):
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
    scheme, colon, what = spec.partition(":")
    if scheme not in SCHEMES or not colon or not what:
        near = get_close_matches(scheme, SCHEMES, n=1)
        hint = f" Did you mean {near[0]}:?" if near else ""
        raise ValueError(
            f"Weights {spec!r} name no source.{hint} "
            "Write file:PATH, hub:ID[@rev], recipe:NAME or random:SEED; nothing is random by default."
        )
    lookup({**STEMS, "auto": None, "names": None}, stem, "stem rule")
    lookup({"data": None, "source": None}, scaling, "scaling")
    if channels is not None and len(channels) != network.spec.in_channels:
        raise ValueError(
            f"The network takes {network.spec.in_channels} channels, got the names {list(channels)}. Name each one."
        )
    if scheme == "random":
        _randomise(network, _seed(spec, what))
        state = network.network.state_dict()
        return Provenance(spec, _digest(state), len(state), 0, 0, "as built")
    source, sha256 = _resolve(scheme, what, load_recipe)
    by_name = _channel_map(spec, source.card, channels, needed=stem == "names" or scaling == "source")
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
    digest = source.card.digest() if source.card is not None and source.card.weights_sha256 else ""
    return Provenance(spec, sha256, loaded, missing, found.unexpected, found.stem, taken, digest)


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name; wrappers ("state_dict", "module.") are taken off.

    Raises FileNotFoundError: no such file; ValueError: not a file of weights.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"Asked for the weights file:{path}, which is not there. "
            "Give the path of a .safetensors or .pth file, or random:SEED for untrained weights."
        )
    try:
        content: Any
        if path.suffix == ".safetensors":
            content = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen kinds, from EOFError to UnpicklingError
        why = next(iter(str(error).splitlines()), type(error).__name__).split("\x1b")[0]
        raise ValueError(
            f"{path} holds no weights that can be read without running code: {why}. Save a state_dict() as safetensors."
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    named = content.items() if isinstance(content, Mapping) else ()
    state = {key.removeprefix("module."): value for key, value in named if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"{path} holds {type(content).__name__}, not tensors by name. Save a state_dict().")
    return state


def _resolve(scheme: str, what: str, load_recipe: LoadRecipe | None) -> tuple[Source, str]:
    if scheme == "recipe":
        found = (load_recipe or _load_bundle)(what)
        source = found if isinstance(found, Source) else Source(found)
        return source, _digest(source.state)
    path = Path(what) if scheme == "file" else _cached_file(what)
    state, sha256 = read_state(path), hashlib.sha256(path.read_bytes()).hexdigest()
    # a card describes the file beside it only if it was made for these very bytes
    in_bundle = path.name == WEIGHTS_FILE and (path.parent / CARD_FILE).is_file()
    card = read_card(path.parent) if in_bundle else None
    return Source(state, card if card is not None and card.weights_sha256 == sha256 else None), sha256


def _channel_map(spec: str, card: Card | None, channels: Sequence[str] | None, *, needed: bool) -> ChannelMap | None:
    if card is not None and channels is not None:
        return ChannelMap(card.channels, tuple(channels))
    if needed:
        lacking = "The source has no card" if card is None else "The network's channels have no names"
        raise ValueError(
            f"Weights {spec!r} were to be mapped by the names of channels. {lacking}. "
            "Start from a bundle and pass `channels`, or choose stem='tile' or 'zero' and scaling='data'."
        )
    return None


def _cached_file(what: str) -> Path:
    identifier, _, revision = what.partition("@")
    for name in HUB_FILES:
        try:
            # local_files_only: no look at the network, hence no back-off retries on a cluster without one
            return Path(hf_hub_download(identifier, name, revision=revision or None, local_files_only=True))
        except HFValidationError as error:
            raise ValueError(f"hub:{what} is not the id of a model (owner/name): {error}") from error
        except (LocalEntryNotFoundError, EntryNotFoundError):
            continue
    raise FileNotFoundError(
        f"Asked for the weights hub:{what}, but {' or '.join(HUB_FILES)} of {identifier} is not in the local "
        "cache of the hub (HF_HOME), and nothing is downloaded here. Fetch it on a machine with internet and "
        "copy it, then write file:PATH; or write random:SEED to start from random weights."
    )


def _load_bundle(name: str) -> Source:
    card, network = bundle.load_bundle(Path(name))
    return Source(network.state_dict(), card)


def _seed(spec: str, what: str) -> int:
    if not what.isdecimal():
        raise ValueError(f"Weights {spec!r}: the seed must be a whole number from 0. Write random:0.")
    return int(what)


def _randomise(network: SegmentationNetwork, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build(network.spec)
    network.network.load_state_dict(fresh.network.state_dict())


def _digest(state: State) -> str:
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
