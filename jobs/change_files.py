"""Files of a comparison of maps: rasters, polygons, a table and its record, made cell by cell."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import rasterio
from rasterio.windows import Window

from jobs.change_runs import PublishedRun
from jobs.lists import csv_of
from jobs.polygons import REGION, region_column
from jobs.polygons_config import PolygonsConfig
from jobs.products import class_of, sha256_of, sigmoid, written_parts
from jobs.progress import Progress
from tiler.ahead import ahead
from tiler.change import CHANGE, DIFFERENCE, GAINED, LOST, NAMES, Change, Doubt, Seen, change_of, log_odds
from tiler.classes import NO_CLASS
from tiler.cog import write_cog
from tiler.fuse import NO_DATE
from tiler.grids import Box, MapGrid
from tiler.patches import SiteLayers
from tiler.polygon_files import batches_of, schema_of, write_polygons
from tiler.polygons import PolygonJob, scratch_folder
from tiler.region_sums import region_sums
from tiler.regions import Regions
from tiler.sites import Sites
from tiler.temporal import Chain, smoothed

RECORD, TABLE, POLYGONS = "change.json", "change.csv", "change"
MEANS = ("difference", "significance", "probability_before", "probability_after")
"""What polygons say of their pixels on average."""
WHOLE = "all"
"""Name of the row of everything that was compared."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how."""

    runs: tuple[PublishedRun, ...]
    """In the order of time."""
    extent: Box
    doubt: Doubt
    chain: Chain | None
    """Then every date is judged by all of them."""
    polygons: PolygonsConfig
    regions: Regions | None

    def is_unseen(self, box: Box) -> bool:
        """Whether the first or the last map saw nothing of some absolute map pixels: half of a country's are sea."""
        return not all(run.store.read("count", box).any() for run in (self.runs[0], self.runs[-1]))

    def read(self, box: Box) -> tuple[Seen, Seen, Change]:
        """Compare the first and the last map in some absolute map pixels."""
        runs = self.runs if self.chain is not None else (self.runs[0], self.runs[-1])
        seen = [_seen(run, box) for run in runs]
        first, last = seen[0], seen[-1]
        if self.chain is not None:
            logits = smoothed(np.stack([one.logit for one in seen]), self.chain)
            first, last = (
                Seen(
                    np.where(np.isnan(one.logit), np.nan, logit).astype(np.float32),
                    one.spread,
                    logit >= cut_of(run),
                )
                for one, logit, run in ((first, logits[0], runs[0]), (last, logits[-1], runs[-1]))
            )
        return first, last, change_of(first, last, self.doubt)


def cut_of(run: PublishedRun) -> float:
    """Return the log-odds from which a pixel is of the class."""
    if len(run.store.classes) > 1:
        return 0.0
    return float(np.log(run.threshold / (1 - run.threshold)))


def _seen(run: PublishedRun, box: Box) -> Seen:
    logits, spread = run.store.read("logit", box), run.store.read("spread", box)
    kind = class_of(logits, run.threshold)
    return Seen(*log_odds(logits, spread), (kind > 0) & (kind != NO_CLASS))


