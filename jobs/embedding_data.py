"""What an embedder is trained on: frame series or scenes; checked when planning, ingested before training."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.curate_versions import digest_of, left_out, read_removed
from jobs.curate_windows import WindowSubject
from jobs.embed_recipe_config import EmbedDataConfig, is_frame_store
from jobs.estimate import Estimate
from jobs.frames import PlannedFrames
from jobs.kinds import plan_of
from jobs.parsing import load
from jobs.plan import Run, key_of
from jobs.supervise import waiting_turn
from jobs.training_data import SceneData, absolute, scene_data
from tiler.frame_ground import FrameGround
from tiler.frame_rows import frame_names, named_frames
from tiler.frame_store import FrameStore
from tiler.item_ground import ItemGround
from tiler.place_ground import PlaceGround
from tiler.scene_store import SceneStore
from tiler.stores import is_complete

Kind = Literal["frames", "scenes"]


@dataclass(frozen=True)
class StoredFrames:
    """A frame store that is there already."""

    url: str

    @cached_property
    def store(self) -> FrameStore:
        """The store."""
        return FrameStore(self.url)


Part = StoredFrames | PlannedFrames | SceneData


@dataclass(frozen=True)
class EmbeddingData:
    """Runs of one kind."""

    parts: tuple[Part, ...]
    left_out: frozenset[str] = frozenset()
    """Names of frames, or of windows of scenes, that curation removed."""

    @property
    def kind(self) -> Kind:
        """What the items are."""
        return "scenes" if isinstance(self.parts[0], SceneData) else "frames"

    @property
    def identity(self) -> tuple[Any, ...]:
        """What identifies the content of the data."""
        removed = (digest_of(self.left_out),) if self.left_out else ()
        return (*(_identity(part) for part in self.parts), *removed)

    @property
    def offered(self) -> tuple[str, ...]:
        """Channels that all runs have."""
        bands = [_bands(part) for part in self.parts]
        return tuple(name for name in bands[0] if all(name in others for others in bands))

    def items(self, tile_px: int) -> int:
        """Return how many items there are, about."""
        return sum(_items(part, tile_px) for part in self.parts)

    def estimates(self) -> list[Estimate]:
        """Return what there is to ingest."""
        found: list[Estimate] = []
        for part in self.parts:
            if isinstance(part, PlannedFrames):
                found += part.estimates()
            elif isinstance(part, SceneData):
                found.append(part.estimate())
        return found

    def ingest(self, engine: Engine) -> tuple[str, ...]:
        """Ingest what is not ingested yet, and return the addresses of the stores; none if that failed."""
        urls: list[str] = []
        for part in self.parts:
            if isinstance(part, StoredFrames):
                urls.append(absolute(part.url))
                continue
            out = part.config.out if isinstance(part, PlannedFrames) else part.out
            with waiting_turn(Storage(out), "the data of an embedder"):  # several recipes may begin at once
                made = _ingested(part, engine) if isinstance(part, PlannedFrames) else part.ingest(engine)
            if not made:
                return ()
            urls += made
        return tuple(urls)


def _ingested(part: PlannedFrames, engine: Engine) -> tuple[str, ...]:
    if not part.is_ingested:
        part.ingest(engine)  # damaged files were named there; the frames of the others are there
    if not is_complete(part.url) or not len(FrameStore(part.url)):
        print(f"the frames of {part.config.out} could not be ingested; repeat the command", file=sys.stderr)
        return ()
    return (absolute(part.url),)


def _identity(part: Part) -> tuple[Any, ...]:
    if isinstance(part, StoredFrames):
        return part.store.series, part.store.digest
    if isinstance(part, PlannedFrames):
        return part.name, key_of([block.made_of for block in part.blocks])
    return part.identity


def _bands(part: Part) -> tuple[str, ...]:
    if isinstance(part, StoredFrames):
        return part.store.bands
    return part.source.layout.bands if isinstance(part, PlannedFrames) else part.offered


def _items(part: Part, tile_px: int) -> int:
    if isinstance(part, StoredFrames):
        return len(part.store)
    if isinstance(part, PlannedFrames):
        return -(-sum(len(block.entries) for block in part.blocks) // len(part.source.layout.bands))
    return part.tiles(tile_px)


def plan_embedding_data(config: EmbedDataConfig) -> EmbeddingData:
    """Check the runs that a recipe names.

    Raises:
        ValueError: bad input, or runs of unlike kinds.
    """
    parts = tuple(_planned(run) for run in config.runs)
    if len({isinstance(part, SceneData) for part in parts}) > 1:
        raise ValueError(
            f"data.run: {list(config.runs)} are frames and scenes; an embedder learns from one kind: make two recipes"
        )
    known = [name for part in parts for name in _names(part)] if config.exclude else []
    gone = [left_out(_names(part), part.config.curation) for part in parts if isinstance(part, PlannedFrames)]
    gone += [part.left_out for part in parts if isinstance(part, SceneData)]
    return EmbeddingData(parts, read_removed(config.exclude, known).union(*gone))


def _names(part: Part) -> list[str]:
    """Return the names of the frames of a part, or of the windows that curation knows of its scenes."""
    if isinstance(part, StoredFrames):
        return frame_names(part.store)
    if isinstance(part, PlannedFrames):
        return named_frames(part.index.series, part.index.times)
    return WindowSubject(part.run).ids


def _planned(run: str) -> Part:
    if is_frame_store(run):
        if not is_complete(run):
            raise ValueError(
                f"data.run: {run} is no finished frame store; give one that `sandan ingest` made, or a run"
            )
        return StoredFrames(run)
    planned = plan_of(load(RunConfig, run))
    if isinstance(planned, Run):
        return scene_data(planned)
    if isinstance(planned, PlannedFrames):
        return planned
    raise ValueError(f"data.run: {run} names a `dataset`, which has no times; name a run with `frames` or `scenes`")


def open_items(
    kind: Kind,
    stores: Sequence[str],
    channels: Sequence[str],
    missing_limit: float,
    tile_px: int,
    left_out: Collection[str] = (),
) -> ItemGround:
    """Open stores as items.

    Raises:
        ValueError: they do not fit together; see `FrameGround` and `PlaceGround`.
    """
    if kind == "frames":
        return FrameGround([FrameStore(url) for url in stores], channels, missing_limit, left_out=left_out)
    return PlaceGround([SceneStore(url) for url in stores], tile_px, channels, missing_limit, left_out=left_out)


def place_table(ground: ItemGround, chosen: np.ndarray) -> list[list[float]]:
    """Return longitude and latitude of the places of some items; none where items are frames."""
    if not isinstance(ground, PlaceGround):
        return []
    places = np.unique(ground.groups[chosen])
    return [[round(float(x), 6), round(float(y), 6)] for x, y in ground.places[places]]
