"""What a recipe trains on: the scenes of a run, or its data set; checked when planning, ingested before training."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cluster.engine import Engine
from jobs.config import RunConfig
from jobs.curate_versions import digest_of, left_out
from jobs.curate_windows import WindowSubject
from jobs.datasets import PlannedDataset, plan_dataset
from jobs.estimate import Estimate
from jobs.ingest import estimate as estimate_ingest
from jobs.ingest import ingest, ingested
from jobs.parsing import load
from jobs.plan import Run, plan_run
from jobs.recipe_config import DataConfig
from tiler.coarse import offered_channels
from tiler.scene_windows import own_boxes
from tiler.sensors import Sensor, load_sensor


class TrainingData(Protocol):
    """Scenes or tiles."""

    @property
    def sensor(self) -> Sensor:
        """Whose bands the imagery has."""
        ...

    @property
    def offered(self) -> tuple[str, ...]:
        """Channels that a network may ask for."""
        ...

    @property
    def out(self) -> str:
        """Folder of the run that ingests them."""
        ...

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of what is drawn: scenes or tiles."""
        ...

    @property
    def left_out(self) -> frozenset[str]:
        """Ids of tiles, or names of windows of scenes, that curation removed."""
        ...

    @property
    def label_values(self) -> tuple[int, ...]:
        """Class indices that labels may hold."""
        ...

    @property
    def identity(self) -> tuple[str, ...]:
        """What identifies the content of the data."""
        ...

    def tiles(self, tile_px: int) -> int:
        """Return how many tiles cover the ground once, about."""
        ...

    def estimate(self) -> Estimate:
        """Return what there is to ingest."""
        ...

    def ingest(self, engine: Engine) -> tuple[str, ...]:
        """Ingest what is not ingested yet, and return the addresses of the stores; none if that failed."""
        ...


@dataclass(frozen=True)
class SceneData:
    """The labelled scenes of a run."""

    run: Run
    left_out: frozenset[str] = frozenset()
    """Names of windows that curation removed."""

    @property
    def sensor(self) -> Sensor:
        """Whose bands the scenes have."""
        return self.run.sensor

    @property
    def offered(self) -> tuple[str, ...]:
        """Channels of the scenes."""
        return offered_channels(self.sensor, [load_sensor(m.sensor) for m in self.run.config.modalities])

    @property
    def out(self) -> str:
        """Folder of the run."""
        return self.run.config.out

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the scenes."""
        return tuple(s.scene.id for s in self.run.scenes)

    @property
    def label_values(self) -> tuple[int, ...]:
        """Background and what the code table names."""
        assert self.run.config.labels is not None
        return (0, *self.run.config.labels.codes.values())

    @property
    def identity(self) -> tuple[str, ...]:
        """Names of the scene stores, which hold a hash of their files, and what curation removed."""
        removed = (digest_of(self.left_out),) if self.left_out else ()
        return (*(s.name for s in self.run.scenes), *removed)

    def tiles(self, tile_px: int) -> int:
        """Return how many tiles cover what is kept of the scenes once."""
        removed = own_boxes(self.left_out, {s.scene.id: s.scene.grid for s in self.run.scenes})
        pixels = sum(s.scene.grid.height * s.scene.grid.width for s in self.run.scenes)
        return -(-(pixels - sum(b.height * b.width for boxes in removed.values() for b in boxes)) // tile_px**2)

    def estimate(self) -> Estimate:
        """Return what there is to ingest."""
        return estimate_ingest(self.run)

    def ingest(self, engine: Engine) -> tuple[str, ...]:
        """Ingest the scenes; all must be readable, because a network that lacks one is another network."""
        ingest(self.run, engine)
        good = {s.name for s in ingested(self.run).scenes}
        missing = [s.scene.id for s in self.run.scenes if s.name not in good]
        if missing:
            print(f"scenes {missing} could not be ingested; repair them, or take them out of the run", file=sys.stderr)
            return ()
        return tuple(absolute(self.run.url("ingest", s.name)) for s in self.run.scenes)


@dataclass(frozen=True)
class TileData:
    """A data set of equal tiles."""

    planned: PlannedDataset
    left_out: frozenset[str] = frozenset()
    """Ids of tiles that curation removed."""

    @property
    def sensor(self) -> Sensor:
        """Whose bands the tiles have."""
        return self.planned.source.sensor

    @property
    def offered(self) -> tuple[str, ...]:
        """Channels of the tiles."""
        return offered_channels(self.sensor, [m.sensor for m in self.planned.source.modalities])

    @property
    def out(self) -> str:
        """Folder of the run."""
        return self.planned.config.out

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the tiles."""
        return tuple(t.id for t in self.planned.source.entries)

    @property
    def label_values(self) -> tuple[int, ...]:
        """What labels may hold."""
        return self.planned.source.label_values

    @property
    def identity(self) -> tuple[str, ...]:
        """Name of the tile store, which holds a hash of its files, the gate, and what curation removed."""
        removed = (digest_of(self.left_out),) if self.left_out else ()
        return (self.planned.name, repr(self.planned.limit), *removed)

    def tiles(self, tile_px: int) -> int:
        """Return the number of training tiles, before the gate."""
        return sum(t.split == "train" and t.id not in self.left_out for t in self.planned.source.entries)

    def estimate(self) -> Estimate:
        """Return what there is to ingest."""
        return self.planned.estimates()[0]

    def ingest(self, engine: Engine) -> tuple[str, ...]:
        """Ingest the tiles; damaged ones were left missing, and the gate drops them."""
        if not self.planned.is_ingested:
            self.planned.ingest(engine)  # which tells it, too
        else:
            for note in self.planned.thin_classes:
                print(note, file=sys.stderr)
        if not self.planned.is_ingested:
            print(f"the data set {self.planned.url} could not be ingested to its end; repeat", file=sys.stderr)
            return ()
        return (absolute(self.planned.url),)


