"""What a run's folder tells of the time that is left: markers of finished units, or else what the stage cost before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cluster.markers import Markers, unit_of
from cluster.storage import Storage
from cluster.units import THREADS, Units
from jobs.estimate import Expected
from jobs.pace import Crew, Pace, Work, expected, pace_of_stage, pace_of_units

SAMPLE = 200
"""Markers that are read to learn a pace, at most; evenly from the first to the last."""


@dataclass(frozen=True)
class Rest:
    """What is left of a stage, and where to learn how long it takes."""

    stage: str
    word: str
    """What a unit is called."""
    groups: Sequence[Units[Any]]
    masks: Sequence[bytes]
    """For each group a byte a unit, 0 where it is finished: `cluster.units.unfinished`."""
    size: float
    """Of all units that are left."""

    def time(
        self, storage: Storage, work: Work, crew: Crew | None, gpu: bool = False, otherwise: Pace | None = None
    ) -> Expected:
        """Return how long it will take.

        Args:
            storage: of the run.
            work: what its time goes with.
            crew: who will do it; None: who did it before, if anybody.
            gpu: whether it is the work of GPUs.
            otherwise: the pace where no unit tells one.
        """
        try:
            facts = json.loads(storage.get(f"stages/{self.stage}.json"))
        except FileNotFoundError:
            facts = {}
        if crew is None and facts.get("engine", {}).get("kind") == "ray":
            crew = Crew.of(facts["engine"])
        units = ((work.size(key), marker) for key, marker in self._finished(storage))
        pace = pace_of_units(units, gpu, self.word) or pace_of_stage(facts, work.like, gpu, self.word)
        return expected(pace or otherwise, self.size, crew, gpu)

    def _finished(self, storage: Storage) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield some finished units and their markers, evenly from the first to the last."""
        markers = Markers(storage.child(f"markers/{self.stage}"))
        pairs = list(zip(self.groups, self.masks, strict=True))
        done = sum(len(mask) - sum(mask) for _, mask in pairs)
        keys = (
            key for group, mask in pairs if not all(mask) for key, left in zip(group, mask, strict=True) if not left
        )
        chosen = list(islice(keys, 0, None, max(1, -(-done // SAMPLE))))

        def read(key: Any) -> dict[str, Any]:
            try:
                return markers.read(unit_of(key))
            except (FileNotFoundError, ValueError):  # removed since, or damaged: it tells nothing
                return {}

        with ThreadPoolExecutor(THREADS, "markers") as pool:
            yield from zip(chosen, pool.map(read, chosen), strict=True)
