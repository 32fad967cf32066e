"""What is refused before pixels are asked for: files that would block, headers that promise the impossible.

A header is a few bytes that anybody can write. What it says is compared with what the file can hold, because a decoder
allocates what the header says.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyproj

from tiler.grids import PixelGrid, transformer

if TYPE_CHECKING:
    import rasterio

MOST_PX = 10**11
"""Of one file: the land of the Earth at 40 m."""
MOST_BANDS = 2048
LARGEST_BLOCK_BYTES = 2**28
"""Of what is decoded at once, all bands: a strip as large as a Sentinel-2 band."""
LARGEST_EMPTY_BYTES = 2**30
HIGHEST_RATIO = 20_000
"""Bytes of pixels for each byte of a file beyond `LARGEST_EMPTY_BYTES`: deflate packs a constant by 1,000, zstd by
20,000; more means that nothing is there."""
LARGEST_SIDECAR_BYTES = 2**24
"""Of the .aux.xml that GDAL reads into memory."""


def check_file(path: str) -> None:
    """Refuse a local file that is none: absent, a folder, or a pipe that whoever opens it waits for.

    Raises:
        ValueError: also where a neighbour of its name, which GDAL opens beside it, is a pipe or oversized.
    """
    if not os.path.isfile(path):
        kind = "is not a file" if os.path.exists(path) else "does not exist, or is a link to nothing"
        raise ValueError(f"{path} cannot be opened: it {kind}; replace or remove the file")
    place = Path(path)
    for name in _pipes(str(place.parent), place.parent.stat().st_mtime_ns):
        if name.startswith(place.stem):
            raise ValueError(f"{place.with_name(name)!s} beside {path} is neither a file nor a folder; remove it")
    for sidecar in (f"{path}.aux.xml", str(place.with_suffix(".aux.xml"))):
        if os.path.isfile(sidecar) and os.path.getsize(sidecar) > LARGEST_SIDECAR_BYTES:
            raise ValueError(
                f"{sidecar} has more than {LARGEST_SIDECAR_BYTES} bytes, too many for a sidecar; remove it"
            )


@lru_cache(maxsize=64)
def _pipes(folder: str, _mtime_ns: int) -> tuple[str, ...]:
    """Return the names in a folder that are neither files nor folders, links followed."""
    with os.scandir(folder) as entries:
        return tuple(entry.name for entry in entries if _is_pipe(entry))


def _is_pipe(entry: os.DirEntry[str]) -> bool:
    try:
        return not (entry.is_file() or entry.is_dir()) and os.path.exists(entry.path)
    except OSError:  # a link to itself: whoever opens it is refused, and does not wait
        return False


def check_shape(path: str, data: rasterio.DatasetReader, size_bytes: int) -> None:
    """Refuse a header that promises what its file cannot hold, or blocks that no worker has room for.

    Args:
        path: for errors.
        data: the opened file.
        size_bytes: of the file, 0 where unknown.

    Raises:
        ValueError: no band, no pixel, too many of them, or blocks that are too large.
    """
    if not data.count or not data.width or not data.height:
        raise ValueError(
            f"{path} holds {data.count} bands of {data.height} x {data.width} px; replace or remove the file"
        )
    if data.width * data.height > MOST_PX or data.count > MOST_BANDS:
        raise ValueError(
            f"{path} promises {data.count} bands of {data.height} x {data.width} px, more than {MOST_BANDS} bands or "
            f"{MOST_PX} px; cut it into several files, or replace it if it is damaged"
        )
    itemsize = max(_itemsize(dtype) for dtype in data.dtypes)
    promised = data.width * data.height * data.count * itemsize
    if size_bytes and promised > max(LARGEST_EMPTY_BYTES, HIGHEST_RATIO * size_bytes):
        raise ValueError(
            f"{path} promises {promised} bytes of pixels ({data.count} bands of {data.height} x {data.width} px) in a "
            f"file of {size_bytes} bytes: nearly all of it is not there; replace or remove the file"
        )
    block = max(height * width for height, width in data.block_shapes) * data.count * itemsize
    if block > LARGEST_BLOCK_BYTES:
        height, width = data.block_shapes[0]
        raise ValueError(
            f"{path} is stored in blocks of {height} x {width} px, {block} bytes decoded at once, more than "
            f"{LARGEST_BLOCK_BYTES}; store it in tiles: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE IN OUT"
        )


def _itemsize(dtype: str) -> int:
    try:
        return np.dtype(dtype).itemsize
    except TypeError:  # types of GDAL that numpy has not, such as complex_int16
        return 16


def check_transform(path: str, transform: tuple[float, ...]) -> None:
    """Refuse a transform that takes pixels nowhere.

    Raises:
        ValueError: a number that is not finite, or pixels without an area.
    """
    a, b, _, d, e, _ = transform
    if not all(math.isfinite(v) for v in transform) or not math.isfinite(a * e - b * d) or a * e - b * d == 0:
        raise ValueError(
            f"{path} has the transform {transform}, by which its pixels lie nowhere; correct it or its sidecar"
        )


def check_place(where: str, grid: PixelGrid) -> None:
    """Refuse a grid of which no corner, middle of an edge or centre lies on the Earth.

    Args:
        where: begins the error.
        grid: of a CRS that says where on the Earth something lies.

    Raises:
        ValueError: CRS and transform do not belong together.
    """
    rows, cols = np.meshgrid([0, grid.height / 2, grid.height], [0, grid.width / 2, grid.width])
    x, y = grid.xy(rows, cols)
    change = transformer(grid.crs, "EPSG:4326")
    longitude, latitude = (x, y) if change is None else change.transform(x, y)
    if not (np.isfinite(longitude) & (np.abs(latitude) <= 90)).any():
        raise ValueError(
            f"{where} lies nowhere on the Earth by its CRS {grid.pyproj_crs.name!r} and transform {grid.transform}; "
            f"correct them (a world file or .aux.xml may be wrong), or set `georeference`"
        )


@lru_cache(maxsize=256)
def is_on_earth(wkt: str) -> bool:
    """Whether a CRS says where on the Earth something lies: projected or geographic, not local, vertical or unknown."""
    try:
        crs = pyproj.CRS.from_user_input(wkt)
        return bool(crs.is_projected or crs.is_geographic)
    except pyproj.exceptions.CRSError:
        return False
