"""True areas of the pixels of a map: on the ellipsoid, whatever its projection does to areas.

Maps of countries are made in projections that keep angles, not areas: a pixel of nominally 100 m² on EPSG:5179 has
99.9 to 100.1 m² of ground, one of a Mercator map of Korea 64 m². Here a pixel has its nominal area times the area of
ground per area of map at its centre: how longitude and latitude change there along x and along y, times the radii of
curvature of the ellipsoid. That asks nothing of a projection but its inverse. On longitude and latitude it has the
exact area between its meridians and parallels. (Equations: Snyder 1987, Map Projections: A Working Manual.)
"""

from __future__ import annotations

import numpy as np
import pyproj
from numpy.polynomial import chebyshev

from tiler.grids import Box, MapGrid

DEGREE = 8
"""Of the polynomial, along each side of a rectangle, that stands for the areas."""
TOLERANCE = 1e-9
"""Relative error between the nodes from which a rectangle is cut in four."""
SMALLEST_PX = 16
"""Side of a rectangle whose pixels are computed one by one."""
STEP_M = 100.0
"""Over which coordinates are differenced: 1e-11 is lost to rounding, and as much to the curvature of projections."""


def pixel_areas(grid: MapGrid, box: Box) -> np.ndarray:
    """Return the areas of absolute map pixels in square metres of the ellipsoid: float64 (y, x).

    A pixel for which the projection has no inverse has 0; no scene sees it.
    """
    crs = grid.pixels.pyproj_crs
    if crs.is_geographic:
        return np.repeat(_between_parallels(grid, box, crs)[:, None], box.width, axis=1)
    return _of_scale(grid, box, pyproj.Proj(crs))


def _between_parallels(grid: MapGrid, box: Box, crs: pyproj.CRS) -> np.ndarray:
    """Return the area of a pixel of each row, float64 (y,) (equation 3-12, times a squared)."""
    ellipsoid = crs.ellipsoid
    assert ellipsoid is not None
    a, b = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    e = np.sqrt(1 - (b / a) ** 2)
    _, latitude = grid.pixels.xy(np.arange(box.y0, box.y1 + 1), np.zeros(box.height + 1))
    unit = float(crs.axis_info[0].unit_conversion_factor)  # to radians
    sine = np.sin(np.clip(latitude * unit, -np.pi / 2, np.pi / 2))
    logarithm = np.arctanh(e * sine) / e if e else sine
    zone = b**2 / 2 * (sine / (1 - (e * sine) ** 2) + logarithm)  # from the equator, of one radian of longitude
    return np.asarray(-np.diff(zone) * grid.resolution[1] * unit)


def _of_scale(grid: MapGrid, box: Box, projection: pyproj.Proj) -> np.ndarray:
    """Return areas as a polynomial where that is exact enough, else of parts of the rectangle."""
    if max(box.height, box.width) <= SMALLEST_PX:
        return _exact(grid, projection, *_centres(box))
    nodes = chebyshev.chebpts1(DEGREE + 1)
    fit = np.linalg.inv(chebyshev.chebvander(nodes, DEGREE))
    rows, cols = (box.y0 + box.y1 + nodes * box.height) / 2, (box.x0 + box.x1 + nodes * box.width) / 2
    coefficients = fit @ _exact(grid, projection, rows, cols) @ fit.T

    def between(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        down = chebyshev.chebvander((2 * rows - box.y0 - box.y1) / box.height, DEGREE)
        across = chebyshev.chebvander((2 * cols - box.x0 - box.x1) / box.width, DEGREE)
        return np.asarray(down @ coefficients @ across.T)

    rows, cols = np.linspace(box.y0, box.y1, DEGREE + 3), np.linspace(box.x0, box.x1, DEGREE + 3)
    expected = _exact(grid, projection, rows, cols)
    if (np.abs(between(rows, cols) - expected) <= TOLERANCE * expected).all() and expected.all():
        return between(*_centres(box))
    half = Box(box.y0, box.x0, (box.y0 + box.y1 + 1) // 2, (box.x0 + box.x1 + 1) // 2)
    found = np.empty((box.height, box.width))
    for y0, y1 in ((box.y0, half.y1), (half.y1, box.y1)):
        for x0, x1 in ((box.x0, half.x1), (half.x1, box.x1)):
            part = Box(y0, x0, y1, x1)
            if not part.empty:
                found[part.shift(-box.y0, -box.x0).slices] = _of_scale(grid, part, projection)
    return found


def _centres(box: Box) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(box.y0, box.y1) + 0.5, np.arange(box.x0, box.x1) + 0.5


def _exact(grid: MapGrid, projection: pyproj.Proj, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Return areas of pixels around each of some rows and columns, float64 (y, x); 0 without an inverse."""
    crs, (height, width) = grid.pixels.pyproj_crs, grid.resolution
    ellipsoid = crs.ellipsoid
    assert ellipsoid is not None
    step = STEP_M / float(crs.axis_info[0].unit_conversion_factor)
    x, y = grid.pixels.xy(*np.meshgrid(rows, cols, indexing="ij"))
    lon_x, lat_x = _difference(projection, x, y, step, 0.0)
    lon_y, lat_y = _difference(projection, x, y, 0.0, step)
    _, lat = projection(x, y, inverse=True)
    sine = np.sin(np.radians(lat))
    eccentricity = 1 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2  # squared
    # product of the radii of curvature along the meridian and across it (equations 4-18 to 4-20)
    radii = ellipsoid.semi_major_metre**2 * (1 - eccentricity) / (1 - eccentricity * sine**2) ** 2
    with np.errstate(invalid="ignore"):  # where the projection has no inverse
        found = radii * np.cos(np.radians(lat)) * np.abs(lon_x * lat_y - lon_y * lat_x) * height * width
    return np.where(np.isfinite(found), found, 0.0)


def _difference(
    projection: pyproj.Proj, x: np.ndarray, y: np.ndarray, dx: float, dy: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how longitude and latitude change, in radians per unit of the CRS, along x or along y."""
    (lon0, lat0), (lon1, lat1) = (projection(x + s * dx, y + s * dy, inverse=True) for s in (-0.5, 0.5))
    with np.errstate(invalid="ignore"):
        across = (np.asarray(lon1) - lon0 + 180) % 360 - 180  # the antimeridian may lie between
        return np.radians(across) / (dx + dy), np.radians(np.asarray(lat1) - lat0) / (dx + dy)
