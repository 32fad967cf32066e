"""From the files of a frame series to the blocks of its store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import zarr

from tiler.burned_in import LEAST_FRAMES, find_lines, sample_size, title_rows
from tiler.frame_cube import Cube, cube_planes
from tiler.frame_files import PlaneHeader, read_plane
from tiler.frame_index import Entry, FrameIndex
from tiler.frame_spec import BurnedIn
from tiler.frame_store import BLOCK_SLOTS, FrameLayout, fill_frames
from tiler.stores import array_of

Plane = tuple[np.ndarray, np.ndarray]
"""(y, x) numbers and bool (y, x): what is a measurement."""


@dataclass(frozen=True)
class FrameBlock:
    """A block of a frame store, with the files it is made of: the unit of work of Ingest."""

    store: str
    index: int
    made_of: int
    """`tiler.frame_index.made_of` its entries."""
    entries: tuple[Entry, ...]

    @property
    def unit(self) -> str:
        """The name of the block as a unit of work; with other files it is another one."""
        return f"{self.store}/b{self.index:05d}-{self.made_of:016x}"


@dataclass(frozen=True)
class FrameSource:
    """What turns the files of a series into blocks of its store."""

    layout: FrameLayout
    header: PlaneHeader
    """Of the files: all have its size and type."""
    burned_in: BurnedIn
    keep_partial: bool
    """Whether a frame that lacks a band is kept."""
    nodata: float | None = None
    variable: str | None = None
    cube: Cube | None = None

    @staticmethod
    def of(index: FrameIndex, header: PlaneHeader, layout: FrameLayout) -> FrameSource:
        """Return the source of a series.

        Raises:
            ValueError: what is to be taken out leaves nothing, or cannot be told from so few frames.
        """
        spec = index.spec
        title_rows(header.height_px, header.width_px, spec.burned_in.top_px, spec.burned_in.bottom_px)
        if spec.burned_in.lines and len(index.slots) < LEAST_FRAMES:
            raise ValueError(_too_few(len(index.slots), len(index.slots)))
        keep = spec.missing_band == "keep"
        return FrameSource(layout, header, spec.burned_in, keep, spec.nodata, spec.variable, index.cube)

    def planes(self, entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, Plane | ValueError]]:
        """Read images; one that cannot be read, or is of another form, comes as the reason."""
        if self.cube is not None:
            wanted = [(self.layout.bands[e.band], int(e.where)) for e in entries]
            yield from ((entries[i], self._checked(entries[i], plane)) for i, plane in cube_planes(self.cube, wanted))
            return
        for entry in entries:
            try:
                yield entry, self._checked(entry, read_plane(str(entry.where), self.variable))
            except ValueError as error:
                yield entry, error

    def _checked(self, entry: Entry, plane: Plane | ValueError) -> Plane | ValueError:
        if isinstance(plane, ValueError):
            return plane
        values, expected = plane[0], (self.header.height_px, self.header.width_px)
        if values.shape == expected and values.dtype == self.layout.dtype:
            return plane if self.nodata is None else (values, plane[1] & (values != self.nodata))
        found = f"{values.shape[0]} x {values.shape[1]} {values.dtype}"
        return ValueError(f"{entry.where} is {found}, the series {expected[0]} x {expected[1]} {self.layout.dtype}")

    def drawn(self, entries: tuple[Entry, ...]) -> np.ndarray:
        """Return what is drawn over every frame, bool (y, x) of the files' pixels.

        Args:
            entries: of the whole series; some of them are read, evenly over time, if lines are looked for.

        Raises:
            ValueError: too few of them can be read to tell.
        """
        height, width = self.header.height_px, self.header.width_px
        drawn = title_rows(height, width, self.burned_in.top_px, self.burned_in.bottom_px)
        if not self.burned_in.lines:
            return drawn
        slots = np.unique([e.slot for e in entries])
        count = min(len(slots), sample_size(height, width, len(self.layout.bands)))
        chosen = set(slots[np.linspace(0, len(slots) - 1, count).astype(np.intp)].tolist())
        some = tuple(e for e in entries if e.slot in chosen)
        read = [(entry, plane) for entry, plane in self.planes(some) if not isinstance(plane, ValueError)]
        if len({entry.slot for entry, _ in read}) < LEAST_FRAMES:
            raise ValueError(_too_few(len(slots), len({entry.slot for entry, _ in read})))
        return drawn | find_lines((*plane, self._range(entry.band)) for entry, plane in read)

    def _range(self, band: int) -> tuple[float, float]:
        return self.layout.offset[band], self.layout.offset[band] + self.layout.scale[band]

    def fill(self, group: zarr.Group, block: FrameBlock) -> dict[str, object]:
        """Read the files of a block and write it.

        A file that cannot be read leaves its band missing and is named in the record: one damaged file must not take a
        week along.

        Returns:
            Counts for the marker, and `damaged`: file (or time and band) to the reason.
        """
        from tiler.frame_resize import Crop, resized

        layout = self.layout
        drawn = np.asarray(array_of(group, "quality/burned_in")[...])
        crop = Crop.of(self.header.height_px, self.header.width_px, layout.height_px)
        shape = (BLOCK_SLOTS, len(layout.bands), layout.height_px, layout.width_px)
        images, valid = np.zeros(shape, layout.dtype), np.zeros(shape, bool)
        damaged: dict[str, str] = {}
        start = layout.first_slot + block.index * BLOCK_SLOTS
        for entry, plane in self.planes(block.entries):
            if isinstance(plane, ValueError):
                name = entry.where if isinstance(entry.where, str) else self._name(entry)
                damaged[name] = str(plane)
                continue
            at = entry.slot - start, entry.band
            images[at], valid[at] = resized(plane[0], plane[1] & ~drawn, crop)
        seen = np.any(valid, axis=(2, 3))
        kept = np.flatnonzero(np.any(seen, axis=1) if self.keep_partial else np.all(seen, axis=1))
        counts = fill_frames(group, block.index, kept.tolist(), images[kept], valid[kept], block.made_of)
        return {**counts, "files": len(block.entries), "damaged": damaged}

    def _name(self, entry: Entry) -> str:
        return f"{self.layout.bands[entry.band]} at {self.layout.times_of(np.array(entry.slot))}"


def _too_few(frames: int, read: int) -> str:
    return (
        f"frames.burned_in.lines: {frames} frames, of which {read} can be read, are too few to tell what stands still; "
        f"give {LEAST_FRAMES} or more, or set lines: false"
    )
