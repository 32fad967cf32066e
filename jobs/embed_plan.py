"""Plans of Embed: which vectors a run has, where they lie and what identifies them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import Units
from jobs.bundles import card_bytes
from jobs.config import EmbedConfig, RunConfig
from jobs.decisions import probe
from jobs.plan import Precision, Run, ScenePlan, key_of
from tiler.area import area_digest, touched_blocks
from tiler.embedding_items import WHOLE, WITH_QUADRANTS, SceneItems
from tiler.embedding_store import (
    UNIT_FRAMES,
    UNIT_WINDOWS,
    Embedded,
    EmbedUnit,
    create_frame_embeddings,
    create_scene_embeddings,
)
from tiler.frame_store import FrameStore
from tiler.lattice import Lattice
from tiler.logit_store import wanted_windows
from tiler.stores import is_complete, keep_facts

if TYPE_CHECKING:
    from models.embedder_card import EmbedderCard

EMBED_CONTRACT = 1
"""Raised by hand when the same settings would give other vectors."""
IMAGES_PER_BATCH = {"cpu": 16, "cuda": 128}
"""`batch: auto` by kind of device."""


@dataclass(frozen=True)
class EmbedPlan:
    """The vectors of one scene, or of one frame series."""

    what: Embedded
    name: str
    """`<scene or series>-<key>`: the store is `embed/<name>.zarr`."""
    count: int
    """Items."""
    unit_items: int
    made_of: Mapping[str, str]
    """What the key stands for, by name: digests."""
    scene: ScenePlan | None = None
    items: SceneItems | None = None
    """Of a scene."""
    wanted: np.ndarray | None = field(default=None, compare=False)
    """bool (rows, cols) or None, of a scene: `tiler.logit_store.wanted_windows`."""
    frames: FrameStore | None = field(default=None, compare=False)
    """Of a series."""

    @property
    def kind(self) -> str:
        """What is embedded."""
        return "frames" if self.scene is None else "scene"

    def units(self) -> Units[EmbedUnit]:
        """Return the units of work of Embed."""
        count = -(-self.count // self.unit_items)
        return Units(self.name, count, partial(_units, self.name, count))

    def size(self, unit: EmbedUnit) -> int:
        """Return how many items a unit has."""
        return min(self.unit_items, self.count - unit.index * self.unit_items)

    def make_store(self, url: str) -> None:
        """Make the empty store, if there is none."""
        if is_complete(url):
            return
        if self.scene is not None and self.items is not None:
            sensor = self.scene.scene.sensor
            create_scene_embeddings(url, self.what, self.items, self.scene.scene.acquired, float(sensor.resolution_m))
        elif self.frames is not None:
            size = self.frames.height_px, self.frames.width_px
            create_frame_embeddings(url, self.what, self.frames.times, size)
        keep_facts(url, {"made_of": dict(self.made_of)})


def _units(name: str, count: int) -> Iterable[EmbedUnit]:
    return (EmbedUnit(name, index) for index in range(count))


def settings_of(config: RunConfig) -> EmbedConfig:
    """Return the settings of Embed.

    Raises:
        ValueError: the run has none.
    """
    if config.embed is None:
        raise ValueError("embed: the run names no embedder; add `embed: {model: FOLDER}` with the folder of its bundle")
    return config.embed


def embedder_card(folder: str) -> EmbedderCard:
    """Return the card of an embedder's bundle.

    Raises:
        ValueError: there is none, or it is not that of an embedder.
    """
    from models.embedder_card import read_embedder_card

    advice = "train one with a recipe of `task: embed` (`method: frozen` takes a network as it is)"
    data = card_bytes(folder, "embed.model", advice)
    try:
        return read_embedder_card(data)
    except ValueError as error:
        raise ValueError(f"embed.model: {folder}: {error}") from error


def check_channels(folder: str, card: EmbedderCard, offered: tuple[str, ...], what: str) -> None:
    """Refuse an embedder that needs what the images have not.

    Raises:
        ValueError: names both sides.
    """
    missing = [channel for channel in card.channels if channel not in offered]
    if missing:
        raise ValueError(
            f"embed.model: the embedder {folder} needs channels {list(card.channels)}, {what} give {list(offered)}; "
            f"{missing} would be missing: use an embedder that was trained on these"
        )


def how_made(config: RunConfig, card: EmbedderCard, precision: Precision) -> dict[str, str]:
    """Return what the vectors of every source are made of, beside the source: digests by name."""
    settings = settings_of(config)
    what = {
        "contract": EMBED_CONTRACT,
        "embedder": card.digest(),
        "windows": (settings.tile_px, settings.quadrants),
        "missing limit": settings.missing_limit,
        "precision and batch": asdict(precision),
        "area": None if config.area is None else area_digest(config.area),
    }
    return {name: key_of(value) for name, value in what.items()}


def scene_plans(run: Run, card: EmbedderCard, precision: Precision) -> list[EmbedPlan]:
    """Return the plans of Embed for every scene of a run."""
    settings, how = settings_of(run.config), how_made(run.config, card, precision)
    plans = []
    for source in run.scenes:
        grid = source.scene.grid
        lattice = Lattice(grid.height, grid.width, settings.tile_px, 0)
        items = SceneItems(lattice, WITH_QUADRANTS if settings.quadrants else WHOLE, grid)
        touched = None if run.area is None else touched_blocks(grid, *run.area)
        made_of = {"ingested scene": source.name, **how}
        name = f"{source.scene.id}-{key_of(made_of)}"
        sensor = source.scene.sensor.name
        what = _embedded(source.scene.id, source.name, sensor, card, settings)
        wanted = wanted_windows(lattice, touched)
        unit = UNIT_WINDOWS * items.parts
        plans.append(EmbedPlan(what, name, len(items), unit, made_of, source, items, wanted))
    return plans


def frame_plan(
    config: RunConfig, frames: FrameStore, store: str, card: EmbedderCard, precision: Precision
) -> EmbedPlan:
    """Return the plan of Embed for a frame series.

    Args:
        config: of the run.
        frames: its store, ingested.
        store: the name of that.
        card: of the embedder.
        precision: how it runs.
    """
    settings = settings_of(config)
    made_of = {"frames": key_of(store, frames.digest), **how_made(config, card, precision)}
    name = f"{frames.series}-{key_of(made_of)}"
    what = _embedded(frames.series, store, frames.sensor, card, settings)
    return EmbedPlan(what, name, len(frames), UNIT_FRAMES, made_of, frames=frames)


def _embedded(source: str, store: str, sensor: str, card: EmbedderCard, settings: EmbedConfig) -> Embedded:
    return Embedded(source, store, sensor, card.name, card.digest(), card.dimension, settings.missing_limit)


def embed_decision_name(config: RunConfig) -> str:
    """Return where a run keeps what was `auto` in `embed`."""
    settings, workers = settings_of(config), config.engine
    chosen = settings.precision, settings.batch
    digest = embedder_card(settings.model).digest()
    return f"decisions/{key_of('embed', chosen, digest, workers.gpus_per_worker, workers.address)}.json"


def decide_embed(config: RunConfig, storage: Storage, engine: Engine | None) -> Precision | None:
    """Resolve what `embed` leaves to "auto", once: the decision is kept with the run and found again on resume.

    Args:
        config: of the run.
        storage: its folder.
        engine: whose workers are asked what they can do; None asks nobody and keeps nothing.

    Returns:
        The decision, or what is assumed without an engine, or None where only workers elsewhere could tell.
    """
    name, settings, workers = embed_decision_name(config), settings_of(config), config.engine
    if not storage.exists(name):
        elsewhere = workers.kind == "ray" and (workers.address or os.environ.get("RAY_ADDRESS"))
        if engine is None and elsewhere:
            return None
        device, precision = engine.ask(probe) if engine is not None and elsewhere else probe()
        if workers.gpus_per_worker == 0:
            device, precision = "cpu", precision if device == "cpu" else "fp32"
        decision = Precision(
            device,
            precision if settings.precision == "auto" else settings.precision,
            IMAGES_PER_BATCH[device] if settings.batch == "auto" else settings.batch,
        )
        if engine is None:
            return decision
        storage.create(name, json.dumps(asdict(decision)).encode())  # the first of two that begin decides for both
    return Precision(**json.loads(storage.get(name)))
