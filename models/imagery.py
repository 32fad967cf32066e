"""Pixels under many overlapping tiles, held once and in the form in which they are stored.

Tiles overlap, and as float32 channels they take two to five times what the numbers of a sensor do: so the pixels travel
to the network's device as they are, and tiles are cut there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Imagery:
    """A rectangle of imagery on some device."""

    bands: Tensor
    """(b, H, W) of any real dtype, in the units of the sensor."""
    valid: Tensor
    """bool (H, W): where `bands` hold what was measured."""
    fill: Tensor
    """float32 (b, 1, 1): what takes the place of the others."""
    more: Tensor
    """float32 (m, H, W): channels that are ready as they are, NaN where missing."""
    ready: torch.cuda.Event | None = field(kw_only=True)
    """On a GPU: when the pixels are there; whoever cuts tiles waits for it on the device."""

    @classmethod
    def of(cls, bands: np.ndarray, valid: np.ndarray, fill: np.ndarray, more: np.ndarray, device: str) -> Imagery:
        """Move arrays to a device. On the CPU nothing is copied.

        bands: (b, H, W); valid: bool (H, W); fill: (b,); more: float32 (m, H, W).
        """
        there = [_tensor(a) for a in (bands, valid, fill.astype(np.float32)[:, None, None], more)]
        if torch.device(device).type == "cpu":
            return cls(*there, ready=None)
        # On a stream of its own: in the networks' it would queue up between their passes. Nobody holds the pinned
        # memory here, but torch gives it to others only when the copy is over.
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            moved = [tensor.pin_memory().to(device, non_blocking=True) for tensor in there]
            return cls(*moved, ready=stream.record_event())

    @property
    def channels(self) -> int:
        """Channels of a tile: the bands, a mask that is 1 where they are missing, then `more`."""
        return len(self.bands) + 1 + len(self.more)

    def tiles(self, corners: Sequence[tuple[int, int]], side_px: int) -> Tensor:
        """Cut tiles: float32 (n, channels, side_px, side_px).

        corners: row and column of each tile's upper left pixel within the rectangle.
        """
        if self.ready is not None:
            stream = torch.cuda.current_stream(self.bands.device)
            stream.wait_event(self.ready)
            for tensor in (self.bands, self.valid, self.fill, self.more):
                tensor.record_stream(stream)
        count = len(self.bands)
        out = torch.empty((len(corners), self.channels, side_px, side_px), device=self.bands.device)
        for tile, (row, col) in zip(out, corners, strict=True):
            part = (..., slice(row, row + side_px), slice(col, col + side_px))
            valid = self.valid[part]
            tile[:count] = self.bands[part]
            torch.where(valid, tile[:count], self.fill, out=tile[:count])
            torch.logical_not(valid, out=tile[count])
            tile[count + 1 :] = self.more[part]
        return out


def _tensor(array: np.ndarray) -> Tensor:
    # Stores may hand out read-only arrays, which torch warns about although nobody writes here
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())
