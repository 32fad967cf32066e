"""What every command of curation begins with: the data set, what was seen of it, and what is kept so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cluster.engine import Engine
from jobs.config import RunConfig
from jobs.curate_frame import Frame, frame_of
from jobs.curate_looks import Looks, looks_left, read_looks, take_looks
from jobs.curate_versions import Removal, kept_now, write_version
from jobs.datasets import PlannedDataset, plan_dataset
from jobs.lists import csv_bytes
from jobs.runner import engine_of
from jobs.supervise import waiting_turn
from tiler.tile_store import TileStore


@dataclass(frozen=True, eq=False)
class Desk:
    """A data set whose tiles were all looked at."""

    planned: PlannedDataset
    store: TileStore
    looks: Looks
    dry: bool = False
    """Whether nothing may be written."""

    @cached_property
    def frame(self) -> Frame:
        """What is known of every tile."""
        return frame_of(self.store, self.looks)

    @cached_property
    def ids(self) -> list[str]:
        """Of all tiles."""
        return [tile["id"] for tile in self.store.tiles]

    @cached_property
    def applied(self) -> tuple[int, ...]:
        """The versions that count now."""
        now = kept_now(self.planned.storage)
        return () if now is None else now[1]

    def kept(self, everything: bool = False) -> np.ndarray:
        """Return which tiles are kept so far, bool (n,)."""
        now = None if everything else kept_now(self.planned.storage)
        return np.ones(len(self.ids), bool) if now is None else np.isin(self.ids, now[0])

    def keep_version(self, verb: str, removals: Sequence[Removal], settings: dict[str, object]) -> int | None:
        """Write removals as the next version and say so; None where there is nothing to write, or nothing may be."""
        if not removals:
            print(f"{verb}: nothing to leave out; no version is written")
            return None
        if self.dry:
            print(f"{verb}: {len(removals)} of {len(self.ids)} tiles would be left out; nothing is written (--dry-run)")
            return None
        facts = {"verb": verb, "settings": settings, "store": self.planned.name, "tiles": len(self.ids)}
        number = write_version(self.planned.storage, removals, facts)
        out = self.planned.config.out.rstrip("/")
        print(
            f"{verb}: version {number} leaves out {len(removals)} of {len(self.ids)} tiles; {out}/curation/{number:04d}"
        )
        print("it counts once it is applied: sandan curate apply RUN.yaml")
        return number

    def put(self, name: str, data: bytes) -> None:
        """Write a file below OUT/curation, unless nothing may be written."""
        if not self.dry:
            self.planned.storage.put(f"curation/{name}", data)

    def put_rows(self, name: str, rows: Sequence[dict[str, object]]) -> None:
        """Write rows of equal keys as CSV."""
        self.put(name, csv_bytes(tuple(rows[0]), [tuple(row.values()) for row in rows]))


def planned_dataset(config: RunConfig) -> PlannedDataset:
    """Check the data set of a run.

    Raises:
        ValueError: the run has none, or it is bad.
    """
    if config.dataset is None:
        raise ValueError(
            "curate works on a run with `dataset:`, this one has scenes or frames. Their windows are curated by other "
            "commands today: `sandan duplicates` (copies and honest splits), `sandan audit` (labels unlike those of "
            "neighbours), `sandan drift` (haze, missing and other sensors by region), `sandan propose` (what to label)"
        )
    return plan_dataset(config)


def open_desk(planned: PlannedDataset, dry: bool) -> Desk | None:
    """Ingest and look at what was not yet, and return the desk; None, after saying why, where that cannot be.

    A dry run starts nothing: it returns a desk only where all was looked at before.
    """
    if dry:
        ingest, left = planned.estimates()[0], looks_left(planned)
        if ingest.done < ingest.units or left:
            first = "ingest the data set, then " if ingest.done < ingest.units else ""
            print(f"would {first}look at {left} of {ingest.units} shards; nothing is known before")
            return None
        return Desk(planned, TileStore(planned.url), read_looks(planned), dry=True)
    if planned.is_ingested and not looks_left(planned):
        return Desk(planned, TileStore(planned.url), read_looks(planned))
    with engine_of(planned.config.engine) as engine, waiting_turn(planned.storage, "the looks of the data set"):
        looks = _looks(planned, engine)
    return None if looks is None else Desk(planned, TileStore(planned.url), looks)


def _looks(planned: PlannedDataset, engine: Engine) -> Looks | None:
    if not planned.is_ingested:
        planned.ingest(engine)
    if not planned.is_ingested:
        print(f"the data set {planned.url} could not be ingested to its end; repeat")
        return None
    return take_looks(planned, engine)
