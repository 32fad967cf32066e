"""Places of the synthetic world for its tests: found once, used by all."""

from datetime import date
from functools import cache

from tiler.grids import PixelGrid
from tiler.synthetic import Acquisition, Country, Site
from tiler.synthetic.canvas import transformer
from tiler.synthetic.country import WORLD_CRS

MAY = date(2024, 5, 1)
CLEAR = Acquisition("SN10", MAY)


@cache
def country(style: str = "country") -> Country:
    return Country(1, style)


@cache
def estate(style: str = "country") -> Site:
    """Return one fairly large, active estate."""
    x, y = transformer("EPSG:4326", WORLD_CRS).transform(126.4, 36.8)
    for reach in (20e3, 60e3):
        found = country(style).large_estates_within((x - reach, y - reach, x + reach, y + reach))
        found = [s for s in found if s.active and s.industrial_km2 > 1]
        if found:
            return found[0]
    raise AssertionError("no estate near 126.4, 36.8")


def grid_at(site: Site, height: int, width: int, crs: str = "EPSG:32652", side_m: float = 10.0) -> PixelGrid:
    """Return a lopsided grid with the site in its middle."""
    x, y = transformer(WORLD_CRS, crs).transform(site.x_m, site.y_m)
    left, top = round(x / side_m) * side_m - side_m * (width // 2), round(y / side_m) * side_m + side_m * (height // 2)
    return PixelGrid(crs, (side_m, 0.0, left, 0.0, -side_m, top), height, width)
