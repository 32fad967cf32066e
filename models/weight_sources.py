"""Where weights come from, by name: files, the local cache of the hub, bundles of our own. Nothing is downloaded.

file:PATH      .safetensors, .npz without objects, or .pth / .pt / .bin read with torch.load(weights_only=True)
hub:ID[@rev]   a model of the Hugging Face hub that is already in the local cache
recipe:NAME    a bundle of our own (a directory), or what `load_recipe` makes of the name
random:SEED    drawn from a seeded generator
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor

from models.card import CARD_FILE, WEIGHTS_FILE, BundleCard
from models.fitting import State

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
    card: BundleCard | None = None


LoadRecipe = Callable[[str], State | Source]


def split_spec(spec: str) -> tuple[str, str]:
    """Return scheme and name of weights: "file:a.pth" is ("file", "a.pth").

    Raises ValueError: no scheme that is known, or no name.
    """
    scheme, colon, what = spec.partition(":")
    if scheme not in SCHEMES or not colon or not what:
        near = get_close_matches(scheme, SCHEMES, n=1)
        hint = f" Did you mean {near[0]}:?" if near else ""
        raise ValueError(
            f"Weights {spec!r} name no source.{hint} "
            "Write file:PATH, hub:ID[@rev], recipe:NAME or random:SEED; nothing is random by default."
        )
    return scheme, what


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
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                content = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
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


def resolve(
    scheme: str, what: str, load_recipe: LoadRecipe, read_card: Callable[[Path], BundleCard]
) -> tuple[Source, str]:
    """Return the weights that file:, hub: or recipe: name, and the sha256 of the file, or of the tensors.

    load_recipe: gives the weights of recipe:NAME; read_card: reads the card of the folder in which a file lies.
    """
    if scheme == "recipe":
        found = load_recipe(what)
        source = found if isinstance(found, Source) else Source(found)
        return source, digest(source.state)
    path = Path(what) if scheme == "file" else cached_file(what)
    state, sha256 = read_state(path), hashlib.sha256(path.read_bytes()).hexdigest()
    # a card describes the file beside it only if it was made for these very bytes
    in_bundle = path.name == WEIGHTS_FILE and (path.parent / CARD_FILE).is_file()
    card = read_card(path.parent) if in_bundle else None
    return Source(state, card if card is not None and card.weights_sha256 == sha256 else None), sha256


def cached_file(what: str) -> Path:
    """Return where the weights of a model of the hub lie here. Raises FileNotFoundError: not in the local cache."""
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


def seed_of(spec: str, what: str) -> int:
    """Return the seed of random:SEED. Raises ValueError: it is none."""
    if not what.isdecimal():
        raise ValueError(f"Weights {spec!r}: the seed must be a whole number from 0. Write random:0.")
    return int(what)


def digest(state: State) -> str:
    """Return the sha256 of tensors in safetensors form."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
