"""Rasters of a map, each written once: what a run that was ended had finished is found again by its marker.

    OUT/markers/publish/<key>/class.json          a product in one file: its size, digest, and statistics of its bands
    OUT/markers/publish/<key>/r-3_c7.class.json   the same of a sheet
    OUT/markers/publish/<key>/r-3_c7.empty.json   a sheet of which no scene saw a pixel

A marker is made when its file is on the disk, or in the bucket. It is believed as long as that file is the same one: by
its digest on a disk, by its size in a bucket, where objects are whole or absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.markers import JSON, Markers
from cluster.storage import Storage, flush
from jobs.half_written import remove_scratch
from jobs.products import sha256_of
from jobs.published import FOLDER
from jobs.runner import markers_of
from tiler.cog import BandStatistics
from tiler.grids import Box

STAGE = "publish"
MARKERS = f"markers/{STAGE}"
"""Folder of the markers of all maps of a run."""
SHEETS = "sheets"
"""Folder of the sheets of a map."""
EMPTY = "empty"
"""In place of a product, in the marker of a sheet that nobody saw."""


@dataclass(frozen=True)
class Raster:
    """A raster of a map that is to be written: of the whole, or of a sheet."""

    product: str
    box: Box
    """Absolute map pixels."""
    sheet: str = ""
    """Name of the sheet; none for the whole map."""

    @property
    def unit(self) -> str:
        """Name of its marker."""
        return f"{self.sheet}.{self.product}" if self.sheet else self.product

    @property
    def href(self) -> str:
        """Its address in the folder of the map."""
        return f"{SHEETS}/{self.sheet}/{self.product}.tif" if self.sheet else f"{self.product}.tif"


@dataclass(frozen=True)
class RasterFile:
    """What is known of a raster that is written."""

    href: str
    """Its address in the folder of the map."""
    size_bytes: int
    sha256: str
    statistics: tuple[BandStatistics, ...]
    """Of each band."""
    kept: bool = False
    """Whether an earlier run had written it."""

    @classmethod
    def of(cls, folder: Path, href: str, statistics: tuple[BandStatistics, ...]) -> RasterFile:
        """Describe a file that was written."""
        path = folder / href
        return cls(href, path.stat().st_size, sha256_of(path), statistics)

    def facts(self) -> dict[str, Any]:
        """Return address in the folder, size and digest."""
        return {"href": self.href, "size_bytes": self.size_bytes, "sha256": self.sha256}


@dataclass(frozen=True)
class FinishedRasters:
    """The rasters of one map that are finished, found by their markers, and the place of those that are written."""

    storage: Storage
    """The folder of the run."""
    key: str
    """Of the map."""
    folder: Path
    """Where files are written: that of the map on a disk; else a scratch folder, from which they are moved."""
    _records: Mapping[str, Mapping[str, Any]] = field(repr=False)
    _sizes: Mapping[str, int] = field(repr=False)
    """Of all objects of the map, where it lies in a bucket."""

    @classmethod
    def open(cls, storage: Storage, key: str, folder: Path) -> FinishedRasters:
        """Look for markers, and remove what a killed writer left half written; the caller holds the run's lock."""
        remove_scratch(folder)
        records = {unit.partition("/")[2]: one for unit, one in markers_of(storage, STAGE).read_all(key).items()}
        sizes = {} if storage.is_local or not records else dict(storage.sizes(f"{FOLDER}/{key}"))
        return cls(storage, key, folder, records, sizes)

    def is_marked(self, raster: Raster) -> bool:
        """Whether a raster was finished once; its file may be gone."""
        return raster.unit in self._records

    def find(self, raster: Raster) -> RasterFile | None:
        """Return the file of a raster that is finished and whole; the marker of one that is not goes."""
        record = self._records.get(raster.unit)
        if record is None:
            return None
        statistics = tuple(BandStatistics.from_json(one) for one in record["statistics"])
        found = RasterFile(raster.href, record["size_bytes"], record["sha256"], statistics, kept=True)
        if self._is_there(found):
            return found
        self.storage.delete(f"{MARKERS}/{self.key}/{raster.unit}.json")
        return None

    def add(self, raster: Raster, statistics: tuple[BandStatistics, ...]) -> RasterFile:
        """Mark a raster as finished that was written to its address in `folder`; into a bucket it is moved first."""
        found = RasterFile.of(self.folder, raster.href, statistics)
        if self.storage.is_local:  # the file is flushed; its name, and those of the folders made for it, are not
            for place in Path(raster.href).parents:
                flush(self.folder / place)
        else:
            self.storage.put_file(f"{FOLDER}/{self.key}/{raster.href}", self.folder / raster.href, move=True)
        numbers: list[JSON] = [one.to_json() for one in statistics]
        record: dict[str, JSON] = {"size_bytes": found.size_bytes, "sha256": found.sha256, "statistics": numbers}
        self._markers.create(f"{self.key}/{raster.unit}", record)
        return found

    def is_known_empty(self, sheet: str) -> bool:
        """Whether a sheet was read to its end, and no scene had seen a pixel of it."""
        return f"{sheet}.{EMPTY}" in self._records

    def add_empty(self, sheet: str) -> None:
        """Mark a sheet as one that need not be read again."""
        self._markers.create(f"{self.key}/{sheet}.{EMPTY}", {})

    @property
    def _markers(self) -> Markers:
        return markers_of(self.storage, STAGE)

    def _is_there(self, file: RasterFile) -> bool:
        if not self.storage.is_local:
            return self._sizes.get(f"{FOLDER}/{self.key}/{file.href}") == file.size_bytes
        path = self.folder / file.href
        return path.is_file() and path.stat().st_size == file.size_bytes and sha256_of(path) == file.sha256


def count_finished(storage: Storage, key: str, products: int) -> int:
    """Return how many rasters of a map have markers, by one listing; an empty sheet counts as all of its products."""
    units = markers_of(storage, STAGE).done(key)
    empty = sum(unit.endswith(f".{EMPTY}") for unit in units)
    return len(units) + empty * (products - 1)
