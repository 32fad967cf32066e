"""The card of a bundle: everything about a trained network but its weights.

It lies apart from the bundle because planning a map needs cards only, and reading them must not cost importing torch.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from models.network_options import NetworkOption

if TYPE_CHECKING:
    from models.networks import NetworkSpec

WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "card.json"

# Raised by hand when the same weights would be asked to mean something else (order of the arithmetic,
# padding, scaling); part of the digest, so maps made before are not mistaken for maps made after.
CONTRACT = 1

LARGEST_BYTES = 2**22
"""Of a card."""
MOST_CHANNELS = 1024
NAME = r"^[^\x00-\x1f\x7f-\x9f/\\]{1,200}$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
"""What stands in file names: no control characters, no parts of a path."""
Label = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$")]
"""What stands in tags and reports: no control characters."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def versions() -> dict[str, str]:
    """Return the versions of the libraries that shape a network."""
    return {name: version(name) for name in ("torch", "segmentation-models-pytorch", "timm", "safetensors")}


class BundleCard(BaseModel):
    """What the cards of all kinds of bundles say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ROLE: ClassVar[str]
    """What bundles of this kind are called."""

    format: Literal[1] = 1
    """Version of this file format."""
    name: Name
    architecture: str
    channels: tuple[Name, ...] = Field(min_length=1, max_length=MOST_CHANNELS)
    """Names of the input channels in the order of the network, for example red, green, blue, nir, mask."""
    sensor: str
    offset: tuple[Number, ...]
    """Per channel, in the units of the sensor: the network sees (x - offset) / scale."""
    scale: tuple[Positive, ...]
    metrics: dict[str, float] = {}
    """Scores by name; a score that is undefined (NaN) is null in the file."""
    training_data: str
    """Hash of the data the network learnt from."""
    split: dict[str, Any] = {}
    """How training and validation were divided, free form."""
    weights: str
    """Where the weights began: file:PATH, hub:ID[@rev], recipe:NAME or random:SEED."""
    weights_sha256: str = ""
    """Of the bytes of the weights file; filled when the bundle is written."""
    created_with: dict[str, str] = Field(default_factory=versions)
    contract: int = CONTRACT
    origin: dict[str, Any] = {}
    """What happened to the weights it began with: a `models.weight_sources.Provenance` as plain values."""

    @field_validator("metrics", mode="before")
    @classmethod
    def _null_is_nan(cls, metrics: Any) -> Any:
        if isinstance(metrics, Mapping):
            return {name: float("nan") if value is None else value for name, value in metrics.items()}
        return metrics

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name in (".", ".."):
            raise ValueError(f"name must not be {self.name!r}. It becomes part of file names: give it letters.")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channels must be unique, got {list(self.channels)}. Rename the repeated one.")
        for what, values in (("offset", self.offset), ("scale", self.scale)):
            if len(values) != len(self.channels):
                raise ValueError(
                    f"{what} holds {len(values)} numbers for {len(self.channels)} channels. Give one each."
                )
        return self

    def digest(self) -> str:
        """Return the sha256 (hex) of the card in canonical JSON: it names card and weights together.

        Raises ValueError: the card does not know its weights yet (it has not been through `bundle_files`).
        """
        if not self.weights_sha256:
            raise ValueError(f"The card {self.name!r} has no weights_sha256: save it with its network first.")
        canonical = json.dumps(json.loads(self.model_dump_json()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


CARD_ORDER = (
    "format", "name", "architecture", "encoder", "channels", "sensor", "offset", "scale", "classes", "metrics",
    "training_data", "split", "weights", "weights_sha256", "created_with", "contract", "temperature", "origin",
    "options", "activation_bytes",
)  # fmt: skip
"""In which a file lists them: cards that are written again are the same to the last byte."""


class Card(BundleCard):
    """Everything about a trained segmentation network but its weights."""

    ROLE: ClassVar = "a network that maps"

    encoder: str | None
    """None: the architecture has no encoder of another network in it."""
    classes: tuple[Label, ...] = Field(min_length=1)
    """Names of the output channels; one name is the binary case."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """The logits of the network are divided by it (models/calibration.py)."""
    options: dict[NetworkOption, int | str | bool] = {}
    """What was set of the architecture: `models.networks.NetworkSpec.options`."""
    activation_bytes: Positive | None = None
    """Of float32 activations, alive at once for a pixel (models/activations.py); filled when the bundle is written."""

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # left out, not written as 1: cards and digests made before these fields existed stay what they were
        unset = {"temperature": 1.0, "origin": {}, "options": {}, "activation_bytes": None}
        values = handler(self)
        return {key: values[key] for key in CARD_ORDER if key not in unset or values[key] != unset[key]}

    def spec(self) -> "NetworkSpec":
        """Return what must be known to build the network of this card.

        Raises ValueError: an architecture or encoder that this version does not know.
        """
        from models.networks import NetworkSpec

        return NetworkSpec(
            architecture=self.architecture,
            encoder=self.encoder,
            in_channels=len(self.channels),
            classes=len(self.classes),
            **self.options,  # type: ignore[arg-type]
        )


AnyCard = TypeVar("AnyCard", bound=BundleCard)


def read_card(source: Path | str | bytes | Mapping[str, bytes]) -> Card:
    """Return the card of a bundle: from its directory, its files by name, or the bytes of card.json.

    Raises ValueError: the card is not valid; FileNotFoundError: the directory holds none.
    """
    return parse_card(source, Card)


def parse_card(source: Path | str | bytes | Mapping[str, bytes], kind: type[AnyCard]) -> AnyCard:
    """Return the card of a bundle of a kind; see `read_card`."""
    if isinstance(source, Mapping):
        if CARD_FILE not in source:
            raise ValueError(f"A bundle has a {CARD_FILE}, found only {sorted(source)}. Copy it whole.")
        data = source[CARD_FILE]
    else:
        data = source if isinstance(source, bytes) else read_file(Path(source), CARD_FILE)
    if len(data) > LARGEST_BYTES:
        raise ValueError(
            f"{CARD_FILE} has {len(data)} bytes, more than a card's {LARGEST_BYTES}. Copy the bundle again."
        )
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        if any(e["loc"] == ("kind",) for e in error.errors()):
            raise ValueError(
                f"{CARD_FILE} is of another kind of bundle than asked for: {kind.ROLE} is needed here. "
                "Bundles of `task: embed` serve embed and search, those of `task: segment` map, those of "
                "`task: classify` and `task: autoencode` judge whole images."
            ) from error
        told = "; ".join(f"{'.'.join(map(str, e['loc']))[:100]}: {e['msg'][:300]}" for e in error.errors()[:5])
        raise ValueError(f"{CARD_FILE} is not a card of format 1: {told}. Copy the bundle again.") from error


def read_file(directory: Path, name: str) -> bytes:
    """Return the bytes of one file of a bundle. Raises FileNotFoundError: it is not there; says what is."""
    if not (directory / name).is_file():
        found = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else "no such directory"
        raise FileNotFoundError(
            f"Asked for the bundle {directory}, which must hold {WEIGHTS_FILE} and {CARD_FILE}; found {found}. "
            "Give the directory that save_bundle wrote."
        )
    return (directory / name).read_bytes()
