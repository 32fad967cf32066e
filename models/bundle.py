"""A bundle: a trained network on disk, as weights (safetensors) and a card (JSON) that says what it is.

Neither file can run code when it is read. The card carries the sha256 of the weights, so a bundle whose
halves do not belong together is refused, and the digest of the card identifies the whole bundle.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from models.activations import live_bytes_per_pixel
from models.card import CARD_FILE, WEIGHTS_FILE, BundleCard, Card, read_card, read_file, versions
from models.networks import SegmentationNetwork, build
from models.not_initialised import NotInitialised

Network = TypeVar("Network", bound=nn.Module)


def bundle_files(network: SegmentationNetwork, card: Card) -> dict[str, bytes]:
    """Return the files of a bundle by name; the card among them carries the sha256 of the weights, and its activations.

    Raises ValueError: card and network disagree, or the weights are not float32.
    """
    _check_agreement(network, card)
    live = live_bytes_per_pixel(network, len(card.channels))
    return sealed({WEIGHTS_FILE: network.state_dict()}, card.model_copy(update={"activation_bytes": live}))


def load_files(files: Mapping[str, bytes]) -> tuple[Card, SegmentationNetwork]:
    """Return the card and the network (CPU, float32, eval mode) of a bundle's files.

    torch's global random generator is left as it was.
    Raises ValueError: a file is missing, not what it says it is, or not the one the card was made for.
    """
    card = read_card(files)

    def built() -> SegmentationNetwork:
        with NotInitialised():
            return build(card.spec(), card.offset, card.scale)

    network = filled(card, files, built, f"{card.architecture}/{card.encoder or 'no encoder'}")
    _check_agreement(network, card)
    return card, network.eval()


def save_bundle(directory: Path, network: SegmentationNetwork, card: Card) -> Card:
    """Write a bundle to `directory` and return its card, complete with the hash of the weights.

    The files are written beside it, flushed to disk and moved into place by a rename; an old bundle there
    is replaced. A reader sees the old bundle, for a moment none, or the new one: never half of one.
    Raises ValueError: `directory` holds something that is not a bundle, or card and network disagree.
    """
    files = bundle_files(network, card)
    write_files(Path(directory), files)
    return read_card(files)


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a bundle as `save_bundle` does."""
    if directory.exists() and not (directory / CARD_FILE).is_file():
        raise ValueError(f"{directory} exists and is not a bundle (no {CARD_FILE}). Choose another directory.")
    mark = uuid.uuid4().hex[:8]
    fresh, stale = (directory.with_name(f".{directory.name}.{mark}.{kind}") for kind in ("new", "old"))
    fresh.mkdir(parents=True)
    try:
        for name, data in files.items():
            with open(fresh / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if directory.exists():
            directory.rename(stale)  # rename does not replace a folder that is not empty
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(stale, ignore_errors=True)


def load_bundle(directory: Path) -> tuple[Card, SegmentationNetwork]:
    """Return the card and the network of a bundle on disk; see `load_files`.

    Raises FileNotFoundError: no such directory, or a file of the bundle is not in it.
    """
    return load_files(read_bundle(directory))


def read_bundle(directory: Path) -> dict[str, bytes]:
    """Return the bytes of a bundle's files by name. Raises FileNotFoundError as `load_bundle` does."""
    return {name: read_file(Path(directory), name) for name in (CARD_FILE, WEIGHTS_FILE)}


def tensor_bytes(state: Mapping[str, Tensor]) -> bytes:
    """Return tensors in safetensors form. Raises ValueError: weights that are not float32."""
    kept = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    rounded = sorted(key for key, value in kept.items() if value.is_floating_point() and value.dtype != torch.float32)
    if rounded:
        raise ValueError(
            f"A bundle keeps float32 weights, but {rounded[0]} is {kept[rounded[0]].dtype}. "
            "Save the network itself, not the copy that precision.prepare made of it."
        )
    return safetensors.torch.save(kept)


def read_tensors(bundle: str, files: Mapping[str, bytes], name: str, sha256: str) -> dict[str, Tensor]:
    """Return the tensors of one file of a bundle, on the CPU.

    bundle: its name, for messages; sha256: that its card states.
    Raises ValueError: the file is missing, not the one that the card was made for, or not safetensors.
    """
    if name not in files:
        raise ValueError(f"The bundle {bundle!r} has no {name}, only {sorted(files)}. Copy it whole.")
    found = hashlib.sha256(files[name]).hexdigest()
    if found != sha256:
        raise ValueError(
            f"The card of {bundle!r} was made for weights with sha256 {sha256 or '(none)'}, "
            f"but {name} has {found}. It is truncated or belongs to another bundle: copy both again."
        )
    try:
        return safetensors.torch.load(files[name])
    except Exception as error:  # SafetensorError, and what torch says of types that it has not
        raise ValueError(f"{name} of {bundle!r} is not a safetensors file: {error}. Copy it again.") from error


def sealed(states: Mapping[str, Mapping[str, Tensor]], card: BundleCard) -> dict[str, bytes]:
    """Return the files of a bundle by name: tensors, and the card, which carries their sha256.

    states: name of a file to its tensors. Raises ValueError: weights that are not float32.
    """
    files = {name: tensor_bytes(state) for name, state in states.items()}
    hashes = {f"{Path(name).stem}_sha256": hashlib.sha256(data).hexdigest() for name, data in files.items()}
    # model_dump_json, not json.dumps: only the former writes an undefined score as null, which is JSON
    return {**files, CARD_FILE: card.model_copy(update=hashes).model_dump_json(indent=2).encode()}


def filled(
    card: BundleCard, files: Mapping[str, bytes], build: Callable[[], Network], built_as: str | None = None
) -> Network:
    """Return the network that `build` makes with the weights of a bundle's files, which are read first.

    built_as: what to call the network in messages; default: the card's architecture.
    torch's global random generator is left as it was.
    Raises ValueError: the weights are missing, not the ones that the card was made for, or do not fit.
    """
    state = read_tensors(card.name, files, WEIGHTS_FILE, card.weights_sha256)
    with torch.random.fork_rng(devices=[]):
        network = build()
    check_tensors(card.name, state, network.state_dict())
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"The weights of {card.name!r} do not fit {built_as or card.architecture} as built here (made with "
            f"{card.created_with}, here {versions()}): {' '.join(str(error).split())[:500]}. Copy the bundle again, or "
            "use the versions that it was made with."
        ) from error
    return network


