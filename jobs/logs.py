"""Logs: what a run did and what went wrong, from the log in its folder.

python -m jobs.logs runs/korea --failed
sandan logs runs/korea --stage infer --unit seoul-3f2a/r0_c4
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.logs import entries, runs
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.embed_recipe_config import recipe_kind
from jobs.parsing import load
from jobs.shell import BAD_INPUT, DONE

EPILOG = """examples:
  sandan logs runs/korea                        what the last run did, unit by unit
  sandan logs runs/korea --failed               only what went wrong, with tracebacks
  sandan logs map.yaml --runs                   the names of all runs
  sandan logs map.yaml --stage infer --json     for programs: one JSON object a line

exit codes: 0 something was found, 1 nothing was, 2 bad input"""


def matching(
    lines: Iterator[dict[str, Any]], *, failed: bool = False, stage: str = "", unit: str = ""
) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log that were asked for.

    Args:
        lines: of the log.
        failed: only warnings and errors.
        stage: only of this stage; empty for all.
        unit: only of units whose names begin so; empty for all.
    """
    for line in lines:
        bad = line.get("level") in ("WARNING", "ERROR", "CRITICAL")
        if (bad or not failed) and stage in ("", line.get("stage")) and str(line.get("unit", "")).startswith(unit):
            yield line


def text_of(line: Mapping[str, Any]) -> str:
    """Return a line for people; the traceback, if there is one, below it."""
    facts = [str(line[name]) for name in ("stage", "unit") if name in line]
    attempt = [f"attempt {line['attempt']}"] if "attempt" in line else []
    seconds = [f"{line['seconds']:.2f} s"] if "seconds" in line else []
    mark = "" if line.get("level") == "INFO" else f"{line.get('level')} "
    head = "  ".join([str(line.get("time", ""))[:19], *facts, *attempt, f"{mark}{line.get('message', '')}", *seconds])
    error = str(line.get("error", "")).rstrip()
    return head + ("" if not error else "\n    " + error.replace("\n", "\n    "))


def folder_of(target: str) -> str:
    """Return the folder of a run, or of a recipe's bundle, named by its YAML file or by itself.

    Raises:
        ValueError: the file is neither; says what is wrong with it as a run.
    """
    if not Path(target).is_file():
        return target
    try:
        return load(RunConfig, target).out
    except ValueError as error:
        with suppress(ValueError):
            return load(recipe_kind, target).out
        raise error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="sandan logs",
        description="Show the log of a run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="CONFIG.yaml, or the folder of a run or of a bundle")
    parser.add_argument("--failed", action="store_true", help="only warnings and errors")
    parser.add_argument("--stage", default="", help="only of this stage")
    parser.add_argument("--unit", default="", help="only of units whose names begin so")
    parser.add_argument("--of", default="", metavar="NAME", help="name of a run, or how it begins; default: the last")
    parser.add_argument("--runs", action="store_true", help="only the names of all runs")
    parser.add_argument("--json", action="store_true", help="the lines as they are")
    arguments = parser.parse_args(argv)
    try:
        place = folder_of(arguments.run)
        storage = Storage(place)
        names = [name for name in runs(storage) if name.startswith(arguments.of)]
        if not names:
            raise ValueError(f"{place}/logs has no run {arguments.of or 'at all'}; check the folder, or see --runs")
    except (ValueError, OSError) as error:
        print(f"sandan logs: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    if arguments.runs:
        print("\n".join(names))
        return DONE
    found = 0
    chosen = {"failed": arguments.failed, "stage": arguments.stage, "unit": arguments.unit}
    for line in matching(entries(storage, names[-1]), **chosen):
        found += 1
        print(json.dumps(line, ensure_ascii=False) if arguments.json else text_of(line))
    return DONE if found else 1


if __name__ == "__main__":
    sys.exit(main())
