"""The cards of networks that answer for whole images. Like models/card.py they are read without importing torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from models.card import BundleCard, Label, parse_card

if TYPE_CHECKING:
    from models.autoencoder import AutoencoderSpec
    from models.classifier import ClassifierSpec

# Raised by hand when the same weights would give other answers (scaling, resizing); part of the digest.
IMAGE_CONTRACT = 1


class ClassifierCard(BundleCard):
    """Everything about a classifier but its weights."""

    ROLE: ClassVar = "a classifier"

    kind: Literal["classifier"]
    classes: tuple[Label, ...] = Field(min_length=2)
    """Names of whole images' classes, in the order of the output."""
    side_px: int
    """Side of the square that the network sees."""
    widths: tuple[int, ...]
    hidden: int
    class_counts: tuple[int, ...] = ()
    """Images of each class that it was trained on."""
    verdict: dict[str, Any] = Field(default={})
    """Whether it collapsed on few classes: `models.classification_scores.collapse` on what validates."""
    contract: int = IMAGE_CONTRACT

    @model_validator(mode="after")
    def _classes(self) -> "ClassifierCard":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must be unique, got {list(self.classes)}. Rename the repeated one.")
        if self.class_counts and len(self.class_counts) != len(self.classes):
            raise ValueError(f"class_counts: {len(self.class_counts)} numbers for {len(self.classes)} classes")
        return self

    def spec(self) -> "ClassifierSpec":
        """Return what must be known to build the classifier of this card.

        Raises ValueError: an architecture that this version does not know.
        """
        from models.classifier import ClassifierSpec

        return ClassifierSpec(
            architecture=self.architecture,
            in_channels=len(self.channels),
            classes=len(self.classes),
            side_px=self.side_px,
            widths=self.widths,
            hidden=self.hidden,
        )


class AutoencoderCard(BundleCard):
    """Everything about an autoencoder but its weights."""

    ROLE: ClassVar = "an autoencoder"

    kind: Literal["autoencoder"]
    architecture: Literal["convolutional"] = "convolutional"
    side_px: int
    """Side of the square that the network sees."""
    width: int
    bottleneck: int
    """Numbers of a vector."""
    per_image: bool = False
    """Whether each image is standardised by itself."""
    contract: int = IMAGE_CONTRACT

    def spec(self) -> "AutoencoderSpec":
        """Return what must be known to build the autoencoder of this card."""
        from models.autoencoder import AutoencoderSpec

        return AutoencoderSpec(
            in_channels=len(self.channels),
            side_px=self.side_px,
            width=self.width,
            bottleneck=self.bottleneck,
            per_image=self.per_image,
        )


def read_classifier_card(source: Path | str | bytes | Mapping[str, bytes]) -> ClassifierCard:
    """Return the card of a classifier's bundle: from its directory, its files by name, or the bytes of card.json.

    Raises ValueError: the card is not valid, or of another kind of bundle; FileNotFoundError: the directory holds none.
    """
    return parse_card(source, ClassifierCard)


def read_autoencoder_card(source: Path | str | bytes | Mapping[str, bytes]) -> AutoencoderCard:
    """Return the card of an autoencoder's bundle; see `read_classifier_card`."""
    return parse_card(source, AutoencoderCard)
