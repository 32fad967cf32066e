"""Places that look like a clicked one, where the run is embedded (`sandan embed`)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.engine import SerialEngine
from jobs.config import RunConfig

if TYPE_CHECKING:
    from jobs.search_archive import Archive

MOST = 100
TOP = 12


@dataclass
class Similar:
    """The embeddings of a run, opened when somebody first asks."""

    config: RunConfig
    _archive: Archive | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def places(self, lon: float, lat: float, top: int = TOP) -> dict[str, Any]:
        """Return the windows that look most like the one at a place, the best first.

        Raises:
            ValueError: the run is not embedded, or the place lies outside of it.
        """
        # here, because they load torch, which a page without embeddings never needs
        from jobs.search_filters import PARTS, Filters
        from jobs.search_outputs import outlines_of, rows_of
        from jobs.search_queries import Example, Lookup, known_of, query_of
        from jobs.search_runs import archive_of
        from jobs.search_stage import find, score_of

        with self._lock:  # one search at a time: each reads all vectors
            if self._archive is None:
                self._archive, _, _ = archive_of([self.config], [self.config.out])
            archive = self._archive
            asked = Lookup(archive, None)(Example("at", f"{lon},{lat}"))
            query = query_of([asked], 0.0)
            score = score_of(archive, query, min(top, MOST), Filters(parts=PARTS[1]), known_of([asked]))
            best = find(archive, score, SerialEngine(1)).best
        found = [
            {"score": round(row.score, 4), "scene": row.source, "id": row.id, "outline": np.round(ring, 6).tolist()}
            for row, ring in zip(rows_of(archive, best), outlines_of(archive, best), strict=True)
            if ring is not None
        ]
        return {"places": found}
