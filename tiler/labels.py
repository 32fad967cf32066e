"""Labels: rasters of class codes, brought to a scene's pixels by geography (the pixel that holds the centre)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from tiler.grids import Box, MapGrid, PixelGrid, footprint
from tiler.patterns import expand
from tiler.rasters import Header, digest, fingerprint, read_header
from tiler.warp import Mapping, nearest

IGNORE = 255
"""Label of a pixel that nobody labelled: it neither trains nor counts."""


class LabelSpec(BaseModel):
    """Label rasters as a user describes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: str | tuple[str, ...]
    """Paths, globs or folders; each file on its own grid."""
    codes: dict[int, int]
    """Code in the file to class index (0 is background); codes that are not listed are background."""
    ignore: tuple[int, ...] = ()
    """Codes that mean "not labelled"."""


@dataclass(frozen=True)
class Labels:
    """Label rasters with the table of their codes; nothing is read until `read`."""

    headers: tuple[Header, ...]
    codes: tuple[tuple[int, int], ...]
    ignore: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        """Digest of what identifies the files' content and the meaning of their codes."""
        return digest([*(fingerprint(h.path) for h in self.headers), repr((self.codes, self.ignore))])

    def near(self, grid: PixelGrid) -> Labels:
        """Return only the rasters that may overlap `grid`."""
        pixels = MapGrid.like(grid)
        mine, _ = footprint(grid, pixels)
        kept = tuple(h for h in self.headers if h.grid and not footprint(h.grid, pixels)[0].clip(mine).empty)
        return Labels(kept, self.codes, self.ignore)

    def read(self, grid: PixelGrid, box: Box) -> np.ndarray:
        """Read labels at the pixels of a rectangle of a scene.

        Args:
            grid: the scene's grid.
            box: scene pixels.

        Returns:
            uint8 (y, x): class index; `IGNORE` where no raster reaches or its code is to be ignored. Where rasters
            overlap, the first in name order that labels the pixel wins.
        """
        out = np.full((box.height, box.width), IGNORE, np.uint8)
        for header in self.headers:
            if header.grid is None:
                continue
            mapping = Mapping(grid, header.grid)
            at = mapping.source_box(box)
            if at.empty:
                continue
            codes = header.read([1], at)[0]
            found = nearest(mapping, box, self._classes(codes, header.nodata), at, IGNORE)
            out = np.where(out == IGNORE, found, out)
        return out

    def _classes(self, codes: np.ndarray, nodata: float | None) -> np.ndarray:
        out = np.zeros(codes.shape, np.uint8)
        for code, index in self.codes:
            out[codes == code] = index
        unlabelled: tuple[float, ...] = self.ignore if nodata is None else (*self.ignore, nodata)
        for missing in unlabelled:
            out[codes == missing] = IGNORE
        return out


def open_labels(spec: LabelSpec) -> Labels:
    """Read the headers of label rasters.

    Raises:
        ValueError: nothing matches, a file is damaged or lies nowhere.
    """
    paths = expand(spec.files)
    if not paths:
        raise ValueError(f"labels: no file matches {spec.files!r}; check the path (it is relative to here)")
    for index in spec.codes.values():
        if not 0 <= index < IGNORE:
            raise ValueError(
                f"labels: class index {index} in `codes` is not in 0..{IGNORE - 1}; use `ignore` for no label"
            )
    headers: Sequence[Header] = [read_header(path) for path in paths]
    for header in headers:
        if header.grid is None:
            raise ValueError(f"labels: {header.path} has no CRS and transform; labels must say where they lie")
    return Labels(tuple(headers), tuple(spec.codes.items()), spec.ignore)
