"""Data sets of equal tiles: from their archives into one tile store, with quality gates and a report.

The same command as for scenes: `sandan ingest CONFIG.yaml`, where the run names a `dataset` instead of `scenes`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import grouped, unfinished
from jobs.config import RunConfig
from jobs.curate_versions import left_out
from jobs.estimate import BASE_MEMORY_BYTES, Estimate
from jobs.images import images_of
from jobs.lists import csv_bytes
from jobs.pace import Work
from jobs.plan import CONTRACTS, key_of
from jobs.room import crew_here
from jobs.runner import engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, FAULT, INCOMPLETE
from jobs.stages import peak_memory_bytes
from jobs.time_left import Rest
from tiler.aihub import ROLES, scan
from tiler.aihub_source import AihubSource
from tiler.dataset_spec import AihubDataset
from tiler.image_spec import ImagesSpec
from tiler.rasters import read_header
from tiler.sensors import load_sensor
from tiler.stores import is_complete, open_group
from tiler.tile_source import TileSource, fill_shard
from tiler.tile_store import SHARD_TILES, Modality, TileShard, TileStore, create_tile_store, tile_shards

TILES = 2
"""Raised by hand when the same files would make other rows; beside the contract of Ingest."""


@dataclass(frozen=True)
class IngestTiles:
    """Read the files of a shard of tiles and write its rows."""

    source: TileSource
    url: str

    def __call__(self) -> Callable[[TileShard], dict]:
        """Prepare a worker."""
        group = open_group(self.url)

        def work(shard: TileShard) -> dict:
            return {**fill_shard(self.source, group, shard), "peak_memory_bytes": peak_memory_bytes()}

        return work


@dataclass(frozen=True)
class PlannedDataset:
    """A data set, listed and checked; nothing has been written yet."""

    config: RunConfig
    source: TileSource
    unmatched: tuple[tuple[str, str], ...] = ()
    """(path, why) of every file that is in no tile."""
    notes: tuple[str, ...] = ()
    """Counts, and what one should know before it is ingested."""
    reading_bytes: int = 0
    """Memory for the files of one tile while they are read, where they are larger than the tile."""
    empty_classes: tuple[str, ...] = ()
    """Classes of whole images that are named and have no image: the store does not know them."""

    @cached_property
    def storage(self) -> Storage:
        """Where the run lives."""
        return Storage(self.config.out)

    @cached_property
    def name(self) -> str:
        """`<sensor>-<key>`: the store is `tiles/<name>.zarr`."""
        return f"{self.source.sensor.name}-{key_of(CONTRACTS['ingest'], TILES, *self.source.identity())}"

    @property
    def url(self) -> str:
        """Address of the tile store."""
        return f"{self.config.out.rstrip('/')}/tiles/{self.name}.zarr"

    @property
    def unit_windows(self) -> int:
        """Tiles that networks are given at once, at most."""
        return SHARD_TILES

    def shards(self) -> list[TileShard]:
        """Return the units of work."""
        return list(tile_shards(self.name, len(self.source.entries)))

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        groups = grouped(self.shards())
        masks = unfinished(markers_of(self.storage, "ingest"), groups)
        left = sum(map(sum, masks))
        rest = Rest("ingest", "shards", groups, masks, left)
        tiles = min(left * SHARD_TILES, len(self.source.entries))
        coarse = sum(len(m.sensor.bands) * m.side_px**2 * 4 for m in self.source.modalities)
        pixels = self.source.tile_px**2
        row = pixels * (len(self.source.sensor.bands) * np.dtype(self.source.dtype).itemsize + 2) + coarse
        return [
            Estimate(
                stage="ingest",
                units=len(self.shards()),
                unit=f"shards of {SHARD_TILES} tiles",
                done=len(self.shards()) - left,
                read_bytes=tiles * row,
                write_bytes=tiles * row,
                peak_memory_bytes=BASE_MEMORY_BYTES
                + self.reading_bytes
                + 2 * 2 * SHARD_TILES * row,  # rows, stack; twice
                folder=self.config.out if self.storage.is_local else "",
                notes=(
                    f"{len(self.unmatched)} files have no partner and are listed in OUT/unmatched.csv",
                    *self.notes,
                ),
                time=rest.time(self.storage, self._work, crew_here(self.config.engine)) if left else None,
            )
        ]

    @property
    def _work(self) -> Work:
        """What the time of the ingest goes with: shards, of one form."""
        source = self.source
        modalities = [m.to_json() for m in source.modalities]
        form = (source.sensor.model_dump(mode="json"), source.tile_px, str(source.dtype), modalities)
        return Work(lambda shard: 1, key_of(CONTRACTS["ingest"], form))

    @property
    def is_ingested(self) -> bool:
        """Whether every shard is written."""
        return is_complete(self.url) and {s.unit for s in self.shards()} <= markers_of(self.storage, "ingest").done()

    @property
    def limit(self) -> float:
        """Largest missing ratio of a tile that is kept."""
        dataset = self.config.dataset
        assert dataset is not None
        return self.source.sensor.missing_limit if dataset.missing_limit is None else dataset.missing_limit

    def left_out(self, kept: str | None = None, removed: Sequence[str] = ()) -> frozenset[str]:
        """Return the ids of the tiles that curation removed.

        Args:
            kept: a list of kept tiles; None for that of the run, or nothing where it names none.
            removed: lists of tiles to leave out as well.

        Raises:
            ValueError: a list is not there, or of other data.
        """
        wanted = self.config.curation if kept is None else kept
        return left_out([entry.id for entry in self.source.entries], wanted, removed)

    def run(self) -> int:
        """Ingest on an engine of its own."""
        with engine_of(self.config.engine) as engine:
            return self.ingest(engine)

    def ingest(self, engine: Engine) -> int:
        """Ingest, judge every tile, write the lists and the report; return the exit code."""
        for note in self.notes:
            print(note, file=sys.stderr)
        if not is_complete(self.url):
            s = self.source
            create_tile_store(self.url, s.entries, s.sensor, s.tile_px, s.dtype, s.classes, s.modalities, s.class_names)
        stage = IngestTiles(self.source, self.url)
        shards = grouped(self.shards())
        outcome = run_stage(engine, self.storage, "ingest", stage, shards, "shards", work=self._work)
        report_failures([outcome])
        if outcome.failed:
            return FAULT if len(outcome.failed) == outcome.total else INCOMPLETE
        damaged, told = self._records("damaged"), self._records("notes")
        store = TileStore(self.url)
        self.storage.put("unmatched.csv", csv_bytes(("path", "reason"), self.unmatched))
        self.storage.put("damaged.csv", csv_bytes(("id", "reason"), sorted(damaged.items())))
        self.storage.put("tiles.csv", csv_bytes(TILE_COLUMNS, tile_rows(store, self.limit, damaged, told)))
        from jobs.dataset_report import dataset_report  # draws: matplotlib takes as long to import as all else

        facts, page = dataset_report(store, self.limit, damaged, self.unmatched, self.config, self.thin_classes)
        self.storage.put("quality.json", json.dumps(facts, indent=1).encode())
        self.storage.put("report.html", page.encode())
        print(f"{facts['kept']} of {facts['tiles']} tiles kept; report {self.config.out.rstrip('/')}/report.html")
        for tile, error in damaged.items():
            print(f"quarantined: {tile}: {error}", file=sys.stderr)
        return INCOMPLETE if damaged else DONE

    def _records(self, name: str) -> dict[str, Any]:
        """Return what the markers of all shards say of single tiles: `damaged`, with errors, or `notes`."""
        markers = markers_of(self.storage, "ingest")
        found: dict[str, Any] = {}
        for shard in self.shards():
            found |= markers.read(shard.unit)["record"][name]
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known beside every score."""
        return tuple(note for note in self.notes if note.startswith("WARNING"))

    @property
    def thin_classes(self) -> tuple[str, ...]:
        """What must be known before it trains: classes without an image, or with one."""
        return tuple(note for note in self.notes if note.startswith("class "))

    @property
    def judged(self) -> str:
        """The split that networks are judged on: the official validation of AI-Hub, the test part of images.

        Of images it is validation as well where the run says `test: same-as-val`.
        """
        spec = self.config.dataset
        return "test" if isinstance(spec, ImagesSpec) and not spec.split.same_as_val else "validation"


