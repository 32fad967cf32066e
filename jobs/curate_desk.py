"""What every command of curation begins with: the data set, what was seen of it, and what is kept so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jobs.config import RunConfig
from jobs.curate_frame import LAND_COVERS, Frame, frame_of
from jobs.curate_frames import FrameSubject
from jobs.curate_looks import Looks
from jobs.curate_subject import Subject, Tiles, TileSubject
from jobs.curate_versions import Removal, kept_now, read_version, version_numbers, write_version
from jobs.curate_windows import WindowSubject
from jobs.frames import PlannedFrames
from jobs.kinds import plan_of
from jobs.plan import Run
from jobs.runner import engine_of
from jobs.supervise import waiting_turn


@dataclass(frozen=True, eq=False)
class Desk:
    """A data set whose tiles were all looked at."""

    planned: Subject
    store: Tiles
    looks: Looks
    dry: bool = False
    """Whether nothing may be written."""
    covers: int = LAND_COVERS
    """Clusters of land cover."""

    @cached_property
    def frame(self) -> Frame:
        """What is known of every tile."""
        return frame_of(self.store, self.looks, self.covers, by_day=not self.planned.limit_is_kept)

    @cached_property
    def ids(self) -> list[str]:
        """Of all tiles."""
        return [tile["id"] for tile in self.store.tiles]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Classes of whole tiles, also those without a tile."""
        return tuple(sorted({*self.store.class_names, *self.planned.empty_classes}))

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
        for number in version_numbers(self.planned.storage):
            there = read_version(self.planned.storage, number)
            if (there.verb, list(there.removals)) == (verb, list(removals)):
                print(f"{verb}: version {number} lists these {len(removals)} of {len(self.ids)} tiles already")
                return number
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


def planned_subject(config: RunConfig) -> Subject:
    """Check what a run lets be curated: its data set, the windows of its scenes, or its frames.

    Raises:
        ValueError: it is bad.
    """
    planned = plan_of(config)
    if isinstance(planned, Run):
        return WindowSubject(planned)
    return FrameSubject(planned) if isinstance(planned, PlannedFrames) else TileSubject(planned)


def open_desk(planned: Subject, dry: bool, covers: int = LAND_COVERS) -> Desk | None:
    """Ingest and look at what was not yet, and return the desk; None, after saying why, where that cannot be.

    A dry run starts nothing: it returns a desk only where all was looked at before.
    """
    left, units = planned.looks_left()
    unread = planned.ingest_left()
    if dry and (unread or left):
        first = "ingest what is not ingested yet, then " if unread else ""
        print(f"would {first}look at {left} of {units} units; nothing is known before")
        return None
    if unread or left:
        with engine_of(planned.config.engine) as engine, waiting_turn(planned.storage, "what curation looks at"):
            if not planned.look(engine):
                return None
    return Desk(planned, *planned.opened(), dry, covers)
