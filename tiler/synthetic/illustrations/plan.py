"""What each image of an illustration world is: illustration or photo, its size and file type, what it is a copy of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.illustrations.classes import CONTAMINATED, COUNTS, HARD_SHARE, PHOTO_SHARE, counts_of
from tiler.synthetic.illustrations.drawing import illustrate, seed_of
from tiler.synthetic.illustrations.photos import photograph
from tiler.synthetic.noise import Dice, hash_cells, key_of, unit

Array = np.ndarray

SIZES = ((300, 300, 0.80), (700, 700, 0.19), (2480, 3508, 0.01))
"""Height, width, and share of the images."""
DUPLICATES, BACK = 0.05, 40
"""Share of images that repeat one of the class's last images; a quarter of them byte for byte."""


@dataclass(frozen=True)
class IllustrationWorld:
    """Which images."""

    seed: int
    count: int
    shrink: int = 1
    """By how much sides are smaller than those of `SIZES`."""

    def __post_init__(self) -> None:
        counts_of(self.count)
        if not 1 <= self.shrink <= 8:
            raise ValueError(f"shrink {self.shrink}: sides may be 1 to 8 times smaller")

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class."""
        return counts_of(self.count)


@dataclass(frozen=True)
class Item:
    """One image."""

    label: str
    number: int
    """Within its class; what it shows is a function of the seed, the label and this."""
    photo: bool
    hard: bool
    """A bright photo, or a dark illustration."""
    height_px: int
    width_px: int
    suffix: str
    original: int | None
    """Number of the image that it repeats."""
    exact: bool
    """It repeats it byte for byte."""

    @property
    def path(self) -> str:
        """Below the folder of the world."""
        return f"images/{self.label}/{self.label}_{self.number:05d}{self.suffix}"


def items_of(world: IllustrationWorld, label: str) -> list[Item]:
    """Return the images of a class, in order."""
    count = world.counts[label]
    key = key_of(world.seed, 0x91A4, list(COUNTS).index(label))
    chance = unit(hash_cells(key, *np.mgrid[:count, :6])).astype(float)
    photos = round(PHOTO_SHARE * count) if label in CONTAMINATED else 0
    rank = np.argsort(np.argsort(chance[:, 0], kind="stable"), kind="stable")
    # the first `photos` in an order by lot are photos, and the first of each kind are its hard cases
    is_photo = rank < photos
    hard = np.where(is_photo, rank < round(HARD_SHARE * count), rank - photos < round(HARD_SHARE * (count - photos)))
    bounds = np.cumsum([share for *_, share in SIZES])
    items: list[Item] = []
    for n in range(count):
        height, width, _ = SIZES[min(int(np.searchsorted(bounds, chance[n, 1], "right")), len(SIZES) - 1)]
        near = [m for m in range(max(0, n - BACK), n) if is_photo[m] == is_photo[n] and items[m].original is None]
        original = near[int(chance[n, 3] * len(near))] if near and chance[n, 2] < DUPLICATES else None
        exact = original is not None and chance[n, 4] < 0.25
        suffix = ".jpg" if chance[n, 5] < 0.7 else ".png"
        kind_of_file = items[original] if original is not None and exact else None
        items.append(
            Item(
                label,
                n,
                bool(is_photo[n]),
                bool(hard[n] if original is None else hard[original]),
                kind_of_file.height_px if kind_of_file else height // world.shrink,
                kind_of_file.width_px if kind_of_file else width // world.shrink,
                kind_of_file.suffix if kind_of_file else suffix,
                original,
                exact,
            )
        )
    return items


def picture_of(world: IllustrationWorld, item: Item) -> Array:
    """Return what an image shows, uint8 (y, x, 3), before it is encoded."""
    number = item.number if item.original is None else item.original
    key = seed_of(world.seed, item.label, number)
    if item.photo:
        return photograph(key, item.height_px, item.width_px, item.hard)
    return illustrate(item.label, key, item.height_px, item.width_px, item.hard)


def altered(picture: Array, dice: Dice) -> Array:
    """Return a near-duplicate: a little cropped, brighter or darker; of the same size."""
    from PIL import Image

    height, width, _ = picture.shape
    cut = [dice.between(0, 0.012) for _ in range(4)]
    box = (cut[0] * width, cut[1] * height, (1 - cut[2]) * width, (1 - cut[3]) * height)
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR, box)
    return np.clip(np.asarray(resized) * np.float32(dice.between(0.94, 1.04)), 0, 255).astype(np.uint8)
