"""The evaluation of a stitched map: its cells against the labels of the scenes, seams and all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cluster.engine import Engine
from cluster.units import grouped
from jobs.estimate import Estimate, Expected, mosaic_memory
from jobs.evaluation.cells import SAMPLE_PX, SampleCells, ScoreCells, Sight, cell_tasks, red_and_nir
from jobs.evaluation.counts import Counts
from jobs.evaluation.doubt import doubt_of
from jobs.evaluation.files import with_objects, write_evaluation
from jobs.evaluation.objects import objects_of
from jobs.evaluation.summary import Subject, evaluation_of, plain, region_rows
from jobs.evaluation.text import definitions, map_definition, table
from jobs.pace import UNKNOWN, Work
from jobs.page import write_page
from jobs.plan import Run, key_of
from jobs.publish import PlannedPublish
from jobs.record import read_record
from jobs.room import crew_here
from jobs.runner import Outcome, engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE
from jobs.time_left import Rest
from models.pixel_rules import PixelRules, PixelSample
from tiler.classes import value_names
from tiler.grids import CELL_PX
from tiler.regions import Regions
from tiler.split import Split

CONTRACT = 1
"""Raised by hand when the same map would get other counts."""
COUNTING = ("where", "block_px", "boundary_tolerance_px")
"""Settings that change what is counted; the others only change what is made of the counts."""


@dataclass(frozen=True)
class PlannedEvaluate:
    """The evaluation of a map, checked."""

    publish: PlannedPublish
    split: Split
    regions: Regions | None

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        tasks, extent = self.publish.map.tasks, self.publish.map.extent
        memory = mosaic_memory(CELL_PX, 2 * len(self.publish.planned.classes))
        bytes_per_px = 2 * (2 * len(self.publish.planned.sensor.bands) + 2) + 4 * len(self.publish.planned.classes)
        read_bytes = extent.height * extent.width * bytes_per_px
        return [Estimate("evaluate", len(tasks), "cells", 0, read_bytes, 0, memory, time=self._time())]

    def _time(self) -> Expected:
        """How long it will take, where an earlier evaluation of such a map tells."""
        run, cells = self.publish.planned, len(self.publish.map.tasks)
        names = ("evaluate_sample", "evaluate") if self._has_rules else ("evaluate",)
        rests = (Rest(name, "cells", [], [], cells) for name in names)
        crew = crew_here(run.config.engine)
        found = [rest.time(run.storage, self._work(rest.stage), crew) for rest in rests]
        known = [one.seconds for one in found if one.seconds is not None]
        return Expected(sum(known), found[-1].known_from) if len(known) == len(found) else UNKNOWN

    def _work(self, name: str) -> Work:
        """What the time of a stage goes with: cells, of maps of one form."""
        run = self.publish.planned
        return Work(lambda cell: 1, key_of(name, CONTRACT, run.classes, run.sensor.bands))

    @property
    def _has_rules(self) -> bool:
        """Whether rules of single pixels are learnt, to be judged beside the map."""
        run = self.publish.planned
        return len(run.classes) == 1 and {"red", "nir"} <= set(run.sensor.bands)

    def run(self) -> int:
        """Count, make the tables and the figures, and put them into the report."""
        run = self.publish.planned
        with engine_of(run.config.engine) as engine:
            rules, sampled = self._sample(engine)
            scored, records = self._score(engine, rules)
        report_failures([sampled, scored])
        evaluation = self._evaluation(rules, records)
        print(table(evaluation))
        if "report" in run.config.outputs:
            write_page(run, read_record(run))
            print(f"report     {run.config.out.rstrip('/')}/report.html")
        return INCOMPLETE if sampled.failed or scored.failed else DONE

    @property
    def _sight(self) -> Sight:
        run, plan = self.publish.planned, self.publish.map
        return Sight(
            {p.name: run.url("ingest", p.source.name) for p in self.publish.plans},
            run.url("mosaic", plan.name),
            self.split,
            len(value_names(run.classes)),
            run.config.evaluate.where == "all",
        )

    def _stage(self, engine: Engine, stage: Any, key: str, name: str) -> tuple[Outcome, list[dict]]:
        """Run a stage over all cells and return the records of those that are done, in the order of cells."""
        run = self.publish.planned
        tasks = cell_tasks(self.publish.map, [p.name for p in self.publish.plans], key)
        outcome = run_stage(
            engine, run.storage, "evaluate", stage, grouped(tasks), "cells", name, work=self._work(name)
        )
        markers = markers_of(run.storage, "evaluate")
        done = [task.unit for task in tasks if task.unit not in outcome.failed]
        return outcome, [markers.read(unit)["record"] for unit in done]

    def _sample(self, engine: Engine) -> tuple[PixelRules, Outcome]:
        bands = self.publish.planned.sensor.bands
        if not self._has_rules:
            return PixelRules(), Outcome("evaluate", 0, 0)
        key = key_of("sample", CONTRACT, SAMPLE_PX, self.publish.map.name, self.split.model_dump())
        outcome, records = self._stage(engine, SampleCells(self._sight), key, "evaluate_sample")
        samples = [PixelSample.from_json(r["sample"]) for r in records if "sample" in r]
        return PixelRules.fit(samples, *red_and_nir(bands)), outcome

    def _score(self, engine: Engine, rules: PixelRules) -> tuple[Outcome, list[dict]]:
        run, settings = self.publish.planned, self.publish.planned.config.evaluate
        stage = ScoreCells(self._sight, settings, run.config.fuse.threshold, rules, self.regions)
        counting = settings.model_dump(include=set(COUNTING))
        shapes = None if self.regions is None else asdict(self.regions)
        facts = (self.split.model_dump(), counting, stage.threshold, asdict(rules), shapes)
        return self._stage(engine, stage, key_of("score", CONTRACT, self.publish.map.name, *facts), "evaluate")

    def _evaluation(self, rules: PixelRules, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        run, settings, plan = self.publish.planned, self.publish.planned.config.evaluate, self.publish.map
        told = [r for r in records if "counts" in r]
        if not told:
            raise ValueError("no labelled pixel lies where the map is judged; check `labels` and `evaluate.where`")
        counts = Counts.total([Counts.from_json(r["counts"]) for r in told])
        titles = {"map": "map", **rules.titles}
        subject = Subject(value_names(run.classes), "map", False, {}, (), titles, resamples=settings.resamples)
        found = evaluation_of(counts, subject)

        def place(part: int, row: float, col: float) -> tuple[float, float, float]:
            x, y = plan.grid.pixels.xy(np.array(row), np.array(col))
            return float(x), float(y), plan.grid.pixels.pixel_area_m2(row)

        objects = objects_of([r["objects"] for r in told], subject.classes[1:], settings, place)
        regions = () if self.regions is None else self.regions.names
        evaluation = {
            "kind": "map",
            "map": plan.name,
            "threshold": run.config.fuse.threshold,
            "split": self.split.model_dump(),
            "settings": settings.model_dump(mode="json"),
            "definition": map_definition(found, settings),
            "definitions": definitions(found, settings),
            **found,
            "uncertainty": plain(doubt_of([r["doubt"] for r in told if "doubt" in r], len(run.classes))),
            "regions": region_rows(counts, regions, subject),
        }
        whole = with_objects(evaluation, objects, regions)
        write_evaluation(run.storage, whole, objects, regions, [{}] * len(told))
        return whole


def split_of(run: Run) -> Split:
    """Return the split that the run's bundles were trained with.

    Raises:
        ValueError: they differ, so that no block is unseen by all, or they do not say.
    """
    everywhere = run.config.evaluate.where == "all"
    if everywhere:
        return Split()
    splits = {json.dumps(card.split, sort_keys=True) for card in run.cards}
    if len(splits) > 1:
        raise ValueError(
            f"the bundles held back different blocks: {sorted(splits)}; train them with the same `data.split`"
        )
    try:
        told = json.loads(splits.pop())
        return Split(**{name: told[name] for name in Split.model_fields})
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"the bundles do not say which blocks of scenes they held back, only {run.cards[0].split}; "
            "if no network was trained on these scenes, set `evaluate.where: all`"
        ) from error
