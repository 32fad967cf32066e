"""Train: a recipe into a bundle, by distributed data parallelism over Ray Train, or in this process.

python -m jobs.train examples/aberystwyth/unetpp.yaml
sandan train examples/aberystwyth/unetpp.yaml --set engine.kind=serial --set train.epochs=2
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.storage import Storage
from jobs.config import RecipeConfig, RunConfig
from jobs.estimate import BASE_MEMORY_BYTES, TORCH_MEMORY_BYTES, Estimate
from jobs.ingest import estimate as estimate_ingest
from jobs.ingest import ingest, ingested
from jobs.parsing import load, parse
from jobs.plan import Run, key_of, plan_run
from jobs.progress import Progress
from jobs.runner import engine_of
from jobs.shell import DONE, FAULT, Job, run_job
from jobs.training import TrainingTask, train_worker
from models.card import read_card
from models.networks import NetworkSpec
from models.train import TrainSpec
from models.weights import build_with_weights

CONTRACT = 1
TRAINING_BYTES_PER_PIXEL = 6_000
"""Activations and gradients that one pixel of a batch keeps, as measured with light encoders."""


@dataclass(frozen=True)
class PlannedTrain:
    """The job, checked."""

    recipe: RecipeConfig
    spec: TrainSpec
    planned: Run

    @property
    def key(self) -> str:
        """What identifies recipe and data."""
        recipe = self.recipe.model_dump(mode="json", exclude={"out", "engine", "train"})  # `spec` is `train`, resolved
        recipe["data"].pop("run")
        return key_of(CONTRACT, recipe, self.spec.model_dump(mode="json"), [s.name for s in self.planned.scenes])

    @property
    def is_trained(self) -> bool:
        """Whether the bundle is there already, of this recipe and these scenes."""
        storage = Storage(self.recipe.out)
        return storage.exists("card.json") and read_card(storage.get("card.json")).training_data == self.key

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        data, spec = self.recipe.data, self.spec
        left = 0 if self.is_trained else spec.epochs
        tile_bytes = data.tile_px**2 * (len(self.planned.sensor.bands) * 4 + 5)
        memory = spec.batch * data.tile_px**2 * TRAINING_BYTES_PER_PIXEL  # of one worker that has the whole batch
        train = Estimate(
            "train",
            spec.epochs,
            "epochs",
            spec.epochs - left,
            left * data.tiles_per_epoch * tile_bytes,
            0 if not left else 100 * 2**20,
            BASE_MEMORY_BYTES + TORCH_MEMORY_BYTES + memory,
            self.recipe.out if "://" not in self.recipe.out else "",
        )
        return [estimate_ingest(self.planned), train]

    def run(self) -> int:
        """Ingest what is missing, train, and say where the bundle lies."""
        out = self.recipe.out
        if self.is_trained:
            print(f"{out} is trained already by this recipe on these scenes")
            return DONE
        with engine_of(self.recipe.engine) as engine:
            ingest(self.planned, engine)
            facts = engine.facts()
        run = ingested(self.planned)
        missing = [s.scene.id for s in self.planned.scenes if s.name not in {g.name for g in run.scenes}]
        if missing:
            print(f"scenes {missing} could not be ingested; repair them, or take them out of the run", file=sys.stderr)
            return FAULT
        task = TrainingTask(
            name=Path(out).name,
            out=out if "://" in out else str(Path(out).resolve()),
            key=self.key,
            scenes=tuple(_absolute(run.url("ingest", s.name)) for s in run.scenes),
            classes=self.recipe.classes,
            network=self.recipe.network.model_dump(),
            data=self.recipe.data.model_dump(),
            train=self.spec.model_dump(),
            threads=int(facts.get("threads", 1)),
        )
        self._launch(task, facts)
        card = read_card(Storage(out).get("card.json"))
        print(f"bundle     {out}  mIoU on held-back tiles {card.metrics.get('mIoU', float('nan')):.4f}")
        return DONE

    def _launch(self, task: TrainingTask, facts: dict[str, Any]) -> None:
        from cluster import ddp

        steps = self.recipe.data.tiles_per_epoch // self.spec.batch
        total = self.spec.epochs * steps
        print(f"train {task.name}: starting {facts.get('workers', 1)} workers", file=sys.stderr)
        with ExitStack() as stack:
            opened: list[Progress] = []

            def show(message: dict[str, Any]) -> None:
                if not opened:  # from here the clock runs: starting workers says nothing about the time that is left
                    before = message.get("epoch", 0) * steps
                    opened.append(
                        stack.enter_context(Progress(total, f"train {task.name}", unit="steps", restored=before))
                    )
                progress = opened[0]
                if "done_epoch" in message:
                    note = f"epoch {message['done_epoch'] + 1}/{self.spec.epochs}  loss {message['training_loss']:.3f}"
                    miou = message.get("mIoU")
                    progress.advance(0, note=note + (f"  mIoU {miou:.3f}" if miou is not None else ""))
                else:
                    reached = message["epoch"] * steps + message["step"]
                    progress.advance(max(0, reached - progress.done))

            if self.recipe.engine.kind == "serial":
                ddp.launch_inline(train_worker, asdict(task), progress=show)
                return
            ddp.launch(
                train_worker,
                asdict(task),
                workers=int(facts["workers"]),
                gpus_per_worker=float(facts.get("gpus_per_worker", 0)),
                cpus_per_worker=int(facts.get("threads", 1)),
                run_name=f"{task.name}-{task.key}",
                storage_path=f"{task.out}/training",
                max_failures=2,
                address=self.recipe.engine.address,
                progress=show,
            )


def _absolute(url: str) -> str:
    """Return an address that means the same in a worker, whose working directory is another one."""
    return url if "://" in url else str(Path(url).resolve())


def plan_train(recipe: RecipeConfig) -> PlannedTrain:
    """Check a recipe.

    Raises:
        ValueError: bad input.
    """
    config = load(RunConfig, recipe.data.run)
    if config.labels is None:
        raise ValueError(f"data.run: {recipe.data.run} has no labels; training needs them: set `labels` there")
    run = plan_run(config)
    network = recipe.network.model_dump(exclude={"weights"}) | {"in_channels": len(run.sensor.bands) + 1}
    spec = parse(NetworkSpec, network, "network")
    planned = PlannedTrain(recipe, parse(TrainSpec, recipe.train, "train"), run)
    if not planned.is_trained:
        channels = (*run.sensor.bands, "mask")
        build_with_weights(
            spec, recipe.network.weights, channels=channels
        )  # absent or unfitting weights are found here, not by workers
    return planned


JOB = Job(
    name="train",
    summary="Train the network of a recipe into a bundle: weights (safetensors) and a card (JSON).",
    example="  sandan train examples/aberystwyth/unetpp.yaml\n"
    "  sandan train recipe.yaml --set train.epochs=50 --set engine.workers=4 --dry-run",
    kind=RecipeConfig,
    plan=plan_train,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
