"""Reproduce: the experiments of a source document from data to table, what it reported beside what is measured here.

python -m jobs.reproduce industrial --scale tiny
sandan reproduce industrial --scale paper --data data/71805 --engine ray
sandan reproduce weather --scale small --seeds 3
sandan reproduce scratch --scale small
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jobs import illustrations_cli, scratch_cli, weather_cli
from jobs.config import RunConfig
from jobs.evaluate import plan_evaluate
from jobs.industrial import MEMBERS, SCALES, TRAINED, Scale, write_recipes
from jobs.industrial_table import measured_table, table_files, table_text
from jobs.parsing import load
from jobs.progress import Progress
from jobs.recipe_config import RecipeConfig
from jobs.shell import BAD_INPUT, DONE, FAULT, INCOMPLETE, INTERRUPTED
from jobs.train import plan_train
from models.card import read_card
from tiler.synthetic import write_aihub

EPILOG = """documents:
  industrial  U-Net++ and DeepLabV3+ on Sentinel-2, GEMS/AIR fusion, transfer from Landsat, ensemble
  illustrations  line art of twenty classes: exploration, balance, photos found by clusters, a classifier
  weather     similar weather by embeddings of a ViT: temporal triplets beside a frozen network, blur and SimCLR
  scratch     scratches on cars: U-Net, U-Net 3+ and DeepLabV3 on colour, gray and light-free photos

examples:
  sandan reproduce industrial --scale tiny
  sandan reproduce weather --scale small --seeds 3
  sandan reproduce scratch --scale small
  sandan reproduce illustrations --scale tiny
  sandan reproduce weather --help"""
INDUSTRIAL_EPILOG = """examples:
  sandan reproduce industrial --scale tiny
  sandan reproduce industrial --scale small --seed 2 --out runs/reproduce-2
  sandan reproduce industrial --scale paper --data data/71805 --engine ray --workers 4

scales:
{scales}

Without --data, tiles of the synthetic country are written and used: then the numbers say how the code behaves, not how
the document's networks did. Every recipe is written to OUT/recipes and can be run again by itself.

exit codes: 0 done, 1 fault, 2 bad input (nothing started), 130 interrupted; repeat the command to continue"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandan reproduce",
        description="Train and judge what a source document describes; print its tables, reported beside measured.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    documents = parser.add_subparsers(dest="document", required=True, metavar="DOCUMENT")
    industrial = documents.add_parser(
        "industrial",
        description="Train the networks of the industrial document and their ensemble; print its table.",
        epilog=INDUSTRIAL_EPILOG.format(scales="\n".join(f"  {n:6} {scale.summary}" for n, scale in SCALES.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    industrial.add_argument("--scale", choices=list(SCALES), default="tiny")
    industrial.add_argument("--data", help="root of the data set: folder with Training/ and Validation/, zips or not")
    industrial.add_argument("--seed", type=int, default=0, help="of the networks' weights and of training (default 0)")
    weather = weather_cli.add_parser(documents)
    scratch = scratch_cli.add_parser(documents)
    illustrations = illustrations_cli.add_parser(documents)
    for one in (industrial, weather, scratch, illustrations):
        one.add_argument("--out", type=Path, help="folder of everything (default runs/reproduce/DOCUMENT-SCALE)")
        one.add_argument("--engine", choices=("serial", "ray"), default="serial", help="who works (default serial)")
        one.add_argument("--workers", type=int, help="workers (ray only; default: what the machine has)")
    return parser


class Planned(Protocol):
    """A reproduction whose command line has been checked."""

    def run(self) -> int:
        """Do what is not done yet; return the exit code."""
        ...


@dataclass(frozen=True)
class Reproduction:
    """The industrial document: what was asked for, checked."""

    scale: Scale
    out: Path
    data: str | None
    seed: int
    engine: Mapping[str, Any]

    def run(self) -> int:
        """Do what is not done yet, and print the table."""
        start_s = time.monotonic()
        data = self.data or str(self._synthetic())
        files = write_recipes(self.out, data, self.scale, self.seed, self.engine)
        seconds = {}
        for number, name in enumerate(TRAINED, 1):
            print(f"--- {number}/{len(TRAINED) + 1} train {name}")
            began_s = time.monotonic()
            code = plan_train(load(RecipeConfig, str(files[name]))).run()
            if code not in (DONE, INCOMPLETE):
                return code
            seconds[name] = round(time.monotonic() - began_s, 1)
        print(f"--- {len(TRAINED) + 1}/{len(TRAINED) + 1} evaluate the networks and their ensemble")
        config = load(RunConfig, str(files["ensemble"]))
        code = plan_evaluate(config).run()
        if code != DONE:
            return code
        evaluation = json.loads((Path(config.out) / "evaluation" / "evaluation.json").read_text())
        cards = {name: read_card(self.out / "models" / name) for name in MEMBERS}
        table = measured_table(evaluation, cards, synthetic=self.data is None)
        for name, content in table_files(table, evaluation).items():
            (self.out / name).write_bytes(content)
        print(table_text(table))
        print(f"\ntable      {self.out / 'table.csv'}\nfigure     {self.out / 'table.png'}")
        print(f"took {time.monotonic() - start_s:.0f} s (training {json.dumps(seconds)})")
        return DONE

    def _synthetic(self) -> Path:
        """Write tiles of the synthetic country, unless they are there; return their root."""
        folder, done = self.out / "data", self.out / "data" / "written.json"
        asked = {"tiles": self.scale.tiles, "seed": 1}
        if done.is_file() and json.loads(done.read_text()) == asked:
            return folder
        count = self.scale.tiles + self.scale.tiles // 2
        with Progress(count, "synthesize", unit="images") as progress:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            write_aihub(folder, self.scale.tiles, seed=asked["seed"], workers=cores, on_image=progress.advance)
        done.write_text(json.dumps(asked))  # last: it says that every image is there
        return folder


def plan_reproduction(arguments: argparse.Namespace) -> Planned:
    """Check the command line.

    Raises:
        ValueError: no such data, or workers without an engine that has any.
    """
    engine: dict[str, Any] = {"kind": arguments.engine}
    if arguments.workers is not None:
        if arguments.engine != "ray" or arguments.workers < 1:
            raise ValueError("--workers wants a number from 1 and --engine ray; serial is one process")
        engine["workers"] = arguments.workers
    out = arguments.out or Path("runs/reproduce") / f"{arguments.document}-{arguments.scale}"
    if arguments.document == "weather":
        return weather_cli.plan(arguments, out, engine)
    if arguments.document == "scratch":
        return scratch_cli.plan(arguments, out, engine)
    if arguments.document == "illustrations":
        return illustrations_cli.plan(arguments, out, engine)
    if arguments.data is not None and not Path(arguments.data).is_dir():
        raise ValueError(f"--data {arguments.data} is not a folder; give the one that holds Training/ and Validation/")
    if arguments.seed < 0:
        raise ValueError(f"--seed {arguments.seed}: give a whole number from 0")
    return Reproduction(SCALES[arguments.scale], out, arguments.data, arguments.seed, engine)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    try:
        planned = plan_reproduction(_parser().parse_args(argv))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"sandan reproduce: {error}", file=sys.stderr)
        return BAD_INPUT
    try:
        return planned.run()
    except ValueError as error:
        print(f"sandan reproduce: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("sandan reproduce: interrupted; repeat the command to continue", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        print(f"sandan reproduce: {error}\nrepeat the command to continue", file=sys.stderr)
        return FAULT


if __name__ == "__main__":
    sys.exit(main())
