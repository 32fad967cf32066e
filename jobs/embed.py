"""Embed: a vector of every window of every scene, or of every frame of a series, for `sandan search`.

python -m jobs.embed examples/aberystwyth/map.yaml --set embed.model=runs/embedder
sandan embed map.yaml --dry-run
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import compress

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import unfinished
from jobs.config import RunConfig
from jobs.embed_plan import (
    EMBED_CONTRACT,
    EmbedPlan,
    check_channels,
    decide_embed,
    embedder_card,
    scene_plans,
    settings_of,
)
from jobs.embed_stage import Embed, Source
from jobs.estimate import BASE_MEMORY_BYTES, IN_FLIGHT, TORCH_MEMORY_BYTES, Estimate
from jobs.ingest import estimate as estimate_ingest
from jobs.ingest import ingest, ingested
from jobs.pace import Work
from jobs.plan import Precision, Run, key_of, plan_run
from jobs.room import crew_here
from jobs.runner import Outcome, engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, FAULT, INCOMPLETE, Job, run_job
from jobs.stale import SUFFIX, Wanted, explained, stale_stores
from jobs.time_left import Rest
from models.card import WEIGHTS_FILE
from models.embedder_card import EmbedderCard
from tiler.embedding_store import EmbeddingStore
from tiler.stores import attributes_of, open_group

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
        tokens = self.card.dimension * (self.card.side_px**2 // (self.card.patch_px or 16) ** 2 + 1)
        weights = Storage(settings_of(self.config).model).size(WEIGHTS_FILE)
        read = max(_read_bytes(plan) for plan in self.plans)
        one_pass = batch * (image * 4 * 3 + tokens * TOKENS_BYTES)
        return BASE_MEMORY_BYTES + TORCH_MEMORY_BYTES + IN_FLIGHT * (read + batch * image * 3) + one_pass + 2 * weights

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
    return plan.items.lattice.tile_px if plan.items is not None else max(plan.frames.height_px, plan.frames.width_px)  # type: ignore[union-attr]


def _read_bytes(plan: EmbedPlan) -> int:
    """Return bytes that a unit holds of its images: a row of windows, or a block of frames, and its validity."""
    if plan.scene is not None and plan.items is not None:
        windows = min(64, plan.items.lattice.cols)
        import numpy as np

        itemsize = len(plan.scene.scene.sensor.bands) * np.dtype(plan.scene.scene.dtype).itemsize + 1
        return windows * plan.items.lattice.tile_px**2 * itemsize
    assert plan.frames is not None
    frames = plan.frames
    return 64 * len(frames.bands) * frames.height_px * frames.width_px * (frames.dtype.itemsize + 1)


def embedding_of(run: Run, engine: Engine | None) -> Embedding | None:
    """Return what Embed does for the scenes of a run; None where only workers elsewhere could tell.

    Raises:
        ValueError: no embedder, or one that needs other channels.
    """
    card = checked_card(run)
    precision = decide_embed(run.config, run.storage, engine)
    if precision is None:
        return None
    return Embedding(run.config, run.storage, tuple(scene_plans(run, card, precision)), card, precision)


def checked_card(run: Run) -> EmbedderCard:
    """Return the card of the run's embedder.

    Raises:
        ValueError: there is none, or it needs channels that the sensor has not.
    """
    settings = settings_of(run.config)
    card = embedder_card(settings.model)
    check_channels(settings.model, card, run.sensor.bands, f"scenes of the sensor {run.sensor.name}")
    return card


def embed(todo: Embedding, images: dict[str, str], engine: Engine) -> Outcome:
    """Embed everything that has no vector yet.

    Args:
        todo: what there is to do.
        images: name of a plan to the address of its scene store or frame store.
        engine: who does it.
    """
    by_name = {plan.name: plan for plan in todo.plans}
    stage = Embed(
        {p.name: Source(todo.url(p), images[p.name], p.wanted, todo.earlier(p)) for p in todo.plans},
        settings_of(todo.config).model,
        todo.precision,
    )
    outcome = run_stage(
        *(engine, todo.storage, FOLDER, stage, [plan.units() for plan in todo.plans], "units of vectors"),
        memory_bytes=todo.memory_bytes,
        work=todo.work,
        prepare=lambda name: by_name[name].make_store(todo.url(by_name[name])),
    )
    left = {unit.rpartition("/")[0] for unit in outcome.failed}
    outcome.partly = broken_items(todo, [plan for plan in todo.plans if plan.name not in left])
    return outcome


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


def estimate(todo: Embedding) -> Estimate:
    """Return what Embed has to do."""
    masks, groups = todo.left(), [plan.units() for plan in todo.plans]
    units, left = sum(map(len, masks)), sum(map(sum, masks))
    items = sum(
        plan.size(unit) for plan, mask in zip(todo.plans, masks, strict=True) for unit in compress(plan.units(), mask)
    )
    rest = Rest(FOLDER, "units of vectors", groups, masks, items)
    crew, gpu = crew_here(todo.config.engine), todo.precision.device == "cuda"
    return Estimate(
        stage=FOLDER,
        units=units,
        unit="units of vectors",
        done=units - left,
        read_bytes=sum(_images_bytes(plan) * sum(m) // len(m) for plan, m in zip(todo.plans, masks, strict=True) if m),
        write_bytes=items * (2 * todo.card.dimension + 8),
        peak_memory_bytes=todo.memory_bytes,
        folder=todo.config.out if todo.storage.is_local else "",
        notes=tuple(explained(FOLDER, stale_stores(todo.storage, FOLDER, todo.wanted()))),
        time=rest.time(todo.storage, todo.work, crew, gpu) if left else None,
    )


def _images_bytes(plan: EmbedPlan) -> int:
    if plan.items is not None:
        return _read_bytes(plan) * plan.items.lattice.rows
    return _read_bytes(plan) * -(-plan.count // 64)


@dataclass(frozen=True)
class PlannedEmbed:
    """The job for scenes, checked."""

    planned: Run

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        todo = embedding_of(self.planned, None)
        return [estimate_ingest(self.planned), *([] if todo is None else [estimate(todo)])]

    def run(self) -> int:
        """Ingest what is not, and embed every scene that could be; name the others."""
        with engine_of(self.planned.config.engine) as engine:
            outcomes = ingest(self.planned, engine)
            run = ingested(self.planned)
            if not run.scenes:
                report_failures(outcomes)
                print("no scene could be ingested; nothing is embedded", file=sys.stderr)
                return FAULT
            todo = embedding_of(run, engine)
            assert todo is not None
            images = {p.name: run.url("ingest", p.what.store) for p in todo.plans}
            outcomes.append(embed(todo, images, engine))
        report_failures(outcomes)
        finished = todo.complete()
        print(f"{len(finished)} of {len(self.planned.scenes)} scenes embedded in {run.config.out}/{FOLDER}")
        whole = len(finished) == len(self.planned.scenes) and not outcomes[-1].partly
        return DONE if whole else INCOMPLETE


def plan_embed(config: RunConfig) -> PlannedEmbed:
    """Check a run.

    Raises:
        ValueError: bad input.
    """
    settings_of(config)
    run = plan_run(config)
    checked_card(run)
    return PlannedEmbed(run)


JOB = Job(
    name="embed",
    summary="Make a vector of every window of every scene, or of every frame of a series, for `sandan search`.",
    example="  sandan embed map.yaml                       (with `embed: {model: FOLDER}`)\n"
    "  sandan embed map.yaml --set embed.model=runs/embedder --set embed.quadrants=true --dry-run",
    kind=RunConfig,
    plan=plan_embed,
    helps=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
