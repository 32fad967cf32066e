"""One shard (or chunk) of a zarr array as one file: encoded in one piece of memory, flushed, then named.

Any reader of zarr reads it: the sharding codec with its index at the end, and Blosc, as its specification says
(https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/). Beside zarrs, a unit of Ingest spends a
quarter less on its image and a fifth less on its small arrays (benchmarks/README.md).
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import google_crc32c
import numpy as np
from numcodecs import get_codec
from numcodecs.blosc import MAX_OVERHEAD, Blosc

PAGE = 4096
"""Direct writes begin at multiples of this in memory and on the disk, and are as long; disks ask for no more."""
DIRECT = getattr(os, "O_DIRECT", 0)
SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
NO_CHUNK = 2**64 - 1
"""Offset and length in the index of a chunk that is nothing but fill values."""


class Encoded(NamedTuple):
    """The bytes of a file."""

    pages: np.ndarray
    """uint8, whole pages of memory: noughts follow the bytes."""
    size: int
    """How many there are."""


@dataclass(frozen=True)
class Layout:
    """How the shards of an array become bytes."""

    dtype: np.dtype
    fill: np.ndarray
    """Of no dimensions."""
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    sharded: bool
    """Whether an index follows the chunks; if not, the shard is one chunk."""
    codec: Blosc

    @staticmethod
    def of(metadata: Mapping[str, Any], fill: Any) -> Layout:
        """Read the metadata of an array that `tiler.stores.add_array` made, as JSON, and its fill value."""
        shard = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        chunk, codecs = shard, metadata["codecs"]
        sharded = codecs[0]["name"] == "sharding_indexed"
        if sharded:
            chunk, codecs = (codecs[0]["configuration"][key] for key in ("chunk_shape", "codecs"))
        names = [codec["name"] for codec in codecs]
        assert names == ["bytes", "blosc"], f"only stores.add_array makes arrays here, this one has {names}"
        how = codecs[1]["configuration"]
        codec = Blosc(how["cname"], how["clevel"], SHUFFLES[how["shuffle"]], how["blocksize"])
        dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
        return Layout(dtype, np.asarray(fill, dtype), shard, tuple(chunk), sharded, codec)

    def encoded(self, values: np.ndarray) -> Encoded:
        """Return the file of a shard; of no bytes where it is nothing but fill values.

        Args:
            values: of the shard; fewer where the array ends in it.
        """
        counts = tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))
        index = np.full((*counts, 2), NO_CHUNK, "<u8")
        block = np.empty(self.chunk, self.dtype)
        room = index.size // 2 * (block.nbytes + MAX_OVERHEAD) + index.nbytes + 4
        memory = _pages(room)
        end = 0
        for at in np.ndindex(counts):
            part = values[tuple(slice(i * n, (i + 1) * n) for i, n in zip(at, self.chunk, strict=True))]
            value = self._only_value(part)
            if part.size == 0 or value == self.fill.tobytes():
                continue
            if value is not None and part.shape == block.shape:
                encoded = self._chunk_of(value)
            else:
                if part.shape != block.shape:
                    block[...] = self.fill
                block[tuple(slice(n) for n in part.shape)] = part
                encoded = self.codec.encode(block)
            memory[end : end + len(encoded)] = np.frombuffer(encoded, np.uint8)
            index[at] = end, len(encoded)
            end += len(encoded)
        if self.sharded and end:
            tail = index.tobytes()
            tail += google_crc32c.value(tail).to_bytes(4, "little")
            memory[end : end + len(tail)] = np.frombuffer(tail, np.uint8)
            end += len(tail)
        memory[end : end + PAGE] = 0
        return Encoded(memory, end)

    def _only_value(self, part: np.ndarray) -> bytes | None:
        """Return the bytes of the value that all of a chunk has; None where values differ, or there are none."""
        if part.size == 0:
            return None
        bits = f"u{self.dtype.itemsize}"  # NaN is not equal to itself
        first, last = (part[(end,) * part.ndim].astype(self.dtype).view(bits) for end in (0, -1))
        if first != last:  # most chunks are told by two pixels
            return None
        same = (np.ascontiguousarray(part, self.dtype).view(bits) == first).all()
        return bytes(first.tobytes()) if same else None

    def _chunk_of(self, value: bytes) -> bytes:
        """Return an encoded chunk of one value: validity is little else, and one is like the other."""
        return _encoded_once(json.dumps(self.codec.get_config()), self.dtype, self.chunk, value)


@lru_cache(maxsize=64)
def _encoded_once(codec: str, dtype: np.dtype, shape: tuple[int, ...], value: bytes) -> bytes:
    return bytes(get_codec(json.loads(codec)).encode(np.full(shape, np.frombuffer(value, dtype)[0], dtype)))


def _pages(size: int) -> np.ndarray:
    """Return whole pages of memory, one more than `size` bytes need."""
    memory = np.empty(size + 2 * PAGE, np.uint8)
    first = -memory.ctypes.data % PAGE
    return memory[first:]


def put_file(target: Path, data: Encoded, past_cache: bool = False) -> None:
    """Write a file: who reads sees all of it or what was there before, also after a kill or a power cut.

    Args:
        target: where; its folder is made.
        data: of no bytes: there is to be no file.
        past_cache: write straight to the disk, where the file system can. That takes no memory for what nobody reads
            soon, and no processor time to copy there.
    """
    if not data.size:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.partial-{uuid4().hex}")
    try:
        try:
            _write(beside, data, DIRECT if past_cache else 0)
        except OSError as error:
            if error.errno != errno.EINVAL or not past_cache:
                raise
            _write(beside, data, 0)  # a file system that has no direct writes, or asks for larger pages
        beside.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # a marker that says that the file is there must not get to the disk before its name
        finally:
            os.close(folder)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _write(path: Path, data: Encoded, direct: int) -> None:
    size = -(-data.size // PAGE) * PAGE if direct else data.size
    rest = data.pages.data[:size]
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | direct, 0o666)
    try:
        while rest:
            rest = rest[os.write(opened, rest) :]
        if size != data.size:
            os.ftruncate(opened, data.size)
        os.fsync(opened)
    finally:
        os.close(opened)
