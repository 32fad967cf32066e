"""The zarr arrays of a run: made whole (shapes, chunks, CRS, fill values) before the first worker, filled by shards.

A group carries `complete: true` once all of its arrays exist: creation that was cut short is simply done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import BloscCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from tiler.grids import PixelGrid
from tiler.shard_files import Layout, put_file

if TYPE_CHECKING:
    import xarray as xr
    from zarr.core.metadata import ArrayV3Metadata

CHUNK_PX = 512
SHARD_CHUNKS = 4
COMPRESSOR = BloscCodec(cname="lz4", clevel=9, shuffle="bitshuffle")
"""Of all arrays. Beside zstd, imagery and logits are written and read 2.5 times as fast for 5 to 12 % more bytes,
float32 maps 3.4 times for 15 to 25 % (benchmarks/README.md); what is kept for long is a GeoTIFF."""


def zarr_store(url: str, *, read_only: bool = False) -> Store:
    """Return the zarr store of a local path or of an `s3://` or `gs://` address."""
    if "://" not in url:
        return LocalStore(url, read_only=read_only)
    from obstore.store import from_url
    from zarr.storage import ObjectStore

    return ObjectStore(from_url(url), read_only=read_only)


def open_group(url: str) -> zarr.Group:
    """Open a finished group for reading and for filling its shards.

    Raises:
        FileNotFoundError: there is none, or its creation was cut short.
    """
    store = zarr_store(url)
    if isinstance(store, LocalStore) and not store.root.is_dir():  # zarr would make the folder only by looking
        raise FileNotFoundError(f"no zarr group at {url}; run the stage that makes it first")
    try:
        group = zarr.open_group(store, mode="r+", zarr_format=3)
    except (FileNotFoundError, KeyError) as error:
        raise FileNotFoundError(f"no zarr group at {url}; run the stage that makes it first") from error
    if not group.attrs.get("complete"):
        raise FileNotFoundError(
            f"the zarr group at {url} was not created to its end; run the stage that makes it again"
        )
    return group


def array_of(group: zarr.Group, name: str) -> Any:
    """Return an array of a group (zarr's own type says "array or group"); the same one each time.

    To open it is a request to an object store, or two; what it is does not change once the group is finished.
    """
    kept = vars(group).setdefault("_opened_arrays", {})
    if name not in kept:
        kept[name] = group[name]
    return kept[name]


def write_shard(
    array: zarr.Array[ArrayV3Metadata], place: Sequence[int | slice], values: np.ndarray, past_cache: bool = False
) -> None:
    """Write one whole shard (or chunk, where there are no shards): who reads sees all of it or nothing.

    An object store replaces an object at once. On a disk the shard is written beside, flushed and then renamed: a kill,
    a power cut, or a second worker at the same unit, leaves no half shard. Nothing is read: zarr would read an object
    first, to keep what it takes for left of it.

    Args:
        array: of a group that `open_group` opened.
        place: of the shard, one for each axis.
        values: all of it.
        past_cache: see `tiler.shard_files.put_file`.

    Raises:
        ValueError: the place is not one shard, or ends inside it.
    """
    store, sides = array.store, array.shards or array.chunks
    spans = [
        range(one, one + 1) if isinstance(one, int) else range(size)[one]
        for one, size in zip(place, array.shape, strict=True)
    ]
    index = [span.start // side for span, side in zip(spans, sides, strict=True)]
    shard = [range(at * n, min((at + 1) * n, size)) for at, n, size in zip(index, sides, array.shape, strict=True)]
    if spans != shard:
        raise ValueError(f"{place} of {array.path} is not one shard of {sides} pixels; the shard is {shard}")
    layout = Layout.of(array.metadata.to_dict(), array.fill_value)
    encoded = layout.encoded(np.asarray(values, layout.dtype).reshape([len(span) for span in spans]))
    key = f"{array.path}/{array.metadata.encode_chunk_key(tuple(index))}"
    if isinstance(store, LocalStore):
        put_file(store.root / key, encoded, past_cache)
    elif encoded.size:
        sync(store.set(key, default_buffer_prototype().buffer.from_bytes(encoded.pages[: encoded.size].tobytes())))
    else:
        sync(store.delete(key))


def attributes_of(group: zarr.Group) -> dict[str, Any]:
    """Return a copy of a group's attributes."""
    return dict(group.attrs)


def is_complete(url: str) -> bool:
    """Whether a group exists with all of its arrays."""
    try:
        open_group(url)
    except FileNotFoundError:
        return False
    return True


def new_group(url: str) -> zarr.Group:
    """Start a group, or go on with one whose creation was cut short.

    Nothing is removed: another driver may be making the same group, and its workers may be filling it already. Names
    of groups say what they are made of, so that both write the same.
    """
    try:
        return zarr.open_group(zarr_store(url), mode="a", zarr_format=3)
    except ValueError:  # metadata that a power cut left half written
        return zarr.create_group(zarr_store(url), overwrite=True, zarr_format=3)


def finish_group(group: zarr.Group, attributes: Mapping[str, Any]) -> None:
    """Write the attributes, and with them the sign that every array is there."""
    group.update_attributes({**attributes, "complete": True})


def keep_facts(url: str, facts: Mapping[str, Any]) -> None:
    """Add attributes to a finished group, unless they are there already."""
    group = open_group(url)
    if any(group.attrs.get(name) != value for name, value in facts.items()):
        group.update_attributes(dict(facts))


def add_array(
    group: zarr.Group,
    name: str,
    dims: Sequence[str],
    shape: Sequence[int],
    chunks: Sequence[int],
    shards: Sequence[int] | None,
    dtype: str,
    fill: float | int | bool,
    attributes: Mapping[str, Any] | None = None,
) -> zarr.Array:
    """Create one array, unless it is there; without `shards`, or where a shard is one chunk, a chunk is an object."""
    whole = shards is None or tuple(shards) == tuple(chunks)
    asked = tuple(shape), np.dtype(dtype), tuple(chunks), None if whole or shards is None else tuple(shards)
    there = group.get(name)
    if isinstance(there, zarr.Array) and (there.shape, there.dtype, there.chunks, there.shards) == asked:
        return there
    return group.create_array(
        name,
        shape=asked[0],
        dtype=dtype,
        chunks=asked[2],
        shards=asked[3],
        fill_value=fill,
        dimension_names=tuple(dims),
        compressors=COMPRESSOR,
        attributes=dict(attributes or {}),
        overwrite=there is not None,
    )


def shard_px(length_px: int) -> int:
    """Return the side of a shard for an axis: 2048 px, or as few whole chunks as hold a smaller axis."""
    return CHUNK_PX * min(SHARD_CHUNKS, -(-length_px // CHUNK_PX))


def add_georeference(group: zarr.Group, grid: PixelGrid) -> dict[str, str]:
    """Write CRS and pixel-centre coordinates as CF and GeoZarr ask, and return the attributes that rasters need.

    A rotated grid has no one-dimensional coordinates; its `GeoTransform` alone says where it lies.
    """
    a = grid.affine
    crs = grid.pyproj_crs
    transform = " ".join(repr(float(v)) for v in (a.c, a.a, a.b, a.f, a.d, a.e))
    wkt = crs.to_wkt()
    add_array(
        group,
        "spatial_ref",
        (),
        (),
        (),
        None,
        "int64",
        0,
        {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": transform},
    )[...] = 0
    if a.b == 0 and a.d == 0:
        names = (
            ("latitude", "longitude") if crs.is_geographic else ("projection_y_coordinate", "projection_x_coordinate")
        )
        units = "degrees" if crs.is_geographic else str(crs.axis_info[0].unit_name)
        ys = a.f + a.e * (np.arange(grid.height) + 0.5)
        xs = a.c + a.a * (np.arange(grid.width) + 0.5)
        for axis, values, name in (("y", ys, names[0]), ("x", xs, names[1])):
            attributes = {"standard_name": name, "units": units, "axis": axis.upper()}
            size = max(1, len(values))
            add_array(group, axis, (axis,), (len(values),), (size,), None, "float64", 0.0, attributes)[:] = values
    return {"grid_mapping": "spatial_ref", "coordinates": "spatial_ref"}


def open_dataset(url: str) -> xr.Dataset:
    """Open a scene store or a map store lazily, with dask chunks, band or class names, and its CRS for rioxarray."""
    import xarray as xr  # with pandas half a second, which no stage of a run needs

    dataset = xr.open_zarr(zarr_store(url, read_only=True), consolidated=False, zarr_format=3, decode_coords="all")
    for dim in ("band", "class"):
        if dim in dataset.dims and f"{dim}_names" in dataset.attrs:
            dataset = dataset.assign_coords({dim: list(dataset.attrs[f"{dim}_names"])})
    return dataset
