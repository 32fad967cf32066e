"""The frame store: the frames of one series as zarr, in slots of equal length, with validity beside the image.

A slot is a multiple of the series' step since 1970; a slot without a frame stays empty, so a gap stays a gap. 64 slots
share a shard, which is the unit of work of Ingest (a *block*), and blocks begin at multiples of 64 slots: where a block
lies does not depend on which files there are, and a store grows by whole blocks when new files arrive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import zarr

from tiler.stores import add_array, array_of, attributes_of, finish_group, new_group, open_group, write_shard

BLOCK_SLOTS = 64
"""Slots in one shard: 8 days of 3 h steps, 10 MB of three bands of 224 px."""
TIMES_TOGETHER = 2**16
"""Nominal times in one object; nobody writes them beside a reader."""
EMPTY = 0
"""In `made_of`: a block that nobody filled, or that somebody is filling."""


@dataclass(frozen=True)
class FrameLayout:
    """What all frames of a series have in common."""

    series: str
    """Name of the series: one clock and one view."""
    sensor: str
    bands: tuple[str, ...]
    height_px: int
    width_px: int
    dtype: str
    """Of the image: the files' own."""
    step_s: int
    """Length of a slot."""
    phase_s: int
    """Seconds from a multiple of `step_s` since 1970 to the nominal time of a slot."""
    first_slot: int
    """Slot of the store's first row, a multiple of `BLOCK_SLOTS`; slot 0 lies at `phase_s` after 1970-01-01."""
    offset: tuple[float, ...]
    """Of each band: `(value - offset) / scale` lies in [0, 1]."""
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.first_slot % BLOCK_SLOTS:
            raise ValueError(f"first_slot {self.first_slot} is no multiple of {BLOCK_SLOTS}; begin with a whole block")
        if not len(self.bands) == len(self.offset) == len(self.scale) or len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands {self.bands} must differ, with an offset and a scale each")
        if self.step_s < 1 or min(self.scale) <= 0:
            raise ValueError(f"step_s {self.step_s} must be 1 or more, and scales {self.scale} above 0")

    def slots_of(self, times: np.ndarray) -> np.ndarray:
        """Return the nearest slots of times (datetime64), int64, counted from 1970."""
        seconds = times.astype("datetime64[s]").astype(np.int64) - self.phase_s
        return (seconds + self.step_s // 2) // self.step_s

    def times_of(self, slots: np.ndarray) -> np.ndarray:
        """Return the nominal times of slots, datetime64[s]."""
        return (np.asarray(slots, np.int64) * self.step_s + self.phase_s).astype("datetime64[s]")


def make_frame_store(
    url: str,
    layout: FrameLayout,
    blocks: int,
    facts: Mapping[str, Any] | None = None,
    burned_in: np.ndarray | None = None,
) -> None:
    """Make the empty store of a series, or let one grow: no frame present, every pixel missing.

    A store never shrinks: with fewer blocks than there are, nothing changes.

    Args:
        url: of the zarr group.
        layout: of the series; must be that of the store, if there is one.
        blocks: how many there are to be.
        facts: more attributes.
        burned_in: bool (y, x) of the files' own pixels: what is drawn over every frame.
    """
    group = new_group(url)
    there = group.get("image")
    if isinstance(there, zarr.Array):
        blocks = max(blocks, there.shape[0] // BLOCK_SLOTS)
    count, pixels = blocks * BLOCK_SLOTS, (len(layout.bands), layout.height_px, layout.width_px)
    arrays: dict[str, tuple[tuple[str, ...], tuple[int, ...], int, str, float | int | bool]] = {
        "image": (("time", "band", "y", "x"), (count, *pixels), 1, layout.dtype, 0),
        "valid": (("time", "band", "y", "x"), (count, *pixels), 1, "bool", False),
        "missing_ratio": (("time",), (count,), BLOCK_SLOTS, "float32", np.nan),
        "digest": (("time",), (count,), BLOCK_SLOTS, "uint64", 0),
    }
    for name, (dims, shape, chunk, dtype, fill) in arrays.items():
        _grown(group, name, shape)
        add_array(group, name, dims, shape, (chunk, *shape[1:]), (BLOCK_SLOTS, *shape[1:]), dtype, fill)
    quality = group.require_group("quality")  # a group of its own, so that xarray shows the frames only
    _grown(quality, "made_of", (blocks,))
    add_array(quality, "made_of", ("block",), (blocks,), (1,), None, "uint64", EMPTY)
    if burned_in is not None:
        dims = ("source_y", "source_x")
        drawn = add_array(quality, "burned_in", dims, burned_in.shape, burned_in.shape, None, "bool", False)
        drawn[...] = burned_in
    _grown(group, "time", (count,))
    units = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian", "standard_name": "time"}
    clock = add_array(group, "time", ("time",), (count,), (TIMES_TOGETHER,), None, "int64", 0, units)
    clock[:] = layout.times_of(layout.first_slot + np.arange(count)).astype(np.int64)
    finish_group(group, {"layout": asdict(layout), "band_names": list(layout.bands), **(facts or {})})


def _grown(group: zarr.Group, name: str, shape: tuple[int, ...]) -> None:
    """Lengthen an array that is there but shorter: no shard is touched, because each holds a whole block."""
    there = group.get(name)
    if isinstance(there, zarr.Array) and there.shape[0] < shape[0] and there.shape[1:] == shape[1:]:
        there.resize(shape)


def fill_frames(
    group: zarr.Group, block: int, places: Sequence[int], images: np.ndarray, valid: np.ndarray, made_of: int
) -> dict[str, int]:
    """Write one block, each array in one assignment; slots that are not named become empty.

    Meanwhile the store says that the block is not filled: a kill in between leaves no block that looks whole.

    Args:
        group: a frame store that `open_group` opened.
        block: which one, from the store's beginning.
        places: slots of the frames inside the block, rising.
        images: (frame, band, y, x).
        valid: bool (frame, band, y, x); a frame without any valid pixel is left out.
        made_of: what identifies the files that the block is made of, above 0.

    Returns:
        Counts for the marker: frames, pixels of all bands, valid ones among them, and bytes before compression.
    """
    if len(places) and not 0 <= min(places) <= max(places) < BLOCK_SLOTS:
        raise ValueError(f"places {places} of block {block} are not within its {BLOCK_SLOTS} slots")
    image_array = array_of(group, "image")
    rows = np.zeros((BLOCK_SLOTS, *image_array.shape[1:]), image_array.dtype)
    seen = np.zeros(rows.shape, bool)
    missing = np.full(BLOCK_SLOTS, np.nan, np.float32)
    digests = np.zeros(BLOCK_SLOTS, np.uint64)
    for place, image, known in zip(places, images, valid, strict=True):
        if not known.any():
            continue
        rows[place] = np.where(known, image, rows.dtype.type(0))
        seen[place] = known
        missing[place] = 1 - np.count_nonzero(known) / known.size
        digests[place] = digest_of(rows[place], known)
    span = slice(block * BLOCK_SLOTS, (block + 1) * BLOCK_SLOTS)
    whole = (span, slice(None), slice(None), slice(None))
    _put_made_of(group, block, EMPTY)
    write_shard(image_array, whole, rows, past_cache=True)
    write_shard(array_of(group, "valid"), whole, seen)
    write_shard(array_of(group, "missing_ratio"), (span,), missing)
    write_shard(array_of(group, "digest"), (span,), digests)
    _put_made_of(group, block, made_of)
    frames = int(np.count_nonzero(digests))
    return {
        "frames": frames,
        "pixels": frames * seen[0].size,
        "valid": int(np.count_nonzero(seen)),
        "bytes_written": frames * (rows[0].nbytes + seen[0].nbytes),
    }


def _put_made_of(group: zarr.Group, block: int, value: int) -> None:
    write_shard(array_of(group, "quality/made_of"), (slice(block, block + 1),), np.array([value], np.uint64))


def digest_of(image: np.ndarray, valid: np.ndarray) -> int:
    """Return what identifies the content of a frame: 64 bits, never 0."""
    text = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8)
    text.update(np.packbits(valid).tobytes())
    return int.from_bytes(text.digest(), "little") or 1


def blocks_made_of(url: str) -> np.ndarray:
    """Return what every block of a store was made of, uint64 (block,): `EMPTY` for one that is not filled.

    Raises:
        FileNotFoundError: there is no store.
    """
    return np.asarray(array_of(open_group(url), "quality/made_of")[...])


class FrameStore:
    """A frame store opened for reading.

    What is known of all frames is read at once (some bytes a frame); pixels only when asked for.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.group = open_group(url)
        attrs = attributes_of(self.group)
        if "layout" not in attrs:
            raise ValueError(f"{url} is no frame store; give one that `sandan ingest` made of a run with `frames`")
        self.facts = attrs
        """The attributes of the group."""
        self.layout = _layout(attrs["layout"])
        self.series = self.layout.series
        self.sensor = self.layout.sensor
        self.bands = self.layout.bands
        self.height_px, self.width_px, self.step_s = self.layout.height_px, self.layout.width_px, self.layout.step_s
        self.offset = np.array(self.layout.offset, np.float32)
        self.scale = np.array(self.layout.scale, np.float32)
        digests = np.asarray(array_of(self.group, "digest")[...])
        self._rows = np.flatnonzero(digests)
        self.digests = digests[self._rows]
        """uint64 (n,): what identifies the content of each frame."""
        self.times = self.layout.times_of(self.layout.first_slot + self._rows)
        """datetime64[s] (n,), rising and unique: the frames that exist; where there is none, there is a gap."""
        self.missing_ratio = np.asarray(array_of(self.group, "missing_ratio")[...])[self._rows]
        """float32 (n,): share of the values of all bands that are missing."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dtype(self) -> np.dtype:
        """Of the images."""
        return np.dtype(self.layout.dtype)

    @cached_property
    def digest(self) -> str:
        """What identifies the content: layout, times and frames."""
        text = hashlib.sha256(repr(self.layout).encode())
        text.update(self.times.astype("<i8").tobytes())
        text.update(self.digests.astype("<u8").tobytes())
        return text.hexdigest()

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the frames `[start, stop)` of `times`.

        Returns:
            The images in the store's own type (n, band, y, x), 0 where missing, and bool (n, band, y, x): what is not.

        Raises:
            IndexError: there are no such frames.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"frames [{start}, {stop}) were asked for; {self.series} has {len(self)}")
        return self.take(np.arange(start, stop))

    def take(self, indices: np.ndarray | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Read some frames by their places in `times`, in the order asked for; returns what `read` does.

        Raises:
            IndexError: there is no such frame.
        """
        places = np.asarray(indices, np.int64)
        if len(places) and not 0 <= places.min() <= places.max() < len(self):
            raise IndexError(f"frames {places.min()} to {places.max()} were asked for; {self.series} has {len(self)}")
        rows = self._rows[places]
        shape = (len(rows), len(self.bands), self.height_px, self.width_px)
        images, valid = np.empty(shape, self.dtype), np.empty(shape, bool)
        image_array, valid_array = array_of(self.group, "image"), array_of(self.group, "valid")
        for first, last in _runs(rows):
            span = slice(int(rows[first]), int(rows[last - 1]) + 1)
            images[first:last] = image_array[span]
            valid[first:last] = valid_array[span]
        return images, valid

    def unit_images(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Read frames as the un-normalised images of the metrics: float32 in [0, 1], 0 where missing; and validity."""
        images, valid = self.read(start, stop)
        unit = (images.astype(np.float32) - self.offset[:, None, None]) / self.scale[:, None, None]
        return np.where(valid, np.clip(unit, 0, 1), np.float32(0)), valid


def _layout(values: Mapping[str, Any]) -> FrameLayout:
    lists = {name: tuple(values[name]) for name in ("bands", "offset", "scale")}
    return FrameLayout(**{**values, **lists})


def _runs(rows: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the half-open parts of `rows` in which each is one more than the one before it."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    edges = [0, *breaks.tolist(), len(rows)]
    for first, last in pairwise(edges):
        if last > first:
            yield first, last
