"""Pixels under many overlapping tiles, held once and in the form in which they are stored.

Tiles overlap, and as float32 channels they take two to five times what the numbers of a sensor do: so the pixels travel
to the network's device as they are, and tiles are cut there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    @classmethod
    def of(cls, bands: np.ndarray, valid: np.ndarray, fill: np.ndarray, more: np.ndarray, device: str) -> Imagery:
        """Move arrays to a device. On the CPU nothing is copied.

        bands: (b, H, W); valid: bool (H, W); fill: (b,); more: float32 (m, H, W).
        """
        moved = (_tensor(a, device) for a in (bands, valid, fill.astype(np.float32)[:, None, None], more))
        return cls(*moved)

    @property
    def channels(self) -> int:
        """Channels of a tile: the bands, a mask that is 1 where they are missing, then `more`."""
        return len(self.bands) + 1 + len(self.more)

    def tiles(self, corners: Sequence[tuple[int, int]], side_px: int) -> Tensor:
        """Cut tiles: float32 (n, channels, side_px, side_px).

        corners: row and column of each tile's upper left pixel within the rectangle.
        """
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


def _tensor(array: np.ndarray, device: str) -> Tensor:
    # Stores may hand out read-only arrays, which torch warns about although nobody writes here
    array = np.ascontiguousarray(array)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if torch.device(device).type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
