"""Sample: draw pixels of a published map by stratum, for people to say what is there.

sandan sample map.yaml
sandan sample runs/june --size 640 --least 75 --expected industrial=0.7 --expected background=0.98
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cluster.storage import Storage
from jobs.opened_map import open_map
from jobs.sample_design import (
    TABLE,
    Asked,
    StratumPlan,
    design_of,
    plan_sample,
    points_of,
    with_earlier_labels,
    write_sample,
)
from jobs.shell import DONE
from jobs.stages import prepare_worker
from jobs.text_table import TextTable
from jobs.use_files import answered

EXAMPLES = """examples:
  sandan sample map.yaml --dry-run                  strata, and how many points of each
  sandan sample map.yaml                            as many as a standard error of 0.01 needs
  sandan sample runs/june --size 640 --least 75 --expected industrial=0.7 --expected background=0.98
  sandan sample map.yaml --sure 0.8 --size 800      strata of class and certainty
  sandan sample map.yaml --size 1200                more points: labels that are there stay

then fill the column `label` of sample.csv with names of classes, and run `sandan accuracy`

exit codes: 0 done, 1 fault, 2 bad input (nothing written), 130 interrupted"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandan sample",
        description="Draw a stratified random sample of a published map, for people to label.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="the run's YAML, or its folder (local, s3://, gs://)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=value", help="override one key of the run; may be repeated"
    )
    parser.add_argument("--size", type=int, help="points in all (default: as --standard-error needs)")
    parser.add_argument(
        "--standard-error", type=float, default=0.01, help="of the overall accuracy, for the size (default 0.01)"
    )
    parser.add_argument(
        "--expected",
        action="append",
        default=[],
        metavar="CLASS=ACCURACY",
        help="user's accuracy that is expected of a class, for the size; may be repeated (default 0.85 each)",
    )
    parser.add_argument("--least", type=int, default=50, help="points in each stratum, at least (default 50)")
    parser.add_argument(
        "--sure", type=float, metavar="P", help="cut each class in two: where its probability is from P on, and below"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed is another sample (default 0)")
    parser.add_argument("--blind", action="store_true", help="do not tell in the table what the map says")
    parser.add_argument("--out", metavar="FOLDER", help="where the files go (default: sample in the run's folder)")
    parser.add_argument("--dry-run", action="store_true", help="print strata and sizes, and write nothing")
    return parser


def _asked(arguments: argparse.Namespace) -> Asked:
    """Return what is wanted.

    Raises:
        ValueError: it cannot be.
    """
    expected = {}
    for word in arguments.expected:
        name, _, value = word.rpartition("=")
        try:
            expected[name] = float(value)
        except ValueError as error:
            raise ValueError(f"--expected {word!r}: give CLASS=ACCURACY, such as industrial=0.7") from error
        if not name or not 0 < expected[name] <= 1:
            raise ValueError(f"--expected {word!r}: an accuracy lies above 0 and not above 1")
    if not 0 < arguments.standard_error < 0.5:
        raise ValueError(f"--standard-error {arguments.standard_error}: give one above 0 and below 0.5, such as 0.01")
    if arguments.sure is not None and not 0 < arguments.sure < 1:
        raise ValueError(f"--sure {arguments.sure}: a probability lies between 0 and 1")
    if arguments.least < 2:
        raise ValueError(f"--least {arguments.least}: a stratum needs two points for its variance")
    if arguments.size is not None and arguments.size < 1:
        raise ValueError(f"--size {arguments.size}: give 1 or more")
    if arguments.seed < 0:
        raise ValueError(f"--seed {arguments.seed}: give 0 or more")
    return Asked(
        size=arguments.size,
        standard_error=arguments.standard_error,
        expected=expected,
        otherwise=0.85,
        least=arguments.least,
        sure=arguments.sure,
        seed=arguments.seed,
    )


def strata_table(plans: Sequence[StratumPlan]) -> str:
    """Return the strata for a terminal."""
    total = sum(plan.area_m2 for plan in plans)
    rows = [
        (p.name, str(p.units), f"{p.area_m2 / 1e6:.3f}", f"{p.area_m2 / total:.4f}", f"{p.expected:g}", str(p.size))
        for p in plans
    ]
    whole = ("all", str(sum(p.units for p in plans)), f"{total / 1e6:.3f}", "1", "", str(sum(p.size for p in plans)))
    header = ("stratum", "pixels", "km2", "share", "expected", "points")
    return TextTable("strata", "Strata of the map", "", header, (*rows, whole)).plain()


def _work(words: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(words)
    asked = _asked(arguments)
    prepare_worker()
    opened = open_map(arguments.run, arguments.set)
    plans, drawn = plan_sample(opened, asked)
    print(strata_table(plans))
    if arguments.dry_run:
        return DONE
    out = Storage(arguments.out or f"{opened.out.url}/sample")
    points = points_of(opened, plans, drawn, asked.seed)
    labelled, kept = with_earlier_labels(out, points)
    write_sample(out, labelled, design_of(opened, plans, points, asked), arguments.blind)
    if kept:
        print(f"{kept} labels of the sample that was there are kept")
    print(f"{len(points)} points in {out.url}/{TABLE}: fill its column `label` with {', '.join(opened.classes)}")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return answered("sample", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
