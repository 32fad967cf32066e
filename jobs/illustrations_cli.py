"""The command line of `sandan reproduce illustrations`; imports of networks wait until it is known to be right."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.illustrations import SCALES

if TYPE_CHECKING:
    from jobs.illustrations_run import IllustrationsReproduction

EPILOG = """examples:
  sandan reproduce illustrations --scale tiny
  sandan reproduce illustrations --scale small --seed 2 --out runs/illustrations-2
  sandan reproduce illustrations --scale paper --data data/illustrations/images --engine ray
  sandan reproduce illustrations --data data/images --truth data/kinds.csv --encoder vit=models/timely

scales:
{scales}

Without --data, synthetic line art of twenty classes is written, five of them contaminated by photos: then it is known
what had to be removed. Every recipe is written to OUT/recipes and can be run again by itself; the report is
OUT/report.html.

exit codes: 0 done, 1 fault, 2 bad input, 130 interrupted; repeat the command to continue"""


def add_parser(documents: Any) -> argparse.ArgumentParser:
    """Add the document to the command's documents and return its parser."""
    parser: argparse.ArgumentParser = documents.add_parser(
        "illustrations",
        description="Explore, balance, clean and classify illustrations; print the document's tables beside measured.",
        epilog=EPILOG.format(scales="\n".join(f"  {name:6} {scale.summary}" for name, scale in SCALES.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", choices=list(SCALES), default="tiny")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="images, one folder a class")
    parser.add_argument("--truth", type=Path, metavar="FILE.csv", help="path and kind (photo or not) of each image")
    parser.add_argument(
        "--encoder", action="append", default=[], metavar="NAME=BUNDLE", help="one more reducer, such as an embedder"
    )
    parser.add_argument("--seed", type=int, default=0, help="of draws, weights and trainings (default 0)")
    return parser


def plan(arguments: argparse.Namespace, out: Path, engine: Mapping[str, Any]) -> IllustrationsReproduction:
    """Check the command line.

    Raises:
        ValueError: something that it names is not there, or a number is out of range.
    """
    if arguments.seed < 0:
        raise ValueError(f"--seed {arguments.seed}: give a whole number from 0")
    if arguments.data is not None:
        _check_folders(arguments.data)
    if arguments.truth is not None and arguments.data is None:
        raise ValueError("--truth goes with --data; the synthetic world brings its own")
    if arguments.truth is not None and not arguments.truth.is_file():
        raise ValueError(f"--truth {arguments.truth}: no such file; give a CSV with the columns path and kind")
    from jobs.curate_encode import split_spec
    from jobs.illustrations import AUTOENCODERS
    from jobs.illustrations_run import IllustrationsReproduction

    encoders = dict(split_spec(spec) for spec in arguments.encoder)
    taken = sorted(set(encoders) & set(AUTOENCODERS))
    if taken:
        raise ValueError(f"--encoder: {taken} are names of reducers of the document; choose others")
    return IllustrationsReproduction(
        scale=SCALES[arguments.scale],
        out=out,
        data=arguments.data,
        truth=arguments.truth,
        encoders=encoders,
        seed=arguments.seed,
        engine=engine,
    )


def _check_folders(root: Path) -> None:
    """Refuse a root that is no folder of classes.

    Raises:
        ValueError: it is no folder, or has fewer than two folders, or one without an image.
    """
    if not root.is_dir():
        raise ValueError(f"--data {root} is not a folder; give the one that holds a folder for each class")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(folders) < 2:
        raise ValueError(f"--data {root} holds {len(folders)} folders; a classifier needs two classes, a folder each")
    from tiler.image_finding import composed, walked

    filled = {image.relative.split("/")[0] for image in walked(str(root))[0]}
    empty = [path.name for path in folders if composed(path.name) not in filled]
    if empty:
        raise ValueError(f"--data {root}: the classes {empty} have no image; add images, or remove the folders")
