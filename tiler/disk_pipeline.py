"""Chunks of zarr arrays on a disk, read straight to where they are wanted: less than half the time of other pipelines.

zarr's own pipeline reads everything that is not as `tiler.stores.add_array` makes it, and all of it elsewhere than on a
disk; it also writes what is no whole shard (those are written by `tiler.shard_files`).
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

import google_crc32c
import numpy as np
import zarr
from numcodecs import blosc
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import NDBuffer
from zarr.core.codec_pipeline import BatchedCodecPipeline, fill_value_or_default
from zarr.registry import register_pipeline
from zarr.storage import LocalStore, StorePath

from tiler.scratch import Scratch
from tiler.shard_files import NO_CHUNK

Wanted = tuple[Any, ArraySpec, Any, Any, bool]
"""Of one shard: where it lies, what it holds, its part that is wanted, where that belongs; whether it is all of it."""

HEADER = 16
"""Bytes at the beginning of what Blosc encoded."""
MUCH_SMALLER = 200
"""A chunk that Blosc made so many times smaller may be of one value: one of 512 px becomes 250 times smaller."""
ANEW = "Let its stage write it anew, in another folder: without the file, its pixels would count as missing."
"""What to do about a damaged file."""


_ENCODED, _DECODED = Scratch(), Scratch()
"""A chunk as it lies on the disk and as numbers: fresh memory for each would leave the heap in pieces."""


class Chunks(NamedTuple):
    """How the file of a shard holds its values."""

    sides: tuple[int, ...]
    indexed: bool
    """Whether an index follows the chunks; if not, there is one."""


class DiskPipeline(BatchedCodecPipeline):
    """zarr's own pipeline, but for reading rectangles of shards of Blosc on a disk."""

    async def read(self, batch_info: Iterable[Wanted], out: NDBuffer, drop_axes: tuple[int, ...] = ()) -> None:
        """Read the parts of shards that are wanted into `out`, several shards at once on zarr's threads."""
        parts, target = list(batch_info), cast(np.ndarray, out.as_ndarray_like())
        chunks = self.chunks(parts[0][1].shape) if parts else None
        here = chunks is not None and not drop_axes and isinstance(target, np.ndarray) and target.dtype.isnative
        if chunks is None or not here or not all(_readable(part) for part in parts):
            await super().read(parts, out, drop_axes)
            return

        def read_one(part: Wanted) -> None:
            place, spec, selection, where, _ = part
            begins = [one if isinstance(one, int) else one.start or 0 for one in selection]
            whole = np.expand_dims(target[where], [axis for axis, one in enumerate(selection) if isinstance(one, int)])
            path = place.store.root / place.path
            read_part(path, spec.shape, chunks, begins, whole, fill_value_or_default(spec))

        await asyncio.gather(*(asyncio.to_thread(read_one, part) for part in parts))

    def chunks(self, shard: tuple[int, ...]) -> Chunks | None:
        """Return how files of shards hold their values; None where they are not read here."""
        codec, rest = self.array_bytes_codec, self.bytes_bytes_codecs
        if self.array_array_codecs:
            return None
        if not isinstance(codec, ShardingCodec):
            return Chunks(shard, False) if _blosc((codec, *rest)) else None
        index = [type(one) for one in codec.index_codecs]
        known = index == [BytesCodec, Crc32cCodec] and codec.index_location.value == "end" and not rest
        return Chunks(codec.chunk_shape, True) if known and _blosc(codec.codecs) else None


