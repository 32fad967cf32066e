"""Augmentation of training tiles with any number of channels, in numpy.

A tile is an image float32 (C, y, x) in the units of its sensor and labels uint8 (y, x). Some channels are masks: 1
where the pixel is missing, else 0. An operation moves image and labels together, leaves masks binary, and never
touches the arrays it was given. All its random numbers come from the generator it is called with:

    augment = compose(["HorizontalFlip", {"CoarseDropout": {"count": [1, 4]}}], Channels(names, mean, sd, median))
    image, label = augment(image, label, np.random.default_rng([seed, epoch, index]))
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tiler.augment_affine import RandomAffine
from tiler.augment_geometry import HorizontalFlip, RandomResizedCrop, RandomRotate90, Transpose, VerticalFlip
from tiler.augment_operation import Channels, Pair, Sometimes
from tiler.augment_radiometry import CoarseDropout, ColorJitter, GaussianBlur, GaussianNoise, ModalityDropout

__all__ = ["AUGMENTATIONS", "Channels", "Compose", "compose"]

Operation = Callable[[np.ndarray, np.ndarray, np.random.Generator], Pair]

# Add an augmentation: a class in its module, and one entry here; tests/tiler/test_augment.py then runs its contract.
GEOMETRY = (RandomAffine, RandomResizedCrop, HorizontalFlip, VerticalFlip, Transpose, RandomRotate90)
RADIOMETRY = (GaussianNoise, GaussianBlur, ColorJitter, CoarseDropout, ModalityDropout)
AUGMENTATIONS: dict[str, type[Sometimes]] = {kind.__name__: kind for kind in (*GEOMETRY, *RADIOMETRY)}


@dataclass(frozen=True)
class Compose:
    """Operations one after the other."""

    operations: tuple[Operation, ...]

    def __call__(self, image: np.ndarray, label: np.ndarray, random: np.random.Generator) -> Pair:
        """Return the augmented pair, contiguous and of its own memory unless nothing happened."""
        for operation in self.operations:
            image, label = operation(image, label, random)
        return np.ascontiguousarray(image), np.ascontiguousarray(label)


def compose(config: Sequence[str | Mapping[str, Mapping[str, Any] | None]], about: Channels) -> Compose:
    """Make the operations of a configuration: a list of names, or of `{name: settings}` with one name each.

    Raises ValueError: an unknown name or setting, or a value that does not fit.
    """
    made: list[Operation] = []
    for item in config:
        plain = {item: None} if isinstance(item, str) else dict(item)
        if len(plain) != 1:
            raise ValueError(f"an augmentation is {{name: settings}} with one name, got {plain}")
        ((name, settings),) = plain.items()
        kind = AUGMENTATIONS[_known("augmentation", name, AUGMENTATIONS)]
        known = [field.name for field in fields(kind) if field.name != "about"]
        fitting: dict[str, Any] = {}
        for key, value in (settings or {}).items():
            fitting[_known(f"setting of {name}", key, known)] = tuple(value) if isinstance(value, list) else value
        made.append(kind(about, **fitting))
    return Compose(tuple(made))


def _known(what: str, name: str, known: Iterable[str]) -> str:
    if name not in known:
        hint = [f"did you mean {near!r}?" for near in difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)]
        raise ValueError(f"unknown {what} {name!r}; {''.join(hint)} known: {', '.join(known)}")
    return name
