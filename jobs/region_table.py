"""The regions of a map on its report: those with most of the classes, from the statistics that were published."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.report import Table

MOST_REGIONS = 50
"""On the page; the file has all of them."""


def region_table(table: bytes, names: Sequence[str]) -> list[Table]:
    """Return the table of regions, the largest area of any class but background first.

    Args:
        table: statistics.csv of `sandan publish`.
        names: of the values of the class map, background first.
    """
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    found = sorted(rows, key=lambda row: (-_positive(row, names), row["region"]))[:MOST_REGIONS]
    shown = [
        (
            row["region"],
            float(row["region_m2"]) / 1e6,
            _share(row["mapped_share"]),
            *(value for name in names[1:] for value in (float(row[f"{name}_m2"]) / 1e6, _share(row[f"{name}_share"]))),
        )
        for row in found
    ]
    header = ("region", "km²", "mapped", *(word for name in names[1:] for word in (f"{name}, km²", f"{name}, share")))
    told = (
        "True areas on the ellipsoid; a pixel counts for a region by the part of it that lies there. Mapped: share of "
        "the region that a scene saw; the share of a class is of that."
    )
    left = len(rows) - len(found)
    more = f" {left} more regions are in statistics.csv." if left else ""
    return [Table("Regions", told + more, header, shown)]


def _positive(row: Mapping[str, str], names: Sequence[str]) -> float:
    return sum(float(row[f"{name}_m2"]) for name in names[1:])


def _share(text: str) -> Any:
    return float(text) if text else None
