"""The bundle of an embedder: its base network whole, its adapter apart, and a card that names both by their hashes.

weights.safetensors    the base; where an adapter was trained, byte for byte what the training began with
adapter.safetensors    the tensors of the adapter alone; absent where there is none
card.json              `models.embedder_card.EmbedderCard`
"""

from collections.abc import Mapping
from pathlib import Path

from models.bundle import check_scaling, filled, read_tensors, sealed, write_files
from models.card import CARD_FILE, WEIGHTS_FILE, read_file
from models.embedder import Embedder, build_embedder
from models.embedder_card import ADAPTER_FILE, EmbedderCard, read_embedder_card
from models.lora import add_lora, base_state, load_lora, lora_state, merge_lora
from models.lora_spec import LoraSpec
from models.precision import prepare


def embedder_files(embedder: Embedder, card: EmbedderCard) -> dict[str, bytes]:
    """Return the files of a bundle by name; the card among them carries the sha256 of the others.

    Raises ValueError: card and embedder disagree, or the weights are not float32.
    """
    _check_agreement(embedder, card)
    adapter = lora_state(embedder)
    if bool(adapter) != (card.lora is not None):
        raise ValueError(
            f"The card {card.name!r} says lora {card.lora}, the network has {len(adapter)} tensors of an adapter. "
            "Save the network as it was trained, not the copy that load_embedder made."
        )
    states = {WEIGHTS_FILE: base_state(embedder)} | ({ADAPTER_FILE: adapter} if adapter else {})
    return sealed(states, card.model_copy(update={"adapter_sha256": ""}))


def load_embedder(
    files: Mapping[str, bytes], precision: str = "fp32", device: str = "cpu"
) -> tuple[EmbedderCard, Embedder]:
    """Return the card and the embedder of a bundle's files, its adapter merged, ready for inference.

    precision: a key of `models.precision.PRECISIONS` or "auto"; the scaling stays float32.
    torch's global random generator is left as it was.
    Raises ValueError: a file is missing, not what it says it is, not the one that the card was made for, or the device
    cannot comply.
    """
    card, embedder = load_unmerged(files)
    merge_lora(embedder)
    return card, prepare(embedder, precision, device)


def load_unmerged(files: Mapping[str, bytes]) -> tuple[EmbedderCard, Embedder]:
    """Return the card and the embedder (CPU, float32, eval mode) with its adapter beside its base."""
    card = read_embedder_card(files)
    if not card.adapter_sha256 and ADAPTER_FILE in files:
        raise ValueError(f"The card of {card.name!r} knows of no {ADAPTER_FILE}. Copy the bundle again.")
    embedder = filled(card, files, lambda: build_embedder(card.spec(), card.offset, card.scale))
    if card.adapter_sha256:
        adapter = read_tensors(card.name, files, ADAPTER_FILE, card.adapter_sha256)
        add_lora(embedder, LoraSpec.model_validate(card.lora), seed=0)
        load_lora(embedder, adapter)
    _check_agreement(embedder, card)
    return card, embedder.eval()


def save_embedder(directory: Path, embedder: Embedder, card: EmbedderCard) -> EmbedderCard:
    """Write a bundle to `directory` as `models.bundle.save_bundle` does, and return its complete card."""
    files = embedder_files(embedder, card)
    write_files(Path(directory), files)
    return read_embedder_card(files)


def read_embedder(directory: Path) -> dict[str, bytes]:
    """Return the bytes of the files of a bundle on disk by name.

    Raises FileNotFoundError: no such directory, or a file is not in it; ValueError: the card is not an embedder's.
    """
    return {name: read_file(Path(directory), name) for name in files_of(read_embedder_card(directory))}


def files_of(card: EmbedderCard) -> tuple[str, ...]:
    """Return the names of the files that a bundle with this card consists of."""
    return (CARD_FILE, WEIGHTS_FILE, *([ADAPTER_FILE] if card.adapter_sha256 else []))


def _check_agreement(embedder: Embedder, card: EmbedderCard) -> None:
    if embedder.spec != card.spec() or embedder.dimension != card.dimension:
        raise ValueError(
            f"The card {card.name!r} describes {card.spec()} with vectors of {card.dimension}, the network is "
            f"{embedder.spec} with vectors of {embedder.dimension}."
        )
    check_scaling(card, embedder.offset, embedder.scale)