KNOWN = ("id", "split", "source", "label")
"""Columns of what is known before pixels are read."""
SHARES = ("missing_ratio", "missing_ratio_3_patches", "coverage")
TILE_COLUMNS = (*KNOWN, "width", "height", "pixel", *SHARES, "epsg", "kept", "reason", "notes")


def tile_rows(
    store: TileStore, limit: float, damaged: Mapping[str, str], notes: Mapping[str, Sequence[str]]
) -> list[tuple[object, ...]]:
    """Return a row of `TILE_COLUMNS` for every tile, kept or dropped and why."""
    facts = {name: store.facts(name) for name in (*SHARES, "epsg", "width", "height", "pixel")}
    kept = set(store.kept(limit).tolist())
    rows = []
    for row, tile in enumerate(store.tiles):
        reason = ""
        if tile["id"] in damaged:
            reason = "damaged"
        elif row not in kept:
            reason = f"missing ratio above {limit:g}"
        size = int(facts["width"][row]), int(facts["height"][row]), float(facts["pixel"][row])
        shares = (round(float(facts[name][row]), 6) for name in SHARES)
        told = "; ".join(notes.get(tile["id"], ()))
        epsg = int(facts["epsg"][row])
        rows.append((*(tile[name] for name in KNOWN), *size, *shares, epsg, row in kept, reason, told))
    return rows


