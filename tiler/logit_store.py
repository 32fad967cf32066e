"""Window logits: what the networks said about each whole window of a scene, overlap included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntFlag
from functools import cached_property
from typing import Any

import numpy as np

from tiler.grids import Box
from tiler.lattice import Lattice
from tiler.stores import add_array, array_of, attributes_of, finish_group, new_group, open_group, write_shard

EXPONENT = np.uint16(0x7C00)
"""Bits of the exponent of a float16: all set in NaN and infinity."""
FLAGS = "flags"
"""The array of `Flag`: a chunk for each shard, of which those that hold nothing are not there."""


class Flag(IntFlag):
    """What has to be known of a window; most have none."""

    NAN = 1
    """The networks answered NaN: the window is quarantined."""
    INFINITE = 2
    """They answered infinity: the window is quarantined."""
    INFINITE_INPUT = 4
    """What they were shown held infinities."""
    CLAMPED = 8
    """Values beyond float16 were set to its largest."""
    SMALLER_BATCH = 16
    """Memory was too small for the batch that was planned: the last bits may be others than with that one."""


QUARANTINED = Flag.NAN | Flag.INFINITE


@dataclass(frozen=True, order=True)
class WindowShard:
    """A group of windows that lie in one zarr shard: the unit of work of Infer."""

    scene: str
    row: int
    col: int

    @property
    def unit(self) -> str:
        """The name of the shard as a unit of work."""
        return f"{self.scene}/r{self.row}_c{self.col}"


def window_shards(scene: str, lattice: Lattice) -> Iterator[WindowShard]:
    """Yield the window shards of a scene, row by row."""
    for row in range(lattice.shard_rows):
        for col in range(lattice.shard_cols):
            yield WindowShard(scene, row, col)


def layer_names(classes: Sequence[str], uncertainty: bool) -> list[str]:
    """Return the layers of a window in order: a logit for each class, then a spread for each class.

    With uncertainty then a mean probability for each class, and one mean entropy.
    """
    kinds = ("logit", "spread", "probability") if uncertainty else ("logit", "spread")
    return [f"{kind}_{name}" for kind in kinds for name in classes] + ["entropy"] * uncertainty


def create_logit_store(
    url: str,
    scene: str,
    lattice: Lattice,
    classes: tuple[str, ...],
    wanted: np.ndarray | None,
    uncertainty: bool = False,
) -> None:
    """Make the empty logit store of a scene, padded to whole shards.

    Args:
        url: where.
        scene: id of the scene.
        lattice: its windows.
        classes: names of the classes that have a logit each.
        wanted: bool (rows, cols), False for windows outside the area of interest; None wants all.
        uncertainty: as `layer_names`.
    """
    group, names = new_group(url), layer_names(classes, uncertainty)
    n, tile, channels = lattice.shard_windows, lattice.tile_px, len(names)
    shape = (lattice.shard_rows * n, lattice.shard_cols * n, channels, tile, tile)
    dims = ("row", "col", "channel", "y", "x")
    chunk, shard = (1, 1, channels, tile, tile), (n, n, channels, tile, tile)
    add_array(group, "logits", dims, shape, chunk, shard, "float16", 0.0)
    mask = np.ones((lattice.rows, lattice.cols), bool) if wanted is None else wanted
    add_array(group, "wanted", ("row", "col"), mask.shape, mask.shape, None, "bool", False)[...] = mask
    add_array(
        group, FLAGS, ("row", "col"), shape[:2], (n, n), None, "uint8", 0, {"bits": {f.name: f.value for f in Flag}}
    )
    finish_group(
        group, {"scene": scene, "lattice": asdict(lattice), "class_names": list(classes), "channel_names": names}
    )


class LogitStore:
    """A logit store opened for filling and reading."""

    def __init__(self, url: str) -> None:
        self.group = open_group(url)
        attrs = attributes_of(self.group)
        self.lattice = Lattice(**attrs["lattice"])
        self.classes: tuple[str, ...] = tuple(attrs["class_names"])
        self.layers = len(attrs["channel_names"])
        """Layers of a window: `layer_names`."""
        self._wanted = np.asarray(array_of(self.group, "wanted")[...])
        self._logits = array_of(self.group, "logits")

    def windows_of(self, shard: WindowShard) -> list[tuple[int, int]]:
        """Return the wanted windows `(row, col)` of a shard."""
        return [place for place in self.lattice.shard(shard.row, shard.col) if self._wanted[place]]

    @cached_property
    def flags(self) -> np.ndarray:
        """What has to be known of the windows that were written before this is first asked for: `Flag`, (rows, cols).

        One listing, where there is nothing to be known.
        """
        if self._flags.nchunks_initialized == 0:
            return np.zeros((self.lattice.rows, self.lattice.cols), np.uint8)
        return np.asarray(self._flags[: self.lattice.rows, : self.lattice.cols])

    @cached_property
    def _flags(self) -> Any:
        return array_of(self.group, FLAGS)

    @cached_property
    def lacks_windows(self) -> bool:
        """Whether any of these windows is quarantined."""
        return bool((self.flags & QUARANTINED).any())

    @cached_property
    def _usable(self) -> np.ndarray:
        return np.asarray(self._wanted & ((self.flags & QUARANTINED) == 0))

    def write(
        self,
        shard: WindowShard,
        places: Sequence[tuple[int, int]],
        windows: np.ndarray,
        flags: Mapping[tuple[int, int], Flag] | None = None,
    ) -> int:
        """Write a whole shard in one assignment; windows that are absent stay zero, quarantined ones are NaN.

        Args:
            shard: which.
            places: `(row, col)` of each window.
            windows: float16 (window, layers, tile_px, tile_px).
            flags: of windows that have any.

        Returns:
            Bytes of the shard before compression.

        Raises:
            ArithmeticError: a value is NaN or infinite in a window that is not quarantined.
        """
        n, tile, said = self.lattice.shard_windows, self.lattice.tile_px, flags or {}
        block = np.zeros((n, n, self.layers, tile, tile), np.float16)
        known = np.zeros((n, n), np.uint8)
        for place, values in zip(places, windows, strict=True):
            at = place[0] - shard.row * n, place[1] - shard.col * n
            known[at] = said.get(place, 0)
            if known[at] & QUARANTINED:
                block[at] = np.nan
                continue
            if _any_special(values):
                raise ArithmeticError(f"window {place} of {shard.scene}: the networks gave NaN or infinite logits")
            block[at] = values
        rows, cols = (slice(at * n, (at + 1) * n) for at in (shard.row, shard.col))
        write_shard(self._logits, (rows, cols, slice(None), slice(None), slice(None)), block)
        write_shard(self._flags, (rows, cols), known)
        return block.nbytes

    def windows(self, row: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Read windows of a row, columns from `first` to before `last`: one call of zarr instead of one for each.

        Returns:
            float16 (window, layers, tile_px, tile_px), and bool (window,): which were wanted and are not quarantined.
        """
        return np.asarray(self._logits[row : row + 1, first:last])[0], self._usable[row, first:last]


def wanted_windows(lattice: Lattice, touches: np.ndarray | None) -> np.ndarray | None:
    """Return which windows hold a wanted pixel.

    Args:
        lattice: the windows.
        touches: bool (y, x) in blocks of 32 px, True where the area of interest touches the block; None wants all.
    """
    if touches is None:
        return None
    out = np.zeros((lattice.rows, lattice.cols), bool)
    for row in range(lattice.rows):
        for col in range(lattice.cols):
            box: Box = lattice.window(row, col)
            out[row, col] = touches[box.y0 // 32 : -(-box.y1 // 32), box.x0 // 32 : -(-box.x1 // 32)].any()
    return out


def _any_special(values: np.ndarray) -> bool:
    # numpy computes float16 in software: whole numbers are compared twenty times faster
    return bool(((values.view(np.uint16) & EXPONENT) == EXPONENT).any())
