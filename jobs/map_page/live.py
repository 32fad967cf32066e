"""The run behind the page while it is at work: its units as outlines, and their states, for a page that polls."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from jobs.config import RunConfig
from jobs.map_page.xyz import Bounds, bounds_of, outline_of
from jobs.plan import Run, plan_run
from jobs.progress_file import progress_of
from jobs.published import current
from jobs.run_map import RunMap, StageMap, run_map

AT_LEAST_S = 2.0
"""Pages that poll at the same time are answered from one look at the folder."""
REASONS = 20
"""Failures that are told in words."""


@dataclass
class LiveRun:
    """A run that may be at work."""

    config: RunConfig
    _run: Run | None = None
    _seen: RunMap | None = None
    _when: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> RunMap:
        """Return what there is of the run now, or was two seconds ago.

        Raises:
            ValueError: it cannot be planned here, such as where its scenes are out of reach.
        """
        with self._lock:
            if self._seen is None or time.monotonic() - self._when > AT_LEAST_S:
                self._run = self._run or plan_run(self.config)
                self._seen, self._when = run_map(self._run), time.monotonic()
            return self._seen

    def bounds(self) -> Bounds:
        """Return where its scenes lie."""
        self.look()
        assert self._run is not None
        first, *others = (bounds_of(plan.scene.grid) for plan in self._run.scenes)
        for other in others:
            first = first.joined(other)
        return first

    def units(self) -> dict[str, Any]:
        """Return the outlines of all units, stage by stage, in the order of their states."""
        seen = self.look()
        return {
            "plan": seen.plan,
            "stages": [
                {"stage": one.stage, "outlines": [_ring(work.grid, work.box) for work in one.work]}
                for one in seen.stages
            ],
        }

    def states(self) -> dict[str, Any]:
        """Return the state of every unit, what the run says of itself, and what failed."""
        seen = self.look()
        assert self._run is not None
        storage = self._run.storage
        failed = {unit: reason for one in seen.stages for unit, reason in one.reasons.items()}
        return {
            "plan": seen.plan,
            "stages": [_states(one) for one in seen.stages],
            "progress": progress_of(storage),
            "failed": len(failed),
            "reasons": dict(list(failed.items())[:REASONS]),
            "published": current(storage).get("key"),
        }


def _states(stage: StageMap) -> dict[str, Any]:
    counts = {letter: stage.count(letter) for letter in "dpfsq"}
    return {"stage": stage.stage, "states": stage.states, "counts": counts}


def _ring(grid: Any, box: Any) -> list[list[float]]:
    return [[round(lon, 5), round(lat, 5)] for lon, lat in outline_of(grid, box, 3)]