def plan_dataset(config: RunConfig) -> PlannedDataset:
    """List a data set of any layout, and check what can be without reading all of it.

    Raises:
        ValueError: nothing that can be used, or files of another form than the run says.
    """
    if isinstance(config.dataset, ImagesSpec):
        return PlannedDataset(config, *images_of(config.dataset))
    assert config.dataset is not None
    return plan_aihub(config, config.dataset)


def plan_aihub(config: RunConfig, dataset: AihubDataset) -> PlannedDataset:
    """List a delivery of AI-Hub and check its first tile.

    Raises:
        ValueError: nothing of the sensor below the root, no tile with a label, or a tile of another form.
    """
    sensor = load_sensor(config.sensor)
    listing = scan(dataset.root, sensor.name)
    if not listing.tiles:
        path, reason = listing.unmatched[0] if listing.unmatched else (dataset.root, "no raster at all")
        raise ValueError(
            f"dataset: no tile below {dataset.root} has an image and a label ({len(listing.unmatched)} files without a "
            f"partner, the first {path}: {reason}); fetch both parts"
        )
    header = read_header(listing.tiles[0].files["image"])
    if (header.bands, header.height, header.width) != (len(sensor.bands), dataset.tile_px, dataset.tile_px):
        raise ValueError(
            f"dataset: {header.path} is {header.bands} x {header.height} x {header.width}, expected "
            f"{len(sensor.bands)} x {dataset.tile_px} x {dataset.tile_px}; set `dataset.tile_px`, or another sensor"
        )
    modalities = tuple(Modality(load_sensor(m.sensor), m.side_px) for m in dataset.modalities)
    unknown = [m.name for m in modalities if m.name not in ROLES]
    if unknown:
        raise ValueError(f"dataset.modalities: the layout has no {unknown}; it has {list(ROLES[2:])}")
    source = AihubSource(
        listing.tiles, sensor, dataset.tile_px, header.dtype, dataset.codes, modalities, dataset.preprocess
    )
    _ = source.sensor  # what cannot be done to it is told before anything is read
    return PlannedDataset(config, source, listing.unmatched)
