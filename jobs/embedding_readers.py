"""Readers of what embedders are trained on: views of items, each a function of (seed, epoch, index) alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from models.triplets import TripletSampler
from tiler.augment import Channels, Compose, compose
from tiler.item_ground import ItemGround

Views = tuple[np.ndarray, np.ndarray]
"""Images (view, channel, y, x) and bool of the same shape: what of them was seen."""
Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


class Chosen:
    """Which of `total` samples an epoch has: all in their order, or `count` of them, other ones in each epoch."""

    def __init__(self, total: int, count: int | None, seed: int) -> None:
        self._total, self._count, self._seed = total, min(count or total, total), seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.epoch = epoch
        random = np.random.default_rng([self._seed, epoch, 10])
        self._order = np.arange(self._total) if self._count == self._total else random.permutation(self._total)

    def __getitem__(self, index: int) -> int:
        """Return the number of a sample. Raises IndexError: past the end."""
        if not 0 <= index < self._count:
            raise IndexError(f"sample {index} of {self._count}")
        return int(self._order[index])


class Triplets:
    """Anchor, positive and negative as the sampler draws them."""

    def __init__(self, ground: ItemGround, sampler: TripletSampler, count: int | None = None, seed: int = 0) -> None:
        self._ground, self._sampler, self._chosen = ground, sampler, Chosen(len(sampler), count, seed)

    def __len__(self) -> int:
        return len(self._chosen)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose triplets `__getitem__` returns."""
        self._chosen.set_epoch(epoch)

    def __getitem__(self, index: int) -> Views:
        """Return triplet `index` of the epoch: three views."""
        drawn = self._sampler.draw(self._chosen.epoch, self._chosen[index])
        return stacked([self._ground.read(item) for item in drawn])


class Pairs:
    """Anchor and positive of the sampler, each changed by itself; the negatives are the rest of the batch."""

    def __init__(
        self,
        ground: ItemGround,
        sampler: TripletSampler,
        change: Change | None = None,
        count: int | None = None,
        seed: int = 0,
    ) -> None:
        self._ground, self._sampler, self._change = ground, sampler, change
        self._seed, self._chosen = seed, Chosen(len(sampler), count, seed)

    def __len__(self) -> int:
        return len(self._chosen)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose pairs `__getitem__` returns."""
        self._chosen.set_epoch(epoch)

    def __getitem__(self, index: int) -> Views:
        """Return pair `index` of the epoch: two views."""
        random = np.random.default_rng([self._seed, self._chosen.epoch, index, 1])
        views = [self._ground.read(item) for item in self._sampler.pair(self._chosen[index])]
        return stacked(views if self._change is None else [self._change(*view, random) for view in views])


class HeldBackTriplets:
    """Triplets of the items that validate, the same in every epoch, or a number of them, evenly spread."""

    def __init__(self, ground: ItemGround, sampler: TripletSampler, limit: int | None = None) -> None:
        self._ground, self._sampler = ground, sampler
        total = len(sampler)
        count = min(limit or total, total)
        self._places = [i * total // count for i in range(count)]

    def __len__(self) -> int:
        return len(self._places)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing."""

    def __getitem__(self, index: int) -> Views:
        """Return triplet `index`: three views."""
        return stacked([self._ground.read(item) for item in self._sampler.draw(0, self._places[index])])


class ChangedViews:
    """Views of one item: itself as it is or changed; and, for triplets, another item."""

    def __init__(
        self,
        ground: ItemGround,
        items: np.ndarray,
        views: Sequence[Change | None],
        *,
        with_another: bool,
        count: int | None = None,
        seed: int = 0,
    ) -> None:
        """Take items.

        Args:
            ground: what they are read from.
            items: numbers of those that train.
            views: what is done to each view of an item; None leaves it as it is.
            with_another: whether a view of another item follows, uniformly drawn.
            count: samples of an epoch; None: each item once.
            seed: of all random numbers.
        """
        self._ground, self._items, self._views, self._another = ground, items, tuple(views), with_another
        self._seed, self._chosen = seed, Chosen(len(items), count, seed)
        if with_another and len(items) < 2:
            raise ValueError(f"{len(items)} items train: a negative needs another one; use more items")

    def __len__(self) -> int:
        return len(self._chosen)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose views `__getitem__` returns."""
        self._chosen.set_epoch(epoch)

    def __getitem__(self, index: int) -> Views:
        """Return the views of sample `index` of the epoch."""
        place = self._chosen[index]
        random = np.random.default_rng([self._seed, self._chosen.epoch, index])
        image, valid = self._ground.read(int(self._items[place]))
        views = [(image, valid) if change is None else change(image, valid, random) for change in self._views]
        if self._another:
            other = (place + 1 + int(random.integers(len(self._items) - 1))) % len(self._items)
            views.append(self._ground.read(int(self._items[other])))
        return stacked(views)


def stacked(views: Sequence[tuple[np.ndarray, np.ndarray]]) -> Views:
    """Stack views; an image whose type is not that of the others makes all of them float32."""
    images, valid = zip(*views, strict=True)
    return np.stack(images), np.stack(valid)


def change_by(
    augment: Sequence[str | dict], channels: Sequence[str], mean: Sequence[float], deviation: Sequence[float]
) -> Change:
    """Return what operations of `tiler.augment` do to an image and what of it was seen.

    What was not seen is the mean of its channel while they work. Each channel has a mask of its own, which moves as
    the image does.

    Raises:
        ValueError: an unknown operation or setting.
    """
    masks = tuple(f"missing {name}" for name in channels)
    zeros, ones = (0.0,) * len(masks), (1.0,) * len(masks)
    numbers = (*mean, *zeros), (*deviation, *ones), (*mean, *zeros)
    steps: Compose = compose(augment, Channels((*channels, *masks), *numbers, masks=masks))
    fill = np.array(mean, np.float32)[:, None, None]

    def change(image: np.ndarray, valid: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        together = np.concatenate([np.where(valid, image, fill), ~valid]).astype(np.float32)
        made, _ = steps(together, np.zeros(image.shape[1:], np.uint8), random)
        return made[: len(channels)], made[len(channels) :] < 0.5

    return change
