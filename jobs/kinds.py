"""The three kinds of runs: of scenes, of a data set of tiles, of a frame series."""

from __future__ import annotations

from typing import TypeAlias

from jobs.config import RunConfig
from jobs.datasets import PlannedDataset, plan_dataset
from jobs.frames import PlannedFrames, plan_frames
from jobs.plan import Run, plan_run

Plan: TypeAlias = Run | PlannedDataset | PlannedFrames


def plan_of(config: RunConfig) -> Plan:
    """Check a run of any kind.

    Raises:
        ValueError: bad input.
    """
    if config.dataset is not None:
        return plan_dataset(config)
    return plan_run(config) if config.frames is None else plan_frames(config)
