"""The command line of `sandan reproduce scratch`; imports of networks wait until it is known to be right."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.scratch import SCALES

if TYPE_CHECKING:
    from jobs.scratch_run import ScratchReproduction
    from tiler.tile_source import TileSource

GOAL = 0.20
EPILOG = """examples:
  sandan reproduce scratch --scale tiny
  sandan reproduce scratch --scale small --out runs/scratch
  sandan reproduce scratch --scale small --data data/car_scratches
  sandan reproduce scratch --scale paper --data photos.yaml --company ours --test same-as-val --engine ray --workers 4

scales:
{scales}

--data takes a folder with company/ and public/ as `sandan synthesize --kind scratches` writes them, a folder of photos
with a JSON of VIA, or a run YAML with `dataset: {{layout: images}}` and masks. Copies of photos are then left out.
Without it, synthetic photos are made: then the numbers say how the code behaves, not how the document's networks did.

Every run and recipe is written to OUT/recipes and can be run again by itself; the report is OUT/report.html.

exit codes: 0 done, 1 fault, 2 bad input (nothing started), 3 done, but the goal was not reached or photos could not be
judged, 130 interrupted; repeat the command to continue"""


def add_parser(documents: Any) -> argparse.ArgumentParser:
    """Add the document to the command's documents and return its parser."""
    parser: argparse.ArgumentParser = documents.add_parser(
        "scratch",
        description="Train the networks of the scratch document; print its table, reported beside measured.",
        epilog=EPILOG.format(scales="\n".join(f"  {name:6} {scale.summary}" for name, scale in SCALES.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", choices=list(SCALES), default="tiny")
    parser.add_argument("--data", metavar="FOLDER|RUN.yaml", help="photos with masks (default: synthetic ones)")
    parser.add_argument("--company", metavar="SOURCE", help="source that row A has alone (default: company)")
    parser.add_argument("--seed", type=int, default=0, help="of the networks' weights and of training (default 0)")
    parser.add_argument(
        "--test",
        choices=("separate", "same-as-val"),
        default="separate",
        help="which photos judge: others than those that choose the best epoch (default), or the same, as the document",
    )
    parser.add_argument(
        "--goal",
        type=float,
        metavar="IOU",
        help=f"IoU that the best row must reach; 0 asks nothing (default {GOAL:.2f}, and 0 at scale tiny)",
    )
    return parser


def plan(arguments: argparse.Namespace, out: Path, engine: Mapping[str, Any]) -> ScratchReproduction:
    """Check the command line.

    Raises:
        ValueError: something that it names is not there, has no masks, or is out of range.
    """
    if arguments.seed < 0:
        raise ValueError(f"--seed {arguments.seed}: give a whole number from 0")
    goal = arguments.goal if arguments.goal is not None else 0.0 if arguments.scale == "tiny" else GOAL
    if not 0 <= goal < 1:
        raise ValueError(f"--goal {goal:g}: an IoU lies between 0 and 1")
    from jobs.config import RunConfig
    from jobs.datasets import plan_dataset
    from jobs.parsing import parse
    from jobs.scratch import Experiment, world_dataset
    from jobs.scratch_data import given_dataset, source_alone
    from jobs.scratch_run import ScratchReproduction

    dataset = world_dataset(out / "data") if arguments.data is None else given_dataset(arguments.data)
    scale = SCALES[arguments.scale]
    experiment = Experiment(out, dataset, scale, arguments.seed, engine, test=arguments.test)
    sources: set[str] = {"company", "public"}
    if arguments.data is not None:
        planned = plan_dataset(parse(RunConfig, experiment.run_values("rgb"), f"--data {arguments.data}"))
        _check_photos(arguments.data, planned.source, planned.judged)
        sources = {entry.source for entry in planned.source.entries}
    alone = source_alone(sources, arguments.company)
    experiment = Experiment(out, dataset, scale, arguments.seed, engine, alone, arguments.test)
    return ScratchReproduction(experiment, arguments.data, goal)


def _check_photos(data: str, source: TileSource, judged: str) -> None:
    """Raise ValueError unless masks hold scratches and nothing else, and there are photos for every part."""
    if not source.label_values or max(source.label_values) != 1:
        found = list(source.label_values)
        raise ValueError(f"--data {data}: masks hold the classes {found}; scratches are class 1, all else 0")
    lacking = sorted({"train", "validation", judged} - {entry.split for entry in source.entries})
    if lacking:
        raise ValueError(
            f"--data {data}: no photo is for {' and '.join(lacking)}; {len(source.entries)} photos are there: give "
            "more, another `split`, or --test same-as-val"
        )
