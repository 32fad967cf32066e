"""Draws what the image worlds hold, for the documentation.

python benchmarks/collection_picture.py docs/scratches.png docs/illustrations.png
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tiler.synthetic.illustrations import CONTAMINATED, IllustrationWorld, encoded, items_of
from tiler.synthetic.scratches import SOURCES, take_photo


def scratches(side_px: int = 150) -> Image.Image:
    """Return photos of the company (above) and of the public; each last one in a row with its annotation."""
    page = Image.new("RGB", (6 * side_px, 4 * side_px), "white")
    for place in range(24):
        photo = take_photo(SOURCES[place // 12], 5, place, 2 * side_px)
        pixels = photo.pixels.transpose(1, 2, 0).copy()
        if place % 6 == 5:
            pixels[photo.label] = (255, 0, 255)
        page.paste(Image.fromarray(pixels).reduce(2), (place % 6 * side_px, place // 6 * side_px))
    return page


def illustrations(side_px: int = 75) -> Image.Image:
    """Return three illustrations of each class, then a row and a half of photos."""
    world = IllustrationWorld(1, 1500, 4)
    kept = []
    for photo, labels, each in ((False, world.counts, 3), (True, CONTAMINATED, 4)):
        for label in labels:
            small = [i for i in items_of(world, label) if i.photo == photo and i.height_px == side_px and not i.exact]
            kept += [Image.open(BytesIO(encoded(world, item))).convert("RGB") for item in small[:each]]
    page = Image.new("RGB", (12 * side_px, -(-len(kept) // 12) * side_px), "white")
    for place, picture in enumerate(kept):
        page.paste(picture, (place % 12 * side_px, place // 12 * side_px))
    return page


if __name__ == "__main__":
    for draw, path in zip((scratches, illustrations), map(Path, sys.argv[1:3]), strict=True):
        page = draw()
        # five bits a colour: noise is what fills a PNG
        Image.fromarray(np.asarray(page) // 8 * 8 + np.uint8(7)).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB, {np.prod(Image.open(path).size):,} px")
