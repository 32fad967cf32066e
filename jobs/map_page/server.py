"""The server of the map page: FastAPI, for this machine unless told otherwise, and read only.

No address names a file: layers are looked up in a table that is made when the server starts, and whatever is not in
it is not there. What `docs/security.md` says of it is tested.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from jobs.map_page.live import LiveRun
from jobs.map_page.pictures import EMPTY, png_of, tile_picture
from jobs.map_page.place import Place
from jobs.map_page.rasters import add_rasters
from jobs.map_page.regions import has_regions, outlines_of, regions_of
from jobs.map_page.shown import Shown
from jobs.map_page.similar import MOST, TOP
from jobs.map_page.sites import has_sites, sites_in
from jobs.map_page.xyz import HIGHEST_ZOOM

T = TypeVar("T")
STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
"""Nothing from elsewhere is loaded, and nothing written in a name or a label runs as a script."""
LEAST_PACKED_BYTES, PACKED = 4096, 5
"""Outlines shrink to a quarter, on the way to a telephone through ssh that counts."""
Longitude = Annotated[float, Query(ge=-180, le=180)]
Latitude = Annotated[float, Query(ge=-90, le=90)]


def app_of(shown: Shown) -> FastAPI:
    """Return the application."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(GZipMiddleware, minimum_size=LEAST_PACKED_BYTES, compresslevel=PACKED)  # not of pictures
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(shown.hosts), www_redirect=False)

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.method not in ("GET", "HEAD"):
            return JSONResponse({"detail": "this server only answers"}, 405)
        response = await answer(request)
        response.headers.update({"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})
        response.headers.setdefault("Cache-Control", "no-cache")
        return response

    @app.get("/")
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/page.json")
    def page() -> dict[str, Any]:
        shown.refresh()
        return shown.page()

    @app.get("/tiles/{key}/{layer}/{zoom}/{x}/{y}.png")
    def tile(key: str, layer: str, zoom: int, x: int, y: int) -> Response:
        run = next((one for one in shown.runs if one.key == key), None)
        found = None if run is None else run.by_id.get(layer)
        if found is None or not 0 <= zoom <= HIGHEST_ZOOM:
            raise HTTPException(404, "there is no such layer or zoom; page.json has what there is")
        try:
            picture = tile_picture(found, zoom, x, y)
        except ValueError as error:
            raise HTTPException(404, str(error)) from error
        return Response(png_of(picture or EMPTY), media_type="image/png")

    @app.get("/place")
    def place(lon: Longitude, lat: Latitude) -> dict[str, Any]:
        return {"lon": lon, "lat": lat, "runs": [Place(one.run, one.layers, lon, lat).told() for one in shown.runs]}

    @app.get("/similar")
    def similar(lon: Longitude, lat: Latitude, top: Annotated[int, Query(ge=1, le=MOST)] = TOP) -> dict[str, Any]:
        return _asked(shown.similar, lambda it: it.places(lon, lat, top))

    @app.get("/regions.json")
    def regions() -> dict[str, Any]:
        if not shown.runs or not has_regions(shown.runs[0].run):
            raise HTTPException(404, "the map has no statistics by region; add `statistics` to `outputs`")
        return regions_of(shown.runs[0].run)

    @app.get("/regions/{place}.json")
    def region(place: int) -> dict[str, Any]:
        outlines = outlines_of(shown.runs[0].run, place) if shown.runs else iter(())
        for _, outline in outlines:
            return outline
        raise HTTPException(404, "there is no such region, or it has no outline; regions.json has what there is")

    @app.get("/sites/{x}/{y}.json")
    def sites(x: int, y: int) -> dict[str, Any]:
        if not shown.runs or not has_sites(shown.runs[0].run):
            raise HTTPException(404, "the map has no polygons as FlatGeobuf; add `polygons` to `outputs`")
        try:
            return sites_in(shown.runs[0].run, x, y)
        except ValueError as error:
            raise HTTPException(404, str(error)) from error

    @app.get("/live/units.json")
    def units() -> dict[str, Any]:
        return _asked(shown.live, LiveRun.units)

    @app.get("/live/states.json")
    def states() -> dict[str, Any]:
        return _asked(shown.live, LiveRun.states)

    add_rasters(app, shown)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _asked(what: T | None, answer: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """Ask a run for more than its files hold.

    Raises:
        HTTPException: nobody knows how it is configured, or it cannot be planned here.
    """
    if what is None:
        raise HTTPException(404, "the folder does not tell how the run is configured; name its CONFIG.yaml")
    try:
        return answer(what)
    except (ValueError, OSError) as error:
        raise HTTPException(409, " ".join(str(error).split())) from error
