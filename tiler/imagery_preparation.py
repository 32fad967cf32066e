"""Pre-processing of tiles of satellite imagery: light removal and gray, in the digital numbers of their sensor.

Operations of `tiler.preprocess` take values from 0 to 255: digital numbers are scaled so that the sensor's largest one
is 255, and back. What was done becomes part of the sensor's name (SN10.light_removal), which bundles keep: a network
that learnt from such tiles is not asked about others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiler.preprocess import OPERATIONS, WHITE, Preparation, preparation
from tiler.sensors import Sensor

OF_IMAGERY = ("light_removal", "gray")
"""Operations that mean something where values are reflectance; the others are of photos."""


@dataclass(frozen=True)
class ImageryPreparation:
    """Operations on tiles of a sensor."""

    operations: Preparation
    highest: float
    """Digital number that is 255 to the operations."""

    def __call__(self, image: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return an image (band, y, x) as it becomes, in its own type; 0 where valid (bool (y, x)) is not."""
        scaled = np.where(valid, image, 0).astype(np.float32) * np.float32(WHITE / self.highest)
        made, _ = self.operations(scaled, valid)
        out = np.where(valid, made * np.float32(self.highest / WHITE), np.float32(0))
        return (np.rint(out) if image.dtype.kind in "iu" else out).astype(image.dtype)


def imagery_preparation(config: Sequence[str | Mapping[str, Any]], sensor: Sensor) -> tuple[ImageryPreparation, Sensor]:
    """Make the operations of a configuration for tiles of a sensor.

    Returns:
        The operations; and the sensor, named after what was done to its tiles.

    Raises:
        ValueError: an unknown operation or setting, one of photos, or bands that do not fit.
    """
    made = preparation(config)
    names = [item if isinstance(item, str) else next(iter(item)) for item in config]
    photos = [name for name in names if name not in OF_IMAGERY]
    if photos:
        raise ValueError(f"dataset.preprocess: {photos} are of photos; tiles of imagery take {list(OF_IMAGERY)}")
    if made.bands(sensor.bands) != sensor.bands:
        raise ValueError("dataset.preprocess: tiles of imagery keep their bands; leave `count` of gray at 3")
    if sensor.valid_min < 0:
        raise ValueError(f"dataset.preprocess: numbers of {sensor.name} may be negative, light is not")
    told = sensor.model_dump() | {"name": ".".join((sensor.name, *names))}
    return ImageryPreparation(made, sensor.valid_max), Sensor.model_validate(told)


def operations_of(sensor_name: str) -> tuple[str, ...]:
    """Return which operations tiles of a sensor went through, by its name; none for a sensor as it is delivered."""
    return tuple(part for part in sensor_name.split(".")[1:] if part in OPERATIONS)
