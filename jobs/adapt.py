"""Adapt: learn where one network in one view is enough, from windows that all networks see in all views.

python -m jobs.adapt validation.yaml
sandan adapt validation.yaml --set adapt.bound=0.005 --set adapt.windows=400
"""

from __future__ import annotations

import random
import sys
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from cluster.engine import Engine
from cluster.units import grouped, unfinished
from jobs.bundles import read_bundles
from jobs.config import VIEWS, RunConfig
from jobs.decisions import decide
from jobs.estimate import Estimate
from jobs.infer import itemsize, memory, require_ingested
from jobs.infer_stage import read_windows
from jobs.pace import Work
from jobs.plan import LogitPlan, Precision, Run, key_of, plan_run
from jobs.room import crew_here
from jobs.runner import engine_of, markers_of, report_failures, run_stage
from jobs.shell import DONE, INCOMPLETE, Job, run_job
from jobs.stages import peak_memory_bytes, prepare_worker
from jobs.time_left import Rest
from models.adaptive_choice import Choice, Evidence, choose
from models.adaptive_rule import Rule
from tiler.lattice import Lattice
from tiler.scene_store import SceneStore

STAGE = "adapt"
EACH = Work(lambda window: 1, STAGE)
"""One window takes as long as another."""
RECORD_BYTES = 2_000
"""Of the evidence of one network in a window's marker."""


@dataclass(frozen=True)
class Window:
    """One window of a scene, by the name of its logits: the unit of work."""

    scene: str
    row: int
    col: int

    @property
    def unit(self) -> str:
        """The name of the window as a unit of work; a scene has a folder."""
        return f"{self.scene}/w{self.row}_{self.col}"


@dataclass(frozen=True)
class Compare:
    """Ask all networks in all views about a window, and each alone in the first view."""

    stores: dict[str, tuple[str, Lattice]]
    """Name of a scene's logits to the address of its scene store, and its windows."""
    bundles: tuple[str, ...]
    channels: tuple[str, ...]
    coarse: tuple[str, ...]
    tta: str
    average: str
    threshold: float
    precision: Precision

    def __call__(self) -> Callable[[Window], dict]:
        """Prepare a worker: load the networks once."""
        from models.adaptive import Compared
        from models.bundle import load_files
        from models.imagery import Imagery

        prepare_worker()
        ensemble = Compared(
            [load_files(files) for files in read_bundles(self.bundles)],
            self.channels,
            tta=self.tta,
            precision=self.precision.precision,
            device=self.precision.device,
            batch=1,
            average=self.average,
            compile=self.precision.compile,
        )

        def work(window: Window) -> dict:
            url, lattice = self.stores[window.scene]
            under = read_windows(SceneStore(url), lattice, [(window.row, window.col)], self.coarse)
            evidence, fault = {}, ""
            if under.places:
                imagery = Imagery.of(under.bands, under.valid, under.fill, under.coarse, self.precision.device)
                try:
                    evidence = ensemble.compare(imagery, (0, 0), lattice.tile_px, self.threshold)
                except FloatingPointError as error:  # a map would quarantine it: nothing can be learnt from it
                    fault = str(error)
            found = {name: one.to_json() for name, one in evidence.items()}
            return {"evidence": found, "fault": fault, "peak_memory_bytes": peak_memory_bytes()}

        return work


def draw(plans: Sequence[LogitPlan], count: int, seed: int) -> list[Window]:
    """Draw windows of all scenes without putting them back; those outside the area of interest are not there."""
    sizes = [p.lattice.rows * p.lattice.cols if p.wanted is None else np.count_nonzero(p.wanted) for p in plans]
    ends = list(accumulate(int(size) for size in sizes))
    found = []
    for number in sorted(random.Random(seed).sample(range(ends[-1]), min(count, ends[-1]))):  # never a list of them all
        scene = bisect(ends, number)
        plan, place = plans[scene], number - (ends[scene - 1] if scene else 0)
        if plan.wanted is not None:
            place = int(np.flatnonzero(plan.wanted)[place])
        found.append(Window(plan.name, *divmod(place, plan.lattice.cols)))
    return found


def stage_name(run: Run) -> str:
    """Return where the markers of what was compared lie: a margin depends on the threshold."""
    return f"{STAGE}-{key_of(run.config.fuse.threshold)}"


