"""A frame series that is one array: zarr (v2 or v3) or NetCDF with a time axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from tiler.frame_files import DAMAGE, NETCDF, PlaneHeader, opened_netcdf
from tiler.frame_names import band_name
from tiler.frame_values import measured, range_of, stored_dtype, upright
from tiler.hushed import hushed
from tiler.stores import zarr_store

if TYPE_CHECKING:
    import xarray as xr

Y_NAMES = ("y", "lat", "latitude", "yc", "row", "dim_image_y")
MOST_TIMES = 16
"""Times that are read at once, at most, however long the chunks."""
X_NAMES = ("x", "lon", "longitude", "xc", "col", "column", "dim_image_x")


@dataclass(frozen=True)
class Cube:
    """Where the frames of an array are; the array itself is opened by whoever reads it."""

    path: str
    bands: Mapping[str, tuple[str, int | None]]
    """Name of a band to its variable and its place on the band axis."""
    dims: tuple[str, str, str, str | None]
    """Names of time, y, x and band axis."""
    header: PlaneHeader
    times: np.ndarray
    """datetime64[s] (n,), as they stand in the array."""
    time_chunk: int
    """Times that are read for one in any case."""


def is_cube(path: str, entries: Sequence[str]) -> bool:
    """Whether an address is one array: a zarr by its name or by what lies in it, or a NetCDF."""
    marks = (".zgroup", ".zarray", "zarr.json", ".zmetadata")
    return path.rstrip("/").endswith((".zarr", *NETCDF)) or any(mark in entries for mark in marks)


def open_cube(path: str, variable: str | None = None) -> Cube:
    """Read what an array says of itself.

    Raises:
        ValueError: it is damaged, or not a series of images.
    """
    with _opened(path) as dataset:
        return _described(path, dataset, variable)


def _described(path: str, dataset: xr.Dataset, variable: str | None) -> Cube:
    images = {str(n): a for n, a in dataset.data_vars.items() if a.ndim in (3, 4) and a.dtype.kind in "iuf"}
    images = {n: a for n, a in images.items() if _time_axis(a) is not None}
    if variable is not None:
        images = {n: a for n, a in images.items() if n == variable}
    flat = {n: a for n, a in images.items() if a.ndim == 3}
    if not images or (len(images) > 1 and len(flat) < len(images)):
        found = {str(n): dict(a.sizes) for n, a in dataset.data_vars.items()}
        raise ValueError(
            f"frames.files: {path} has {'several' if images else 'no'} variables that are images over time, among "
            f"{found}; name one in `variable`"
        )
    first = next(iter(images.values()))
    if any(a.dims != first.dims or a.shape != first.shape or a.dtype != first.dtype for a in images.values()):
        raise ValueError(f"frames.files: the variables {sorted(images)} of {path} differ in form; name one")
    time, y, x, band = axes = _axes(first)
    if band is None:
        bands: dict[str, tuple[str, int | None]] = {band_name(name): (name, None) for name in images}
    else:
        name = str(first.name)
        bands = {band_name(label): (name, place) for place, label in enumerate(_labels(dataset, first, band))}
    if len(bands) < (len(images) if band is None else first.sizes[band]):
        raise ValueError(f"frames.files: bands of {path} have one name: {sorted(bands)}; rename them")
    header = PlaneHeader(first.sizes[y], first.sizes[x], stored_dtype(first.dtype), range_of(first.dtype, first.attrs))
    chunk = int(dict(zip(first.dims, first.encoding.get("chunks") or (), strict=False)).get(time, 1))
    times = first[time].values.astype("datetime64[s]")
    if np.isnat(times).any():
        raise ValueError(
            f"frames.files: {np.isnat(times).sum()} of {len(times)} times of {path} are missing; write them"
        )
    return Cube(path, bands, axes, header, times, max(1, min(chunk, MOST_TIMES)))


def cube_planes(
    cube: Cube, wanted: Sequence[tuple[str, int]]
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray] | ValueError]]:
    """Read images, a chunk of times at once.

    Args:
        cube: the array.
        wanted: band and place in `times` of each image.

    Yields:
        The place in `wanted`, and (y, x) numbers with bool (y, x), what is a measurement; or why it cannot be read.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    with _opened(cube.path) as dataset:
        while order:
            band, first = wanted[order[0]]
            chunk = first // cube.time_chunk
            group = [i for i in order if wanted[i][0] == band and wanted[i][1] // cube.time_chunk == chunk]
            order = order[len(group) :]
            found = _read(cube, dataset, band, slice(first, wanted[group[-1]][1] + 1))
            for i in group:
                at = wanted[i][1] - first
                yield i, found if isinstance(found, ValueError) else (found[0][at], found[1][at])


def _read(cube: Cube, dataset: xr.Dataset, band: str, span: slice) -> tuple[np.ndarray, np.ndarray] | ValueError:
    """Return some times of a band, (time, y, x) north up, and which numbers are measurements."""
    time, y, x, band_axis = cube.dims
    name, place = cube.bands[band]
    where: dict[str, Any] = {time: span} | ({} if band_axis is None else {band_axis: place})
    try:
        part = dataset[name].isel(where).transpose(time, y, x)
        values, valid = measured(part.values, dataset[name].attrs)
        if (known := _valid_of(dataset, dataset[name])) is not None:
            valid &= known.isel(where).transpose(time, y, x).values
    except DAMAGE as error:
        return ValueError(f"{cube.path}, {name}: {' '.join(str(error).split()) or type(error).__name__}")
    down, across = upright(*(part[n].values if n in part.coords and part[n].ndim == 1 else None for n in (y, x)))
    turn = slice(None), down, across
    return np.ascontiguousarray(np.where(valid, values, values.dtype.type(0))[turn]), np.ascontiguousarray(valid[turn])


def cube_tags(cube: Cube, tags: Mapping[str, str]) -> list[str]:
    """Return what identifies the content of every time of a cube, by the objects that hold it.

    Args:
        cube: the array.
        tags: of all objects below the address, by their names there; of a NetCDF, that of the file under "".
    """
    if cube.path.lower().endswith(NETCDF):
        return [tags[""]] * len(cube.times)
    group = zarr.open_group(zarr_store(cube.path, read_only=True), mode="r")
    found = ["" for _ in cube.times]
    for name in sorted({variable for variable, _ in cube.bands.values()}):
        with hushed(UserWarning):
            array: Any = group[name]
        axis = _dimension_names(array).index(cube.dims[0])
        sides = array.shards or array.chunks
        counts = [-(-size // side) for size, side in zip(array.shape, sides, strict=True)]
        for row in range(counts[axis]):
            cells = np.ndindex(*(1 if i == axis else n for i, n in enumerate(counts)))
            keys = (array.metadata.encode_chunk_key((*c[:axis], row, *c[axis + 1 :])) for c in cells)
            text = "\n".join(tags.get(f"{name}/{key}", "absent") for key in keys)
            for at in range(row * sides[axis], min((row + 1) * sides[axis], len(found))):
                found[at] += f"{name}\n{text}\n"
    return found


def _dimension_names(array: Any) -> list[str]:
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return list(named)


@contextmanager
def _opened(path: str) -> Iterator[xr.Dataset]:
    import xarray as xr  # with pandas half a second

    with ExitStack() as held:
        try:
            if path.lower().endswith(NETCDF):
                dataset = held.enter_context(opened_netcdf(path))
            else:
                store = zarr_store(path, read_only=True)
                lazily: dict[str, Any] = {"mask_and_scale": False, "decode_timedelta": False, "chunks": None}
                dataset = held.enter_context(xr.open_zarr(store, consolidated=False, **lazily))
        except DAMAGE as error:
            told = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"frames.files: {path} cannot be read as zarr or NetCDF: {told}") from error
        yield dataset


def _time_axis(array: xr.DataArray) -> str | None:
    return next((str(d) for d in array.dims if d in array.coords and array[d].dtype.kind == "M"), None)


def _axes(array: xr.DataArray) -> tuple[str, str, str, str | None]:
    """Return the names of time, y, x and band axis: by their names, else by their order."""
    time = _time_axis(array)
    assert time is not None
    rest = [str(d) for d in array.dims if d != time]
    y = next((d for d in rest if d.lower() in Y_NAMES), None)
    x = next((d for d in rest if d.lower() in X_NAMES), None)
    if y is None or x is None:
        y, x = rest[-2:]
    return time, y, x, next((d for d in rest if d not in (y, x)), None)


def _labels(dataset: xr.Dataset, array: xr.DataArray, band: str) -> list[str]:
    """Return the names of the places on the band axis: from its coordinate or the attribute `band_names`."""
    count = array.sizes[band]
    if band in array.coords and array[band].dtype.kind in "OUST":
        return [str(label) for label in array[band].values]
    named = array.attrs.get("band_names", dataset.attrs.get("band_names"))
    if isinstance(named, list | tuple | np.ndarray) and len(named) == count:
        return [str(label) for label in named]
    if count == 1:
        return [str(array.name)]
    raise ValueError(
        f"frames.files: the {count} places on the axis {band!r} have no names; give it a coordinate of texts, or the "
        f"group an attribute `band_names`"
    )


def _valid_of(dataset: xr.Dataset, image: xr.DataArray) -> xr.DataArray | None:
    """Return the mask of what is a measurement, if there is one of the image's form."""
    found = dataset.get("valid")
    return found if found is not None and found.dtype == bool and set(found.dims) == set(image.dims) else None


def stem_of(path: str) -> str:
    """Return the name of an array without folder and suffix."""
    return PurePosixPath(path.rstrip("/")).name.split(".")[0]
