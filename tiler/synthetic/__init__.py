"""A synthetic country: the same world for every scene, as large as one likes, with the truth beside it.

    country = Country(seed=1)                                   # or Country(1, "chips")
    grid = grid_over((126.9, 36.9, 127.0, 37.0), "SN10", "EPSG:32652")
    drawn = render(country, grid, Acquisition("SN10", date(2024, 5, 1), clouds=0.1), Box(0, 0, 512, 512))
    write_scene(country, grid, how, Path("out"), "a-20240501")  # the same, block by block, into files

The world is a function of the seed and of coordinates in `WORLD_CRS`; a rectangle drawn alone equals the same rectangle
of a larger one, bit for bit. docs/synthetic.md says what is in it.
"""

from tiler.synthetic.acquisition import Acquisition
from tiler.synthetic.aihub import write_aihub
from tiler.synthetic.air import AIR, GEMS, render_air
from tiler.synthetic.chip_scenes import write_chips
from tiler.synthetic.chips import Chip, chips
from tiler.synthetic.country import STYLES, WORLD_CRS, Country
from tiler.synthetic.render import Rendered, render
from tiler.synthetic.sites import KINDS, Site
from tiler.synthetic.writer import SceneFiles, grid_over, utm_crs, write_air, write_estates, write_scene

__all__ = [
    "AIR",
    "GEMS",
    "KINDS",
    "STYLES",
    "WORLD_CRS",
    "Acquisition",
    "Chip",
    "Country",
    "Rendered",
    "SceneFiles",
    "Site",
    "chips",
    "grid_over",
    "render",
    "render_air",
    "utm_crs",
    "write_aihub",
    "write_air",
    "write_chips",
    "write_estates",
    "write_scene",
]
