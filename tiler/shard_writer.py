"""Writing whole shards of a zarr array: zarr reads them as its own, and alone they take half of its processor time.

zarr copies every chunk of a shard, looks whether it is empty, and asks for the shard that it is about to replace. A
shard of which every pixel is at hand needs none of that: chunks are compressed one after the other and joined with
their index as the specification says (zarr v3, `sharding_indexed`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

EMPTY = 2**64 - 1
"""In an index: offset and length of a chunk that is not there."""
SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


def write_shard(array: Any, place: Sequence[int], values: np.ndarray) -> None:
    """Write one whole shard of an array.

    An array that is not laid out as `tiler.stores.add_array` does it gets an ordinary assignment.

    Args:
        array: zarr array.
        place: which shard, counted along each axis.
        values: its elements, fewer than a shard has where the array ends.

    Raises:
        ValueError: values that are not the whole shard.
    """
    shard = array.shards or array.chunks
    starts = [index * side for index, side in zip(place, shard, strict=True)]
    ends = [min(start + side, n) for start, side, n in zip(starts, shard, array.shape, strict=True)]
    if values.shape != tuple(end - start for start, end in zip(starts, ends, strict=True)):
        raise ValueError(f"shard {tuple(place)} reaches from {starts} to {ends}, values have the shape {values.shape}")
    codec = _compressor(array)
    if codec is None:
        array[tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))] = values
        return
    shard_bytes = _encode(values.astype(array.dtype, copy=False), shard, array.chunks, array.fill_value, codec)
    buffer = default_buffer_prototype().buffer.from_bytes(shard_bytes)
    sync((array.store_path / array.metadata.encode_chunk_key(tuple(place))).set(buffer))


def _compressor(array: Any) -> Blosc | None:
    """Return what compresses the chunks of a shard, or None for a layout that only zarr itself should write."""
    outer = array.metadata.codecs
    if len(outer) != 1 or not isinstance(outer[0], ShardingCodec) or outer[0].index_location.value != "end":
        return None
    inner: Sequence[Any] = outer[0].codecs
    index: Sequence[Any] = outer[0].index_codecs
    if [type(codec) for codec in index] != [BytesCodec, Crc32cCodec]:
        return None
    if [type(codec) for codec in inner] != [BytesCodec, BloscCodec] or not array.dtype.isnative:
        return None
    orders = [codec.endian for codec in (inner[0], index[0])]
    if any(order is not None and order.value != "little" for order in orders):
        return None
    blosc = inner[1]
    return Blosc(blosc.cname.value, blosc.clevel, SHUFFLES[blosc.shuffle.value], blosc.blocksize)


def _encode(values: np.ndarray, shard: Sequence[int], chunk: Sequence[int], fill: Any, codec: Blosc) -> bytes:
    index = np.full((*(n // side for n, side in zip(shard, chunk, strict=True)), 2), EMPTY, "<u8")
    parts, at = [], 0
    for place in itertools.product(*(range(-(-n // side)) for n, side in zip(values.shape, chunk, strict=True))):
        part = values[tuple(slice(i * side, (i + 1) * side) for i, side in zip(place, chunk, strict=True))]
        if part.shape != tuple(chunk):  # beyond the array's end a chunk is full of what is missing
            whole = np.full(chunk, fill, values.dtype)
            whole[tuple(slice(n) for n in part.shape)] = part
            part = whole
        parts.append(codec.encode(np.ascontiguousarray(part)))
        index[place] = at, len(parts[-1])
        at += len(parts[-1])
    checked = index.tobytes()
    return b"".join([*parts, checked, np.array([google_crc32c.value(checked)], "<u4").tobytes()])
