"""Polygons of a map that is only ever read cell by cell: one for each site, whatever cells it lies in.

    pass 1   each cell: label patches, add up what they hold, spill the labels   tiler.patches
             all tables: which patches are one site, which sites stay            tiler.sites
    pass 2   each cell: follow outlines; after each row of cells: draw the sites
             that are complete                                                   tiler.outlines

Memory grows with the number of patches (some hundred bytes each) and with the outlines of sites that go on in the next
row of cells, never with the pixels.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import shapely

from tiler.ahead import ahead
from tiler.corner_map import CornerMap
from tiler.grids import Box, MapGrid
from tiler.outlines import Outlines
from tiler.patches import PatchFinder, PolygonRules, SiteLayers
from tiler.pixel_areas import pixel_areas
from tiler.sites import Sites, sites_of

SCRATCH = ".polygons."
"""How the names of folders for labels begin."""


@dataclass(frozen=True)
class Spilled:
    """The labels of a cell on disk."""

    path: Path
    shape: tuple[int, int]
    offset: int
    """What makes a label the name of a patch."""

    @staticmethod
    def write(path: Path, labels: np.ndarray, offset: int) -> Spilled:
        """Write labels, int32 (y, x)."""
        path.write_bytes(zlib.compress(labels.tobytes(), 1))
        return Spilled(path, labels.shape, offset)

    def read(self) -> np.ndarray:
        """Return int32 (y, x), to be changed."""
        return np.frombuffer(bytearray(zlib.decompress(self.path.read_bytes())), np.int32).reshape(self.shape)


@dataclass(frozen=True)
class Drawn:
    """Some of the sites of a map."""

    numbers: np.ndarray
    """int64: places in `Sites`, rising."""
    shapes: np.ndarray
    """shapely polygons and multipolygons in the coordinates of the map."""


class PolygonJob:
    """The polygons of one map."""

    def __init__(self, grid: MapGrid, extent: Box, rules: PolygonRules, scratch: Path) -> None:
        """Begin.

        Args:
            grid: of the map.
            extent: absolute map pixels.
            rules: which sites, and how they are drawn.
            scratch: folder for labels; they are gone when the polygons are drawn.
        """
        self.grid, self.extent, self.rules = grid, extent, rules
        self._boxes = list(MapGrid.parts_of(extent))
        self._scratch = scratch
        self._labels: list[Spilled] = []

    def sites(self, layers_of: Callable[[Box], SiteLayers], on_cell: Callable[[], object] = lambda: None) -> Sites:
        """Read every cell, and tell which sites there are."""
        finder = PatchFinder(self.extent, self.rules)
        for number, (box, layers) in enumerate(zip(self._boxes, ahead(layers_of, self._boxes), strict=True)):
            labels, offset = finder.add(box, layers, partial(pixel_areas, self.grid))
            self._labels.append(Spilled.write(self._scratch / f"{number}.labels", labels, offset))
            on_cell()
        return sites_of(finder.table(), self.rules)

    def draw(self, sites: Sites, on_cell: Callable[[], object] = lambda: None) -> Iterator[Drawn]:
        """Yield the sites, those of a row of cells after each other."""
        from tiler.patch_kernels import rename

        corners = None
        if self.rules.simplify_px > 0:
            corners = CornerMap(self._scratch / "corners", self.extent.height, self.extent.width)
        outlines = Outlines(self.extent, self.rules, corners)
        # the crack below the last pixel of a cell is drawn by the cell below
        complete_row = np.minimum(sites.last_row + 1, self.extent.height - 1)
        row_of_site, before = complete_row + self.extent.y0, self.extent.y0
        read = ahead(Spilled.read, self._labels)
        for box, spilled, names in zip(self._boxes, self._labels, read, strict=True):
            most = int(names.max(initial=0))
            rename(names, np.append(np.int32(0), sites.drawn[spilled.offset + 1 : spilled.offset + 1 + most]))
            outlines.add(box, names)
            on_cell()
            if box.x1 == self.extent.x1:
                fresh = (
                    ((row_of_site >= before) & (row_of_site < box.y1))[sites.owner] if len(sites) else np.zeros(1, bool)
                )
                fresh[0] = False
                before = box.y1
                drawn = self._gathered(*outlines.finish(fresh), sites)
                if len(drawn.numbers):
                    yield drawn

    def _gathered(self, patches: np.ndarray, polygons: np.ndarray, sites: Sites) -> Drawn:
        """Make sites of patches, and bring them to the coordinates of the map."""
        owner = sites.owner[patches]
        first = shapely.get_point(shapely.get_exterior_ring(polygons), 0)
        order = np.lexsort((shapely.get_x(first), shapely.get_y(first), owner))  # whatever cell found it first
        numbers = np.unique(owner)
        if self.rules.connectivity == 8:
            whole = shapely.multipolygons(polygons[order], indices=np.searchsorted(numbers, owner[order]))
        else:
            whole = polygons[order]
        place = self.grid.grid_of(self.extent)
        return Drawn(numbers, shapely.transform(whole, lambda x, y: place.xy(y, x), interleaved=False))


def scratch_folder(beside: Path) -> TemporaryDirectory[str]:
    """Return a hidden folder beside the files that are made, on the same disk; it goes when it is left.

    Those that a killed process left there go, too.
    """
    for left in beside.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    return TemporaryDirectory(prefix=SCRATCH, dir=beside)
