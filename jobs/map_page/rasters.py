"""The published rasters as a web service for other programs: titiler's tiles, in colours of one's own, and values.

    /rasters/a/probability/info
    /rasters/a/probability/point/-4.06,52.41
    /rasters/a/probability/WebMercatorQuad/tilejson.json?rescale=0,1&colormap_name=viridis
    /rasters/a/probability/tiles/WebMercatorQuad/13/4004/2690.tif

The page itself draws by `jobs.map_page.pictures`. Of titiler only what reads one tile or one pixel is offered: no
addresses of files, no expressions, no algorithms, no pictures of any size that is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import rasterio
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from rio_tiler.io import Reader
from titiler.core.dependencies import DefaultDependency
from titiler.core.errors import DEFAULT_STATUS_CODES, add_exception_handlers
from titiler.core.factory import TilerFactory

from jobs.map_page.layers import RasterLayer
from jobs.map_page.shown import Shown
from tiler.vrt import driver_of

PREFIX = "/rasters/{key}/{layer}"
LARGEST_TILE_PX = 1024


class ProductReader(Reader):
    """A reader that opens a file as what its name says, never as what it says itself."""

    def __attrs_post_init__(self) -> None:
        """Open the file."""
        assert self.input is not None
        self.dataset = self._ctx_stack.enter_context(rasterio.open(self.input, driver=driver_of(Path(self.input))))
        super().__attrs_post_init__()  # type: ignore[no-untyped-call]


class FewRoutes(TilerFactory):
    """titiler without what reads more than a tile."""

    def register_routes(self) -> None:
        """Register what is offered."""
        for name in ("info", "tile", "tilejson", "point"):
            getattr(self, name)()


class Rescaled(DefaultDependency):
    """How values become colours."""

    def __init__(self, rescale: Annotated[str | None, Query(pattern=r"^-?[\d.]+,-?[\d.]+$")] = None) -> None:
        """Take `low,high`."""
        self.rescale = None if rescale is None else [tuple(float(one) for one in rescale.split(","))]
        self.add_mask = True


def add_rasters(app: FastAPI, shown: Shown) -> None:
    """Add the service to an application."""

    def found(key: str, layer: str) -> RasterLayer:
        run = next((one for one in shown.runs if one.key == key), None)
        known = None if run is None else run.by_id.get(layer)
        if not isinstance(known, RasterLayer):
            raise HTTPException(404, "there is no such raster; page.json has what there is")
        return known

    def path(raster: RasterLayer = Depends(found)) -> str:  # noqa: B008
        return str(raster.path)

    class Band(DefaultDependency):
        """The band of a layer."""

        def __init__(self, raster: RasterLayer = Depends(found)) -> None:  # noqa: B008
            self.indexes = raster.band

    def limited(tilesize: int = 256) -> None:
        if tilesize > LARGEST_TILE_PX:
            raise HTTPException(400, f"tilesize {tilesize}: at most {LARGEST_TILE_PX}")

    options: dict[str, Any] = {
        "reader": ProductReader,
        "router": APIRouter(dependencies=[Depends(limited)]),
        "router_prefix": PREFIX,
        "path_dependency": path,
        "layer_dependency": Band,
        "dataset_dependency": DefaultDependency,
        "tile_dependency": DefaultDependency,
        "process_dependency": lambda: None,
        "render_dependency": Rescaled,
    }
    app.include_router(FewRoutes(**options).router, prefix=PREFIX)
    add_exception_handlers(app, {error: code for error, code in DEFAULT_STATUS_CODES.items() if error is not Exception})
