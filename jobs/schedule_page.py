"""The report of a product: what the last tick found and did, why, and the ticks before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.storage import Storage
from jobs.estimate import format_bytes
from jobs.pace import about
from jobs.product import records
from jobs.report import ReportFacts, Table, render_report
from jobs.schedule_decisions import Pointer

REPORT = "report.html"
LAST = 60
"""Ticks that are shown: five years of months."""
SCENES = 200
"""Scenes that are named of each kind."""


def write_page(product: Storage, record: Mapping[str, Any], pointer: Pointer | None) -> None:
    """Write `PRODUCT/report.html` from what a tick kept and from the records of all."""
    product.put(REPORT, render_report(page_facts(product, record, pointer)).encode())


def page_facts(product: Storage, record: Mapping[str, Any], pointer: Pointer | None) -> ReportFacts:
    """Return what the page says."""
    said = [f"{name} cannot be read: {reason}" for name, reason in record["unreadable"].items()]
    not_passed = [one["told"] for one in record["gates"] if not one["passed"]]
    if record["outcome"] == "refused":
        not_passed = ["The map of this tick is not published.", *not_passed]
    summary: list[tuple[str, object]] = [("outcome", record["outcome"]), ("tick", record["tick"])]
    if pointer is not None:
        summary.append(("published", pointer.run))
        summary += _areas(pointer)
    if record.get("spent", {}).get("cost") is not None:
        summary.append(("cost", record["spent"]["cost"]))
    return ReportFacts(
        title="Scheduled map",
        run_id=record["run"] or "none",
        created=record["ended"],
        description=record["told"],
        summary=summary,
        warnings=[*not_passed, *said],
        warnings_title="Look at this",
        changes=[table for table in (_scenes(record), _gates(record)) if table.rows],
        timings=[table for table in (_planned(record),) if table.rows],
        history=[_history(product)],
    )


def _areas(pointer: Pointer) -> list[tuple[str, object]]:
    areas = pointer.facts["numbers"]["class_area_m2"] or {}
    return [(f"{name}, km²", area / 1e6) for name, area in list(areas.items())[1:]]


def _scenes(record: Mapping[str, Any]) -> Table:
    kinds = ("new", "changed", "removed", "settings")
    rows = [(name, kind) for kind in kinds for name in record["differences"][kind][:SCENES]]
    caption = (
        "Against what was published when the tick began. Settings: what all scenes depend on, such as the networks; "
        f"of each kind {SCENES} at most are named."
    )
    return Table("New, changed and removed", caption, ("scene or setting", "what"), rows)


def _gates(record: Mapping[str, Any]) -> Table:
    rows = [(one["gate"], one["found"], one["asked"], one["passed"], one["told"]) for one in record["gates"]]
    return Table("Gates", "Nothing is published before all are passed.", ("gate", "found", "asked", "passed", ""), rows)


def _planned(record: Mapping[str, Any]) -> Table:
    rows = [
        (
            one["stage"],
            one["units"] - one["done"],
            one["units"],
            one["unit"],
            format_bytes(one["peak_memory_bytes"]),
            None if one["expected_s"] is None else about(one["expected_s"]),
        )
        for one in record["planned"]
    ]
    header = ("stage", "to do", "of", "unit", "memory of a worker", "expected time")
    return Table("What there was to do", "When all that earlier runs had was taken over.", header, rows)


def _history(product: Storage) -> Table:
    found = records(product, LAST)
    numbers = range(max(found, default=0), min(found, default=1) - 1, -1)
    rows = [
        (number, one["ended"], one["outcome"], one["run"], one["why"], one.get("spent", {}).get("cost"))
        if (one := found.get(number)) is not None
        else (number, None, "ended without a word", None, None, None)
        for number in numbers
    ]
    caption = "The latest first; each has its record in ticks/. A tick that was killed has none."
    return Table("Ticks", caption, ("tick", "ended", "outcome", "run", "found", "cost"), rows)
