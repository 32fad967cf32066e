"""Embed: a vector of every window of every scene, or of every frame of a series, for `sandan search`.

python -m jobs.embed examples/aberystwyth/map.yaml --set embed.model=runs/embedder
sandan embed map.yaml --dry-run
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from cluster.engine import Engine
from jobs.config import RunConfig
from jobs.datasets import PlannedDataset
from jobs.embed_filling import READ_FRAMES
from jobs.embed_plan import EmbedPlan, settings_of
from jobs.embed_stage import Embed, Source
from jobs.embedding import FOLDER, Embedding, broken_items, checked_card, embedding_of, read_bytes
from jobs.estimate import Estimate
from jobs.frames import PlannedFrames
from jobs.ingest import estimate as estimate_ingest
from jobs.ingest import ingest, ingested
from jobs.kinds import plan_of
from jobs.plan import Run
from jobs.room import crew_here
from jobs.runner import Outcome, engine_of, report_failures, run_stage
from jobs.shell import DONE, FAULT, INCOMPLETE, Job, run_job
from jobs.stale import explained, stale_stores
from jobs.teams import planned_teams
from jobs.time_left import Rest


def embed(todo: Embedding, engine: Engine) -> Outcome:
    """Embed everything that has no vector yet.

    Args:
        todo: what there is to do.
        engine: who does it.
    """
    by_name = {plan.name: plan for plan in todo.plans}
    stage = Embed(
        {p.name: Source(todo.url(p), todo.images[p.name], p.wanted, todo.earlier(p)) for p in todo.plans},
        settings_of(todo.config).model,
        todo.precision,
        planned_teams(todo.config.engine, todo.precision),
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
        return read_bytes(plan) * plan.items.lattice.rows
    return read_bytes(plan) * -(-plan.count // READ_FRAMES)


@dataclass(frozen=True)
class PlannedEmbed:
    """The job, checked."""

    planned: Run | PlannedFrames

    def estimates(self) -> list[Estimate]:
        """Return what there is to do; of frames that are not ingested yet nobody knows how many there will be."""
        todo = embedding_of(self.planned, None)
        before = [estimate_ingest(self.planned)] if isinstance(self.planned, Run) else self.planned.estimates()
        return [*before, *([] if todo is None else [estimate(todo)])]

    def run(self) -> int:
        """Ingest what is not, and embed everything that could be; name the rest."""
        with engine_of(self.planned.config.engine) as engine:
            todo, code, outcomes = self._ingest(engine)
            if todo is not None:
                outcomes.append(embed(todo, engine))
        report_failures(outcomes)
        if todo is None:
            print("nothing could be ingested; nothing is embedded", file=sys.stderr)
            return FAULT
        finished, folder = todo.complete(), f"{todo.config.out}/{FOLDER}"
        if isinstance(self.planned, Run):
            whole = len(finished) == len(self.planned.scenes)
            print(f"{len(finished)} of {len(self.planned.scenes)} scenes embedded in {folder}")
        else:
            whole = len(finished) == len(todo.plans)
            print(f"{todo.plans[0].count if whole else 'not all'} frames embedded in {folder}")
        return code if whole and not outcomes[-1].partly else INCOMPLETE

    def _ingest(self, engine: Engine) -> tuple[Embedding | None, int, list[Outcome]]:
        """Return what there is to embed then, how ingesting ended, and what it left out."""
        if isinstance(self.planned, Run):
            outcomes = ingest(self.planned, engine)
            return embedding_of(ingested(self.planned), engine), DONE, outcomes
        code = self.planned.ingest(engine)
        return embedding_of(self.planned, engine), code, []


def plan_embed(config: RunConfig) -> PlannedEmbed:
    """Check a run.

    Raises:
        ValueError: bad input.
    """
    settings_of(config)
    planned = plan_of(config)
    if isinstance(planned, PlannedDataset):
        raise ValueError("embed: the run names a `dataset`; vectors are made of `scenes` or `frames`")
    checked_card(planned)
    return PlannedEmbed(planned)


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
