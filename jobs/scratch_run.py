"""The reproduction of the scratch document: photos, their variants, ten trainings, scores, pictures and tables.

Each step is the command that a user would give, and is not done again where it is done.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.storage import Storage
from jobs.clock import Clock
from jobs.config import RunConfig
from jobs.curate_frame import duplicate_groups
from jobs.curate_subject import TileSubject
from jobs.datasets import PlannedDataset, plan_dataset
from jobs.lists import csv_bytes
from jobs.parsing import load
from jobs.recipe_config import RecipeConfig
from jobs.runner import engine_of
from jobs.scratch import ROWS, VARIANTS, Experiment, judged_variant
from jobs.scratch_data import write_world
from jobs.scratch_judging import Judged, judge_networks, judge_rules, source_counts
from jobs.scratch_panel import chosen_photos, prediction_panel, variant_panel
from jobs.scratch_report import Results, text, write_report
from jobs.scratch_table import (
    Trained,
    always_yes,
    baseline_table,
    claims,
    count_table,
    dice_table,
    failed_gates,
    measured,
    results_table,
    source_table,
    trained_text,
    verdict_table,
)
from jobs.shell import DONE, INCOMPLETE
from jobs.steps import StepFailedError, check_step
from jobs.train import plan_train
from tiler.tile_store import TileStore

UNETS = ("A", "B", "D", "E", "F", "G")
"""Rows of which the best is shown as `U-Net (best)`."""


@dataclass(frozen=True)
class ScratchReproduction:
    """What was asked for, checked."""

    experiment: Experiment
    data: str | None
    """Where the photos come from, as it was given; None for the scratch world."""
    goal: float
    """IoU that the best row must reach; 0 asks nothing."""
    clock: Clock = field(default_factory=Clock)

    def run(self) -> int:
        """Do what is not done yet; write the report and print the tables."""
        try:
            results, failed = self._results()
        except StepFailedError as error:
            print(f"sandan reproduce: {error}; repeat the command to continue", file=sys.stderr)
            return error.code
        out = self.experiment.out
        write_report(Storage(str(out)), results)
        print(f"\n{text(results)}")
        print(f"\nreport     {out / 'report.html'}\ntable      {out / 'table.csv'}\npictures   {out / 'panel.png'}")
        print(f"took {sum(self.clock.seconds.values()):.0f} s")
        return INCOMPLETE if failed or results.failed else DONE

    def _results(self) -> tuple[Results, int]:
        experiment, notes = self.experiment, []
        if self.data is None:
            with self.clock.step("photos"):
                experiment = replace(experiment, dataset=write_world(experiment.out, experiment.scale))
        with self.clock.step("ingest"):
            runs, copies = self._ingested(experiment)
        if copies:
            notes.append(f"{copies} photos that are copies of others are left out of every part")
        _check_scratches(runs["rgb"])
        trained = self._trained(experiment)
        with self.clock.step("judge"):
            images, failed = self._judged(runs)
            rules = judge_rules(runs["rgb"])
        return self._told(experiment, runs, images, rules, trained, notes), failed

    def _trained(self, experiment: Experiment) -> dict[str, Trained]:
        """Train what is not trained; return how each row is."""
        recipes, trained = experiment.write_recipes(), {}
        for number, row in enumerate(ROWS, 1):
            print(f"--- {number}/{len(ROWS)} train {row.name}: {row.settings}")
            with self.clock.step(f"train {row.name}"):
                recipe = load(RecipeConfig, str(recipes[row.name]))
                planned = plan_train(recipe)
                code = planned.run()
                check_step(f"training of {row.name}", code)
            tiles = recipe.data.tiles_per_epoch
            count = planned.data.tiles(recipe.data.tile_px) if tiles == "all" else int(tiles)
            shown = trained_text(recipe.model_dump(mode="json", exclude_defaults=True), count)
            trained[row.name] = Trained(shown, planned.spec.loss)
        return trained

    def _ingested(self, experiment: Experiment) -> tuple[dict[str, PlannedDataset], int]:
        """Ingest every variant; return them, and how many photos are copies of others."""
        files = experiment.write_runs()
        _ingest(files["rgb"])
        copies: set[str] = set()
        if self.data is not None:
            copies = _copies(plan_dataset(load(RunConfig, str(files["rgb"]))))
            kept = replace(experiment, kept=bool(copies))
            for variant, file in files.items() if copies else ():
                ids = [entry.id for entry in plan_dataset(load(RunConfig, str(file))).source.entries]
                rows = [(name,) for name in ids if name not in copies]
                experiment.kept_file(variant).write_bytes(csv_bytes(("id",), rows))
            files = kept.write_runs()
        for variant in VARIANTS[1:]:
            _ingest(files[variant])
        return {variant: plan_dataset(load(RunConfig, str(file))) for variant, file in files.items()}, len(copies)

    def _judged(self, runs: Mapping[str, PlannedDataset]) -> tuple[dict[str, list[Judged]], int]:
        """Judge every network on its variant; return the images of each row, and how many shards failed."""
        found: dict[str, list[Judged]] = {}
        failed = 0
        for variant in dict.fromkeys(judged_variant(row.name) for row in ROWS):
            names = [row.name for row in ROWS if judged_variant(row.name) == variant]
            with engine_of(runs[variant].config.engine) as engine:
                images, lost = judge_networks(engine, runs[variant], [str(self._bundle(name)) for name in names])
            failed += lost
            found |= dict.fromkeys(names, images)
        return found, failed

    def _told(
        self,
        experiment: Experiment,
        runs: Mapping[str, PlannedDataset],
        images: Mapping[str, list[Judged]],
        ruled: list[Judged],
        trained: Mapping[str, Trained],
        notes: list[str],
    ) -> Results:
        part = runs["rgb"].judged
        found = {row.name: measured(row.name, images[row.name], part, verdicts=True) for row in ROWS}
        rules = [measured(name, ruled, part, verdicts=False) for name in ruled[0].counts]
        judging = [image.counts["nothing"] for image in ruled]
        counts = source_counts(runs["rgb"])
        judged = claims(found, sorted({row["source"] for row in counts}))
        tables = (
            results_table(found, trained, self.goal),
            baseline_table(rules),
            source_table(found),
            verdict_table(found, always_yes(judging)),
            dice_table(found, trained),
            count_table(counts),
        )
        stores = {variant: TileStore(run.url) for variant, run in runs.items()}
        ids = chosen_photos(ruled, part)
        best = max(UNETS, key=lambda name: found[name].iou)
        bundles = {row.name: str(self._bundle(row.name)) for row in ROWS}
        figures = {"panel": prediction_panel(stores, bundles, best, ids), "variants": variant_panel(stores, ids)}
        failed = tuple(failed_gates(found, judged, self.goal))
        said = (*self._notes(runs, len(judging)), *notes)
        title = (
            f"The scratch document on {'synthetic photos' if self.data is None else self.data}, seed {experiment.seed}"
        )
        return Results(title, said, tables, tuple(judged), failed, self.goal, found, rules, figures, self.clock.seconds)

    def _notes(self, runs: Mapping[str, PlannedDataset], judging: int) -> list[str]:
        experiment = self.experiment
        lines = list(runs["rgb"].warnings)
        lines.append(
            f"judged on {judging} photos of the {runs['rgb'].judged} part; one seed: small differences mean nothing"
        )
        if self.data is None:
            lines.append("the photos are synthetic: other numbers than the document's are expected")
        if experiment.scale.width:
            lines.append("networks, epochs and photos are smaller than the document's: see `trained here`")
        return lines

    def _bundle(self, name: str) -> Path:
        return self.experiment.out / "models" / name


def _ingest(file: Path) -> None:
    """Ingest a run that is not ingested; damaged photos are named and left out."""
    planned = plan_dataset(load(RunConfig, str(file)))
    code = DONE if planned.is_ingested else planned.run()
    check_step(f"ingest of {file}", code)


def _check_scratches(planned: PlannedDataset) -> None:
    """Raise ValueError unless scratches are among what trains and among what judges."""
    counts = source_counts(planned)
    for part in ("train", planned.judged):
        if not any(row["with scratches"] for row in counts if row["part"] == part):
            raise ValueError(f"no photo of the part {part} holds a scratch: {counts}; give another `split`, or masks")


def _copies(planned: PlannedDataset) -> set[str]:
    """Return the ids of photos that are exact or near copies of an earlier one."""
    subject = TileSubject(planned)
    with engine_of(planned.config.engine) as engine:
        if not subject.look(engine):
            raise StepFailedError("the search for copies", INCOMPLETE)
    groups = duplicate_groups(subject.opened()[1])[1]
    entries = planned.source.entries
    return {entries[row].id for row, first in enumerate(groups.tolist()) if first != row}
