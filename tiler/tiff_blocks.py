"""Deflated blocks of a GeoTIFF on a local disk, decoded in half of GDAL's processor time.

GDAL says where blocks lie and how they are packed. They are inflated by igzip (package isal), and where they hold
differences between neighbours (TIFF 6.0, section 14: predictor 2), these are summed straight to where the pixels are
wanted. GDAL keeps the sum in memory (five cycles a number), copies each block into its cache and from there, and gives
those of the last row to zlib. Whatever is of another form, or wrong in any way, is left to GDAL, which says what it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

from tiler.grids import Box

if TYPE_CHECKING:
    import rasterio

MUCH_MORE = 1.25
"""Numbers decoded to numbers wanted: beyond that GDAL's cache, which keeps blocks, is the better way."""
LITTLE_ENDIAN = (b"II*\0", b"II+\0")
"""The first bytes of a TIFF and of a BigTIFF."""
PREDICTORS = {"1": False, "2": True}
"""TIFF's predictors that are understood: whether numbers are differences."""
INTERLEAVES = ("BAND", "PIXEL")


class _Packing(NamedTuple):
    """What all blocks of a file have in common."""

    height: int
    width: int
    samples: int
    """Numbers a pixel: of all bands, or one where each band has blocks of its own."""
    dtype: np.dtype
    """Unsigned, of the size of the file's numbers."""
    differences: bool


class TiffBlocks:
    """The blocks of one open file; not to be shared between threads."""

    def __init__(self, file: int, data: rasterio.DatasetReader, packing: _Packing) -> None:
        """Begin; `file` is a descriptor, which is closed when this is forgotten."""
        self._file, self._data, self._packing = file, data, packing

    def __del__(self) -> None:
        os.close(self._file)

    def read(self, bands: Sequence[int], at: Box, out: np.ndarray) -> bool:
        """Read bands (counted from 1) of a rectangle inside the file into `out` (band, y, x), if that can be done here.

        Returns:
            Whether it was. If not, `out` holds nothing of use.
        """
        pack, data = self._packing, self._data
        whole = Box(0, 0, data.height, data.width)
        fitting = str(out.dtype) == data.dtypes[0] and out.shape == (len(bands), at.height, at.width)
        if not fitting or at.empty or at.clip(whole) != at:
            return False
        rows = range(at.y0 // pack.height, (at.y1 - 1) // pack.height + 1)
        cols = range(at.x0 // pack.width, (at.x1 - 1) // pack.width + 1)
        blocks = Box(rows.start * pack.height, cols.start * pack.width, rows.stop * pack.height, cols.stop * pack.width)
        inside = blocks.clip(whole)
        apart = pack.samples < data.count
        decoded = inside.height * inside.width * (len(bands) if apart else pack.samples)
        if decoded > MUCH_MORE * out.size:
            return False
        out = out.view(pack.dtype)
        if apart:
            parts = [(band, np.zeros(1, int), out[place : place + 1]) for place, band in enumerate(bands)]
        else:
            parts = [(1, np.array(bands) - 1, out)]
        return all(
            self._read_block(row, col, band, samples, at, part)
            for row, col, (band, samples, part) in product(rows, cols, parts)
        )

    def _read_block(self, row: int, col: int, band: int, samples: np.ndarray, at: Box, out: np.ndarray) -> bool:
        """Read what a rectangle has of a block."""
        from tiler.block_kernels import place

        pack = self._packing
        inflated = self._inflated(row, col, band)
        if inflated is None:
            return False
        y0, x0 = row * pack.height, col * pack.width
        part = Box(y0, x0, y0 + pack.height, x0 + pack.width).clip(at)
        if len(inflated) < part.y1 - y0:
            return False
        inner = part.shift(-y0, -x0)
        here = (slice(None), *part.shift(-at.y0, -at.x0).slices)
        place(inflated, inner.y0, inner.x0, samples, pack.differences, out[here])
        return True

    def _inflated(self, row: int, col: int, band: int) -> np.ndarray | None:
        """Return the numbers of a block (y, x, sample); the last of strips may have fewer rows."""
        pack = self._packing
        offset, size = (
            self._data.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band) for what in ("OFFSET", "SIZE")
        )
        line = pack.width * pack.samples * pack.dtype.itemsize
        most = line * pack.height
        if offset is None or size is None or int(size) > 2 * most:  # absent: all of it missing; or no such block
            return None
        inflater = isal_zlib.decompressobj()
        try:
            raw = inflater.decompress(os.pread(self._file, int(size), int(offset)), most)
        except (OSError, IsalError):  # type: ignore[misc]  # a class, which isal's stubs call an instance
            return None
        if not inflater.eof or len(raw) % line:
            return None
        return np.frombuffer(raw, pack.dtype).reshape(-1, pack.width, pack.samples)


def tiff_blocks(path: str, data: rasterio.DatasetReader) -> TiffBlocks | None:
    """Return the blocks of an open file, if it is a TIFF on a disk whose blocks can be decoded here."""
    tags = data.tags(ns="IMAGE_STRUCTURE")
    dtype = np.dtype(data.dtypes[0])
    differences = PREDICTORS.get(tags.get("PREDICTOR", "1"))
    known = (
        data.driver == "GTiff"
        and os.path.isfile(path)
        and sys.byteorder == "little"
        and tags.get("COMPRESSION") == "DEFLATE"
        and tags.get("INTERLEAVE") in INTERLEAVES
        and not any("NBITS" in data.tags(band, ns="IMAGE_STRUCTURE") for band in data.indexes)
        and differences is not None
        and len(set(data.dtypes)) == len(set(data.block_shapes)) == 1
        and dtype.kind in ("ui" if differences else "uif")
        and dtype.itemsize <= 4
    )
    if not known or differences is None:
        return None
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    if os.pread(file, 4, 0) not in LITTLE_ENDIAN:
        os.close(file)
        return None
    samples = data.count if tags["INTERLEAVE"] == "PIXEL" else 1
    unsigned = np.dtype(f"u{dtype.itemsize}")
    height, width = data.block_shapes[0]
    return TiffBlocks(file, data, _Packing(height, width, samples, unsigned, differences))
