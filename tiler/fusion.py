"""Fusion of coarse modalities: rasters of a few kilometres a pixel as channels beside the imagery, by geography."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.warp import Mapping, nearest

METHODS = ("linear", "nearest")
TRACE = 1e-3
"""Share of a pixel from which a coarse value counts: at a raster's own border linear weights fall to a quarter only."""
STRIP_PX = 64
"""Rows that are sampled at a time: what a strip needs stays in the processor's cache."""
PAD_PX = 2
"""Zeros around the source pixels that are sampled: whatever is outside weighs nothing."""


def resample(values: np.ndarray, source: PixelGrid, target: PixelGrid, box: Box, method: str = "linear") -> np.ndarray:
    """Resample a coarse raster to the pixels of a tile or scene.

    Half-pixel exact: a coarse pixel's value stands at its centre. Linear weights are shared among values that exist,
    so that nothing fades towards a hole or towards the raster's border; up to half a coarse pixel beyond the border the
    nearest values go on. Where the target is coarser, linear samples are averaged over its pixels.

    Args:
        values: float (band, y, x) on `source`, NaN where missing (each band may miss other pixels).
        source: grid of the coarse raster.
        target: grid of the tile or scene.
        box: pixels of `target` that are wanted.
        method: "linear" or "nearest".

    Returns:
        float32 (band, box.height, box.width), NaN where the raster says nothing. A pixel's value does not depend on the
        box that is asked for.

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
    part = values[(slice(None), *at.slices)].astype(np.float32)
    if method == "nearest":
        return nearest(mapping, box, part, at, np.nan)
    known = np.isfinite(part)
    shares = {pattern.tobytes(): pattern for pattern in known}  # most bands miss the same pixels: weighed once
    layers = np.stack([*np.where(known, part, np.float32(0)), *(p.astype(np.float32) for p in shares.values())])
    share_of = [len(part) + list(shares).index(pattern.tobytes()) for pattern in known]
    for rows, sums in _strips(mapping, box, layers, at):
        for band, share in enumerate(share_of):
            np.divide(sums[band], sums[share], out=out[band, rows], where=sums[share] >= TRACE)
    return out


def coarse_channels(
    bands: Sequence[str],
    wanted: Sequence[str],
    values: np.ndarray,
    source: PixelGrid | None,
    target: PixelGrid,
    box: Box,
) -> np.ndarray:
    """Return channels of one modality at the pixels of a tile or scene.

    Args:
        bands: of the modality, in order.
        wanted: names of bands; any other name is its mask: 1 where none of all its bands has a value, else 0.
        values: float (band, y, x) on `source`, NaN where missing.
        source: grid of the modality; None where a scene lacks it.
        target: grid of the tile or scene.
        box: pixels of `target` that are wanted.

    Returns:
        float32 (channel, box.height, box.width) in the order of `wanted`; bands are NaN where missing.
    """
    masks = [name not in bands for name in wanted]
    if source is None:
        out = np.full((len(wanted), box.height, box.width), np.nan, np.float32)
    else:
        anything = np.where(np.isfinite(values).any(axis=0), np.float32(0), np.float32(np.nan))
        planes = [anything if mask else values[bands.index(name)] for name, mask in zip(wanted, masks, strict=True)]
        out = resample(np.stack(planes), source, target, box)
    out[masks] = np.isnan(out[masks])
    return out


def _strips(mapping: Mapping, box: Box, layers: np.ndarray, at: Box) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield rows of `box` and the linear samples of every layer there: float32 (layer, rows, box.width).

    One set of coordinates and weights serves all layers, which is what makes ten bands cheap.
    """
    padded = np.pad(layers, ((0, 0), (PAD_PX, PAD_PX + 1), (PAD_PX, PAD_PX + 1)))
    flat, width = padded.reshape(len(layers), -1), padded.shape[2]
    parts = mapping.shrink
    for start in range(box.y0, box.y1, STRIP_PX):
        strip = Box(start, box.x0, min(start + STRIP_PX, box.y1), box.x1)
        sums = np.zeros((len(layers), strip.height, strip.width), np.float32)
        taken, weighed = np.empty_like(sums[0]), np.empty_like(sums[0])
        for sub in np.ndindex(parts, parts):
            offset = ((sub[0] + 0.5) / parts, (sub[1] + 0.5) / parts)
            corner, fy, fx = _corners(*mapping.coordinates(strip, offset), at, width)
            weights = ((1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx)
            for step, weight in zip((0, 1, width, width + 1), weights, strict=True):
                index = corner + step
                for total, layer in zip(sums, flat, strict=True):
                    np.take(layer, index, out=taken, mode="clip")  # never outside: this mode is only the fast one
                    total += np.multiply(taken, weight, out=weighed)
        yield slice(strip.y0 - box.y0, strip.y1 - box.y0), sums / np.float32(parts * parts)


def _corners(rows: np.ndarray, cols: np.ndarray, at: Box, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the flat index of the upper left neighbour in the padded array, and the way from it (y, x), float32."""
    # Whatever is outside ends among the zeros around; fmax takes NaN there too, where a projection knows no place.
    r = np.fmin(np.fmax(rows - 0.5, at.y0 - PAD_PX), at.y1 + PAD_PX - 1.0)
    c = np.fmin(np.fmax(cols - 0.5, at.x0 - PAD_PX), at.x1 + PAD_PX - 1.0)
    r0, c0 = np.floor(r), np.floor(c)
    # The fractions know nothing of `at`: else their last bit, and so the value, would depend on the box asked for.
    fy, fx = (r - r0).astype(np.float32), (c - c0).astype(np.float32)
    return ((r0 - (at.y0 - PAD_PX)) * width + (c0 - (at.x0 - PAD_PX))).astype(np.intp), fy, fx