def read_rectangle(array: Any, place: tuple[slice, ...]) -> np.ndarray:
    """Read a rectangle of an array; one that lies in one shard on a disk without the way over zarr's threads.

    Args:
        array: of zarr.
        place: a slice of step 1 for each axis, not beyond the array.
    """
    pipeline, store, shard = array.async_array.codec_pipeline, array.store, array.shards or array.chunks
    spans = [range(size)[one] for one, size in zip(place, array.shape, strict=True)]
    touched = [range(span.start // side, -(-span.stop // side)) for span, side in zip(spans, shard, strict=True)]
    alone = all(len(one) == 1 for one in touched) and isinstance(store, LocalStore) and array.dtype.isnative
    chunks = pipeline.chunks(shard) if alone and isinstance(pipeline, DiskPipeline) else None
    if chunks is None:
        return np.asarray(array[place])
    out = np.empty([len(span) for span in spans], array.dtype)
    begins = [span.start % side for span, side in zip(spans, shard, strict=True)]
    key = array.metadata.encode_chunk_key(tuple(one.start for one in touched))
    read_part(store.root / array.path / key, shard, chunks, begins, out, array.fill_value)
    return out


def _blosc(codecs: Sequence[Any]) -> bool:
    """Whether codecs are bytes as the processor has them, in Blosc."""
    if [type(one) for one in codecs] != [BytesCodec, BloscCodec]:
        return False
    return codecs[0].endian is None or codecs[0].endian.value == sys.byteorder


def _readable(part: Wanted) -> bool:
    """Whether a part is a rectangle of a file, of one row of pixels where a number says which."""
    place, spec, selection, where, _ = part
    spans = [one for one in selection if not isinstance(one, int)]
    return (
        isinstance(place, StorePath)
        and isinstance(place.store, LocalStore)
        and len(selection) == len(spec.shape)
        and len(spans) == len(where) > 0
        and all(isinstance(one, slice) and one.step in (None, 1) for one in (*spans, *where))
    )


def read_part(
    path: Path, shard: Sequence[int], chunks: Chunks, begins: Sequence[int], out: np.ndarray, fill: Any
) -> None:
    """Read a rectangle of a shard.

    Args:
        path: of the shard's file; where there is none, all of it is fill values.
        shard: its shape.
        chunks: how the file holds its values.
        begins: where the rectangle begins, in the shard.
        out: all of the rectangle; filled here.
        fill: value of chunks that are not there.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        opened = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        out[...] = fill
        return
    try:
        sides, size = chunks.sides, os.fstat(opened).st_size
        counts = [length // side for length, side in zip(shard, sides, strict=True)]
        spans = _index(path, opened, size, counts) if chunks.indexed else np.array([0, size]).reshape(*counts, 2)
        ends = [begin + length for begin, length in zip(begins, out.shape, strict=True)]
        touched = (range(b // side, -(-e // side)) for b, e, side in zip(begins, ends, sides, strict=True))
        for at in product(*touched):
            first = [i * side for i, side in zip(at, sides, strict=True)]
            low = [max(b, f) for b, f in zip(begins, first, strict=True)]
            high = [min(e, f + side) for e, f, side in zip(ends, first, sides, strict=True)]
            there = out[tuple(slice(lo - b, hi - b) for lo, hi, b in zip(low, high, begins, strict=True))]
            offset, length = (int(one) for one in spans[at])
            if offset == NO_CHUNK:
                there[...] = fill
                continue
            inside = tuple(slice(lo - f, hi - f) for lo, hi, f in zip(low, high, first, strict=True))
            encoded = _ENCODED.array((length,), "uint8")
            _decode(path, encoded[: os.preadv(opened, [encoded.data], offset)], length, sides, inside, there)
    finally:
        os.close(opened)


def _index(path: Path, opened: int, size: int, counts: Sequence[int]) -> np.ndarray:
    """Return where each chunk of a shard begins, and its bytes: uint64 (*counts, 2)."""
    length = 16 * math.prod(counts) + 4
    tail = os.pread(opened, length, size - length) if size >= length else b""
    if google_crc32c.value(tail[:-4]).to_bytes(4, "little") != tail[-4:]:
        raise ValueError(f"{path} is damaged: the index at its end does not fit its checksum. {ANEW}")
    return np.frombuffer(tail[:-4], "<u8").reshape(*counts, 2)


def _decode(
    path: Path, encoded: np.ndarray, length: int, sides: tuple[int, ...], inside: tuple[slice, ...], out: np.ndarray
) -> None:
    """Decode a part of a chunk, straight into `out` where it is the whole and lies in one piece."""
    size, told = math.prod(sides) * out.dtype.itemsize, (0, 0)
    if length == len(encoded) >= HEADER:
        told = blosc._cbuffer_sizes(encoded)[:2]
    whole = out.shape == sides and out.flags.c_contiguous
    try:
        if told != (size, length):  # the codec believes what it is told
            raise RuntimeError(f"{length} bytes for {size} are asked for, found {len(encoded)} that say {told[::-1]}")
        small = length * MUCH_SMALLER <= size and out.dtype.kind in "biuf"
        value = _only_value(encoded.tobytes(), out.dtype) if small else None
        if value is not None:
            out[...] = value
            return
        block = out if whole else _DECODED.array(sides, out.dtype.str)
        blosc.decompress(encoded, block)
    except RuntimeError as error:
        raise ValueError(f"{path} is damaged: a chunk cannot be decoded ({error}). {ANEW}") from error
    if not whole:
        out[...] = block[inside]


@lru_cache(maxsize=64)
def _only_value(encoded: bytes, dtype: np.dtype) -> np.ndarray | None:
    """Return the value that all of a chunk has, of no dimensions; None where values differ. Validity is little else."""
    bits = np.frombuffer(blosc.decompress(encoded), f"u{dtype.itemsize}")
    return bits[:1].view(dtype).reshape(()) if (bits == bits[0]).all() else None


def use_disk_pipeline(threads: int) -> None:
    """Let this process use `DiskPipeline` for the arrays that it opens from now on.

    Args:
        threads: that work on chunks at the same time, whatever the pipeline.
    """
    register_pipeline(DiskPipeline)
    path = f"{DiskPipeline.__module__}.{DiskPipeline.__qualname__}"
    pools = {"threading.max_workers": max(1, threads), "async.concurrency": max(2, threads)}
    zarr.config.set({"codec_pipeline.path": path, **pools})
