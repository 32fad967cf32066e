"""Warping that does not depend on how the work was cut up.

GDAL's warper approximates coordinates over whatever block it is given, so the same pixels come out differently when a
block is warped alone or inside a larger one. Here coordinates are interpolated between nodes at *absolute* multiples of
32 target pixels; a pixel's value depends on its own node block and on nothing else, so any cut gives the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiler.grids import Box, PixelGrid, same_crs, transformer

NODE_PX = 32
"""Distance between the exact coordinates; a constant, because the result must not depend on the cut."""
TOLERANCE_PX = 0.01
"""Largest error of an interpolated coordinate, in source pixels; node blocks above it are computed exactly."""
STRIP_PX = 256
"""Rows that are sampled at a time, which bounds temporary memory."""


@dataclass(frozen=True)
class Mapping:
    """Takes pixels of a target grid to pixels of a source grid."""

    target: PixelGrid
    source: PixelGrid

    @property
    def shift(self) -> tuple[int, int] | None:
        """Whole-pixel offset `(rows, cols)` of the source in target pixels, or None where pixels must be resampled."""
        a, b = self.target.transform, self.source.transform
        scale = max(abs(a[0]), abs(a[4]))
        linear = max(abs(p - q) for p, q in zip(a[:2] + a[3:5], b[:2] + b[3:5], strict=True))
        extent_px = max(self.source.height, self.source.width)
        if linear * extent_px > 1e-3 * scale or not same_crs(self.target.crs, self.source.crs):
            return None
        row, col = self.target.offset_of(self.source)
        if max(abs(row - round(row)), abs(col - round(col))) > 1e-3:
            return None
        return round(row), round(col)

    def exact(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return source `(rows, cols)` of target `(rows, cols)`, float64 of the same shape, by the full transformation.

        Points outside the validity of a CRS come out as infinities or NaN.
        """
        x, y = self.target.xy(rows, cols)
        change = transformer(self.target.crs, self.source.crs)
        if change is not None:
            x, y = change.transform(x, y)
        with np.errstate(invalid="ignore"):  # infinities outside a projection's domain
            return self.source.rowcol(x, y)

    def coordinates(self, box: Box, offset: tuple[float, float] = (0.5, 0.5)) -> tuple[np.ndarray, np.ndarray]:
        """Return the source coordinates of the target pixels of `box`.

        Args:
            box: target pixels, absolute.
            offset: place `(y, x)` inside the pixel; (0.5, 0.5) is its centre.

        Returns:
            Source rows and columns, float64 (box.height, box.width), within `TOLERANCE_PX` of the exact ones.
        """
        return self._coordinates(box, offset, *self._nodes(box))

    def _nodes(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return the exact coordinates of the nodes around `box`, and which blocks between them must be exact too.

        Returns:
            float64 (2, blocks_y + 1, blocks_x + 1) and bool (blocks_y, blocks_x).
        """
        half = NODE_PX // 2
        rows = np.arange(box.y0 // NODE_PX * NODE_PX, -(-box.y1 // NODE_PX) * NODE_PX + 1, half)
        cols = np.arange(box.x0 // NODE_PX * NODE_PX, -(-box.x1 // NODE_PX) * NODE_PX + 1, half)
        found = np.stack(self.exact(*np.meshgrid(rows, cols, indexing="ij")))
        nodes = found[:, ::2, ::2]
        with np.errstate(invalid="ignore"):  # infinities outside a projection's domain count as bad
            across = np.abs((nodes[:, :, :-1] + nodes[:, :, 1:]) / 2 - found[:, ::2, 1::2]).max(axis=0)
            down = np.abs((nodes[:, :-1] + nodes[:, 1:]) / 2 - found[:, 1::2, ::2]).max(axis=0)
            quarter = (nodes[:, :-1, :-1] + nodes[:, 1:, :-1] + nodes[:, :-1, 1:] + nodes[:, 1:, 1:]) / 4
            middle = np.abs(quarter - found[:, 1::2, 1::2]).max(axis=0)
            # Between conformal systems the error is a saddle: nought in the middle of a block, largest at its sides.
            error = np.maximum.reduce([middle, across[:-1], across[1:], down[:, :-1], down[:, 1:]])
        return nodes, ~(error <= 0.9 * TOLERANCE_PX)  # cubic terms move the largest error a little off these places

    def _coordinates(
        self, box: Box, offset: tuple[float, float], nodes: np.ndarray, bad: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        b0, c0 = box.y0 // NODE_PX, box.x0 // NODE_PX
        with np.errstate(invalid="ignore"):
            out = _interpolate(nodes, *_between(box, offset))
        for block_row, block_col in np.argwhere(bad).tolist():
            y, x = (b0 + block_row) * NODE_PX, (c0 + block_col) * NODE_PX
            part = Box(y, x, y + NODE_PX, x + NODE_PX).clip(box)
            cc, rr = np.meshgrid(np.arange(part.x0, part.x1) + offset[1], np.arange(part.y0, part.y1) + offset[0])
            rows, cols = part.shift(-box.y0, -box.x0).slices
            out[:, rows, cols] = self.exact(rr, cc)
        return out[0], out[1]

    def source_box(self, box: Box) -> Box:
        """Return the source pixels, clipped to the source, that bilinear sampling of `box` may read (maybe empty)."""
        shift = self.shift
        if shift is not None:
            return box.shift(-shift[0], -shift[1]).clip(self.source.box)
        rows = np.unique(np.append(np.arange(box.y0, box.y1, NODE_PX), box.y1))
        cols = np.unique(np.append(np.arange(box.x0, box.x1, NODE_PX), box.x1))
        cc, rr = np.meshgrid(cols, rows)
        r, c = self.exact(rr, cc)
        finite = np.isfinite(r) & np.isfinite(c)
        if not finite.any():
            return Box(0, 0, 0, 0)
        margin = 2 + NODE_PX // 16  # bilinear neighbours, and the bulge of a curved edge between two nodes
        found = Box(
            int(np.floor(r[finite].min())) - margin,
            int(np.floor(c[finite].min())) - margin,
            int(np.ceil(r[finite].max())) + margin,
            int(np.ceil(c[finite].max())) + margin,
        )
        return found.clip(self.source.box)

    @property
    def shrink(self) -> int:
        """Source pixels per target pixel along a side, rounded up; 1 where the target is as fine as the source.

        Measured once for the pair of grids, at the source's centre, so that it cannot differ between cells.
        """
        centre = np.array([self.source.height / 2]), np.array([self.source.width / 2])
        back = Mapping(self.source, self.target)
        r, c = back.exact(centre[0], centre[1])
        if not (np.isfinite(r).all() and np.isfinite(c).all()):
            return 1
        rows, cols = self.exact(r + np.array([0.0, 1.0, 0.0]), c + np.array([0.0, 0.0, 1.0]))
        along = np.hypot(rows[1:] - rows[0], cols[1:] - cols[0])
        return max(1, int(np.ceil(float(along.max()) - 0.25)))  # 1.2 source pixels are still well served by bilinear


Axes = tuple[np.ndarray, np.ndarray]
"""One array along y and one along x."""


def _between(box: Box, offset: tuple[float, float]) -> tuple[Axes, Axes]:
    """Return which node blocks the pixels of `box` lie in (counted from its first), and how far in them, 0 to 1."""
    axes = ((box.y0, box.y1, offset[0]), (box.x0, box.x1, offset[1]))
    places = [np.arange(start, stop) for start, stop, _ in axes]
    blocks = [place // NODE_PX - start // NODE_PX for place, (start, _, _) in zip(places, axes, strict=True)]
    shares = [(place % NODE_PX + at) / NODE_PX for place, (_, _, at) in zip(places, axes, strict=True)]
    return (blocks[0], blocks[1]), (shares[0], shares[1])


def _interpolate(nodes: np.ndarray, blocks: Axes, shares: Axes) -> np.ndarray:
    """Interpolate node coordinates (2, nodes_y, nodes_x) bilinearly at pixels: (2, h, w)."""
    fy, fx = shares[0][None, :, None], shares[1][None, None, :]
    upper = nodes[:, blocks[0], :] * (1 - fy) + nodes[:, blocks[0] + 1, :] * fy
    return np.asarray(upper[:, :, blocks[1]] * (1 - fx) + upper[:, :, blocks[1] + 1] * fx)


def warp(
    mapping: Mapping, box: Box, values: np.ndarray, valid: np.ndarray, at: Box, least: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Warp layers of a scene to target pixels: `warp(l * valid) / warp(valid)`, missing where `warp(valid) < least`.

    Bilinear; an area average (of bilinear samples on a regular sub-grid) where the target is coarser.

    Args:
        mapping: from the target grid to the scene.
        box: target pixels, absolute.
        values: float32 (layer, y, x): the scene's layers on its pixels `at`; finite also where missing.
        valid: bool (y, x), the same pixels.
        at: source pixels that the arrays hold: at least `mapping.source_box(box)`.
        least: share of a target pixel that must be valid, above 0.

    Returns:
        float32 (layer, box.height, box.width), zero where missing, and bool (box.height, box.width).
    """
    from tiler.kernels import add_between_nodes, add_bilinear, divide

    shift = mapping.shift
    if shift is not None:
        sums = np.zeros((len(values) + 1, box.height, box.width), np.float32)
        part = at.shift(*shift).clip(box)
        if not part.empty:
            target, source = part.shift(-box.y0, -box.x0), part.shift(-shift[0] - at.y0, -shift[1] - at.x0)
            share = valid[source.slices]
            np.multiply(values[(slice(None), *source.slices)], share, out=sums[(slice(None, -1), *target.slices)])
            sums[-1][target.slices] = share
        return sums[:-1], divide(sums[:-1], sums[-1], least, 0.0)
    out, seen = np.zeros((len(values), box.height, box.width), np.float32), np.zeros((box.height, box.width), bool)
    if at.empty:
        return out, seen
    n, memory = mapping.shrink, np.empty((len(values) + 1) * STRIP_PX * box.width, np.float32)
    for start in range(box.y0, box.y1, STRIP_PX):
        strip = Box(start, box.x0, min(start + STRIP_PX, box.y1), box.x1)
        strip, nodes, bad = _reaching(strip, at, *mapping._nodes(strip))
        if strip.empty:
            continue
        shape = len(values) + 1, strip.height, strip.width
        sums = memory[: math.prod(shape)].reshape(shape)
        sums.fill(0)
        for sub in np.ndindex(n, n):
            offset = ((sub[0] + 0.5) / n, (sub[1] + 0.5) / n)
            if bad.any():
                add_bilinear(sums, values, valid, (at.y0, at.x0), *mapping._coordinates(strip, offset, nodes, bad))
            else:
                add_between_nodes(sums, values, valid, (at.y0, at.x0), nodes, *_between(strip, offset))
        if n > 1:
            sums /= n * n
        rows, cols = strip.shift(-box.y0, -box.x0).slices
        seen[rows, cols] = divide(sums[:-1], sums[-1], least, 0.0)
        out[:, rows, cols] = sums[:-1]
    return out, seen


def _reaching(strip: Box, at: Box, nodes: np.ndarray, bad: np.ndarray) -> tuple[Box, np.ndarray, np.ndarray]:
    """Cut from a strip and its nodes the columns that reach no source pixel: cells overhang scenes.

    Args:
        strip: target pixels.
        at: source pixels.
        nodes: as `Mapping._nodes` returns them for the strip.
        bad: likewise.

    Returns:
        What is left of all three; the strip may be empty.
    """
    corners = np.stack([nodes[:, :-1, :-1], nodes[:, 1:, :-1], nodes[:, :-1, 1:], nodes[:, 1:, 1:]])
    low, high = corners.min(axis=0), corners.max(axis=0)
    inside = (high[0] > at.y0 - 1) & (low[0] < at.y1 + 1) & (high[1] > at.x0 - 1) & (low[1] < at.x1 + 1)
    found = np.flatnonzero((inside | bad).any(axis=0))
    if not len(found):
        return Box(0, 0, 0, 0), nodes, bad
    first, last, left = int(found[0]), int(found[-1]) + 1, strip.x0 // NODE_PX
    columns = Box(strip.y0, (left + first) * NODE_PX, strip.y1, (left + last) * NODE_PX)
    return strip.clip(columns), nodes[:, :, first : last + 1], bad[:, first:last]


def nearest(mapping: Mapping, box: Box, values: np.ndarray, at: Box, fill: int | float) -> np.ndarray:
    """Take for each target pixel the source pixel that holds its centre.

    Args:
        mapping: from the target grid to the source.
        box: target pixels, absolute.
        values: (..., y, x) source pixels `at`, any dtype.
        at: the source pixels that `values` holds.
        fill: value where the source has no pixel.

    Returns:
        (..., box.height, box.width), the dtype of `values`.
    """
    out = np.full((*values.shape[:-2], box.height, box.width), fill, values.dtype)
    shift = mapping.shift
    if shift is not None:
        part = at.shift(*shift).clip(box)
        if not part.empty:
            target, source = part.shift(-box.y0, -box.x0), part.shift(-shift[0] - at.y0, -shift[1] - at.x0)
            out[..., *target.slices] = values[..., *source.slices]
        return out
    rows, cols = mapping.coordinates(box)
    with np.errstate(invalid="ignore"):
        inside = (rows >= at.y0) & (rows < at.y1) & (cols >= at.x0) & (cols < at.x1)
    ys, xs = np.floor(rows[inside]).astype(int) - at.y0, np.floor(cols[inside]).astype(int) - at.x0
    out[..., inside] = values[..., ys, xs]
    return out
