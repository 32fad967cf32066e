"""A small training made by commands of their own process, and what is compared of it."""

from __future__ import annotations

import hashlib
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.runs import DEADLINE_S, Command, begin
from tests.jobs.recipes import Recipe

EPOCHS, STEPS, CHECKPOINT_STEPS = 4, 5, 2
STRETCHES = EPOCHS * -(-STEPS // CHECKPOINT_STEPS)
"""From checkpoint to checkpoint: the units of work of a training."""


def small_recipe(folder: Path) -> Recipe:
    """Write a labelled scene and a recipe for two workers of Ray."""
    recipe = Recipe(folder)
    recipe.settings["data"]["tiles_per_epoch"] = 4 * STEPS
    recipe.settings["train"] |= {"epochs": EPOCHS, "checkpoint_steps": CHECKPOINT_STEPS}
    recipe.settings["engine"] = {"kind": "ray", "workers": 2, "threads_per_worker": 1}
    return recipe


def learnt(out: Path) -> dict[str, str]:
    """Return a sha256 of all that a training leaves, by name: weights, card, curve and pictures; not its seconds."""
    rows = json.loads((out / "history.json").read_text())
    curve = json.dumps([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    files = [out / "weights.safetensors", out / "card.json", *sorted((out / "epochs").iterdir())]
    made = {"history.json": curve.encode(), **{f.relative_to(out).as_posix(): f.read_bytes() for f in files}}
    return {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}


@dataclass
class Lesson:
    """Where a fault takes place: one bundle that is trained by one command after the other."""

    recipe: Recipe
    out: Path
    random: random.Random
    written: int = 0
    """Checkpoints, by all commands so far: their numbers count on."""
    started: int = 0
    """Commands."""
    left_behind: list[psutil.Process] = field(default_factory=list)
    """What commands that were killed had started."""
    to_be_said: str = ""
    """By the command that goes on."""

    def start(self) -> Command:
        """Start the training, or what is left of it."""
        self.started += 1
        return begin("jobs.train", *self.recipe.command(f"out={self.out}"))

    def checkpoints(self) -> list[Path]:
        """Return what makes each checkpoint one, in order."""
        found = sorted(self.out.glob("training/*/*.json"), key=lambda path: path.name)
        self.written = max([self.written, *(int(path.stem) for path in found)])
        return found

    def reached(self, command: Command, wanted: int) -> None:
        """Wait for a checkpoint, or for the end of the command."""
        ended_s = time.monotonic() + DEADLINE_S
        while command.process.poll() is None and time.monotonic() < ended_s:
            found = self.checkpoints()
            if found and int(found[-1].stem) >= wanted:
                break
            time.sleep(0.01)

    def sometime_after(self, command: Command, wanted: int) -> None:
        """Wait for a checkpoint, and a random moment of the steps behind it."""
        self.reached(command, wanted)
        time.sleep(1.5 * self.random.random())

    def end(self, command: Command) -> tuple[int, str]:
        """Wait for the end, and count the checkpoints on the way: who ends the training deletes them."""
        self.reached(command, 10**6)
        return command.wait()
