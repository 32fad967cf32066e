"""Tiles of four bands and two masks, and an augmentation by its name."""

import numpy as np

from tiler.augment import Channels, compose

NAMES = ("red", "green", "mask", "nir", "gems", "gems_mask")
ABOUT = Channels(
    names=NAMES,
    mean=(100.0, 200.0, 0.0, 300.0, 5.0, 0.0),
    deviation=(10.0, 20.0, 1.0, 30.0, 2.0, 1.0),
    median=(90.0, 190.0, 0.0, 290.0, 4.0, 0.0),
    masks=("mask", "gems_mask"),
)
BANDS, MASKS = [0, 1, 3, 4], [2, 5]
REQUIRED = {"ModalityDropout": {"channels": ["gems"], "mask": "gems_mask"}}
SHAPES = [(24, 24), (24, 36), (17, 31)]


def tile(shape=(24, 36), seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 30, (6, *shape)).astype(np.float32)
    image[2] = rng.random(shape) < 0.2
    image[5] = rng.random(shape) < 0.1
    label = rng.integers(0, 2, shape).astype(np.uint8)
    label[rng.random(shape) < 0.1] = 255
    return image, label


def index_tile(shape):
    """Every band holds the pixel's row (bands 0, 3) or column (1, 4); the label's parity and the mask follow both."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    mask = ((y // 2 + x // 3) % 2 == 0).astype(np.float32)
    image = np.stack([y, x, mask, y, x, 1 - mask])
    return image, (mask * 3).astype(np.uint8)


def one(name, p=1.0, about=ABOUT, **options):
    return compose([{name: {**REQUIRED.get(name, {}), "p": p, **options}}], about)


def seeded(seed):
    return np.random.default_rng(seed)
