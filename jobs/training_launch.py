"""Starting the workers of a training, on Ray or in this process, and showing how far they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from cluster.storage import Storage
from jobs.config import EngineConfig
from jobs.progress import Progress
from jobs.progress_file import shown
from jobs.training_pace import TrainingClock


@dataclass(frozen=True)
class Launch:
    """What a run of workers is told, and where it keeps its checkpoints."""

    name: str
    out: str
    """Folder of the bundle, absolute."""
    key: str
    """Identifies recipe and data."""
    epochs: int
    engine: EngineConfig
    score: str
    """The score that the line of progress shows."""

    @property
    def run_name(self) -> str:
        """What the run is called: its checkpoints are of this recipe on these data alone."""
        return f"{self.name}-{self.key}"

    @property
    def checkpoints(self) -> Storage:
        """Where its checkpoints lie."""
        return Storage(f"{self.out}/training").child(self.run_name)

    def run(self, worker: Callable[[dict[str, Any]], None], task: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Run `worker(task)` on all workers of the engine, and wait.

        Args:
            worker: a function of a module, so that workers can import it.
            task: plain values.
            facts: of the engine.
        """
        from cluster import ddp

        print(f"train {self.name}: starting {facts.get('workers', 1)} workers", file=sys.stderr)
        storage_path = f"{self.out}/training"
        clock = TrainingClock(Storage(self.out), self.key, self.epochs, int(facts.get("workers", 1)))
        with ExitStack() as stack:
            opened: list[Progress] = []

            def show(message: dict[str, Any]) -> None:
                if "done_epoch" in message:
                    note = f"epoch {message['done_epoch'] + 1}/{self.epochs}  loss {message['training_loss']:.3f}"
                    score = message.get(self.score)
                    if opened:
                        opened[0].advance(0, note=note + (f"  {self.score} {score:.3f}" if score is not None else ""))
                    clock.epoch(message["done_epoch"] + 1)
                    return
                steps = message["steps"]
                if not opened:  # from here the clock runs: starting workers says nothing about the time that is left
                    total, before = self.epochs * steps, message["epoch"] * steps
                    label = f"train {self.name}"
                    progress = shown(Storage(self.out), total, label, unit="steps", restored=before)
                    opened.append(stack.enter_context(progress))
                reached = message["epoch"] * steps + message["step"]
                clock.step(reached, steps)
                opened[0].advance(max(0, reached - opened[0].done))

            if self.engine.kind == "serial":
                ddp.launch_inline(worker, dict(task), run_name=self.run_name, storage_path=storage_path, progress=show)
                return
            ddp.launch(
                worker,
                dict(task),
                workers=int(facts["workers"]),
                gpus_per_worker=float(facts.get("gpus_per_worker", 0)),
                cpus_per_worker=int(facts.get("threads", 1)),
                run_name=self.run_name,
                storage_path=storage_path,
                max_failures=2,
                address=self.engine.address,
                labels=self.engine.labels,
                autoscaling=self.engine.autoscaling,
                progress=show,
            )
