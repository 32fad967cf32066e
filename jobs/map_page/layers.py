"""The layers of a map page: bands of the published rasters, and the imagery of the scenes under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import rasterio

from jobs.map_page.imagery import VIEWS, Imagery
from jobs.map_page.published_run import PublishedRun
from jobs.map_page.styles import BandFacts, Style, style_of
from jobs.map_page.xyz import Bounds, bounds_of, native_zoom, world_grid
from tiler.grids import PixelGrid
from tiler.vrt import driver_of
from tiler.warp import Mapping

TITLES = {
    "probability": "Probability",
    "class": "Class",
    "spread": "Spread",
    "count": "Scenes that saw it",
    "latest": "Latest date",
}
SUFFIXES = (".tif", ".vrt")
"""Of raster products."""
NOT_AVERAGED = ("class", "count", "latest")
"""Products whose values mean nothing between each other: they are never interpolated."""


@dataclass(frozen=True, eq=False)
class RasterLayer:
    """A band of a published raster."""

    id: str
    """What its address calls it."""
    title: str
    path: Path
    band: int
    """From 1."""
    style: Style
    grid: PixelGrid
    is_averaged: bool
    """Whether values between two pixels mean anything."""
    about: str
    """A sentence for people."""
    factors: tuple[int, ...]
    """By how much each of its overviews is coarser, finest first."""

    @cached_property
    def bounds(self) -> Bounds:
        """Where it lies."""
        return bounds_of(self.grid)

    @cached_property
    def native_zoom(self) -> int:
        """The last zoom that shows more than the one before it."""
        return native_zoom(self.grid, self.bounds)

    def level(self, zoom: int) -> int | None:
        """Return the overview to read at a zoom, from 0: the coarsest that is fine enough; None: the raster itself."""
        shrink = Mapping(world_grid(zoom), self.grid).shrink
        enough = [level for level, factor in enumerate(self.factors) if factor <= shrink]
        return enough[-1] if enough else None


@dataclass(frozen=True, eq=False)
class ImageryLayer:
    """The scenes in three of their bands."""

    id: str
    title: str
    imagery: Imagery
    view: str
    """A key of `jobs.map_page.imagery.VIEWS`."""
    about: str

    @property
    def bounds(self) -> Bounds:
        """Where it lies."""
        return self.imagery.bounds

    @property
    def native_zoom(self) -> int:
        """The last zoom that shows more than the one before it."""
        return self.imagery.native_zoom


Layer = RasterLayer | ImageryLayer


def layers_of(run: PublishedRun) -> list[Layer]:
    """Return the layers of a published run, in the order in which people are offered them."""
    rasters = {name: path for name, path in run.files.items() if path.suffix in SUFFIXES}
    order = {name: place for place, name in enumerate(TITLES)}
    found: list[Layer] = []
    for name in sorted(rasters, key=lambda one: (order.get(one, len(order)), one)):
        found += raster_layers(name, rasters[name])
    imagery = Imagery.of(run)
    if imagery is not None:
        found += [
            ImageryLayer(f"imagery-{view}", title, imagery, view, about)
            for view, (title, about, _) in VIEWS.items()
            if imagery.has(view)
        ]
    return found


def raster_layers(product: str, path: Path) -> list[RasterLayer]:
    """Return a layer for each band of a raster; of the probabilities of several classes that of background is left out.

    Raises:
        ValueError: the file is neither a GeoTIFF nor a virtual raster.
    """
    try:
        with rasterio.open(path, driver=driver_of(path)) as data:
            grid = PixelGrid(data.crs.to_wkt(), tuple(data.transform)[:6], data.height, data.width)
            factors = tuple(data.overviews(1))
            bands = [(band, _facts(data, band), data.descriptions[band - 1] or "") for band in data.indexes]
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{path} cannot be shown: {error}; run `sandan publish` again") from error
    single = len(bands) == 1
    found = []
    for band, facts, told in bands:
        if product == "probability" and not single and band == 1:
            continue
        title = TITLES.get(product, product.replace("_", " ").capitalize())
        found.append(
            RasterLayer(
                id=product if single else f"{product}-{band}",
                title=title if single else f"{title}: {told.split(' (')[0].replace('_', ' ')}",
                path=path,
                band=band,
                style=style_of(product, facts),
                grid=grid,
                is_averaged=product not in NOT_AVERAGED and not facts.colors,
                about=told,
                factors=factors,
            )
        )
    return found


def _facts(data: Any, band: int) -> BandFacts:
    tags, own = data.tags(), data.tags(band)
    statistics = {
        name.lower(): float(own[f"STATISTICS_{name}"])
        for name in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV")
        if f"STATISTICS_{name}" in own
    }
    names = {int(key.removeprefix("CLASS_")): name for key, name in tags.items() if key.startswith("CLASS_")}
    try:
        colors = {value: tuple(color) for value, color in data.colormap(band).items() if value in names}
    except ValueError:  # there is none
        colors = {}
    return BandFacts(statistics if len(statistics) == 4 else {}, data.units[band - 1] or "", colors, names)


def by_id(layers: Sequence[Layer]) -> dict[str, Layer]:
    """Return layers by what their addresses call them."""
    return {layer.id: layer for layer in layers}
