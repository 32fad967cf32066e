"""The vectors of a run: what there is of them and what is left to make, whatever its images are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import unfinished
from jobs.config import RunConfig
from jobs.embed_filling import READ_FRAMES
from jobs.embed_plan import (
    EMBED_CONTRACT,
    EmbedPlan,
    check_channels,
    decide_embed,
    embedder_card,
    frame_plan,
    scene_plans,
    settings_of,
)
from jobs.estimate import BASE_MEMORY_BYTES, IN_FLIGHT, TORCH_MEMORY_BYTES
from jobs.frames import PlannedFrames
from jobs.pace import Work
from jobs.plan import Precision, Run, key_of
from jobs.runner import markers_of
from jobs.stale import SUFFIX, Wanted
from jobs.teams import most_teams
from models.card import WEIGHTS_FILE
from models.embedder_card import EmbedderCard
from tiler.embedding_store import UNIT_WINDOWS, EmbeddingStore
from tiler.frame_store import FrameStore
from tiler.stores import attributes_of, is_complete, open_group

FOLDER = "embed"
TOKENS_BYTES = 40
"""Live bytes of a pass for each number of each token of an image: queries, keys, values, and the wide layer, fp32."""
NAMED = 1000
"""Items without a vector that are named one by one."""


@dataclass(frozen=True)
class Embedding:
    """The vectors of a run: what there is to do, and by which network."""

    config: RunConfig
    storage: Storage
    plans: tuple[EmbedPlan, ...]
    images: Mapping[str, str]
    """Name of a plan to the address of its scene store or frame store."""
    card: EmbedderCard
    precision: Precision

    def url(self, plan: EmbedPlan) -> str:
        """Return the address of an embedding store."""
        return f"{self.config.out.rstrip('/')}/{FOLDER}/{plan.name}{SUFFIX}"

    def left(self) -> list[bytes]:
        """Return a byte for each unit of each plan, 1 where it is not done."""
        return unfinished(markers_of(self.storage, FOLDER), [plan.units() for plan in self.plans])

    def complete(self) -> list[EmbedPlan]:
        """Return the plans of which every unit is done."""
        return [plan for plan, left in zip(self.plans, self.left(), strict=True) if not any(left)]

    @property
    def memory_bytes(self) -> int:
        """The expected peak of a worker."""
        batch, side = self.precision.batch, max(self.card.side_px, *(_side_px(plan) for plan in self.plans))
        image = len(self.card.channels) * side**2
        tokens = self.card.width * (self.card.side_px**2 // (self.card.patch_px or 16) ** 2 + 1)
        weights = Storage(settings_of(self.config).model).size(WEIGHTS_FILE)
        read = max(read_bytes(plan) for plan in self.plans)
        passes = most_teams(self.config.engine, self.precision).count * batch * (image * 4 * 3 + tokens * TOKENS_BYTES)
        held = IN_FLIGHT * (2 * read + batch * image * 3)  # what is read, and what is computed of what was read before
        return BASE_MEMORY_BYTES + TORCH_MEMORY_BYTES + held + passes + 2 * weights

    @property
    def work(self) -> Work:
        """What the time of Embed goes with: the items of a unit."""
        by_name = {plan.name: plan for plan in self.plans}
        how = (EMBED_CONTRACT, self.card.digest(), asdict(self.precision))
        return Work(lambda unit: by_name[unit.store].size(unit), key_of(how))

    def wanted(self) -> list[Wanted]:
        """Return the stores that Embed fills."""
        return [Wanted(plan.what.source, plan.name, plan.made_of) for plan in self.plans]

    def earlier(self, plan: EmbedPlan) -> tuple[str, ...]:
        """Return stores of the same series by the same network, of which frames may be taken over."""
        if plan.frames is None:
            return ()
        folder, found = f"{self.storage.url}/{FOLDER}", []
        for name in sorted(self.storage.folders(FOLDER)):
            if name == f"{plan.name}{SUFFIX}" or not name.startswith(f"{plan.what.source}-"):
                continue
            try:
                made_of = attributes_of(open_group(f"{folder}/{name}")).get("made_of", {})
            except FileNotFoundError:
                continue
            if {**made_of, "frames": ""} == {**plan.made_of, "frames": ""}:
                found.append(f"{folder}/{name}")
        return tuple(found)


def _side_px(plan: EmbedPlan) -> int:
    if plan.items is not None:
        return plan.items.lattice.tile_px
    assert plan.frames is not None
    return max(plan.frames.height_px, plan.frames.width_px)


def read_bytes(plan: EmbedPlan) -> int:
    """Return bytes that a unit holds of its images: a row of windows, or a block of frames, and its validity."""
    if plan.items is not None and plan.scene is not None:
        scene, windows = plan.scene.scene, min(UNIT_WINDOWS, plan.items.lattice.cols)
        per_pixel = len(scene.sensor.bands) * np.dtype(scene.dtype).itemsize + 1
        return windows * plan.items.lattice.tile_px**2 * per_pixel
    assert plan.frames is not None
    frames = plan.frames
    per_pixel = len(frames.bands) * (frames.dtype.itemsize + 1)
    return READ_FRAMES * frames.height_px * frames.width_px * per_pixel


def checked_card(planned: Run | PlannedFrames) -> EmbedderCard:
    """Return the card of a run's embedder.

    Raises:
        ValueError: there is none, or it needs channels that the images have not.
    """
    settings = settings_of(planned.config)
    card = embedder_card(settings.model)
    if isinstance(planned, Run):
        check_channels(settings.model, card, planned.sensor.bands, f"scenes of the sensor {planned.sensor.name}")
    else:
        check_channels(settings.model, card, planned.source.layout.bands, f"frames of {planned.index.series}")
    return card


def embedding_of(planned: Run | PlannedFrames, engine: Engine | None) -> Embedding | None:
    """Return what Embed does for a run; None where nothing is ingested, or only workers elsewhere could tell.

    Raises:
        ValueError: no embedder, or one that needs other channels.
    """
    card, config = checked_card(planned), planned.config
    if isinstance(planned, Run):
        precision = decide_embed(config, planned.storage, engine) if planned.scenes else None
        if precision is None:
            return None
        plans = tuple(scene_plans(planned, card, precision))
        images = {plan.name: planned.url("ingest", plan.what.store) for plan in plans}
        return Embedding(config, planned.storage, plans, images, card, precision)
    frames = FrameStore(planned.url) if is_complete(planned.url) else None
    precision = decide_embed(config, planned.storage, engine) if frames is not None and len(frames) else None
    if frames is None or precision is None:
        return None
    plan = frame_plan(config, frames, planned.name, card, precision)
    return Embedding(config, planned.storage, (plan,), {plan.name: planned.url}, card, precision)


def broken_items(todo: Embedding, plans: Sequence[EmbedPlan]) -> dict[str, str]:
    """Return the items of finished stores that have no vector because it was not finite, by name, with the reason."""
    named: dict[str, str] = {}
    reason = f"its vector is not finite ({todo.precision.precision})"
    for plan in plans:
        items = EmbeddingStore(todo.url(plan)).broken().tolist()
        room = max(0, NAMED - len(named))
        named |= {f"{plan.name}/item_{item}": reason for item in items[:room]}
        if len(items) > room:
            named[f"{plan.name}/items"] = f"{len(items) - room} more, not named: norm 0, missing ratio within the limit"
    return named
