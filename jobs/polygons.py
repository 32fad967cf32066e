"""Polygons of a map: one for each site across every cell, with what its pixels say.

`outputs: [..., polygons]` in a run makes, beside its rasters, polygons.parquet (GeoParquet) and polygons.fgb
(FlatGeobuf); the section `polygons` says how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyproj

from jobs.earlier_map import CONTINUES, earlier_map, open_earlier
from jobs.map_files import SITES, MapFile
from jobs.plan import Run
from jobs.polygons_config import PolygonsConfig
from jobs.products import class_of, probability_of
from jobs.progress import Progress
from jobs.regions import regions_of
from tiler.classes import NO_CLASS, value_names
from tiler.earlier_sites import FIRST_SEEN, SEEN, EarlierSites, first_seen
from tiler.fuse import NO_DATE
from tiler.grids import Box, MapGrid
from tiler.map_store import MapStore
from tiler.patches import SiteLayers
from tiler.polygon_files import MEDIA_TYPES, batches_of, schema_of, write_polygons
from tiler.polygons import PolygonJob, scratch_folder
from tiler.regions import Regions
from tiler.sites import Sites

REGION, EARLIER = "region", "earlier"
"""Numbered things that pixels lie in."""


def site_layers(
    store: MapStore, box: Box, threshold: float, regions: Regions | None, earlier: EarlierSites | None = None
) -> SiteLayers:
    """Read what polygons want of a part of a map; with `earlier`, each part once."""
    logits, spread, count = store.read("logit", box), store.read("spread", box), store.read("count", box)
    kind, probability = class_of(logits, threshold), probability_of(logits)
    if len(logits) > 1:  # each pixel has the probability and the spread of its own class
        own = np.where(kind == NO_CLASS, 0, kind).astype(np.intp)[None]
        probability, spread = (np.take_along_axis(layer, own, 0) for layer in (probability, spread))
        probability = probability[0]
    lies_in = {}
    if regions is not None and ((kind > 0) & (kind < NO_CLASS)).any():
        lies_in[REGION] = regions.at(box)
    before = None if earlier is None else earlier.at(box)
    if before is not None:
        lies_in[EARLIER] = before
    return SiteLayers(
        kind,
        {"probability": probability, "spread": spread[0], "observations": count},
        {"observations": (count, -1), "seen": (store.read("latest", box), int(NO_DATE))},
        lies_in,
    )


def site_attributes(
    sites: Sites, classes: tuple[str, ...], regions: Regions | None, earlier: EarlierSites | None = None
) -> dict[str, pa.Array]:
    """Return the columns of the sites of a map: name to a value of each."""
    names = value_names(classes)
    columns = {
        "id": pa.array(np.arange(1, len(sites) + 1)),
        "class_value": pa.array(sites.kind.astype(np.int16)),
        "class": pa.array(np.array(names, object)[sites.kind], pa.string()),
        "area_m2": pa.array(sites.area_m2),
        "pixels": pa.array(sites.pixels),
        "probability": pa.array(sites.means["probability"].astype(np.float32)),
        "spread": pa.array(sites.means["spread"].astype(np.float32)),
        "observations": pa.array(sites.means["observations"].astype(np.float32)),
        "observations_min": pa.array(sites.bounds["observations"][0].astype(np.int32)),
    }
    oldest, newest = sites.bounds["seen"]
    undated = oldest > newest
    own = np.where(undated, np.int64(NO_DATE), oldest)
    dates = {
        FIRST_SEEN: first_seen(sites, own, EARLIER, earlier),
        SEEN: own,
        "last_seen_to": np.where(undated, np.int64(NO_DATE), newest),
    }
    for name, days in dates.items():
        unknown = days == NO_DATE
        columns[name] = pa.array(np.where(unknown, 0, days).astype(np.int32), mask=unknown).cast(pa.date32())
    if regions is not None:
        columns["region"] = region_column(sites, regions)
    return columns


def region_column(sites: Sites, regions: Regions) -> pa.Array:
    """Return the name of the region that holds most of each site, null for none."""
    found = np.array([*regions.names, None], object)[sites.lies_most_in(REGION)]  # -1 is the last one
    return pa.array(found, pa.string())


def write_map_polygons(
    store: MapStore,
    folder: Path,
    config: PolygonsConfig,
    threshold: float,
    regions: Regions | None = None,
    opened: Callable[[Path], EarlierSites | None] = lambda scratch: None,
) -> dict[str, Path]:
    """Write the polygons of a map.

    Args:
        store: the map.
        folder: where the files go.
        config: how.
        threshold: probability from which a pixel is of the class.
        regions: then each site says in which it lies.
        opened: given a folder for copies, opens the sites of the map before, if any.

    Returns:
        Format to file.
    """
    with (
        scratch_folder(folder) as scratch,
        Progress(2 * sum(1 for _ in MapGrid.cells_of(store.extent)), SITES, unit="cells") as progress,
    ):
        job = PolygonJob(store.grid, store.extent, config.rules, Path(scratch))
        earlier = opened(Path(scratch))
        sites = job.sites(lambda box: site_layers(store, box, threshold, regions, earlier), progress.advance)
        attributes = site_attributes(sites, store.classes, regions, earlier)
        kind = "MultiPolygon" if config.connectivity == 8 else "Polygon"
        tables = batches_of(((d.numbers, d.shapes) for d in job.draw(sites, progress.advance)), attributes)
        crs = pyproj.CRS.from_user_input(store.grid.crs)
        return write_polygons(folder, SITES, config.formats, tables, schema_of(attributes), crs, kind)


def write_run_polygons(run: Run, store: MapStore, folder: Path) -> list[MapFile]:
    """Write the polygons of a run's map; their dates go on from those of the map before."""
    regions = regions_of(run.config, store.grid, store.extent)
    found = earlier_map(run, store.name)

    goes_on = False

    def opened(scratch: Path) -> EarlierSites | None:
        nonlocal goes_on
        sites = open_earlier(found, run.storage, store.classes, store.grid, scratch)
        goes_on = sites is not None
        return sites

    files = write_map_polygons(store, folder, run.config.polygons, run.config.fuse.threshold, regions, opened)
    return [
        MapFile(
            SITES if form == "geoparquet" else f"{SITES}_{form}",
            path,
            f"One polygon for each site, with area, probability and dates ({path.suffix[1:]})",
            MEDIA_TYPES[form],
            more={CONTINUES: asdict(found) if found is not None and goes_on else None},
        )
        for form, path in files.items()
    ]
