"""What a labelled sample tells of a map, and its files: tables, JSON, a page of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from cluster.storage import Storage
from jobs.lists import csv_of
from jobs.report import ReportFacts, Table, render_report
from jobs.text_table import TextTable
from models.stratified import Accuracy, Estimate

FACTS, CLASSES, MATRIX, STRATA, PAGE = "accuracy.json", "classes.csv", "matrix.csv", "strata.csv", "report.html"
UNMAPPED = "unmapped"
"""What a point counts as on a map that does not see it: never right."""
FEW = 30
"""Labelled points of a stratum below which its variance is itself uncertain."""
METHOD = (
    "Estimates from a stratified random sample: its labels say what is there, the map only made it cheaper to ask. "
    "Intervals are of 95 %. User's accuracy: of what is mapped as a class, the share that is; producer's accuracy: of "
    "what is a class, the share that is mapped as such. (Olofsson et al. 2014; Stehman 2014.)"
)


def results_of(
    found: Accuracy,
    names: Sequence[str],
    mapped_m2: Mapping[str, float],
    strata: Sequence[Mapping[str, Any]],
    stratum: np.ndarray,
) -> dict[str, Any]:
    """Return the tables of an accuracy assessment as plain values, None for what is not known.

    Args:
        found: the estimates.
        names: of the classes; the last may be `UNMAPPED`.
        mapped_m2: area of each class of the map, of all of it.
        strata: their design.
        stratum: int (n,): of each labelled point.
    """
    total = sum(float(one["area_m2"]) for one in strata)
    labelled = np.bincount(stratum, minlength=len(strata)).tolist()
    return {
        "overall_accuracy": _told(found.overall),
        "area_m2": total,
        "points": len(stratum),
        "classes": [
            {
                "class": name,
                "mapped_m2": mapped_m2.get(name, 0.0),
                **_columns("area_m2", found.shares[place].times(total)),
                **_columns("share", found.shares[place]),
                **_columns("users_accuracy", found.users[place]),
                **_columns("producers_accuracy", found.producers[place]),
            }
            for place, name in enumerate(names)
            if name != UNMAPPED
        ],
        "matrix": [
            {"map": name, **dict(zip(_there(names), row, strict=False))}
            for name, row in zip(names, found.matrix.tolist(), strict=True)
        ],
        "strata": [
            {
                "stratum": one["name"],
                "pixels": one["units"],
                "area_m2": one["area_m2"],
                "weight": one["area_m2"] / total,
                "drawn": one["size"],
                "labelled": count,
                **_columns("agreement", found.agreement[place]),
                **_within(found, names, place, float(one["area_m2"])),
            }
            for place, (one, count) in enumerate(zip(strata, labelled, strict=True))
        ],
    }


def _within(found: Accuracy, names: Sequence[str], stratum: int, area_m2: float) -> dict[str, float | None]:
    """Return the area of each class within a stratum."""
    told: dict[str, float | None] = {}
    for place, name in enumerate(_there(names)):
        told |= _columns(f"{name}_m2", found.within[place][stratum].times(area_m2))
    return told


def _there(names: Sequence[str]) -> list[str]:
    return [name for name in names if name != UNMAPPED]


def _told(one: Estimate) -> dict[str, float | None]:
    return {"value": one.value, "standard_error": one.error, "half_width_95": one.half_width}


def _columns(name: str, one: Estimate) -> dict[str, float | None]:
    return {name: one.value, f"{name}_se": one.error, f"{name}_95": one.half_width}


def remarks_of(results: Mapping[str, Any], unlabelled: int, other_map: bool, unmapped: int) -> list[str]:
    """Return what whoever reads the estimates should know."""
    few = [one["stratum"] for one in results["strata"] if one["labelled"] < min(FEW, one["pixels"])]
    never = [one["class"] for one in results["classes"] if not one["share"]]
    found = []
    if unlabelled:
        found.append(
            f"{unlabelled} points have no label and are left out: if that is because they were hard to tell, "
            "the estimates are too good"
        )
    if few:
        found.append(f"strata with fewer than {FEW} labelled points, whose intervals are uncertain: {', '.join(few)}")
    if never:
        found.append(f"no labelled point is of {', '.join(never)}: producer's accuracy is unknown")
    if other_map:
        found.append("the sample was drawn from another map: its strata are of that, what is mapped is of this one")
    if unmapped:
        found.append(f"{unmapped} points lie where this map saw nothing, and count as errors")
    return found


def write_results(out: Storage, results: Mapping[str, Any], facts: Mapping[str, Any], remarks: Sequence[str]) -> None:
    """Write JSON, tables and the page."""
    out.put(CLASSES, csv_of(results["classes"]))
    out.put(MATRIX, csv_of(results["matrix"]))
    out.put(STRATA, csv_of(results["strata"]))
    told = {"method": METHOD, **facts, **results, "remarks": list(remarks)}
    out.put(FACTS, json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False).encode())
    out.put(PAGE, render_report(page_of(results, facts, remarks)).encode())


def page_of(results: Mapping[str, Any], facts: Mapping[str, Any], remarks: Sequence[str]) -> ReportFacts:
    """Return the page."""
    overall = results["overall_accuracy"]
    rows = [
        (
            one["class"],
            one["mapped_m2"] / 1e6,
            one["area_m2"] / 1e6,
            _scaled(one["area_m2_95"], 1e6),
            *(one[name] for name in ("users_accuracy", "users_accuracy_95")),
            *(one[name] for name in ("producers_accuracy", "producers_accuracy_95")),
        )
        for one in results["classes"]
    ]
    header = ("class", "mapped, km²", "estimated, km²", "± 95 %", "user's", "± 95 %", "producer's", "± 95 %")
    names = [one["class"] for one in results["classes"]]
    matrix = [tuple(row.values()) for row in results["matrix"]]
    strata = [
        (
            *(one[name] for name in ("stratum", "pixels")),
            one["area_m2"] / 1e6,
            *(one[name] for name in ("weight", "drawn", "labelled", "agreement", "agreement_95")),
        )
        for one in results["strata"]
    ]
    tables = [
        Table("Areas and accuracies", "Estimated areas correct those that the map shows for its errors.", header, rows),
        Table(
            "Error matrix",
            "Estimated shares of the area; rows: what the map says, columns: what is there.",
            tuple(results["matrix"][0]),
            matrix,
        ),
        Table(
            "Strata",
            "Agreement: the share of a stratum where the map is right.",
            ("stratum", "pixels", "km²", "weight", "drawn", "labelled", "agreement", "± 95 %"),
            strata,
        ),
        Table(
            "Areas within strata",
            "Estimated km² of what is there, by stratum, with half the width of its 95 % interval.",
            ("stratum", *(word for name in names for word in (name, "± 95 %"))),
            [
                (one["stratum"], *(_scaled(one[f"{n}_m2{end}"], 1e6) for n in names for end in ("", "_95")))
                for one in results["strata"]
            ],
        ),
    ]
    return ReportFacts(
        title="Accuracy and area, from a sample",
        run_id=str(facts["run"]).rpartition("/")[2],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        description=METHOD,
        summary=[
            ("overall accuracy", f"{overall['value']:.3f} ± {overall['half_width_95']:.3f}"),
            ("labelled points", results["points"]),
            *(
                (f"{one['class']}, km²", f"{one['area_m2'] / 1e6:.4g} ± {one['area_m2_95'] / 1e6:.2g}")
                for one in results["classes"][1:]
            ),
        ],
        warnings=list(remarks),
        evaluation=tables,
        provenance={name: value for name, value in facts.items() if isinstance(value, str | int | float)},
    )


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def console_table(results: Mapping[str, Any]) -> str:
    """Return areas and accuracies for a terminal."""

    def cell(one: Mapping[str, Any], name: str, factor: float = 1.0) -> str:
        if one[name] is None:
            return "unknown"
        return f"{one[name] * factor:.4g} ± {one[f'{name}_95'] * factor:.2g}"

    rows = [
        (
            one["class"],
            f"{one['mapped_m2'] / 1e6:.4g}",
            cell(one, "area_m2", 1e-6),
            cell(one, "users_accuracy"),
            cell(one, "producers_accuracy"),
        )
        for one in results["classes"]
    ]
    overall = results["overall_accuracy"]
    title = f"overall accuracy {overall['value']:.4f} ± {overall['half_width_95']:.4f} (95 %)"
    header = ("class", "mapped km2", "area km2", "user's accuracy", "producer's accuracy")
    return TextTable("accuracy", title, "", header, tuple(rows)).plain()
