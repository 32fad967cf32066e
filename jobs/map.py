"""Map: ingest, infer, mosaic and publish, each doing only what is not done yet.

python -m jobs.map examples/aberystwyth/map.yaml
sandan map examples/aberystwyth/map.yaml --set engine.kind=serial
ray job submit --working-dir . -- python -m jobs.map CONFIG.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.earlier_map import check_earlier
from jobs.estimate import Estimate
from jobs.infer import complete, infer
from jobs.infer import estimate as estimate_infer
from jobs.ingest import estimate as estimate_ingest
from jobs.ingest import ingest, ingested
from jobs.mosaic import estimate as estimate_mosaic
from jobs.mosaic import mosaic
from jobs.plan import LogitPlan, Run, plan_run
from jobs.products import is_empty
from jobs.publish import estimate as estimate_publish
from jobs.publish import print_paths, publish
from jobs.regions import check_regions
from jobs.runner import engine_of, quarantine, report_failures
from jobs.shell import DONE, FAULT, INCOMPLETE, Job, run_job
from jobs.supervise import supervision
from tiler.map_store import MapStore


@dataclass(frozen=True)
class PlannedMap:
    """The job, checked."""

    planned: Run

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        run = self.planned
        return [estimate_ingest(run), estimate_infer(run), estimate_mosaic(run), estimate_publish(run)]

    def run(self) -> int:
        """Make the map of every scene that can be read; name the others."""
        with engine_of(self.planned.config.engine) as engine:
            outcomes = ingest(self.planned, engine)
            run = ingested(self.planned)
            plans: list[LogitPlan] = []
            if run.scenes:
                precision = decide(run, engine)
                assert precision is not None
                outcomes.append(infer(run, engine, run.logits(precision), precision))
                plans = complete(run, run.logits(precision))
                finished = {p.source.name for p in plans}
                run = run.without(s.name for s in run.scenes if s.name not in finished)
            if plans:
                plan = run.mosaic(plans)
                outcomes.append(mosaic(run, engine, plans, plan))
        report_failures(outcomes)
        failed = quarantine(outcomes)
        if supervision().joins:
            print("helped; the run that was joined publishes")
            return INCOMPLETE if failed else DONE
        if not plans or (plan.faults.counts["quarantined"] and is_empty(MapStore(run.url("mosaic", plan.name)))):
            print("no scene could be mapped; nothing is published", file=sys.stderr)
            return FAULT
        publish(run, plans, plan, failed)
        print_paths(run)
        return INCOMPLETE if failed or len(run.scenes) < len(self.planned.scenes) else DONE


def plan_map(config: RunConfig) -> PlannedMap:
    """Check a run.

    Raises:
        ValueError: bad input.
    """
    run = plan_run(config)
    _ = run.cards, run.rule
    check_regions(run)
    check_earlier(run)
    return PlannedMap(run)


JOB = Job(
    name="map",
    summary="Make the map: ingest, infer, mosaic, publish; what is done already is not done again.",
    example="  sandan map examples/aberystwyth/map.yaml\n"
    "  sandan map map.yaml --dry-run\n"
    "  sandan map map.yaml --set out=s3://bucket/june --set engine.workers=8",
    kind=RunConfig,
    plan=plan_map,
    helps=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
