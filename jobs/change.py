"""Change: what was gained and lost between two published maps, as raster, polygons and a table, with its doubt.

python -m jobs.change runs/korea-2024 runs/korea-2025 --out runs/change
sandan change runs/korea-2024 runs/korea-2025 --z 3 --min-area-m2 5000
sandan change runs/korea-2022 runs/korea-2023 runs/korea-2024 runs/korea-2025 --hmm
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.change_files import Comparison, write_change
from jobs.change_runs import PublishedRun, common_extent, published_run
from jobs.config import RegionsConfig
from jobs.estimate import format_bytes
from jobs.polygons_config import PolygonsConfig
from jobs.room import free_bytes_at
from jobs.shell import DONE
from jobs.stages import prepare_worker
from jobs.use_files import answered, number
from tiler.change import Doubt
from tiler.regions import read_regions
from tiler.temporal import Chain

DIFFERENCE_BYTES = 8
"""Of a pixel that both maps saw, in `difference.tif` before it is compressed."""
EPILOG = """examples:
  sandan change runs/korea-2024 runs/korea-2025
  sandan change runs/korea-2024 runs/korea-2025 --z 3 --min-area-m2 5000 --out runs/change
  sandan change runs/korea-2024 runs/korea-2025 --regions sigungu.gpkg --region-name code
  sandan change runs/korea-2022 runs/korea-2023 runs/korea-2024 runs/korea-2025 --hmm

A change counts as sure where the class differs and the difference of the log-odds exceeds both Z times the combined
spread of the two maps, sqrt(before^2 + after^2), and LEAST. The others are "perhaps gained" and "perhaps lost".

exit codes: 0 done, 1 fault, 2 bad input (nothing written), 130 interrupted; repeat the command"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandan change",
        description="Say what was gained and lost between two published maps, and what of it is sure.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="folders or files of runs: the earlier one, the later one"
    )
    parser.add_argument("--out", metavar="DIR", help="where the files go (default: change in the later run's folder)")
    parser.add_argument("--z", default="2", help="combined spreads that a sure change exceeds (default 2)")
    parser.add_argument("--least", default="1", help="difference of log-odds that it exceeds, too (default 1)")
    parser.add_argument("--min-area-m2", default="0", help="leave smaller polygons out (default 0)")
    parser.add_argument("--connectivity", type=int, choices=(4, 8), default=8, help="of polygons (default 8)")
    parser.add_argument("--simplify-px", default="0", help="how far outlines may move (default 0)")
    parser.add_argument(
        "--regions", metavar="FILE", help="a row for each of these polygons (default: `regions` of the later run)"
    )
    parser.add_argument("--region-name", metavar="FIELD", help="field that holds the name of a region")
    parser.add_argument("--region-crs", metavar="CRS", help="for a file that does not declare its own")
    parser.add_argument(
        "--hmm", action="store_true", help="two or more runs in order of time: judge each by all of them"
    )
    parser.add_argument(
        "--gain", default="0.02", help="with --hmm: probability of a gain from run to run (default 0.02)"
    )
    parser.add_argument("--loss", default="0.005", help="with --hmm: probability of a loss (default 0.005)")
    return parser


def plan_change(arguments: argparse.Namespace) -> tuple[Comparison, Path]:
    """Check everything that the command line names.

    Returns:
        What to compare, and the folder of the files.

    Raises:
        ValueError: bad input.
    """
    if len(arguments.runs) < 2 or (len(arguments.runs) > 2 and not arguments.hmm):
        raise ValueError(
            f"{len(arguments.runs)} runs were given; give two, the earlier and the later one, or more in order of time "
            f"with --hmm"
        )
    runs = [published_run(target) for target in arguments.runs]
    extent = common_extent(runs)
    doubt = Doubt(number(arguments.z, "--z", 0), number(arguments.least, "--least", 0))
    chain = Chain(number(arguments.gain, "--gain", 0, 1), number(arguments.loss, "--loss", 0, 1))
    polygons = PolygonsConfig(
        connectivity=arguments.connectivity,
        min_area_m2=number(arguments.min_area_m2, "--min-area-m2", 0),
        simplify_px=number(arguments.simplify_px, "--simplify-px", 0, 64),
    )
    wanted = _regions(arguments, runs[-1])
    grid = runs[-1].store.grid
    regions = None if wanted is None else read_regions(wanted.file, wanted.name, wanted.crs, grid, extent)
    comparison = Comparison(tuple(runs), extent, doubt, chain if arguments.hmm else None, polygons, regions)
    return comparison, _folder(arguments, runs)


def _regions(arguments: argparse.Namespace, run: PublishedRun) -> RegionsConfig | None:
    if arguments.regions is None:
        return run.regions
    if arguments.region_name is None:
        raise ValueError(f"--regions {arguments.regions}: say with --region-name which field holds their names")
    return RegionsConfig(file=arguments.regions, name=arguments.region_name, crs=arguments.region_crs)


def _folder(arguments: argparse.Namespace, runs: Sequence[PublishedRun]) -> Path:
    out = arguments.out or f"{runs[-1].out}/change"
    if "://" in out:
        raise ValueError(f"--out {out}: a local folder is needed")
    if Path(out).is_file():
        raise ValueError(f"--out {out} is a file; give a folder")
    wanted, free = DIFFERENCE_BYTES * min(run.seen_px for run in runs), free_bytes_at(out)
    if wanted > free:
        raise ValueError(
            f"--out {out}: {format_bytes(free)} are free, difference.tif takes about {format_bytes(wanted)} until "
            "it is compressed; free some, or give another folder"
        )
    return Path(out)


def _work(words: Sequence[str] | None) -> int:
    prepare_worker()
    comparison, folder = plan_change(_parser().parse_args(words))
    told = write_change(comparison, folder)
    for name in ("gained", "lost", "perhaps gained", "perhaps lost"):
        print(f"{name:15} {told['areas_m2'][name] / 1e6:.4f} km2")
    for name in told["files"]:
        print(f"{name:22} {folder / told['files'][name]}")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    return answered("change", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
