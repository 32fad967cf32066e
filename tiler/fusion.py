"""Fusion of coarse modalities: rasters of a few kilometres a pixel as channels beside the imagery, by geography."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.warp import Mapping, nearest, warp

METHODS = ("linear", "nearest")
TRACE = 1e-3
"""Share of a pixel from which a coarse value counts: at a raster's own border linear weights fall to a quarter only."""


def resample(values: np.ndarray, source: PixelGrid, target: PixelGrid, box: Box, method: str = "linear") -> np.ndarray:
    """Resample a coarse raster to the pixels of a tile or scene.

    Half-pixel exact: a coarse pixel's value stands at its centre. Linear weights are shared among values that exist,
    so that nothing fades towards a hole or towards the raster's border; up to half a coarse pixel beyond the border the
    nearest values go on.

    Args:
        values: float (band, y, x) on `source`, NaN where missing (each band may miss other pixels).
        source: grid of the coarse raster.
        target: grid of the tile or scene.
        box: pixels of `target` that are wanted.
        method: "linear" or "nearest".

    Returns:
        float32 (band, box.height, box.width), NaN where the raster says nothing.

    Raises:
        ValueError: an unknown method, or an array that is not on `source`.
    """
    if method not in METHODS:
        raise ValueError(f"fusion: unknown method {method!r}; known are {list(METHODS)}")
    if values.shape[1:] != (source.height, source.width):
        raise ValueError(f"fusion: values are {values.shape[1:]} px, their grid is {source.height} x {source.width}")
    mapping = Mapping(target, source)
    at = mapping.source_box(box)
    out = np.full((len(values), box.height, box.width), np.nan, np.float32)
    if at.empty:
        return out
    for band, plane in enumerate(values[(slice(None), *at.slices)].astype(np.float32)):
        if method == "nearest":
            out[band] = nearest(mapping, box, plane, at, np.nan)
            continue
        known = np.isfinite(plane)
        layers, seen = warp(mapping, box, np.nan_to_num(plane)[None], known, at, least=TRACE)
        out[band][seen] = layers[0][seen]
    return out


def channel_names(bands: Sequence[str], modalities: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Return the channels of a fused tile in order: bands, the missing mask, then every band of every modality.

    Args:
        bands: of the sensor.
        modalities: (name, number of bands) in order.
    """
    coarse = (f"{name}{index}" for name, count in modalities for index in range(count))
    return (*bands, "mask", *coarse)


def fused(tile: np.ndarray, coarse: Sequence[np.ndarray], means: Sequence[np.ndarray]) -> np.ndarray:
    """Put coarse channels behind a tile's own, with the training mean where they are missing.

    Args:
        tile: float32 (channel, y, x): bands and mask.
        coarse: float32 (band, y, x) each, NaN where missing, on the tile's pixels.
        means: (band,) each: the mean of each band over the training data.

    Returns:
        float32 (channel + bands of all modalities, y, x), finite wherever `tile` and `means` are.
    """
    filled = [
        np.where(np.isnan(values), np.asarray(mean, np.float32)[:, None, None], values)
        for values, mean in zip(coarse, means, strict=True)
    ]
    return np.concatenate([tile, *filled]).astype(np.float32, copy=False)