def check_tensors(bundle: str, found: Mapping[str, Tensor], built: Mapping[str, Tensor]) -> None:
    """Refuse tensors that torch would convert in silence, and numbers that would make all answers NaN."""
    for name, tensor in found.items():
        wanted = built.get(name)
        if wanted is not None and tensor.dtype != wanted.dtype:
            raise ValueError(
                f"The weights of {bundle!r} hold {name} as {tensor.dtype}, the network has {wanted.dtype}. Save the "
                "network again."
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"The weights of {bundle!r} hold NaN or infinity in {name}. Train the network again.")


def _check_agreement(network: SegmentationNetwork, card: Card) -> None:
    if network.spec != card.spec():
        raise ValueError(f"The card {card.name!r} describes {card.spec()}, the network is {network.spec}.")
    check_scaling(card, network.offset, network.scale)


def check_scaling(card: BundleCard, offset: Tensor, scale: Tensor) -> None:
    """Raise ValueError unless the card states the scaling that the network has."""
    for what, buffer, stated in (("offset", offset, card.offset), ("scale", scale, card.scale)):
        if not torch.equal(buffer.cpu(), torch.tensor(stated, dtype=torch.float32)):
            raise ValueError(
                f"The card {card.name!r} states {what} {stated}, the network scales with {buffer.tolist()}. "
                "Copy the numbers of the network into the card."
            )
