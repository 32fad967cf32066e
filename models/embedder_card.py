"""The card of an embedder's bundle. Like models/card.py it is read without importing torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from models.card import BundleCard, parse_card

if TYPE_CHECKING:
    from models.embedder import EmbedderSpec

ADAPTER_FILE = "adapter.safetensors"

# Raised by hand when the same weights would give other vectors (scaling, resizing, pooling); part of the digest.
EMBEDDER_CONTRACT = 1

METHODS = ("frozen", "timely", "timely-ntxent", "simclr-as-written", "simclr-ntxent")


class EmbedderCard(BundleCard):
    """Everything about an embedder but its weights."""

    ROLE: ClassVar = "an embedder"

    kind: Literal["embedder"]
    side_px: int
    """Side of the square that the transformer sees."""
    grid: int | None = None
    """Cells a side in which patch tokens are averaged; None: the vector is made of the [CLS] token."""
    linear: int | None = None
    """Numbers behind a linear map; None: there is none."""
    depth: int | None = None
    patch_px: int | None = None
    dimension: int = Field(ge=1)
    """Numbers of a vector."""
    width: int = Field(ge=1)
    """Numbers of a token inside the transformer."""
    scaling: Literal["standard", "per_image", "range"] = "standard"
    """What offset and scale are: of the training part; none, because each image has its own; of the valid range."""
    method: str
    """How it was trained: one of `METHODS`."""
    lora: dict[str, Any] | None = None
    """Rank, alpha and dropout of the adapter; None: all weights were trained, or none."""
    adapter_sha256: str = ""
    """Of the bytes of the adapter's file; empty: there is none."""
    contract: int = EMBEDDER_CONTRACT

    @model_validator(mode="after")
    def _adapter(self) -> "EmbedderCard":
        if self.adapter_sha256 and self.lora is None:
            raise ValueError("adapter_sha256 is given, but lora is not. Name rank and alpha of the adapter.")
        return self

    def spec(self) -> "EmbedderSpec":
        """Return what must be known to build the embedder of this card.

        Raises ValueError: an architecture that this version does not know.
        """
        from models.embedder import EmbedderSpec

        return EmbedderSpec(
            architecture=self.architecture,
            in_channels=len(self.channels),
            side_px=self.side_px,
            grid=self.grid,
            linear=self.linear,
            depth=self.depth,
            patch_px=self.patch_px,
            scaling="image" if self.scaling == "per_image" else "set",
        )


def read_embedder_card(source: Path | str | bytes | Mapping[str, bytes]) -> EmbedderCard:
    """Return the card of an embedder's bundle: from its directory, its files by name, or the bytes of card.json.

    Raises ValueError: the card is not valid, or of another kind of bundle; FileNotFoundError: the directory holds none.
    """
    return parse_card(source, EmbedderCard)