def learn(run: Run, engine: Engine) -> tuple[Rule, dict[str, Choice], bool] | None:
    """Compare windows that are not compared yet; find the cheapest rule that keeps the bound.

    Returns:
        The rule, all choices, and whether every window could be answered; None if units failed.
    """
    precision = decide(run, engine)
    assert precision is not None
    settings, config = run.config.adapt, run.config
    plans = run.logits(precision)
    windows = draw(plans, settings.windows, settings.seed)
    stage = Compare(
        stores={plan.name: (run.url("ingest", plan.source.name), plan.lattice) for plan in plans},
        bundles=config.models,
        channels=run.channels,
        coarse=run.coarse_channels,
        tta=config.infer.tta,
        average=config.infer.average,
        threshold=config.fuse.threshold,
        precision=precision,
    )
    name, expected = stage_name(run), memory(run, plans, precision)
    outcome = run_stage(
        *(engine, run.storage, name, stage, grouped(windows), "windows"),
        facts_as=STAGE,
        memory_bytes=expected,
        work=EACH,
    )
    if outcome.failed:
        report_failures([outcome])
        return None
    markers = markers_of(run.storage, name)
    found = {window.unit: markers.read(window.unit)["record"] for window in windows}
    outcome.partly = {unit: record["fault"] for unit, record in found.items() if record["fault"]}
    report_failures([outcome])
    records = [record["evidence"] for record in found.values()]
    passes = len(config.models) * VIEWS[config.infer.tta]
    choices = {}
    for card in run.cards:
        parts = [Evidence.from_json(record[card.name]) for record in records if record]
        if not parts:
            raise ValueError("no window that was drawn tells anything; choose other scenes, or more windows")
        choices[card.name] = choose(Evidence.together(parts), passes, settings.bound, settings.seed)
    first = min(choices, key=lambda name: choices[name].forwards)
    choice = choices[first]
    rule = Rule(
        first=first,
        networks=tuple(card.digest() for card in run.cards),
        tta=config.infer.tta,
        average=config.infer.average,
        tile_px=config.infer.tile_px,
        threshold=config.fuse.threshold,
        change=tuple(choice.change.tolist()),
        spread=tuple(choice.spread.tolist()),
        refine_above=choice.refine_above,
        bound=settings.bound,
        found=choice.found,
    )
    return rule, choices, not outcome.partly


def text_of(rule: Rule, choices: dict[str, Choice]) -> str:
    """Return what was found, as plain text."""
    lines = [f"{'first pass by':24} {'refined':>8} {'forwards':>9} {'distance':>9} {'at most':>9}"]
    for name, one in choices.items():
        numbers = f"{one.refined:8.1%} {one.forwards:9.1%} {one.distance:9.5f} {one.upper:9.5f}"
        lines.append(f"{name:24} {numbers}{'  <- chosen' if name == rule.first else ''}")
    lines += ["", f"what other bounds would cost, with {rule.first} first:"]
    lines += [
        f"{'':24} {point['refined']:8.1%} {point['forwards']:9.1%} {point['distance']:9.5f} {point['upper']:9.5f}"
        for point in choices[rule.first].curve[::4]
    ]
    if choices[rule.first].forwards >= 1:
        lines.append(
            "The first pass saves nothing under this bound: map without `infer.adaptive`, or raise adapt.bound."
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class PlannedAdapt:
    """The job, checked."""

    planned: Run

    def estimates(self) -> list[Estimate]:
        """Return what there is to do: the memory is that of Infer."""
        run, settings = self.planned, self.planned.config.adapt
        precision = decide(run, None) or Precision("cuda", "bf16", 1)
        plans = run.logits(precision)
        windows = draw(plans, settings.windows, settings.seed)
        groups, name = grouped(windows), stage_name(run)
        masks = unfinished(markers_of(run.storage, name), groups)
        left = sum(map(sum, masks))
        rest, gpu = Rest(name, "windows", groups, masks, left), precision.device == "cuda"
        return [
            Estimate(
                stage=STAGE,
                units=len(windows),
                unit="windows",
                done=len(windows) - left,
                read_bytes=left * run.config.infer.tile_px**2 * (len(run.sensor.bands) * itemsize(plans) + 1),
                write_bytes=left * len(run.cards) * RECORD_BYTES,
                peak_memory_bytes=memory(run, plans, precision),
                folder=run.config.out if run.storage.is_local else "",
                time=rest.time(run.storage, EACH, crew_here(run.config.engine), gpu) if left else None,
            )
        ]

    def run(self) -> int:
        """Learn the rule and write it."""
        run = self.planned
        with engine_of(run.config.engine) as engine:
            learnt = learn(run, engine)
        if learnt is None:
            return INCOMPLETE
        rule, choices, whole = learnt
        run.storage.put("adaptive.json", rule.to_json())
        print(text_of(rule, choices))
        print(f"\nuse it: sandan map RUN.yaml --set infer.adaptive={run.config.out.rstrip('/')}/adaptive.json")
        return DONE if whole else INCOMPLETE


def plan_adapt(config: RunConfig) -> PlannedAdapt:
    """Check a run whose scenes are ingested.

    Raises:
        ValueError: bad input, or a scene that is not ingested.
    """
    full = config.model_copy(update={"infer": config.infer.model_copy(update={"adaptive": None})})
    run = plan_run(full)
    _ = run.cards
    require_ingested(run)
    return PlannedAdapt(run)


JOB = Job(
    name="adapt",
    summary="Learn where one network in one view is enough (infer.adaptive), on scenes that no network was trained on.",
    example="  sandan adapt validation.yaml\n  sandan adapt validation.yaml --set adapt.bound=0.005\n"
    "  sandan map country.yaml --set infer.adaptive=runs/validation/adaptive.json",
    kind=RunConfig,
    plan=plan_adapt,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
