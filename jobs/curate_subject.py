"""What is curated: tiles of a data set, windows of scenes (jobs/curate_windows.py), frames (jobs/curate_frames.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import grouped
from jobs.config import RunConfig
from jobs.curate_looks import FOLDER, STAGE, LookAt, Looks, looks_left, mapped, read_columns
from jobs.datasets import PlannedDataset
from jobs.runner import report_failures, run_stage
from tiler.sensors import Sensor
from tiler.tile_store import TileStore


class Tiles(Protocol):
    """Tiles by number: a `TileStore`, `tiler.scene_windows.SceneWindows` or `tiler.frame_rows.FrameRows`."""

    @property
    def sensor(self) -> Sensor:
        """Whose bands they have."""
        ...

    @property
    def tiles(self) -> Sequence[dict[str, str]]:
        """The fields of `TileEntry` of each."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of whole tiles."""
        ...

    @property
    def offered(self) -> tuple[str, ...]:
        """Channels that may be asked for."""
        ...

    def facts(self, name: str) -> np.ndarray:
        """Return one fact of every tile, as `TileStore.facts` tells them."""
        ...

    def read(self, name: str, row: int) -> np.ndarray:
        """Read `image` or `valid` of one tile, or `label` where some pixel is labelled (`coverage` is a number)."""
        ...

    def network_input(self, row: int, channels: Sequence[str] | None = None) -> np.ndarray:
        """Return what networks see of a tile, float32 (channel, y, x)."""
        ...


class Subject(Protocol):
    """Tiles that can be looked at."""

    @property
    def config(self) -> RunConfig:
        """The run."""
        ...

    @property
    def storage(self) -> Storage:
        """Where the run lives."""
        ...

    @property
    def name(self) -> str:
        """What identifies the tiles and their content."""
        ...

    @property
    def limit(self) -> float:
        """Largest missing ratio of a good tile."""
        ...

    @property
    def limit_is_kept(self) -> bool:
        """Whether trainings leave tiles above the limit out by themselves."""
        ...

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """Classes of whole tiles that are named and have none."""
        ...

    def ingest_left(self) -> bool:
        """Return whether something is not ingested yet."""
        ...

    def looks_left(self) -> tuple[int, int]:
        """Return how many units of work were not looked at yet, and how many there are."""
        ...

    def look(self, engine: Engine) -> bool:
        """Ingest and look at what was not yet; return whether there is something to curate."""
        ...

    def opened(self) -> tuple[Tiles, Looks]:
        """Return the tiles and what was seen of them."""
        ...


@dataclass(frozen=True)
class TileSubject:
    """The tiles of a data set."""

    planned: PlannedDataset

    limit_is_kept = True

    @property
    def config(self) -> RunConfig:
        """The run."""
        return self.planned.config

    @property
    def storage(self) -> Storage:
        """Where the run lives."""
        return self.planned.storage

    @property
    def name(self) -> str:
        """Of the tile store."""
        return self.planned.name

    @property
    def limit(self) -> float:
        """That of the data set, or of its sensor."""
        return self.planned.limit

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """Those of the data set."""
        return self.planned.empty_classes

    def ingest_left(self) -> bool:
        """Return whether shards are not ingested yet."""
        return not self.planned.is_ingested

    def looks_left(self) -> tuple[int, int]:
        """Return how many shards were not looked at yet, and how many there are."""
        return looks_left(self.storage, grouped(self.planned.shards()))

    def look(self, engine: Engine) -> bool:
        """Ingest and look; a shard that cannot be read is named, and nothing is curated without it."""
        if not self.planned.is_ingested:
            self.planned.ingest(engine)
        if not self.planned.is_ingested:
            print(f"the data set {self.planned.url} could not be ingested to its end; repeat")
            return False
        stage = LookAt(self.planned.url, self.storage.child(FOLDER).url)
        outcome = run_stage(engine, self.storage, STAGE, stage, grouped(self.planned.shards()), "shards")
        report_failures([outcome])
        return not outcome.failed

    def opened(self) -> tuple[Tiles, Looks]:
        """Return the tile store and the looks of all tiles."""
        out, n, first = self.storage.child(FOLDER), len(self.planned.source.entries), 0
        columns: dict[str, np.ndarray] = {}
        for shard in self.planned.shards():
            part = read_columns(out.get(f"{shard.unit}.npz"))
            for name in ("pictures", "white", "digests"):
                if name not in columns:  # filled in its place: parts put together at the end would be there twice
                    shape = (n, *part[name].shape[1:])
                    columns[name] = mapped(shape) if name == "pictures" else np.empty(shape, part[name].dtype)
                columns[name][first : first + len(part[name])] = part[name]
            first += len(part["white"])
        return TileStore(self.planned.url), Looks(**columns)
