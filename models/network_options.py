"""What may be set of an architecture. Apart from the networks: recipes and cards need no torch to know it."""

from collections.abc import Mapping
from typing import Any, Literal

NetworkOption = Literal["width", "padding", "batch_norm", "deep_supervision"]
UNSET: dict[NetworkOption, int | str | bool | None] = {
    "width": None,
    "padding": "same",
    "batch_norm": False,
    "deep_supervision": False,
}
"""The values that say nothing."""

# The architectures that have no encoder of another network in them, and what may be set of each.
WITHOUT_ENCODER: dict[str, tuple[NetworkOption, ...]] = {
    "unet_classic": ("width", "padding", "batch_norm"),
    "unet3plus": ("width", "deep_supervision"),
}
ENCODER = "efficientnet-b5"
"""Of the others, unless they are told."""


def with_encoder(values: Any) -> Any:
    """Return the values of a spec with the encoder that its architecture has where none is named."""
    if isinstance(values, Mapping) and values.get("encoder") is None:
        architecture = values.get("architecture")
        bare = isinstance(architecture, str) and architecture in WITHOUT_ENCODER
        return {**values, "encoder": None if bare else ENCODER}
    return values


def chosen_options(values: Mapping[str, Any]) -> dict[NetworkOption, Any]:
    """Return what was set, by name, of the values of a spec."""
    return {name: values[name] for name, unset in UNSET.items() if name in values and values[name] != unset}
