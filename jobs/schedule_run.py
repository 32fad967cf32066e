"""One run of a product: what earlier runs made is taken over, the map is made, and what gates ask about is measured."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.storage import Storage
from jobs.adopt import adopt
from jobs.drift_config import DriftConfig
from jobs.earlier_map import check_earlier
from jobs.estimate import Estimate
from jobs.gates import (
    DriftFacts,
    MapFacts,
    QualityFacts,
    Verdict,
    drift_verdict,
    lacking_scenes,
    quality_verdicts,
    refused,
)
from jobs.ledger import ledger
from jobs.map import PlannedMap
from jobs.map_changes import PublishedMap, compare, seen_share
from jobs.pace import about, check_time
from jobs.plan import Run
from jobs.record import STAGES, read_record
from jobs.room import check_disk, check_memory, crew_here
from jobs.runner import engine_of, stage_facts
from jobs.schedule_config import GatesConfig
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE, dry_run_table, guarded
from jobs.supervise import Supervision, supervised
from jobs.sweep import KEEP_LOGS, sweep
from jobs.unused import unused
from tiler.regions import area_region

logger = logging.getLogger(__name__)


@dataclass
class Made:
    """How a run went."""

    code: int = DONE
    planned: list[dict[str, Any]] = field(default_factory=list)
    """What was to be done, by stage."""
    record: dict[str, Any] = field(default_factory=dict)
    """`run.json`; empty where the map was not made."""
    spent: dict[str, Any] = field(default_factory=dict)
    """Worker hours, GPU seconds and cost of what this call did."""
    miou: float | None = None
    quality: QualityFacts | None = None
    """Of the scenes, measured before a network ran; None where nobody asks."""
    drift: DriftFacts | None = None
    """Of the new scenes beside the published run, measured before a network mapped; None where nobody asks."""
    judged: list[Verdict] = field(default_factory=list)
    """What the gates of quality and drift said then."""


def placed(run: Run, out: str) -> Run:
    """Return a planned run in another folder."""
    return replace(run, config=run.config.model_copy(update={"out": out}))


def make(
    product: Storage,
    run: Run,
    here: str,
    earlier: Sequence[str],
    before: Run | None,
    gates: GatesConfig,
    command: str,
    begun: Callable[[Supervision], None],
) -> Made:
    """Make the map of a run in its folder, under the lock of that.

    Args:
        product: the folder of all runs.
        run: planned there.
        here: its folder in the product's.
        earlier: those of earlier runs, the first ones first asked.
        before: the published run, if any.
        gates: of quality and drift, asked before a network maps; and whether labels are to be compared with.
        command: as typed.
        begun: gets what lets the run be stopped.

    Raises:
        Locked: somebody else works in that folder.
    """
    made = Made()

    def work() -> int:
        found = adopt(product, run, here, earlier)
        vectors = f", vectors of {found.embedded}" if run.config.embed is not None else ""
        print(
            f"taken over: {found.scenes} scenes, logits of {found.logits}{vectors}, {found.maps} maps", file=sys.stderr
        )
        planned = PlannedMap(run)
        estimates = planned.estimates()
        made.planned = [facts_of(one) for one in estimates]
        print(plan_told(run, estimates), flush=True)
        try:
            check_earlier(run)
            check_disk(estimates)
            check_memory(estimates, run.config.engine)
            if not run.config.limits.in_parts:
                check_time(estimates, run.config.limits.hours)
        except (ValueError, OSError) as error:
            print(f"sandan schedule: {' '.join(str(error).split())}", file=sys.stderr)
            return BAD_INPUT
        worked_before = stage_facts(run.storage, STAGES)
        if gates.asks:
            from jobs.quality_gate import measured_quality

            with engine_of(run.config.engine) as engine:
                made.quality = measured_quality(run, gates, engine)
            made.judged = quality_verdicts(gates, made.quality)
        if gates.drift is not None and not refused(made.judged):
            made.drift = _drift(run, before, gates.drift)
            made.judged += [] if made.drift is None else [drift_verdict((made.drift.found, made.drift.told))]
        code = INCOMPLETE if refused(made.judged) else planned.run()
        now = stage_facts(run.storage, STAGES)
        worked = {stage: facts for stage, facts in now.items() if facts != worked_before.get(stage)}
        made.spent = ledger(worked, run.config.engine.price_per_worker_hour)["all"]
        if code in (DONE, INCOMPLETE) and not refused(made.judged):
            made.record = read_record(run)
            if gates.min_miou is not None:
                made.miou = _miou(run, made.record)
            sweep(run.storage, unused(run.storage, [run], 0, KEEP_LOGS, own_log=supervised_as.run))
        return code

    with supervised("map", run.config, command, join=False) as supervised_as:
        begun(supervised_as)
        made.code = guarded("schedule", work)
        logger.info("ended with %d", made.code, extra={"event": "end", "facts": {"exit": made.code}})
    return made


def facts_of(estimate: Estimate) -> dict[str, Any]:
    """Return what is kept of an estimate."""
    return {
        "stage": estimate.stage,
        "units": estimate.units,
        "done": estimate.done,
        "unit": estimate.unit,
        "peak_memory_bytes": estimate.peak_memory_bytes,
        "expected_s": None if estimate.time is None else estimate.time.seconds,
    }


def plan_told(run: Run, estimates: Sequence[Estimate]) -> str:
    """Return what a run has to do as text: units, bytes, memory, time, and cost where a price is known."""
    lines = [dry_run_table(estimates)]
    left = [one for one in estimates if one.done < one.units]
    known = [one.time.seconds for one in left if one.time is not None and one.time.seconds is not None]
    crew, price = crew_here(run.config.engine), run.config.engine.price_per_worker_hour
    if left:
        least = "" if len(known) == len(left) else "at least "
        told = f"in all {least}about {about(sum(known))}" if known else "in all: time not known"
        if known and price is not None and crew is not None:
            told += f", {least}about {sum(known) / 3600 * crew.workers * price:.2f} at {price:g} a worker's hour"
        lines.append(told)
    return "\n".join(lines)


def _drift(run: Run, before: Run | None, asked: DriftConfig) -> DriftFacts | None:
    """Embed the scenes of a run, and compare the new ones with the published run."""
    from jobs.drift_gate import measured_drift  # loads torch, which no other gate needs
    from jobs.embed import plan_embed

    plan_embed(run.config).run()
    if before is None:
        return None
    published = {scene["store"] for scene in read_record(before)["scenes"]}
    found = measured_drift(run, before.storage, published, asked)
    if found is None:
        print(
            "drift: nothing to compare: no new scene, or this ground was not published with this embedder",
            file=sys.stderr,
        )
    return found


def _miou(run: Run, record: Mapping[str, Any]) -> float | None:
    from jobs.evaluate import plan_map
    from jobs.evaluation.files import read_evaluation

    try:
        if plan_map(run.config).run() != DONE:
            return None
    except ValueError as error:  # a map that lacks scenes, or labels that nothing was held back of
        print(f"sandan schedule: the map cannot be judged: {' '.join(str(error).split())}", file=sys.stderr)
        return None
    found = read_evaluation(run.storage, record["map"]["key"], run.config.fuse.threshold)
    return None if found is None else found["rows"][0]["mIoU"]


def measured(run: Run, unreadable: Mapping[str, str], made: Made, before: Run | None, gates: GatesConfig) -> MapFacts:
    """Measure what gates ask about.

    Args:
        run: whose map is made.
        unreadable: id to reason of scenes that could not be opened.
        made: how it went.
        before: the published run, if any, with its own settings.
        gates: what is asked.
    """
    record = made.record
    now = _published(run.storage, record)
    found = {plan.scene.id: plan.name for plan in run.scenes}
    seen = None
    if gates.min_seen is not None and run.area is not None:
        area, crs = run.area
        seen = seen_share(now.store(), *area_region(area, crs, run.grid))
    change = None if before is None else compare(_published(before.storage, read_record(before)), now)
    return MapFacts(
        found=len(found) + len(unreadable),
        mapped=len(record["scenes"]),
        lacking=tuple(lacking_scenes(found, unreadable, record)),
        failed_cells=sum(unit.startswith("mosaic/") for unit in record["quarantined"]),
        seen=seen,
        has_before=before is not None,
        change=change,
        miou=made.miou,
        drift=made.drift,
        quality=made.quality,
    )


def _published(storage: Storage, record: Mapping[str, Any]) -> PublishedMap:
    area_m2 = record["products"]["numbers"]["pixel_area_m2"]
    return PublishedMap(storage, record["map"]["key"], record["config"]["fuse"]["threshold"], area_m2)
