"""The images of a data set as samples: which train, validate and judge, and readers for networks of whole images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.image_recipe_config import ImageSplitConfig
from tiler.augment import Channels, Compose, compose
from tiler.grids import Box
from tiler.ground import Cache, Statistics
from tiler.image_split import drawn_split
from tiler.tile_store import RawTile, TileEntry, TileStore
from tiler.tiles import filled

PARTS = ("train", "validation", "test")


def parts_of(entries: Sequence[TileEntry], split: ImageSplitConfig, excluded: frozenset[str]) -> dict[str, str]:
    """Return what each image is for, by id: one of `PARTS`; excluded images are not in it.

    Raises:
        ValueError: the data set says of some images nothing, and the recipe neither.
    """
    used = [entry for entry in entries if entry.id not in excluded]
    if split.validation is None:
        nobody = [entry.id for entry in used if not entry.split]
        if nobody:
            raise ValueError(
                f"data.split: {len(nobody)} images are in no part of the data set (the first: {nobody[0]}); "
                "set data.split.validation to divide them"
            )
        return {entry.id: entry.split for entry in used}
    judging = {entry.id for entry in used if entry.split == "test"}
    if split.test is not None:
        judging = {n for n, part in drawn_split(used, 0.0, split.test, split.seed, {}).items() if part == "test"}
    divided = [entry for entry in used if entry.id not in judging]
    found = drawn_split(divided, split.validation, 0.0, split.seed, {})
    return {entry.id: found.get(entry.id, "test") for entry in used}


def check_classes(
    entries: Sequence[TileEntry], parts: Mapping[str, str], class_names: Sequence[str]
) -> tuple[dict[str, dict[str, int]], tuple[str, ...]]:
    """Count the images of each class in each part: part to class to count; and sentences about thin classes.

    Raises:
        ValueError: fewer than two classes, a class with no image or a single one, or with none to train on.
    """
    if len(class_names) < 2:
        raise ValueError(
            f"data.run: the data set has {len(class_names)} classes of whole images, a classifier needs 2 or more; "
            "set `classes: folder` (or list) in its `dataset`"
        )
    counts: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for entry in entries:
        if entry.label and entry.id in parts:
            counts[parts[entry.id]][entry.label] += 1
    whole = {name: sum(counts[part][name] for part in PARTS) for name in class_names}
    for wrong, told in (
        ([n for n in class_names if whole[n] == 0], "have no image"),
        ([n for n in class_names if whole[n] == 1], "have one image, which cannot both train and judge"),
        ([n for n in class_names if counts["train"][n] == 0], "have no image that trains"),
    ):
        if wrong:
            raise ValueError(
                f"data: the classes {wrong[:10]} {told}; add images, choose another split, or leave the class out of "
                "`dataset.class_names` and its images out by `data.exclude`"
            )
    held = sum(counts["validation"].values())
    thin = [name for name in class_names if held and counts["validation"][name] == 0]
    notes = (f"no image of {thin[:10]} validates: their recall counts as 0 there",) if thin else ()
    return {part: {name: counts[part][name] for name in class_names} for part in PARTS}, notes


@dataclass(frozen=True)
class ImageSet:
    """Images of a tile store, and how they become samples."""

    store: TileStore
    channels: tuple[str, ...]
    rows: Mapping[str, np.ndarray]
    """Part to the rows of the store that are in it."""

    @staticmethod
    def of(
        store: TileStore, channels: Sequence[str], parts: Mapping[str, str], limit: float, labelled: bool
    ) -> ImageSet:
        """Choose the images that could be read and are not missing too much; labelled: and that have a class.

        Raises:
            ValueError: none is left to train on.
        """
        kept = [int(row) for row in store.kept(limit)]
        named = [row for row in kept if not labelled or store.tiles[row]["label"]]
        rows = {part: np.array([r for r in named if parts.get(store.tiles[r]["id"]) == part], int) for part in PARTS}
        if not rows["train"].size:
            raise ValueError(f"data: no image of {store.url} is left to train on; look into its tiles.csv")
        return ImageSet(store, tuple(channels), rows)

    def entries(self) -> list[TileEntry]:
        """Return the lines of the images that are used."""
        used = sorted(row for rows in self.rows.values() for row in rows.tolist())
        return [TileEntry(**self.store.tiles[row]) for row in used]

    def statistics(self) -> Statistics:
        """Return the numbers of each channel over the images that train."""
        rows = self.rows["train"]
        medians = self.store.facts("median")[rows].astype(float)
        known = medians[~np.isnan(medians).any(axis=1)]
        middle = np.median(known, axis=0) if len(known) else np.zeros(medians.shape[1])
        named = dict(zip(self.store.sensor.bands, middle.tolist(), strict=True))
        return Statistics.of(self.channels, self.store.moments(rows), named)

    def labels(self, part: str) -> np.ndarray:
        """Return the class index of each image of a part."""
        place = {name: index for index, name in enumerate(self.store.class_names)}
        return np.array([place[self.store.tiles[row]["label"]] for row in self.rows[part].tolist()], int)

    def augmentation(self, config: Sequence[Any], statistics: Statistics) -> Compose:
        """Return what is done to training images."""
        return augmentation(config, self.channels, statistics)


def augmentation(config: Sequence[Any], channels: Sequence[str], statistics: Statistics) -> Compose:
    """Return operations of `tiler.augment` for images of these channels."""
    masks = tuple(name for name in channels if name == "mask" or name.endswith("_mask"))
    numbers = statistics.mean, statistics.deviation, statistics.median
    return compose(list(config), Channels(tuple(channels), *numbers, masks=masks))


class ImageSamples:
    """Images of one part with their class, or with the pixels that are there (a reader of the trainer).

    Image `i` of an epoch is a function of (seed, epoch, i) alone: any number of workers sees the same images.
    """

    def __init__(
        self,
        images: ImageSet,
        part: str,
        statistics: Statistics,
        *,
        masks: bool,
        augment: Compose | None = None,
        seed: int = 0,
        cache_bytes: int = 512 * 2**20,
    ) -> None:
        """Take a part; masks: samples are (image, valid) instead of (image, class index)."""
        self._images, self._rows, self._masks = images, images.rows[part], masks
        self._labels = None if masks else images.labels(part)
        self._augment, self._seed, self._epoch = augment, seed, 0
        self._fill = np.array(statistics.mean, np.float32)
        self._cache: Cache[RawTile] = Cache(cache_bytes)

    def __len__(self) -> int:
        return len(self._rows)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose augmentation `__getitem__` draws."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        """Return image float32 (channel, y, x), and its class index or bool (1, y, x)."""
        store, channels = self._images.store, self._images.channels
        row = int(self._rows[index])
        raw = self._cache.get(row, lambda: store.raw(row, channels), lambda kept: kept.size_bytes)
        image = store.assembled(raw, channels, Box(0, 0, store.tile_px, store.tile_px))
        filled(image, self._fill)
        valid = raw.valid.astype(np.uint8)  # moves with the image, as a label would
        if self._augment is not None:
            image, valid = self._augment(image, valid, np.random.default_rng([self._seed, self._epoch, index]))
        return image, (valid[None] == 1) if self._labels is None else int(self._labels[index])
