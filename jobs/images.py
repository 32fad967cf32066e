"""A collection of images as a data set: listed, and looked at before the first worker starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiler.image_files import image_size, read_mask
from tiler.image_listing import ImageItem, list_images
from tiler.image_masks import looks_like_codes
from tiler.image_source import ImageSource
from tiler.image_spec import ImagesSpec
from tiler.luminance import RGB

LOOKED_AT = 32
"""Images that are looked at before the ingest starts, evenly spread."""


def check_some(items: Sequence[ImageItem]) -> int:
    """Look at some images and masks, evenly spread; return the most pixels of one of them.

    What cannot be read is no error here: it is quarantined when it is ingested.

    Raises:
        ValueError: none can be read, or every mask that was looked at would be empty because it holds codes.
    """
    chosen = [items[i] for i in np.unique(np.linspace(0, len(items) - 1, LOOKED_AT).astype(int)).tolist()]
    sizes, errors, coded, masks = [], [], [], 0
    for item in chosen:
        try:
            height, width = image_size(item.path)
            sizes.append(height * width)
            if isinstance(item.mask, str) and item.masks is not None:
                values = read_mask(item.mask)
                masks += bool(values.any())
                coded += [f"{item.mask} (up to {values.max()})"] if looks_like_codes(values, item.masks) else []
        except ValueError as error:  # quarantined when it is ingested
            errors.append(str(error))
    if not sizes:
        raise ValueError(f"dataset: none of the first images can be read ({errors[0]}); check the files")
    if masks and len(coded) == masks:
        raise ValueError(
            f"masks: all that were looked at hold small codes, not grey, such as {coded[0]}: every pixel would be "
            "background; set `masks.codes`, for example {0: 0, 1: 1}"
        )
    return max(sizes)


DECODING_BYTES = 24
"""Memory for each pixel of an image while it is decoded, turned and laid over white."""


def images_of(
    spec: ImagesSpec,
) -> tuple[ImageSource, tuple[tuple[str, str], ...], tuple[str, ...], int, tuple[str, ...]]:
    """List a collection of images, and look at some of its files.

    Returns:
        The source of its tiles; (path, why) of what is left out; sentences with all counts;
        the memory that it takes to read one of them; and classes without an image.

    Raises:
        ValueError: see `tiler.image_listing.list_images` and `tiler.preprocess.preparation`; or none of the first files
            can be read, or masks that are to be thresholded hold codes.
    """
    listing = list_images(spec)
    source = ImageSource(
        listing.items, spec.side_px, listing.class_names, spec.fit, spec.label_fit, tuple(spec.preprocess)
    )
    source.preparation.bands(RGB)
    memory_bytes = DECODING_BYTES * check_some(listing.items)
    return source, listing.unmatched, listing.notes, memory_bytes, listing.empty_classes