def write_change(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """Write the files of a comparison; return its record."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = sum(1 for _ in MapGrid.cells_of(comparison.extent))
    parts = sum(1 for _ in written_parts(comparison.extent))
    with Progress(2 * parts + 3 * cells, "change", unit="parts") as progress:
        files = {name: f"{name}.tif" for name in ("change", "difference")}
        _write_raster(comparison, folder / files["change"], progress)
        _write_raster(comparison, folder / files["difference"], progress)
        found = _write_polygons(comparison, folder, progress)
        rows = _rows(comparison, folder / files["change"], progress)
    files |= {f"polygons ({form})": path.name for form, path in found.items()}
    _put(folder / TABLE, csv_of(rows))
    files["table"] = TABLE
    record = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": [run.facts() for run in comparison.runs],
        "rule": "sure where the class differs and |after - before| > max(z * hypot(spread before, after), least)",
        **asdict(comparison.doubt),
        "hmm": None if comparison.chain is None else asdict(comparison.chain),
        "polygons": comparison.polygons.model_dump(),
        "areas_m2": {name: rows[0][f"{name.replace(' ', '_')}_m2"] for name in (*NAMES, "unseen")},
        "files": files,
        "sha256": {name: sha256_of(folder / name) for name in files.values()},
    }
    _put(folder / RECORD, json.dumps(record, indent=1).encode())
    return record


def _put(path: Path, data: bytes) -> None:
    half = path.with_name(f".{path.name}.half")
    half.write_bytes(data)
    os.replace(half, path)


def _write_raster(comparison: Comparison, path: Path, progress: Progress) -> None:
    extent = comparison.extent
    grid = comparison.runs[-1].store.grid.grid_of(extent)

    def layer(box: Box) -> np.ndarray | None:
        if comparison.is_unseen(box):
            return None
        change = comparison.read(box)[2]
        return change.kind if path.stem == CHANGE.name else np.stack([change.difference, change.significance])

    def blocks() -> Iterator[tuple[int, int, np.ndarray]]:
        boxes = list(written_parts(extent))
        for box, found in zip(boxes, ahead(layer, boxes), strict=True):
            if found is not None:
                yield box.y0 - extent.y0, box.x0 - extent.x0, found
            progress.advance()

    write_cog(
        path,
        CHANGE if path.stem == CHANGE.name else DIFFERENCE,
        height=grid.height,
        width=grid.width,
        crs=grid.pyproj_crs.to_wkt(),
        transform=grid.affine,
        blocks=blocks(),
        threads=os.cpu_count() or 1,
    )


def _layers(comparison: Comparison, box: Box) -> SiteLayers:
    """Return the sure changes of some pixels: 1 gained, 2 lost."""
    if comparison.is_unseen(box):
        shape, dates = (box.height, box.width), int(NO_DATE)
        nothing, undated = np.zeros(shape, np.float32), np.full(shape, NO_DATE)
        bounds = dict.fromkeys(("before", "after"), (undated, dates))
        return SiteLayers(np.full(shape, NO_CLASS, np.uint8), dict.fromkeys(MEANS, nothing), bounds)
    before, after, change = comparison.read(box)
    kind = np.where(change.kind == NO_CLASS, NO_CLASS, 0).astype(np.uint8)
    kind[change.kind == GAINED], kind[change.kind == LOST] = 1, 2
    bounds = {}
    for name, run in (("before", comparison.runs[0]), ("after", comparison.runs[-1])):
        bounds[name] = run.store.read("latest", box), int(NO_DATE)
    means = change.difference, change.significance, sigmoid(before.logit), sigmoid(after.logit)
    return SiteLayers(
        kind,
        dict(zip(MEANS, means, strict=True)),
        bounds,
        {} if comparison.regions is None else {REGION: comparison.regions.at(box)},
    )


def change_attributes(sites: Sites, regions: Regions | None) -> dict[str, pa.Array]:
    """Return the columns of the polygons of a comparison."""
    columns = {
        "id": pa.array(np.arange(1, len(sites) + 1)),
        "change": pa.array(np.array(["", NAMES[GAINED], NAMES[LOST]], object)[sites.kind], pa.string()),
        "area_m2": pa.array(sites.area_m2),
        "pixels": pa.array(sites.pixels),
    }
    columns |= {name: pa.array(values.astype(np.float32)) for name, values in sites.means.items()}
    for name, (oldest, newest) in sites.bounds.items():
        undated = oldest > newest
        days = np.where(undated, 0, newest).astype(np.int32)
        columns[f"seen_{name}"] = pa.array(days, mask=undated).cast(pa.date32())
    if regions is not None:
        columns["region"] = region_column(sites, regions)
    return columns


def _write_polygons(comparison: Comparison, folder: Path, progress: Progress) -> dict[str, Path]:
    config, grid = comparison.polygons, comparison.runs[-1].store.grid
    with scratch_folder(folder) as scratch:
        job = PolygonJob(grid, comparison.extent, config.rules, Path(scratch))
        sites = job.sites(lambda box: _layers(comparison, box), progress.advance)
        attributes = change_attributes(sites, comparison.regions)
        drawn = ((batch.numbers, batch.shapes) for batch in job.draw(sites, progress.advance))
        kind = "MultiPolygon" if config.connectivity == 8 else "Polygon"
        return write_polygons(
            folder,
            POLYGONS,
            config.formats,
            batches_of(drawn, attributes),
            schema_of(attributes),
            pyproj.CRS.from_user_input(grid.crs),
            kind,
        )


def _rows(comparison: Comparison, raster: Path, progress: Progress) -> list[dict[str, Any]]:
    """Return the table: everything, then each region, in square metres on the ellipsoid."""
    regions = comparison.regions or Regions((), (), ())

    extent, grid = comparison.extent, comparison.runs[-1].store.grid
    with rasterio.open(raster, driver="GTiff") as data:

        def read(box: Box) -> np.ndarray:
            progress.advance()
            rows, cols = box.shift(-extent.y0, -extent.x0).slices
            return np.asarray(data.read(1, window=Window.from_slices(rows, cols)))

        sums = region_sums(read, len(NAMES), grid, extent, regions)
    rows = []
    for name, areas in ((WHOLE, sums.whole), *zip(regions.names, sums.regions, strict=True)):
        of = dict(zip((*NAMES, "unseen"), (float(area) for area in areas), strict=True))
        before = of["stable"] + of["lost"] + of["perhaps lost"]
        after = of["stable"] + of["gained"] + of["perhaps gained"]
        row: dict[str, Any] = {"region": name, "before_m2": before, "after_m2": after, "net_m2": after - before}
        rows.append(row | {f"{key.replace(' ', '_')}_m2": area for key, area in of.items()})
    return rows
