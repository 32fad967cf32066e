"""From image files to the rows of a tile store: every image brought to one size, with its mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tiler.image_files import read_image
from tiler.image_listing import ImageItem
from tiler.image_masks import label_of
from tiler.image_resize import Fit
from tiler.luminance import RGB, luminance
from tiler.preprocess import Preparation, preparation
from tiler.rasters import digest, fingerprint
from tiler.sensors import Sensor, load_sensor
from tiler.tile_source import NOWHERE, Row, original_facts, stored_facts
from tiler.tile_store import Modality, TileEntry


@dataclass(frozen=True)
class ImageSource:
    """The images of a collection (a `tiler.tile_source.TileSource`)."""

    items: tuple[ImageItem, ...]
    tile_px: int
    class_names: tuple[str, ...] = ()
    fit: str = "stretch"
    label_fit: str = "nearest"
    preprocess: tuple[str | Mapping[str, Any], ...] = ()
    dtype: str = "uint8"
    modalities: tuple[Modality, ...] = field(default=(), init=False)

    @cached_property
    def entries(self) -> tuple[TileEntry, ...]:
        """The lines of the store's list."""
        return tuple(item.entry for item in self.items)

    @cached_property
    def preparation(self) -> Preparation:
        """The operations on the resized image.

        Raises:
            ValueError: unknown names or settings, or an operation that changes the size.
        """
        made = preparation(self.preprocess)
        if made.resizes:
            raise ValueError(
                "dataset.preprocess: `resize` stands aside; `side_px` and `fit` say how large images become"
            )
        return made

    @cached_property
    def sensor(self) -> Sensor:
        """Red, green and blue, or gray alone."""
        return load_sensor("RGB" if self.preparation.bands(RGB) == RGB else "GRAY")

    @cached_property
    def label_values(self) -> tuple[int, ...]:
        """What the masks of any collection may hold; empty where no pixel is labelled."""
        specs = {id(item.masks): item.masks for item in self.items if item.masks is not None}
        return tuple(sorted({value for spec in specs.values() for value in spec.label_values}))

    @cached_property
    def classes(self) -> int:
        """Number of label values, background among them."""
        return max((1, *self.label_values)) + 1

    def identity(self) -> tuple[object, ...]:
        """Return a digest of every file with what is known of it, and the settings."""
        files = []
        for item in self.items:
            mask = fingerprint(item.mask) if isinstance(item.mask, str) else repr(item.mask)
            meant = item.masks.model_dump_json() if item.masks is not None else ""
            files.append(repr((item.entry, fingerprint(item.path), mask, meant)))
        return digest(files), self.class_names, self.tile_px, self.fit, self.label_fit, list(self.preprocess)

    def row(self, index: int) -> Row:
        """Read one image with its mask.

        Raises:
            ValueError: a file is damaged, no image, or the mask is of another size.
        """
        item = self.items[index]
        picture = read_image(item.path)
        label = label_of(picture, item.mask, item.masks)
        height, width = label.shape
        place = Fit.of(self.fit, height, width, self.tile_px)
        image, valid = place.image(picture.pixels, self.tile_px)
        made = self.preparation
        if made.operations:
            prepared, valid = made(image, valid)
            image = np.rint(prepared).astype(np.uint8)
        small = place.label(label, self.tile_px, self.label_fit)
        whole = np.ones((height, width), bool)
        facts = original_facts(picture.pixels, whole)
        if len(image) == 1:  # per band there is one number only: of the gray that the colours of the file make
            gray = np.rint(luminance(picture.pixels)).astype(np.uint8)[None]
            facts = original_facts(gray, whole) | {"pixel": facts["pixel"]}
        facts |= stored_facts(image, valid, small, self.classes)
        return {"image": image, "valid": valid, "label": small, "notes": picture.notes} | facts | NOWHERE