def plan_data(config: DataConfig) -> TrainingData:
    """Check the run that a recipe names.

    Raises:
        ValueError: bad input, or a run of scenes without labels.
    """
    run = load(RunConfig, config.run)
    if run.dataset is not None:
        if config.tile_px > run.dataset.tile_px:
            raise ValueError(
                f"data.tile_px: {config.tile_px} px cannot be cut from tiles of {run.dataset.tile_px} px; set it lower"
            )
        planned = plan_dataset(run)
        return TileData(planned, planned.left_out(config.curation, config.exclude))
    if run.labels is None:
        raise ValueError(f"data.run: {config.run} has no labels; training needs them: set `labels` there")
    return scene_data(plan_run(run), config.curation, config.exclude)


def scene_data(run: Run, curation: str | None = None, exclude: Sequence[str] = ()) -> SceneData:
    """Return the scenes of a run, without the windows that curation removed.

    Args:
        run: planned.
        curation: a list of kept windows; None: that of the run, if it names one.
        exclude: lists of windows that are left out as well.

    Raises:
        ValueError: a list is not there or of other scenes, or nothing is left.
    """
    kept = run.config.curation if curation is None else curation
    if kept is None and not exclude:
        return SceneData(run)
    data = SceneData(run, left_out(WindowSubject(run).ids, kept, exclude))
    if not data.tiles(1):
        raise ValueError("data.curation, data.exclude: no window of the scenes would be left; apply fewer versions")
    return data


def read_weights(path: str | None, ids: tuple[str, ...]) -> Mapping[str, float]:
    """Read how often scenes or tiles are drawn.

    Args:
        path: CSV with the columns id and weight; None for no weights.
        ids: all there are.

    Raises:
        ValueError: no such file or columns, a weight that is no number, or an id that is unknown.
    """
    if path is None:
        return {}
    if not Path(path).is_file():
        raise ValueError(f"data.sampling.weights: {path} does not exist; give a CSV with the columns id and weight")
    with Path(path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"id", "weight"} <= set(rows[0]):
        raise ValueError(f"data.sampling.weights: {path} has no columns id and weight (or no row); add them")
    unknown = sorted({row["id"] for row in rows} - set(ids))
    if unknown:
        raise ValueError(f"data.sampling.weights: {path} names {unknown[:5]}, which are not among the {len(ids)} ids")
    try:
        return {row["id"]: float(row["weight"]) for row in rows}
    except ValueError as error:
        raise ValueError(f"data.sampling.weights: {path}: {error}; a weight is a number from 0") from error


def absolute(url: str) -> str:
    """Return an address that means the same in a worker, whose working directory is another one."""
    return url if "://" in url else str(Path(url).resolve())
