"""Two published maps of a made-up country, of which it is known to the pixel what came and what went between them.

No scene and no network is there: the cells of the map stores are made up, what follows is `jobs.publish.publish`.
Land is an ellipse, sites are lobed blobs and lie apart; of each the place decides what became of it. Logits and spreads
are smooth and rounded to quarters and eighths: with noise in their last bits, stores and products would take several
times the disk, and longer to compress. Cells without land are never written, as in a run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from country_uses_districts import write_districts
from scipy.ndimage import gaussian_filter

from cluster.heap import keep_memory
from jobs import plan, publish
from jobs.cells import MosaicPlan
from jobs.config import RunConfig
from jobs.modalities import Modalities
from models.card import Card
from tiler.change import GAINED, LOST, PERHAPS_GAINED, PERHAPS_LOST, STABLE
from tiler.fuse import NO_DATE, Fused
from tiler.grids import CELL_PX, Box, MapGrid, PixelGrid
from tiler.map_store import MapStore, create_map_store
from tiler.scenes import Piece, Scene
from tiler.sensors import load_sensor
from tiler.stores import is_complete

CRS = "EPSG:5179"
GRID = MapGrid(CRS, (10.0, 10.0))
ORIGIN_PX = (-210_003, 80_011)
"""Absolute map pixel (row, column) of the upper left corner: cells of the map are cut anywhere."""
TALL, WIDE = 0.98, 0.75
"""Share of the sides that land takes."""
SITES = {64: (0.66, 3.0, 14.0), 1024: (0.06, 150.0, 360.0)}
"""Side in pixels of the squares that may hold a site each, to the share that does, and the sites' radii from and to."""
LOBE = 1.4
"""No site reaches farther than so many radii from its middle."""
SHARES = {GAINED: 0.05, LOST: 0.03, PERHAPS_GAINED: 0.02, PERHAPS_LOST: 0.02}
GRANULE_PX, STEP_PX, DATES = 10_980, 9_980, 5
NAMES = ("before", "after")
PRECISION = plan.Precision("cpu", "fp32", 1)


@dataclass(frozen=True)
class Squares:
    """The sites of one size; all arrays (row, column) of squares."""

    side_px: int
    kind: np.ndarray
    """uint8: a value of a change raster, 0 where there is no site."""
    y: np.ndarray
    """Of its middle, pixels from the upper left corner of the map."""
    x: np.ndarray
    radius: np.ndarray
    turn: np.ndarray
    """Radians by which its lobes are turned."""


