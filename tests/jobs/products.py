"""A small country whose map is made again and again: scenes that come, change and go, and ticks over them."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jobs import map as make_map
from jobs import rollback, schedule
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.schedule_config import PlanConfig
from tests.jobs.worlds import (
    KOREA,
    Pointwise,
    answering,
    image,
    layers,
    moved,
    small_cells,
    undamaged,
    world,
    write_tif,
)
from tiler.map_store import MapStore

PLACES = {"north": (40, 77), "south": (170, 60), "west": (30, -90), "east": (55, 250), "isle": (620, 560)}
"""Scenes that overlap a little, and one far away: (rows, columns) from the origin."""


class Counting(Pointwise):
    """Counts the tiles that go through a network."""

    def __init__(self, meanwhile: Callable[[int], None] = lambda tiles: None) -> None:
        self.tiles = 0
        self.meanwhile = meanwhile
        """Called with how many there were, before each answer."""

    def predict(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answer."""
        self.meanwhile(self.tiles)
        self.tiles += len(tiles)
        return super().predict(tiles)


@dataclass
class Country:
    """A plan, its scenes and its product."""

    folder: Path
    network: Counting
    settings: dict[str, Any] = field(default_factory=dict)
    when: datetime = datetime(2026, 1, 2, 3, tzinfo=UTC)
    """What the clock says."""

    @property
    def product(self) -> Path:
        """Where all runs go."""
        return self.folder / "product"

    @property
    def plan(self) -> str:
        """The plan's file, written anew."""
        path = self.folder / "plan.yaml"
        path.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        return str(path)

    def scene(self, name: str, seed: int = 0, low: int = 200, high: int = 9000, **options: Any) -> Path:
        """Write a scene, or write it anew; what follows the place in its name may be its date."""
        array = image(150, 190, sum(map(ord, name)) + seed, low, high)
        place = moved(*PLACES[name.partition("-")[0]])
        write_tif(self.folder / "scenes" / f"{name}.tif", array, transform=place, **(undamaged() | options))
        return self.folder / "scenes" / f"{name}.tif"

    def month(self, months: float = 1) -> None:
        """Let time pass."""
        self.when += timedelta(days=30 * months)

    def tick(self, *words: str) -> tuple[int, int]:
        """Let a tick happen; return its exit code, and how many tiles its networks saw."""
        before = self.network.tiles
        code = schedule.main([self.plan, *words])
        return code, self.network.tiles - before

    def rollback(self, *words: str) -> int:
        """Go back."""
        return rollback.main([self.plan, *words])

    @property
    def latest(self) -> dict[str, Any]:
        """The pointer."""
        return json.loads((self.product / "latest.json").read_text())

    def layers(self) -> dict[str, np.ndarray]:
        """The published map, by layer."""
        (store,) = (self.product / "runs" / self.latest["run"] / "mosaic").iterdir()
        return layers(MapStore(str(store)))

    def fresh(self) -> dict[str, np.ndarray]:
        """The map of the scenes that are there now, made by a run that has nothing."""
        plan = load(PlanConfig, self.plan)
        out = str(self.folder / f"fresh{self.network.tiles}")
        assert make_map.main([self._written(plan.run_at(out))]) == 0
        (store,) = Path(out, "mosaic").iterdir()
        return layers(MapStore(str(store)))

    def _written(self, config: RunConfig) -> str:
        path = self.folder / "fresh.yaml"
        path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
        return str(path)

    @property
    def record(self) -> dict[str, Any]:
        """Of the last tick."""
        return json.loads(max((self.product / "ticks").iterdir()).read_text())

    @property
    def runs(self) -> list[str]:
        """Ids of the runs that are there."""
        return sorted(path.name for path in (self.product / "runs").iterdir())


@contextlib.contextmanager
def country(folder: Path, *scenes: str, **settings: Any) -> Iterator[Country]:
    """Give a country with some scenes, whose networks are counted and whose clock is its own."""
    here = world(folder, grid={"crs": KOREA, "resolution_m": 9}, **settings).settings
    del here["out"]
    here |= {
        "outputs": ["cog"],
        "product": str(folder / "product"),
        **settings,
        "scenes": str(folder / "scenes" / "*.tif"),
    }
    network = Counting()
    found = Country(folder, network, here)
    for name in scenes:
        found.scene(name)
    with answering(network), small_cells(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.tick.now", lambda: found.when)
        patch.setattr("jobs.tick_record.now", lambda: found.when)
        yield found


def killed_tick(folder: Path, after_tiles: int) -> None:
    """Let a tick happen in this process, which is killed without a word when its networks saw so many tiles."""

    def kill(tiles: int) -> None:
        if tiles >= after_tiles:
            os.kill(os.getpid(), signal.SIGKILL)

    with answering(Counting(kill)), small_cells():
        schedule.main([str(folder / "plan.yaml")])
