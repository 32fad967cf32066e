"""What every job's command line shares: arguments, dry run, exit codes.

Exit codes: 0 everything is done; 1 a fault while running, or a budget of `limits` used up; 2 bad input, nothing was
started; 3 the run finished but some units are quarantined, or a gate is not passed; 4 another run is at work in the
folder, nothing was started; 130 interrupted; 143 ended by SIGTERM. After all but 0 and 2 the same command
does what is left.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.engine import FatalFault
from cluster.lock import Locked
from cluster.storage import Storage
from cluster.store_check import check_create
from jobs.config import RunConfig
from jobs.estimate import Estimate, Expected, format_bytes
from jobs.pace import about, check_time
from jobs.parsing import load
from jobs.recipe_config import Recipe
from jobs.room import check_disk, check_memory
from jobs.supervise import Stopped, Terminated, supervised

logger = logging.getLogger(__name__)

DONE, FAULT, BAD_INPUT, INCOMPLETE, BUSY, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143


class Planned(Protocol):
    """A job whose input has been checked."""

    def estimates(self) -> list[Estimate]:
        """Return what there is to do; must touch nothing."""
        ...

    def run(self) -> int:
        """Do it; return the exit code."""
        ...


@dataclass(frozen=True)
class Job:
    """A command."""

    name: str
    summary: str
    """One line."""
    example: str
    """Commands for the end of `--help`."""
    kind: type[RunConfig] | type[Recipe] | Callable[[Mapping[str, Any]], type[Recipe]]
    plan: Callable[[Any], Planned]
    """Check everything the configuration names; a ValueError or OSError means bad input."""
    helps: bool = False
    """Whether a second command may help one that is at work (`--join`): its work is units, which two can share."""


def run_job(job: Job, argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    arguments = _parser(job).parse_args(argv)
    try:
        config: Any = load(job.kind, arguments.config, arguments.set)
        planned = job.plan(config)
        if arguments.dry_run:
            print(dry_run_table(planned.estimates()))
            return DONE
        estimates = planned.estimates()
        check_disk(estimates)
        check_memory(estimates, config.engine)
        check_create(Storage(config.out))
        if not (config.limits.in_parts or (job.helps and arguments.join)):  # who helps does a part of it
            check_time(estimates, config.limits.hours)
    except (ValueError, OSError) as error:
        print(f"sandan {job.name}: {' '.join(str(error).split())}", file=sys.stderr)  # one sentence, one line
        return BAD_INPUT
    command = " ".join(["sandan", job.name, *(sys.argv[1:] if argv is None else argv)])
    try:
        with supervised(job.name, config, command, job.helps and arguments.join):
            code = guarded(job.name, planned.run)
            logger.info("ended with %d", code, extra={"event": "end", "facts": {"exit": code}})
    except Locked as error:
        print(f"sandan {job.name}: {error}{'; --join helps it from here' if job.helps else ''}", file=sys.stderr)
        return BUSY
    except OSError as error:  # of the lock: the job's own are handled where it runs
        print(f"sandan {job.name}: {error}", file=sys.stderr)
        return FAULT
    if code in (FAULT, INCOMPLETE):
        print(f"more of it: sandan logs {config.out} --failed", file=sys.stderr)
    return code


def guarded(name: str, run: Callable[[], int]) -> int:
    """Run a job under supervision; every way in which it may end has an exit code and a sentence on stderr."""
    try:
        return run()
    except KeyboardInterrupt:
        print(f"sandan {name}: interrupted; repeat the command to continue", file=sys.stderr)
        return INTERRUPTED
    except Terminated:
        print(f"sandan {name}: terminated; repeat the command to continue", file=sys.stderr)
        return TERMINATED
    except Stopped as error:
        print(f"sandan {name}: stopped: {error}; repeat the command to continue", file=sys.stderr)
        return TERMINATED if str(error) == "SIGTERM" else FAULT
    except FatalFault as error:
        logger.error("%s", error, extra={"event": "fault"})
        print(f"sandan {name}: {error}\nwhat was finished is kept; repeat the command to continue", file=sys.stderr)
        return FAULT
    except Exception as error:
        logger.exception("%s failed", name, extra={"event": "fault"})
        traceback.print_exc()
        told = next(
            iter(str(error).splitlines()), type(error).__name__
        )  # clients of stores append a dump of many lines
        print(f"sandan {name}: {told}\nwhat was finished is kept; repeat the command to continue", file=sys.stderr)
        return FAULT


def _parser(job: Job) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"sandan {job.name}",
        description=job.summary,
        epilog=f"examples:\n{job.example}\n\nexit codes: 0 done, 1 fault, 2 bad input (nothing started), "
        "3 finished with quarantined units or a gate not passed, 4 another run is at work there, 130 interrupted, "
        "143 terminated; repeat the command to continue",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kind = "run" if job.kind is RunConfig else "recipe"
    parser.add_argument("config", metavar="CONFIG.yaml", help=f"the {kind}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=value",
        help="override one key of the configuration (YAML value); may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and touch nothing")
    if job.helps:
        parser.add_argument(
            "--join", action="store_true", help="help the run that is at work in the folder, if there is one"
        )
    return parser


def dry_run_table(estimates: Sequence[Estimate]) -> str:
    """Return the plan as a plain text table."""
    header = ("stage", "units", "done", "to do", "to read", "to write", "peak memory of a worker")
    rows = [
        (
            e.stage,
            f"{e.units} {e.unit}",
            str(e.done),
            str(e.units - e.done),
            format_bytes(e.read_bytes),
            format_bytes(e.write_bytes),
            f"about {format_bytes(e.peak_memory_bytes)}",
        )
        for e in estimates
    ]
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    times = [f"{e.stage}: {_time(e.time)}" for e in estimates if e.time is not None and e.done < e.units]
    notes = [note for e in estimates for note in e.notes]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:], *times, *notes])


def _time(time: Expected) -> str:
    known = time.seconds is not None
    return f"about {about(time.seconds or 0.0)}, {time.known_from}" if known else f"time {time.known_from}"
