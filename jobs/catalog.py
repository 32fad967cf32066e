"""What the STAC catalogue says of a run, gathered from its plan, its cards and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyproj
import shapely
import shapely.geometry

from jobs.cells import MosaicPlan
from jobs.plan import LogitPlan, Run
from jobs.record import git_commit, versions
from jobs.sheets import Sheet
from tiler.catalog_facts import (
    COG_TYPE,
    STATISTICS,
    VRT_TYPE,
    AssetFacts,
    BandFacts,
    CatalogFacts,
    ClassFacts,
    ModelFacts,
    SceneFacts,
)
from tiler.classes import value_names
from tiler.cog import BandStatistics
from tiler.grids import Box, MapGrid, PixelGrid
from tiler.product_specs import specs_of
from tiler.vrt import SUFFIX


def outline(grid: PixelGrid) -> tuple[dict[str, Any], list[float]]:
    """Return a grid's outline as GeoJSON in longitude and latitude, and its bounding box.

    Of a grid across 180 degrees it is two polygons, and the west of the box is larger than its east.
    """
    import numpy as np

    along = np.linspace(0.0, 1.0, 17)[:-1]
    zeros, ones = np.zeros_like(along), np.ones_like(along)
    rows = np.concatenate([along, ones, 1 - along, zeros]) * grid.height  # down, right, up, left: counter-clockwise
    cols = np.concatenate([zeros, along, ones, 1 - along]) * grid.width
    x, y = grid.xy(rows, cols)
    lon, lat = pyproj.Transformer.from_crs(grid.pyproj_crs, "EPSG:4326", always_xy=True).transform(x, y)
    lon = np.unwrap(lon, period=360)  # a step over 180 degrees is a small one
    ring = np.round(np.stack([lon, lat], axis=1), 7)
    bbox = [_wrapped(float(lon.min())), float(lat.min()), _wrapped(float(lon.max())), float(lat.max())]
    if lon.min() >= -180 and lon.max() <= 180:
        return {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}, bbox
    parts = []  # GeoJSON wants polygons that are cut there (RFC 7946, 3.1.9)
    for turns in (-1, 0, 1):
        turned = shapely.Polygon(ring + np.array([360.0 * turns, 0.0]))
        part = shapely.intersection(turned, shapely.box(-180, -90, 180, 90))
        parts += [one for one in shapely.get_parts(part) if shapely.area(one) > 0]
    return dict(shapely.geometry.mapping(shapely.MultiPolygon(parts))), bbox


def _wrapped(longitude: float) -> float:
    """Return a longitude from -180 to 180."""
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


Files = Mapping[str, Mapping[str, Any]]
"""Name to what is known of a file: address in the map's folder, size, digest."""
Statistics = Mapping[str, Sequence[BandStatistics]]
"""Address of a raster in the map's folder to the statistics of its bands."""


def catalog_facts(
    run: Run,
    plans: Sequence[LogitPlan],
    plan: MosaicPlan,
    files: Files,
    statistics: Statistics,
    key: str,
    last: str | None = None,
    sheets: Mapping[Sheet, Files] | None = None,
) -> CatalogFacts:
    """Gather the facts of a run's catalogue.

    Args:
        run: whose map it is.
        plans: the logits that it was made of.
        plan: the map.
        files: of the whole.
        statistics: of the rasters among all files.
        key: of the published map.
        last: key of the map that was published before.
        sheets: files of each sheet, where there are any.
    """
    whole = _map_facts(run, plans, plan, files, statistics)
    whole = replace(whole, version=key, predecessor=None if last is None else f"../{last}/map.json")
    return replace(
        whole, sheets={s.name: _sheet(whole, run, plans, plan, s, f, statistics) for s, f in (sheets or {}).items()}
    )


def _sheet(
    whole: CatalogFacts,
    run: Run,
    plans: Sequence[LogitPlan],
    plan: MosaicPlan,
    sheet: Sheet,
    files: Files,
    statistics: Statistics,
) -> CatalogFacts:
    """Return what is said of a sheet: as of the map, but for its place, its files and the scenes that reach it."""
    cells = set(MapGrid.cells_of(sheet.box))
    reaching = {name for task in plan.tasks if task.cell in cells for name in task.scenes}
    part = _map_facts(run, [p for p in plans if p.name in reaching], plan, files, statistics, sheet.box)
    inside = {name: replace(asset, href=Path(asset.href).name) for name, asset in part.assets.items()}
    return replace(part, created=whole.created, assets=inside, version=whole.version)


