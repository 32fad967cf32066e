"""Schedule: one tick of a plan. What is new or changed is mapped, judged, and published by one pointer.

sandan schedule korea-monthly.yaml
sandan schedule korea-monthly.yaml --dry-run
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cluster.lock import RunLock
from cluster.logs import new_run
from cluster.redact import redact
from cluster.storage import Storage
from cluster.store_check import check_create
from jobs.parsing import load
from jobs.preflight import check_writable
from jobs.product import read_pointer
from jobs.schedule_config import PlanConfig
from jobs.shell import BAD_INPUT, DONE
from jobs.tick import Tick, discover, foretold
from jobs.tick_record import tell, under_lease

EPILOG = """examples:
  sandan schedule korea.yaml --dry-run
  sandan schedule korea.yaml

exit codes: 0 published, or nothing to do; 1 a fault; 2 bad input; 3 a gate was not passed, or scenes cannot be read
(nothing published); 4 another tick is at work; 130 interrupted, 143 terminated. The next tick does what is left."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(words)
    try:
        plan = load(PlanConfig, arguments.plan, arguments.set)
    except (ValueError, OSError) as error:
        return _refused(error)
    product = Storage(plan.product)
    try:
        check_writable(product)
        found, pointer = discover(plan), read_pointer(product)[0]
        if arguments.dry_run:
            print(foretold(plan, product, found, arguments.release))
            return DONE
        check_create(product)
    except (ValueError, OSError) as error:
        if not arguments.dry_run:
            told = f"the tick could not begin: {' '.join(str(error).split())}"
            tell(plan, {"outcome": "failed", "exit": BAD_INPUT, "told": told})
        return _refused(error)
    tick = Tick(plan, product, found, redact(" ".join(["sandan", "schedule", *words])), arguments.release)
    lease = RunLock(
        product.child("lock"),
        new_run("schedule"),
        tick.command,
        on_lost=tick.lose,
        above=0 if pointer is None else pointer.fence,
    )
    return under_lease("schedule", plan, product, lease, tick.run, tick.record)


def _refused(error: Exception) -> int:
    print(f"sandan schedule: {' '.join(str(error).split())}", file=sys.stderr)
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandan schedule",
        description="One tick of a plan: map what is new or changed, judge the map, and publish it by one pointer.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plan", metavar="PLAN.yaml", help="a run, with `product` in place of `out`")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=value", help="override one key of the plan")
    parser.add_argument("--dry-run", action="store_true", help="say what a tick would do now and touch nothing")
    parser.add_argument("--release", action="store_true", help="publish also what was rolled back")
    return parser


if __name__ == "__main__":
    sys.exit(main())
