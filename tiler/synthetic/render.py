"""Scenes as arrays: any rectangle of a scene, the same bits alone or inside a larger one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.sensors import SENSORS
from tiler.synthetic.acquisition import Acquisition, Response, add_air, add_snow, beyond_swath, lost
from tiler.synthetic.canvas import Patch
from tiler.synthetic.country import Country
from tiler.synthetic.noise import Array, bell, hash_cells, key_of
from tiler.synthetic.surface import industry, surface

NODATA = 0
LABEL_ERROR_PX = 1.0


@dataclass(frozen=True, eq=False)
class Rendered:
    """A rectangle of a scene."""

    image: Array
    """(band, y, x) digital numbers: uint16 with 0 where missing, or float32 with NaN."""
    valid: Array
    """bool (y, x)."""
    truth: Array
    """bool (y, x): what is industrial, exactly."""
    label: Array
    """bool (y, x): as drawn by hand, borders wrong by about a pixel."""
    clouds: Array
    """uint8 (y, x): see `acquisition.CLEAR`."""


def ground_grid(grid: PixelGrid, response: Response) -> PixelGrid:
    """Return the finer grid on which the ground under a scene is drawn."""
    a, b, c, d, e, f = grid.transform
    n = response.pixel
    return PixelGrid(grid.crs, (a / n, b / n, c, d / n, e / n, f), grid.height * n, grid.width * n)


def check_resolution(grid: PixelGrid, how: Acquisition) -> None:
    """Refuse pixels that the sensor does not have.

    Raises:
        ValueError: the pixel size differs from the sensor's by more than a fifth.
    """
    wanted = SENSORS[how.sensor].resolution_m
    if any(abs(side - wanted) > 0.2 * wanted for side in grid.resolution):
        raise ValueError(
            f"a {how.sensor} scene has pixels of {wanted:g} m, the grid has {grid.resolution}; "
            f"make the grid of {wanted:g} m"
        )


def render(country: Country, grid: PixelGrid, how: Acquisition, box: Box, *, floating: bool = False) -> Rendered:
    """Draw a rectangle of a scene.

    Args:
        country: the world.
        grid: the whole scene, in any projected CRS with metres.
        how: sensor, day and weather.
        box: scene pixels; may reach outside the scene.
        floating: give float32 with NaN where missing in place of uint16 with 0.
    """
    response = how.response
    n, margin = response.pixel, len(response.blur) - 1
    fine = Box(box.y0 * n - margin, box.x0 * n - margin, box.y1 * n + margin, box.x1 * n + margin)
    patch = Patch.of(ground_grid(grid, response), fine)
    sites = country.sites_within(patch.bounds)
    seen = surface(country, patch, sites, how.day, how.sun)
    add_snow(seen, patch, how.snow, country.seed)
    clouds = add_air(seen, patch, how, country.seed)
    middle = (slice(margin + n // 2, seen.shape[1] - margin, n), slice(margin + n // 2, seen.shape[2] - margin, n))
    shift_m = LABEL_ERROR_PX * 10 * n
    rows, cols = np.arange(box.y0, box.y1), np.arange(box.x0, box.x1)
    valid = ~(lost(patch, how, country.seed)[middle] | beyond_swath(how, rows, cols, grid.width))
    return Rendered(
        image=_numbers(_blurred(seen, response), how, country.seed, (rows, cols), valid, floating),
        valid=valid,
        truth=industry(country, patch, sites)[middle],
        label=industry(country, patch, sites, shift_m)[middle],
        clouds=clouds[middle],
    )


def _blurred(seen: Array, response: Response) -> Array:
    """Return the light in the sensor's pixels, float32 (band, y, x): both passes add in one order for every cut."""
    n, reach = response.pixel, len(response.blur) - 1
    for axis in (1, 2):
        size = (seen.shape[axis] - 2 * reach) // n
        total: Array = np.zeros((1, 1, 1), np.float32)
        for k in range(-reach, reach + 1):
            first = reach + n // 2 + k
            part = (slice(None),) * axis + (slice(first, first + (size - 1) * n + 1, n),)
            total = total + np.float32(response.blur[abs(k)]) * seen[part]
        seen = total
    return seen


def _numbers(
    light: Array, how: Acquisition, seed: int, places: tuple[Array, Array], valid: Array, floating: bool
) -> Array:
    """Return digital numbers with the sensor's noise, (band, y, x)."""
    rows, cols = np.meshgrid(*places, indexing="ij")
    key = hash_cells(key_of(how.key(seed), 4), rows, cols)
    response = how.response
    for band in range(len(light)):
        light[band] += np.float32(response.noise) * bell(key, 20 + band)
    light *= np.float32(response.gain)
    if floating:
        light[:, ~valid] = np.nan
        return light
    numbers = np.clip(np.rint(light), 1, 65_535).astype(np.uint16)
    numbers[:, ~valid] = NODATA
    return numbers