def _map_facts(
    run: Run,
    plans: Sequence[LogitPlan],
    plan: MosaicPlan,
    files: Files,
    statistics: Statistics,
    box: Box | None = None,
) -> CatalogFacts:
    grid = plan.grid.grid_of(plan.extent if box is None else box)
    geometry, bbox = outline(grid)
    times = [p.source.scene.acquired for p in plans if p.source.scene.acquired is not None]
    area_px = grid.height * grid.width
    found = {name: [one.tags(area_px) for one in statistics.get(str(f["href"]), ())] for name, f in files.items()}
    assets = {name: _asset(name, file, found[name], run.classes) for name, file in files.items()}
    crs = grid.pyproj_crs
    threshold = {"sandan:threshold": run.config.fuse.threshold} if len(run.classes) == 1 else {}
    return CatalogFacts(
        run_id=Path(run.config.out).name or "map",
        title=f"Map of {', '.join(value_names(run.classes)[1:])} areas, {Path(run.config.out).name}",
        created=datetime.now(UTC),
        start=min(times) if times else None,
        end=max(times) if times else None,
        footprint=geometry,
        bbox=bbox,
        crs_wkt=crs.to_wkt(),
        epsg=crs.to_epsg(),
        shape=(grid.height, grid.width),
        transform=grid.transform,
        resolution_m=None if crs.is_geographic else plan.grid.resolution[0] * crs.axis_info[0].unit_conversion_factor,
        assets=assets,
        models=[_model(path, card) for path, card in zip(run.config.models, run.cards, strict=True)],
        scenes=[
            SceneFacts(p.source.scene.id, p.source.scene.acquired, [x.path for x in p.source.scene.pieces])
            for p in plans
        ],
        software={k: v for k, v in {**versions(), "sandan-commit": git_commit() or "unknown"}.items()},
        properties={"sandan:map": plan.name, **threshold},
    )


def _asset(
    name: str, file: Mapping[str, Any], tags: Sequence[Mapping[str, str]], run_classes: Sequence[str]
) -> AssetFacts:
    specs, values = specs_of(run_classes), value_names(run_classes)
    size, digest = int(file["size_bytes"]), str(file["sha256"])
    if name not in specs:
        media_type, roles = str(file["media_type"]), [str(role) for role in file["roles"]]
        return AssetFacts(str(file["href"]), str(file["title"]), media_type, roles, size_bytes=size, sha256=digest)
    spec = specs[name]
    titles = zip(spec.bands or [name], spec.band_units, tags, strict=True)
    bands = [BandFacts(title, _statistics(found), unit) for title, unit, found in titles]
    colors = {value: color[:3] for value, color in (spec.colors or {}).items()}
    return AssetFacts(
        href=str(file["href"]),
        title=spec.description,
        media_type=VRT_TYPE if str(file["href"]).endswith(SUFFIX) else COG_TYPE,
        dtype=spec.dtype,
        nodata=spec.nodata,
        bands=bands,
        classes=[ClassFacts(value, values[value], color) for value, color in colors.items()],
        size_bytes=size,
        sha256=digest,
    )


def _statistics(tags: Mapping[str, str]) -> dict[str, float]:
    found = {key: tags.get(f"STATISTICS_{key.upper()}") for key in STATISTICS}
    return {key: float(text) for key, text in found.items() if text is not None}


def _model(path: str, card: Any) -> ModelFacts:
    weights = f"{path}/weights.safetensors"
    if "://" not in path:  # absolute: a relative one means two places, through the link OUT/map and in its folder
        weights = str(Path(weights).resolve())
    return ModelFacts(
        name=card.name,
        architecture=card.architecture,
        encoder=card.encoder,
        channels=card.channels,
        classes=value_names(card.classes),
        outputs=len(card.classes),
        framework_version=versions().get("torch", "unknown"),
        digest=card.digest(),
        href=weights,
        weights_sha256=card.weights_sha256,
        scaling=[{"mean": o, "stddev": s} for o, s in zip(card.offset, card.scale, strict=True)],
    )
