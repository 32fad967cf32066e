"""What a server shows: the map of a run as soon as there is one, the work on it, and a run to compare with."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.map_page.description import ShownRun, attribution_of, describe
from jobs.map_page.live import LiveRun
from jobs.map_page.published_run import open_published
from jobs.map_page.regions import has_regions
from jobs.map_page.similar import Similar
from jobs.map_page.sites import ZOOM, has_sites
from jobs.published import current
from jobs.published_runs import is_recorded, run_folder, state_of
from jobs.status import config_of

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


class Shown:
    """A run, and maybe another, as they are now.

    Raises ValueError: there is neither a map nor a run that could be followed.
    """

    def __init__(
        self,
        target: str,
        other: str | None,
        attribution: str | None,
        held: ExitStack,
        hosts: Sequence[str] = LOOPBACK,
    ) -> None:
        """Open what there is.

        Args:
            target: CONFIG.yaml, or the folder of a run.
            other: the same of a run to compare with.
            attribution: instead of what the run tells of its scenes.
            held: keeps copies of what is in an object store.
            hosts: names by which browsers may ask for it: others are refused, so that no page elsewhere reads the map.
        """
        self.out, self.hosts, self.runs = run_folder(target).rstrip("/"), hosts, list[ShownRun]()
        self._attribution, self._held, self._lock = attribution, held, threading.Lock()
        config = _config(target)
        self.live = None if config is None else LiveRun(config)
        self.similar = None if config is None or config.embed is None else Similar(config)
        self._other = None if other is None else ShownRun.of("b", open_published(other, held))
        self.refresh()
        if not self.runs:
            if self.live is None:
                open_published(target, held)  # says why there is none
            else:
                self.live.look()

    def refresh(self) -> None:
        """Take up a map that was published since."""
        with self._lock:
            storage = Storage(self.out)
            key = current(storage).get("key")
            if key is None or (self.runs and self.runs[0].run.key == key) or not is_recorded(storage, key):
                return
            run = ShownRun.of("a", open_published(self.out, self._held))
            self.runs = [run] if self._other is None else [run, self._other]

    def page(self) -> dict[str, Any]:
        """Return `page.json`."""
        offers: dict[str, Any] = {"place": True, "live": self.live is not None, "similar": self.similar is not None}
        if self.runs:
            run = self.runs[0].run
            offers |= {"regions": has_regions(run), "sites": {"zoom": ZOOM} if has_sites(run) else None}
            return describe(self.runs, self._attribution or attribution_of(self.runs[0].run), offers)
        assert self.live is not None
        return {
            "title": self.out.rsplit("/", 1)[-1],
            "byline": "At work, or interrupted",
            "bounds": self.live.bounds().to_json(),
            "attribution": self._attribution or "",
            "runs": [],
            "notice": f"There is no map yet{state_of(Storage(self.out))}. What is done colours in on the map.",
            **offers,
        }


def _config(target: str) -> RunConfig | None:
    try:
        return config_of(target)
    except (ValueError, OSError):  # a folder that was copied without its logs
        return None
