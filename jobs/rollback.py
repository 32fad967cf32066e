"""Rollback: publish an earlier run of a product again. What is rolled back is held until the inputs change.

sandan rollback korea-monthly.yaml
sandan rollback korea-monthly.yaml --to 000007-20260701-3f2a1c5e9b04
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cluster.lock import RunLock
from cluster.logs import new_run
from cluster.redact import redact
from cluster.storage import Storage
from cluster.store_check import check_create
from jobs.parsing import load
from jobs.product import Fenced, flip, read_pointer, read_runs
from jobs.schedule_config import PlanConfig
from jobs.schedule_decisions import Differences, Pointer, rolled_back
from jobs.shell import BAD_INPUT, DONE, FAULT
from jobs.tick_record import new_record, now, pointed_at, under_lease

EPILOG = """examples:
  sandan rollback korea.yaml
  sandan rollback korea.yaml --to 000007-20260701-3f2a1c5e9b04

The next tick does not publish what was rolled back, until its inputs are others, or with `sandan schedule --release`.
exit codes: 0 done, 1 a fault, 2 bad input, 4 a tick is at work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    words = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="sandan rollback",
        description="Publish an earlier run of a product again.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plan", metavar="PLAN.yaml", help="the plan of the product")
    parser.add_argument("--to", metavar="RUN", help="an earlier run; default: the one before the published one")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=value", help="override one key of the plan")
    arguments = parser.parse_args(words)
    try:
        plan = load(PlanConfig, arguments.plan, arguments.set)
        product = Storage(plan.product)
        pointer, to = target(product, arguments.to)
        check_create(product)
    except (ValueError, OSError) as error:
        print(f"sandan rollback: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    record: dict[str, Any] = {}
    command = redact(" ".join(["sandan", "rollback", *words]))
    lease = RunLock(product.child("lock"), new_run("rollback"), command, above=pointer.fence)
    return under_lease("rollback", plan, product, lease, lambda held: roll_back(product, held, to, record), record)


def target(product: Storage, to: str | None) -> tuple[Pointer, str]:
    """Return what is published, and the run to go back to.

    Args:
        product: the product.
        to: what was asked for; None: the run before the published one.

    Raises:
        ValueError: there is none, or it cannot be gone back to.
    """
    pointer = read_pointer(product)[0]
    if pointer is None:
        raise ValueError(f"{product.url} has no published run; there is nothing to go back from")
    keys = {run: inputs.key for run, inputs in read_runs(product).items()}
    found = to or next((run for run in pointer.earlier if run in keys), None)
    if found is None:
        raise ValueError(f"no run that was published before {pointer.run} is there any more; `keep` says how many stay")
    rolled_back(pointer, replace(pointer, run=found), keys)
    return pointer, found


def roll_back(product: Storage, lease: RunLock, to: str, record: dict[str, Any]) -> int:
    """Let the pointer point to an earlier run; return the exit code."""
    record |= new_record(lease.number, to, Differences())
    keys = {run: inputs.key for run, inputs in read_runs(product).items()}

    def turned(before: Pointer | None) -> Pointer:
        if before is None or to not in keys:
            raise ValueError(f"run {to} is not there any more")
        when, facts = now().isoformat(timespec="seconds"), pointed_at(product, to)
        return rolled_back(before, Pointer(to, keys[to], lease.number, when, "rolled back", facts=facts), keys)

    try:
        after = flip(product, lease, turned)
    except (Fenced, ValueError) as error:
        record["told"] = str(error)
        print(f"sandan rollback: {error}", file=sys.stderr)
        return FAULT
    held = ", ".join(one.run for one in after.held)
    record |= {"outcome": "rolled back", "told": f"rolled back to run {to}" + (f"; held: {held}" if held else "")}
    print(record["told"])
    return DONE


if __name__ == "__main__":
    sys.exit(main())
