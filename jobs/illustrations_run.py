"""The reproduction of the illustration document: images, exploration, cleaning, two networks, tables.

Each step is the command that a user would give, on a file below OUT/recipes, and is not done again where it is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.storage import Storage
from jobs import curate
from jobs.clock import Clock
from jobs.curate_desk import Desk
from jobs.curate_subject import TileSubject
from jobs.curate_versions import Version, read_version, version_numbers
from jobs.illustrations import (
    CNN,
    UNCLEANED,
    WORLD_SEED,
    Scale,
    recipe_values,
    uncleaned_values,
    with_encoders,
    write_recipes,
    write_yaml,
)
from jobs.illustrations_results import Found, results_of
from jobs.image_predictions import Answers, answers
from jobs.image_recipe_config import ClassifyRecipeConfig
from jobs.parsing import parse
from jobs.progress import Progress
from jobs.shell import DONE
from jobs.steps import StepFailedError, check_step
from jobs.train_images import PlannedImages, plan_images
from tiler.synthetic.illustrations import IllustrationWorld, write_illustrations


@dataclass(frozen=True)
class IllustrationsReproduction:
    """What was asked for, checked."""

    scale: Scale
    out: Path
    data: Path | None
    """Folder of images, one folder a class; None: the synthetic world."""
    truth: Path | None
    """CSV that says which images are photos; None: that of the synthetic world, or nobody knows."""
    encoders: Mapping[str, str]
    """Reducers of the user's own: name to a bundle that makes vectors."""
    seed: int
    engine: Mapping[str, Any]
    clock: Clock = field(default_factory=Clock)

    def run(self) -> int:
        """Do what is not done yet; write the report and print the tables."""
        try:
            found = self._found()
        except StepFailedError as error:
            print(f"sandan reproduce: {error}; repeat the command to continue")
            return error.code
        with self.clock.step("report"):
            results = results_of(found)
        results.write(self.out)
        print(f"\n{results.text}")
        print(f"\nreport     {self.out / 'report.html'}\ntables     {self.out / 'table.txt'}, *.csv, table.json")
        took = {step: round(seconds) for step, seconds in self.clock.seconds.items()}
        print(f"took {sum(took.values())} s ({json.dumps(took)})")
        return DONE

    def _found(self) -> Found:
        with self.clock.step("images"):
            root = self.data or self._world()
        files = write_recipes(self.out, str(root), self.scale, self.seed, self.engine)
        with_encoders(files["clean"], self.encoders)
        self._planned(UNCLEANED, None)  # a class of one image is found here, not after an hour
        for name in ("eda", "clean"):
            print(f"--- {name}")
            with self.clock.step(name):
                check_step(f"curate recipe {files[name]}", curate.main(["recipe", str(files[name])]))
        balance, clean = self._version("balance"), self._version("clean")
        count = [str(one.number) for one in (balance, clean) if one is not None]
        with self.clock.step("apply"):
            words = ["apply", str(files["illustrations"]), "--versions", ",".join(count) or "none"]
            check_step("curate apply", curate.main(words))
        trained: dict[str, tuple[PlannedImages, Answers]] = {}
        for name in (CNN, UNCLEANED) if clean is not None else (CNN,):
            print(f"--- train {name}")
            with self.clock.step(f"train {name}"):
                planned = self._planned(name, balance)
                check_step(f"train {name}", planned.run())
                trained[name] = (planned, answers(planned, name))
        dataset = trained[CNN][0].data.planned
        subject = TileSubject(dataset)
        desk = Desk(subject, *subject.opened(), dry=True)
        folder = None if clean is None else Path(self._storage.url) / "curation" / f"{clean.number:04d}"
        truth = self.truth or (None if self.data else self.out / "world" / "truth.csv")
        return Found(
            desk=desk,
            ground="synthetic illustrations" if self.data is None else str(self.data),
            balance=balance,
            clean=clean,
            folder=folder,
            truth=truth,
            trained=trained,
            models={name: self.out / "models" / name for name in trained},
            seconds=self.clock.seconds,
        )

    @cached_property
    def _storage(self) -> Storage:
        return Storage(str(self.out / "data"))

    def _planned(self, name: str, balance: Version | None) -> PlannedImages:
        """Check the recipe of a network; that of the uncleaned one is written here, because it names a version."""
        root = str(self.data or self.out / "world" / "images")
        values = recipe_values(CNN, self.out, root, self.scale, self.seed, self.engine)
        if name == UNCLEANED:
            listed = self.out / "data" / "curation" / f"{balance.number:04d}" / "removed.csv" if balance else None
            values = uncleaned_values(values, self.out, None if listed is None else str(listed))
            write_yaml(self.out / "recipes" / f"{name}.yaml", values)
        return plan_images(parse(ClassifyRecipeConfig, values, name))

    def _version(self, verb: str) -> Version | None:
        """Return the last version that a verb made with this seed."""
        found = [read_version(self._storage, number) for number in version_numbers(self._storage)]
        mine = [one for one in found if one.verb == verb and one.facts["settings"].get("seed") == self.seed]
        return mine[-1] if mine else None

    def _world(self) -> Path:
        """Write the synthetic world, unless it is there; return the folder of its images."""
        folder, done = self.out / "world", self.out / "world" / "written.json"
        asked = {"images": self.scale.images, "shrink": self.scale.shrink, "seed": WORLD_SEED}
        if done.is_file() and json.loads(done.read_text()) == asked:
            return folder / "images"
        world = IllustrationWorld(WORLD_SEED, self.scale.images, self.scale.shrink)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with Progress(self.scale.images, "synthesize", unit="images") as progress:
            write_illustrations(world, folder, workers=cores, on_image=progress.advance)
        done.write_text(json.dumps(asked))  # last: it says that every image is there
        return folder / "images"
