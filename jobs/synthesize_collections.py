"""Synthesize, kinds scratches and illustrations: folders of images with masks or classes, truth, and a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from jobs.progress import Progress
from tiler.synthetic.illustrations import SCALES as ILLUSTRATION_SCALES
from tiler.synthetic.illustrations import IllustrationWorld, write_illustrations
from tiler.synthetic.scratches import SCALES as SCRATCH_SCALES
from tiler.synthetic.scratches import ScratchWorld, write_scratches

KINDS = ("scratches", "illustrations")
World = ScratchWorld | IllustrationWorld


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only these kinds understand."""
    group = parser.add_argument_group("scratches")
    group.add_argument("--masks", action="store_true", help="plain masks (PNG) beside those of the tools")
    group.add_argument("--truth", action="store_true", help="true colours, light and scratches of every photo")


def world_of(arguments: argparse.Namespace) -> World:
    """Return the world that is asked for.

    Raises:
        ValueError: the scale is none of the kind's, or a number is out of range.
    """
    scales: dict[str, tuple[int, int]] = SCRATCH_SCALES if arguments.kind == "scratches" else ILLUSTRATION_SCALES
    if arguments.scale not in scales:
        raise ValueError(f"--scale {arguments.scale}: {arguments.kind} come as {', '.join(scales)}")
    if arguments.kind == "scratches":
        side_px, count = SCRATCH_SCALES[arguments.scale]
        side_px = side_px if arguments.side is None else arguments.side
        return ScratchWorld.of(arguments.seed, side_px, count if arguments.count is None else arguments.count)
    count, shrink = ILLUSTRATION_SCALES[arguments.scale]
    if arguments.side is not None:
        raise ValueError("--side: illustrations have sizes of their own; --scale tiny makes them a quarter as large")
    return IllustrationWorld(arguments.seed, count if arguments.count is None else arguments.count, shrink)


def write_collection(arguments: argparse.Namespace, world: World) -> None:
    """Write a world and a run over it, and say what is there."""
    out: Path = arguments.out
    total = sum(world.counts) if isinstance(world, ScratchWorld) else world.count
    with Progress(total, "synthesize", unit="images") as progress:
        if isinstance(world, ScratchWorld):
            found = write_scratches(
                world,
                out,
                masks=arguments.masks,
                truth=arguments.truth,
                workers=arguments.workers,
                on_image=progress.advance,
            )
            said = f"{found.scratched} of {found.images} photos show scratches, on {found.positive:.2%} of their pixels"
        else:
            made = write_illustrations(world, out, workers=arguments.workers, on_image=progress.advance)
            said = (
                f"{made.images} images of {len(world.counts)} classes; {made.photos} photos, {made.repeated} repeated"
            )
    print(said)
    path = out / f"{arguments.kind}.yaml"
    title = f"# Synthetic {arguments.kind}, seed {world.seed}.\n"
    path.write_text(title + yaml.safe_dump(run_values(out, world), sort_keys=False))
    print(f"sandan ingest {path}")


def run_values(out: Path, world: World) -> dict[str, Any]:
    """Return the values of a run YAML over the images of a world."""
    dataset: dict[str, Any]
    if isinstance(world, ScratchWorld):
        company = {"kind": "pixel_annotation_tool", "codes": {0: 0, 1: 1}}
        public = {"kind": "via", "file": str(out / "public_via.json"), "classes": {"scratch": 1}}
        dataset = {
            "layout": "images",
            "collections": [
                {"name": "company", "root": str(out / "company"), "masks": company},
                {"name": "public", "root": str(out / "public"), "masks": public},
            ],
            "split": {"by": "ratio", "validation": 0.17, "test": "same-as-val", "seed": world.seed},
            "side_px": min(256, world.side_px),
            "label_fit": "any",
        }
    else:
        dataset = {
            "layout": "images",
            "root": str(out / "images"),
            "classes": "folder",
            "split": {"by": "ratio", "validation": 0.24, "test": 0.2, "seed": world.seed},
            "side_px": 224,
        }
    return {"out": str(out / "run"), "dataset": dataset}
