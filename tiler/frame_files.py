"""Files that hold one band at one time: grey PNGs as they are published, and NetCDF."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tiler.frame_values import measured, range_of, stored_dtype, upright
from tiler.remote import remote

if TYPE_CHECKING:
    import xarray as xr

GREY_STEPS = 2
"""Channels of a grey pixel may differ by this: some writers round them on their own."""
COLOURED_SHARE = 0.5
"""A picture of which more is coloured is a map of colours, not a measurement."""
DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""What the libraries raise for files that are cut short or are something else."""
NETCDF = (".nc", ".nc4", ".cdf")
SUFFIXES = (".png", *NETCDF)


class Unreachable(Exception):
    """A store of objects does not answer: no fault of the file, and worth another try."""


@dataclass(frozen=True)
class PlaneHeader:
    """What is known of a file before its pixels are read."""

    height_px: int
    width_px: int
    dtype: str
    """As the store keeps it."""
    value_range: tuple[float, float] | None


def read_header(path: str, variable: str | None = None) -> PlaneHeader:
    """Read the size of a file.

    Raises:
        ValueError: it is damaged, or holds something else.
    """
    with _damaged(path):
        if not path.lower().endswith(NETCDF):
            with _opened(path) as file, Image.open(file) as image:
                wide = image.mode.startswith("I")
                span = (0.0, 65535.0) if wide else (0.0, 255.0)
                return PlaneHeader(image.height, image.width, "uint16" if wide else "uint8", span)
        with opened_netcdf(path) as dataset:
            array = _plane_of(dataset, variable)
            height, width = array.shape
            return PlaneHeader(height, width, stored_dtype(array.dtype), range_of(array.dtype, array.attrs))


def read_plane(path: str, variable: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read a file.

    Returns:
        (y, x) north up where the file says what north is, 0 where missing; and bool (y, x): what is a measurement.

    Raises:
        ValueError: it is damaged, or holds something else.
    """
    with _damaged(path):
        if not path.lower().endswith(NETCDF):
            with _opened(path) as file, Image.open(file) as image:
                return grey(image)
        with opened_netcdf(path) as dataset:
            array = _plane_of(dataset, variable)
            values, valid = measured(array.values, array.attrs)
            turn = upright(*(_coordinate(array, name) for name in array.dims))
            return np.ascontiguousarray(values[turn]), np.ascontiguousarray(valid[turn])


@contextmanager
def _damaged(path: str) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} cannot be read: {told}") from error


def _opened(path: str) -> io.BufferedReader | io.BytesIO:
    return io.BytesIO(_bytes(path)) if "://" in path else Path(path).open("rb")


def _bytes(path: str) -> bytes:
    if "://" not in path:
        return Path(path).read_bytes()
    from obstore.exceptions import BaseError

    scheme, rest = path.split("://", 1)
    bucket, _, key = rest.partition("/")
    try:
        return bytes(remote(f"{scheme}://{bucket}").get(key).bytes())
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise Unreachable(f"{path}: {next(iter(str(error).splitlines()), type(error).__name__)}") from error


def grey(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the grey values of a picture, and which are measurements: what is transparent or coloured is drawn there.

    Raises:
        ValueError: a picture of colours.
    """
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError(f"numbers from {wide.min()} to {wide.max()} do not fit 16 bits")
        return wide.astype(np.uint16), np.ones(wide.shape, bool)
    if image.mode == "L" and "transparency" not in image.info:
        values = np.asarray(image)
        return values, np.ones(values.shape, bool)
    pixels = np.asarray(image.convert("RGBA"))
    colours, valid = pixels[..., :3], pixels[..., 3] == 255
    coloured = np.ptp(colours, axis=2) > GREY_STEPS
    if np.count_nonzero(coloured & valid) > COLOURED_SHARE * valid.size:
        share = np.count_nonzero(coloured & valid) / valid.size
        raise ValueError(f"{share:.0%} of the picture is coloured; give the grey one, whose numbers are measurements")
    valid = valid & ~coloured
    return np.where(valid, colours[..., 1], np.uint8(0)), valid


@contextmanager
def opened_netcdf(path: str) -> Iterator[xr.Dataset]:
    """Open a NetCDF file of any version, its numbers as they are.

    Raises:
        ValueError: neither HDF5 nor classic NetCDF.
    """
    import xarray as xr  # with pandas half a second

    data = _opened(path)
    with data:
        start = data.read(8)
        data.seek(0)
        if not start.startswith((b"\x89HDF", b"CDF")):
            raise ValueError(f"neither NetCDF-4 (HDF5) nor classic NetCDF; it begins with {start!r}")
        engine: Any = "h5netcdf" if start.startswith(b"\x89HDF") else "scipy"
        with xr.open_dataset(data, engine=engine, mask_and_scale=False, decode_timedelta=False) as dataset:
            yield dataset


def _plane_of(dataset: xr.Dataset, variable: str | None) -> xr.DataArray:
    """Return the one image of a file, (y, x)."""
    planes = {str(name): array.squeeze(drop=True) for name, array in dataset.data_vars.items()}
    planes = {name: array for name, array in planes.items() if array.ndim == 2 and array.dtype.kind in "iuf"}
    wanted = variable or ("image_pixel_values" if "image_pixel_values" in planes else None)
    if wanted is None and len(planes) == 1:
        wanted = next(iter(planes))
    if wanted not in planes:
        asked = f"variable {wanted!r} is not among them" if wanted else "`variable` must name one of them"
        raise ValueError(f"the images in it are {sorted(planes) or 'none'}; {asked}")
    return planes[wanted]


def _coordinate(array: xr.DataArray, name: Any) -> np.ndarray | None:
    return array[name].values if name in array.coords and array[name].dtype.kind in "iuf" else None