@dataclass(frozen=True)
class Country:
    """Pixels that are a function of their place."""

    extent: Box

    def _land(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return whether places, in pixels from the upper left corner, are on land."""
        tall, wide = self.extent.height / 2, self.extent.width / 2
        return ((y - tall) / (TALL * tall)) ** 2 + ((x - wide) / (WIDE * wide)) ** 2 < 1

    @cached_property
    def squares(self) -> tuple[Squares, ...]:
        """All sites."""
        found: list[Squares] = []
        for number, side in enumerate(sorted(SITES, reverse=True)):
            random = np.random.default_rng([11, number, self.extent.height])
            share, least, most = SITES[side]
            shape = -(-self.extent.height // side), -(-self.extent.width // side)
            radius = least + (most - least) * random.random(shape) ** 2
            room = side / 2 - 2 - LOBE * radius  # two pixels at least lie between sites
            middles = np.meshgrid(*((np.arange(n) + 0.5) * side for n in shape), indexing="ij")
            y, x = (middle + room * random.uniform(-1, 1, shape) for middle in middles)
            corners = [self._land(y + a * LOBE * radius, x + b * LOBE * radius) for a in (-1, 1) for b in (-1, 1)]
            there = np.logical_and.reduce(corners) & (random.random(shape) < share)
            for large in found:  # where a large site may reach no small one is
                times = large.side_px // side
                taken = np.kron(large.kind > 0, np.ones((times, times), bool))
                there &= ~taken[: shape[0], : shape[1]]
            limits = np.cumsum(list(SHARES.values()))
            values = np.array([*SHARES, STABLE], np.uint8)
            kind = np.where(there, values[np.searchsorted(limits, random.random(shape), side="right")], np.uint8(0))
            found.append(Squares(side, kind, y, x, radius, random.uniform(0, 2 * np.pi, shape)))
        return tuple(found)

    def planted(self) -> dict[int, int]:
        """Return how many sites there are of each kind."""
        every = np.concatenate([one.kind.ravel() for one in self.squares])
        return {kind: int((every == kind).sum()) for kind in (*SHARES, STABLE)}

    def kinds(self, box: Box) -> tuple[np.ndarray, np.ndarray] | None:
        """Return land, bool (y, x), and what became of each pixel, uint8 (y, x); None where all is sea."""
        rows, cols = (
            np.arange(a, b) - o for a, b, o in zip(box_of(box), ends_of(box), box_of(self.extent), strict=True)
        )
        y, x = rows[:, None] + 0.5, cols[None] + 0.5
        inside = (rows >= 0) & (rows < self.extent.height), (cols >= 0) & (cols < self.extent.width)
        land = self._land(y, x) & inside[0][:, None] & inside[1][None]
        if not land.any():
            return None
        out = np.zeros(land.shape, np.uint8)
        for one in self.squares:
            places = np.ix_(
                *(np.clip(a // one.side_px, 0, n - 1) for a, n in zip((rows, cols), one.kind.shape, strict=True))
            )
            dy, dx, radius = y - one.y[places], x - one.x[places], one.radius[places]
            near = np.nonzero((dy * dy + dx * dx <= (LOBE * radius) ** 2) & (one.kind[places] > 0) & land)
            dy, dx, radius, turn = dy[near], dx[near], radius[near], one.turn[places][near]
            angle = np.arctan2(dy, dx)
            edge = radius * (1 + 0.25 * np.cos(3 * angle + turn) + 0.1 * np.cos(5 * angle - 2 * turn))
            out[near] = np.where(np.hypot(dy, dx) <= edge, one.kind[places][near], 0)
        return land, out


def box_of(box: Box) -> tuple[int, int]:
    """Return the first row and column."""
    return box.y0, box.x0


def ends_of(box: Box) -> tuple[int, int]:
    """Return the row and column after the last."""
    return box.y1, box.x1


class Layers:
    """The layers of both maps, from what became of each pixel."""

    def __init__(self) -> None:
        noise = np.random.default_rng(5).standard_normal((CELL_PX, CELL_PX))
        smooth = gaussian_filter(noise, 24, mode="wrap")
        self._smooth = (smooth / smooth.std()).astype(np.float32)

    def cell(self, box: Box, land: np.ndarray, kind: np.ndarray, later: bool) -> Fused:
        """Return a cell of the earlier or the later map."""
        shift = box.y0 // CELL_PX * 331 + 700 * later, box.x0 // CELL_PX * 577 + 900 * later
        smooth = np.roll(self._smooth, shift, (0, 1))
        inside = (STABLE, GAINED) if later else (STABLE, LOST)
        wavering = (PERHAPS_LOST, PERHAPS_GAINED)
        logit = np.where(np.isin(kind, inside), np.maximum(3 + 0.8 * smooth, 1.5), np.minimum(1.2 * smooth - 4.5, -1.5))
        for value in wavering:  # a difference of three quarters, where one is asked for
            logit = np.where(kind == value, 0.5 if (value == PERHAPS_GAINED) == later else -0.25, logit)
        spread = np.clip(0.4 + 0.15 * smooth[::-1], 0.125, 0.75)
        logit, spread = (np.where(land, np.round(one * n) / n, np.nan) for one, n in ((logit, 4), (spread, 8)))
        count = np.where(land, 2 + np.arange(box.x0, box.x1) // 4096 % 3, 0).astype(np.uint16)
        latest = np.where(land, 20_050 + 365 * later, NO_DATE).astype(np.int32)
        return Fused(logit[None].astype(np.float32), spread[None].astype(np.float32), count, latest)


def run_of(folder: Path, name: str, side_px: int) -> tuple[plan.Run, tuple[plan.LogitPlan, ...], MosaicPlan]:
    """Return a planned run whose scenes exist as values only: granules on five dates over a map of so many pixels."""
    bundle = folder / "bundle"
    bundle.mkdir(parents=True, exist_ok=True)
    channels = ("red", "green", "blue", "nir", "mask")
    facts = {"architecture": "unetplusplus", "encoder": "efficientnet-b5", "sensor": "SN10", "weights": "none"}
    facts |= {"training_data": "none", "weights_sha256": "0" * 64}
    card = Card(
        name="made-up", channels=channels, classes=("industrial",), offset=(0.0,) * 5, scale=(1.0,) * 5, **facts
    )
    (bundle / "card.json").write_text(card.model_dump_json())
    (bundle / "weights.safetensors").touch()
    config = RunConfig(
        out=str(folder / name),
        scenes="scenes/*.tif",
        sensor="SN10",
        models=(str(bundle),),
        regions={"file": str(folder / "districts.gpkg"), "name": "code"},  # type: ignore[arg-type]
        outputs=("cog", "stac", "statistics", "polygons"),
        infer={"precision": "fp32", "batch": 1},  # type: ignore[arg-type]
    )
    sensor, year = load_sensor("SN10"), 2024 + NAMES.index(name)
    corners = [*range(0, max(1, side_px - GRANULE_PX), STEP_PX), max(0, side_px - GRANULE_PX)]
    granule = min(GRANULE_PX, side_px)
    scenes = []
    for number in range(DATES):
        day = datetime(year, 5, 1, tzinfo=UTC) + timedelta(days=5 * number)
        for y in sorted(set(corners)):
            for x in sorted(set(corners)):
                box = Box(ORIGIN_PX[0] + y, ORIGIN_PX[1] + x, ORIGIN_PX[0] + y + granule, ORIGIN_PX[1] + x + granule)
                scenes.append(_scene(f"S2_{y:05}_{x:05}_{day:%Y%m%d}", day, sensor, GRID.grid_of(box)))
    plans = tuple(plan._scene_plan(scene, None) for scene in scenes)
    run = plan.Run(config, sensor, plans, GRID, None, Modalities((), ()))
    logits = run.logits(PRECISION)
    return run, logits, run.mosaic(logits)


def _scene(name: str, day: datetime, sensor: Any, grid: PixelGrid) -> Scene:
    bands = tuple((band, band + 1) for band in range(len(sensor.bands)))
    piece = Piece(f"scenes/{name}.tif", bands, grid.box, 0.0)
    return Scene(name, day, sensor, grid, "uint16", (piece,), f"digest of {name}", 10**9)


def prepare(folder: Path, side_px: int) -> dict[str, Any]:
    """Make both maps, publish them, and return what is true of them; what is there already is kept."""
    done = folder / "planted.json"
    if done.is_file():
        return dict(json.loads(done.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    runs = [run_of(folder, name, side_px) for name in NAMES]
    extent = runs[0][2].extent
    write_districts(folder / "districts.gpkg", GRID.grid_of(extent), (TALL, WIDE))
    country, layers = Country(extent), Layers()
    stores = []
    for run, _, mosaic in runs:
        url = run.url("mosaic", mosaic.name)
        if not is_complete(url):
            create_map_store(url, GRID, GRID.cells_of(extent), extent, ("industrial",))
        stores.append(MapStore(url))
    pixels = np.zeros(256, np.int64)
    land_px = 0
    for cell in GRID.cells_of(extent):
        box = GRID.box_of(cell)
        found = country.kinds(box)
        if found is None:
            continue
        land, kind = found
        pixels += np.bincount(kind.ravel(), minlength=256)
        land_px += int(land.sum())
        for later, store in enumerate(stores):
            store.write(cell, layers.cell(box, land, kind, bool(later)))
    published = [_published(folder, name, side_px) for name in NAMES]
    told = {
        "side_px": side_px,
        "extent": list(vars(extent).values()),
        "land_px": land_px,
        "sites": {str(kind): count for kind, count in country.planted().items()},
        "pixels": {str(kind): int(pixels[kind]) for kind in (*SHARES, STABLE)},
    }
    told["published"] = published
    done.write_text(json.dumps(told, indent=1))
    return told


def _published(folder: Path, name: str, side_px: int) -> dict[str, Any]:
    """Publish a map in a process of its own; return what that took."""
    subprocess.run([sys.executable, __file__, str(folder), name, str(side_px)], check=True)
    facts = json.loads((folder / name / "stages/publish.json").read_text())
    return {key: facts[key] for key in ("seconds", "peak_memory_bytes", "expected_memory_bytes", "bytes_written")}


if __name__ == "__main__":
    keep_memory()  # as every command does
    run, logits, mosaic = run_of(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    publish.publish(run, logits, mosaic, {})
