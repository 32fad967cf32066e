"""Districts of a made-up country."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely
from pyogrio.raw import write

from tiler.grids import PixelGrid

DISTRICTS, ISLANDS = 250, 3_000


def write_districts(path: Path, grid: PixelGrid, land: tuple[float, float]) -> None:
    """Write districts that cover the land without gaps, with bent borders of fine steps, and islands off the coasts.

    Args:
        path: of a GeoPackage with the field `code`.
        grid: of the map.
        land: share of its height and its width that the land takes, an ellipse.
    """
    random, (tall, wide) = np.random.default_rng(3), land
    height, width = grid.height, grid.width
    ring = np.linspace(0, 2 * np.pi, max(2_000, height // 4), endpoint=False)
    coast = shapely.Polygon(
        np.stack([width / 2 * (1 + (wide + 1e-3) * np.cos(ring)), height / 2 * (1 + (tall + 1e-3) * np.sin(ring))], 1)
    )
    middles = shapely.MultiPoint(random.uniform((0.1 * width, 0), (0.9 * width, height), (round(1.37 * DISTRICTS), 2)))
    cells = np.asarray(
        shapely.get_parts(
            shapely.voronoi_polygons(middles, extend_to=shapely.box(-width, -height, 2 * width, 2 * height))
        )
    )
    step = height / 4096  # 8 px of a country: 80 m
    wave = height / 200
    fine = shapely.segmentize(
        shapely.intersection(cells, shapely.box(-width / 4, -height / 4, 1.25 * width, 1.25 * height)), step
    )
    bent = shapely.transform(
        fine, lambda p: p + wave / 4 * np.stack([np.sin(p[:, 1] / wave), np.cos(1.3 * p[:, 0] / wave)], 1)
    )
    districts = np.asarray(shapely.intersection(bent, coast))
    districts = districts[shapely.area(districts) > 0]
    angle, out = random.uniform(0, 2 * np.pi, ISLANDS), random.uniform(1.02, 1.2, ISLANDS)
    at = np.stack([width / 2 * (1 + wide * out * np.cos(angle)), height / 2 * (1 + tall * out * np.sin(angle))], 1)
    isles = shapely.buffer(shapely.points(at), random.uniform(2, 40, ISLANDS) * height / 32_768, quad_segs=8)
    owners = shapely.STRtree(districts).nearest(isles)
    whole = [shapely.union_all([one, *isles[owners == place]]) for place, one in enumerate(districts)]
    placed = shapely.transform(np.array(whole, object), lambda p: np.stack(grid.xy(p[:, 1], p[:, 0]), 1))
    shapes = np.array([shapely.multipolygons([s]) if s.geom_type == "Polygon" else s for s in placed], object)
    codes = np.array([f"{41000 + 10 * place}" for place in range(len(shapes))], object)
    write(
        path,
        shapely.to_wkb(shapes),
        [codes],
        ["code"],
        geometry_type="MultiPolygon",
        crs=grid.pyproj_crs.to_wkt(),
        driver="GPKG",
        layer="districts",
    )
