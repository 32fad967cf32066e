"""What the commands on embeddings share: their arguments, how they end, and their files: CSV, GeoJSON and JSON."""

from __future__ import annotations

import argparse
import json
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.storage import Storage
from jobs.lists import csv_of
from jobs.shell import BAD_INPUT, FAULT, INTERRUPTED

Row = Mapping[str, object]
EXIT_CODES = "exit codes: 0 done, 1 fault, 2 bad input (nothing written), 130 interrupted"


def parser_of(name: str, summary: str, examples: str, codes: str = EXIT_CODES) -> argparse.ArgumentParser:
    """Return a parser with the run, `--set` and `--out`."""
    parser = argparse.ArgumentParser(
        prog=f"sandan {name}",
        description=summary,
        epilog=f"examples:\n{examples}\n\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", metavar="RUN.yaml", help="a run with `embed`, embedded by `sandan embed`")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=value", help="override one key of the run; may be repeated"
    )
    parser.add_argument("--out", metavar="FOLDER", help=f"where the files go (default: {name} in the run's folder)")
    return parser


def answered(name: str, work: Callable[[], int]) -> int:
    """Run a command; what may go wrong has an exit code and a sentence on stderr."""
    try:
        return work()
    except (ValueError, FileNotFoundError) as error:
        print(f"sandan {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"sandan {name}: interrupted; repeat the command", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        print(f"sandan {name}: {error}", file=sys.stderr)
        return FAULT


def write_table(out: str, name: str, rows: Sequence[Row], rings: Sequence[Sequence[Sequence[float]]]) -> None:
    """Write rows as `name.csv`, and with their outlines as `name.geojson`.

    Args:
        out: folder, local or in an object store.
        name: of the files, without suffix.
        rows: plain values.
        rings: closed, longitude and latitude, one for each row.
    """
    features = [
        {
            "type": "Feature",
            "properties": {key: _plain(value) for key, value in row.items()},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for row, ring in zip(rows, rings, strict=True)
    ]
    storage = Storage(out)
    storage.put(f"{name}.csv", csv_of(rows))
    storage.put(f"{name}.geojson", json.dumps({"type": "FeatureCollection", "features": features}).encode())


def write_summary(out: str, name: str, facts: Mapping[str, Any]) -> None:
    """Write facts for machines as `name.json`."""
    Storage(out).put(f"{name}.json", json.dumps(facts, indent=1, default=str).encode())


def number(text: str, name: str, low: float, high: float = math.inf) -> float:
    """Return a number of the command line.

    Raises:
        ValueError: it is none, or lies outside.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{name} {text}: a number of {low:g} to {high:g} is needed")
    return value


def _plain(value: object) -> object:
    """Return a value that JSON has: not a number is no value."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
