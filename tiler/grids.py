"""Pixel grids: a coordinate reference system, an affine transform and a size; and the map's absolute grid of cells.

Everything here is arithmetic on numbers; nothing opens a file. Rows grow downwards, columns to the right, and pixel
`(row, col)` covers `[row, row + 1) x [col, col + 1)`: its centre is at `+ 0.5`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pyproj
from affine import Affine

CELL_PX = 2048
"""Side of a map cell in map pixels: the unit of work, and the zarr shard, of Mosaic."""
MESH_PX = (512, 256, 128, 64)
"""Sides of the quadrilaterals that a footprint is made of, in scene pixels: the first that is exact enough."""
BEND_PX = 0.05
"""Map pixels that a side may bend: a pixel missed for it has its centre outside the scene, and is never seen."""


@dataclass(frozen=True)
class Box:
    """A half-open rectangle of pixels, `[y0, y1) x [x0, x1)`."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def empty(self) -> bool:
        """Whether the rectangle holds no pixel."""
        return self.height <= 0 or self.width <= 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as `(rows, cols)` of an array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def clip(self, other: Box) -> Box:
        """Return the part that lies in both (possibly `empty`)."""
        return Box(max(self.y0, other.y0), max(self.x0, other.x0), min(self.y1, other.y1), min(self.x1, other.x1))

    def shift(self, dy: int, dx: int) -> Box:
        """Return the rectangle moved by `dy` rows and `dx` columns."""
        return Box(self.y0 + dy, self.x0 + dx, self.y1 + dy, self.x1 + dx)


