"""Evaluate: the stitched map, or the networks on a data set, against labels that no network was trained on.

python -m jobs.evaluate examples/aberystwyth/map.yaml
sandan evaluate map.yaml --set regions='{file: districts.gpkg, name: name}'
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.config import RunConfig
from jobs.evaluation.on_map import PlannedEvaluate, split_of
from jobs.infer import require_ingested
from jobs.mosaic import planned_map
from jobs.publish import is_published, plan_publish
from jobs.regions import regions_of
from jobs.shell import Job, Planned, run_job


def plan_map(config: RunConfig) -> PlannedEvaluate:
    """Check a published run with labels.

    Raises:
        ValueError: bad input, no labels, or a map that is not published.
    """
    if config.labels is None:
        raise ValueError("evaluate compares the map with labels; the run has none: set `labels`")
    planned = plan_publish(config)
    require_ingested(planned.planned)
    planned_map(planned.planned)
    if not is_published(planned.planned, planned.map):
        raise ValueError(f"the map in {config.out} is not published with these settings; run `sandan publish` first")
    regions = regions_of(config, planned.map.grid, planned.map.extent)
    return PlannedEvaluate(planned, split_of(planned.planned), regions)


def plan_evaluate(config: RunConfig) -> Planned:
    """Check a run of scenes, or of a data set.

    Raises:
        ValueError: bad input.
    """
    if config.dataset is None:
        return plan_map(config)
    from jobs.evaluation.on_tiles import plan_tiles  # loads torch, which the evaluation of a map never needs

    return plan_tiles(config)


JOB = Job(
    name="evaluate",
    summary="Judge the stitched map on blocks held back from training, beside trivial baselines.",
    example="  sandan evaluate examples/aberystwyth/map.yaml\n"
    "  sandan evaluate map.yaml --set fuse.threshold=0.4   (after publishing with it)\n"
    "  sandan evaluate map.yaml --set 'regions={file: districts.gpkg, name: code}'\n"
    "  sandan evaluate aihub.yaml   (a run with `dataset` and `models`: every network alone, and their ensemble)",
    kind=RunConfig,
    plan=plan_evaluate,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