@dataclass(frozen=True)
class PixelGrid:
    """Where the pixels of an array lie on the Earth."""

    crs: str
    """WKT (or anything that pyproj reads)."""
    transform: tuple[float, float, float, float, float, float]
    """Affine coefficients a, b, c, d, e, f: x = a * col + b * row + c, y = d * col + e * row + f."""
    height: int
    width: int

    @property
    def affine(self) -> Affine:
        """The transform as an `Affine`, from (col, row) to (x, y)."""
        return Affine(*self.transform)

    def pixel_area_m2(self, row: float) -> float:
        """Return the area of a pixel in a row; on a geographic grid it varies with it."""
        crs, (height, width) = self.pyproj_crs, self.resolution
        if not crs.is_geographic:
            return height * width * float(crs.axis_info[0].unit_conversion_factor) ** 2
        ellipsoid = crs.ellipsoid
        assert ellipsoid is not None
        eccentricity = 1 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2  # squared
        _, latitude = self.xy(np.array(row), np.array(0.0))
        sine = 1 - eccentricity * np.sin(np.radians(latitude)) ** 2
        # radii of curvature along the meridian and across it (Snyder 1987, equations 4-18 to 4-20)
        along = ellipsoid.semi_major_metre * (1 - eccentricity) / sine**1.5
        across = ellipsoid.semi_major_metre / np.sqrt(sine) * np.cos(np.radians(latitude))
        return float(along * across * np.radians(height) * np.radians(width))

    def area_km2(self, box: Box) -> float:
        """Return the area of a rectangle of pixels, as that of its middle row times its rows."""
        return 0.0 if box.empty else self.pixel_area_m2((box.y0 + box.y1) / 2) * box.height * box.width / 1e6

    def xy(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return map coordinates `(x, y)`, float64, of places given in pixels."""
        a, b, c, d, e, f = self.transform
        rows, cols = np.asarray(rows, float), np.asarray(cols, float)
        return a * cols + b * rows + c, d * cols + e * rows + f

    def rowcol(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `(row, col)`, float64, of map coordinates: the inverse of `xy`."""
        a, b, c, d, e, f = self.transform
        dx, dy = np.asarray(x, float) - c, np.asarray(y, float) - f
        determinant = a * e - b * d
        return (a * dy - d * dx) / determinant, (e * dx - b * dy) / determinant

    def part(self, box: Box) -> PixelGrid:
        """Return the grid of a rectangle of its pixels (which may reach beyond it)."""
        a, b, c, d, e, f = self.transform
        origin = c + a * box.x0 + b * box.y0, f + d * box.x0 + e * box.y0
        return PixelGrid(self.crs, (a, b, origin[0], d, e, origin[1]), box.height, box.width)

    @property
    def box(self) -> Box:
        """All its pixels."""
        return Box(0, 0, self.height, self.width)

    @property
    def resolution(self) -> tuple[float, float]:
        """Pixel size `(y, x)` in units of the CRS, positive."""
        a = self.affine
        return math.hypot(a.b, a.e), math.hypot(a.a, a.d)

    @cached_property
    def pyproj_crs(self) -> pyproj.CRS:
        """The coordinate reference system as an object."""
        return pyproj.CRS.from_user_input(self.crs)

    def offset_of(self, other: PixelGrid) -> tuple[float, float]:
        """Return the place `(row, col)` of `other`'s origin in this grid's pixels (same CRS assumed)."""
        row, col = self.rowcol(np.array(other.transform[2]), np.array(other.transform[5]))
        return float(row), float(col)

    def to_json(self) -> dict[str, object]:
        """Return the grid as plain JSON values."""
        return {"crs": self.crs, "transform": list(self.transform), "height": self.height, "width": self.width}

    @staticmethod
    def from_json(values: dict) -> PixelGrid:
        """Undo `to_json`."""
        return PixelGrid(values["crs"], tuple(values["transform"]), int(values["height"]), int(values["width"]))


def same_crs(a: str, b: str) -> bool:
    """Whether two CRS descriptions mean the same system, whatever their axis order or wording."""
    return a == b or pyproj.CRS.from_user_input(a).equals(pyproj.CRS.from_user_input(b), ignore_axis_order=True)


@dataclass(frozen=True, order=True)
class Cell:
    """One cell of the map grid: the same place at every date, in every run."""

    row: int
    col: int

    @property
    def unit(self) -> str:
        """The name of the cell as a unit of work."""
        return f"cell_r{self.row}_c{self.col}"


@dataclass(frozen=True)
class MapGrid:
    """The absolute grid that maps are made on: pixel (0, 0) is anchored to the CRS's own origin, not to a scene."""

    crs: str
    resolution: tuple[float, float]
    """Pixel size `(y, x)` in units of the CRS."""
    phase: tuple[float, float] = (0.0, 0.0)
    """Offset `(y, x)` of the pixel borders from multiples of the resolution, so that `grid: auto` does not resample."""

    def __post_init__(self) -> None:
        if min(self.resolution) <= 0:
            raise ValueError(f"grid resolution must be positive, got {self.resolution}; give metres or degrees above 0")

    @property
    def pixels(self) -> PixelGrid:
        """The whole plane as a pixel grid (absolute map pixels; height and width are nominal)."""
        (ry, rx), (py, px) = self.resolution, self.phase
        return PixelGrid(self.crs, (rx, 0.0, px, 0.0, -ry, py), CELL_PX, CELL_PX)

    def grid_of(self, box: Box) -> PixelGrid:
        """Return the pixel grid of a rectangle of absolute map pixels."""
        return self.pixels.part(box)

    @staticmethod
    def box_of(cell: Cell) -> Box:
        """Return the absolute map pixels of a cell."""
        return Box(cell.row * CELL_PX, cell.col * CELL_PX, (cell.row + 1) * CELL_PX, (cell.col + 1) * CELL_PX)

    @staticmethod
    def cells_of(box: Box) -> Iterator[Cell]:
        """Yield the cells that a rectangle of absolute map pixels touches, row by row."""
        rows, cols = (range(a // CELL_PX, -(-b // CELL_PX)) for a, b in ((box.y0, box.y1), (box.x0, box.x1)))
        if not box.empty:
            yield from (Cell(row, col) for row in rows for col in cols)

    @staticmethod
    def parts_of(box: Box) -> Iterator[Box]:
        """Yield the parts of a rectangle of absolute map pixels that lie in one cell each, row by row."""
        return (MapGrid.box_of(cell).clip(box) for cell in MapGrid.cells_of(box))

    @staticmethod
    def like(grid: PixelGrid) -> MapGrid:
        """Return the map grid on which the pixels of a north-up `grid` fall exactly (`grid: auto`).

        A rotated or south-up grid gives a north-up map of the same resolution.
        """
        ry, rx = grid.resolution
        return MapGrid(grid.crs, (ry, rx), (_phase(grid.transform[5], ry), _phase(grid.transform[2], rx)))


def _phase(origin: float, resolution: float) -> float:
    """Return the offset of a pixel border from multiples of the resolution, with rounding noise removed."""
    phase = origin - math.floor(origin / resolution) * resolution
    return 0.0 if min(phase, resolution - phase) < 1e-6 * resolution else phase


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> pyproj.Transformer | None:
    """Return what takes `(x, y)` of one CRS to another, None where they are the same; a run has few of them."""
    return None if same_crs(source, target) else pyproj.Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=256)
def _is_geographic(crs: str) -> bool:
    return bool(pyproj.CRS.from_user_input(crs).is_geographic)


def _mesh(grid: PixelGrid, target: MapGrid, step_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the target's coordinates `(x, y)`, float64 (rows, cols), of every `step_px`-th pixel corner of a scene."""
    rows = np.unique(np.append(np.arange(0, grid.height, step_px), grid.height)).astype(float)
    cols = np.unique(np.append(np.arange(0, grid.width, step_px), grid.width)).astype(float)
    cc, rr = np.meshgrid(cols, rows)
    x, y = grid.xy(rr, cc)
    change = transformer(grid.crs, target.crs)
    return (x, y) if change is None else change.transform(x, y)


def _bend(values: np.ndarray) -> float:
    """Return how far the edges of a mesh stray from straight lines: the sagitta is an eighth of the second difference.

    The last row and column of a mesh may stand closer and are left out; a place without coordinates gives infinity.
    """
    if not np.isfinite(values).all():
        return float("inf")
    return max(float(np.abs(np.diff(values[:-1, :-1], 2, axis=axis)).max(initial=0.0)) for axis in (0, 1)) / 8


def quad_boxes(grid: PixelGrid, target: MapGrid) -> np.ndarray:
    """Return bounding rectangles, in absolute map pixels, of a mesh laid over a scene.

    The footprint is followed by small quadrilaterals rather than by one polygon, so that zone borders, poles and the
    antimeridian need no special case but one: a quadrilateral whose longitudes jump by more than 180 degrees is cut
    there in two. They are as small as they must be for edges that bend by no more than `BEND_PX`.

    Returns:
        float64 (n, 4): y0, x0, y1, x1; quadrilaterals that the target CRS cannot represent are left out.
    """
    smallest = max(1, min(MESH_PX[-1], max(grid.height, grid.width) // 16))  # a small grid may have very large pixels
    for step_px in (*(step for step in MESH_PX[:-1] if step * 16 <= min(grid.height, grid.width)), smallest):
        x, y = _mesh(grid, target, step_px)
        if _bend(x) <= BEND_PX * target.resolution[1] and _bend(y) <= BEND_PX * target.resolution[0]:
            break
    corners_x = np.stack([x[:-1, :-1], x[1:, :-1], x[:-1, 1:], x[1:, 1:]]).reshape(4, -1)
    corners_y = np.stack([y[:-1, :-1], y[1:, :-1], y[:-1, 1:], y[1:, 1:]]).reshape(4, -1)
    finite = np.isfinite(corners_x).all(0) & np.isfinite(corners_y).all(0)
    corners_x, corners_y = corners_x[:, finite], corners_y[:, finite]
    left, right = corners_x.min(0), corners_x.max(0)
    bottom, top = corners_y.min(0), corners_y.max(0)
    if _is_geographic(target.crs):
        cut = right - left > 180.0
        west = np.where(corners_x < 0, corners_x, -180.0).max(0)
        east = np.where(corners_x > 0, corners_x, 180.0).min(0)
        left = np.concatenate([np.where(cut, -180.0, left), east[cut]])
        right = np.concatenate([np.where(cut, west, right), np.full(int(cut.sum()), 180.0)])
        bottom, top = np.concatenate([bottom, bottom[cut]]), np.concatenate([top, top[cut]])
    (ry, rx), (py, px) = target.resolution, target.phase
    return np.stack([(py - top) / ry, (left - px) / rx, (py - bottom) / ry, (right - px) / rx], axis=1)


def footprint(grid: PixelGrid, target: MapGrid) -> tuple[Box, frozenset[Cell]]:
    """Return the rectangle of absolute map pixels and the set of cells that a scene may touch."""
    quads = quad_boxes(grid, target)
    if not len(quads):
        raise ValueError(
            f"the scene's footprint has no coordinates in the grid's CRS {target.crs[:60]!r}; choose another grid.crs"
        )
    tolerance = 1e-6  # rounding noise of the transforms must not add a row of pixels
    low, high = np.floor(quads[:, :2] + tolerance).astype(int), np.ceil(quads[:, 2:] - tolerance).astype(int)
    box = Box(int(low[:, 0].min()), int(low[:, 1].min()), int(high[:, 0].max()), int(high[:, 1].max()))
    pairs = set(map(tuple, np.concatenate([low // CELL_PX, (high - 1) // CELL_PX], axis=1).tolist()))
    cells = {(r, c) for r0, c0, r1, c1 in pairs for r in range(r0, r1 + 1) for c in range(c0, c1 + 1)}
    return box, frozenset(Cell(r, c) for r, c in cells)
