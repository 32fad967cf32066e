"""The files of a scratch reproduction: tables, claims, pictures, and a page that shows them together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from cluster.storage import Storage
from jobs.lists import csv_of
from jobs.report import Figure, ReportFacts, Table, render_report
from jobs.scratch_table import Claim, Measured
from jobs.text_table import TextTable

FIGURES = {
    "panel": (
        "What the networks find",
        "Photos that judge, and the probability of a scratch by each network: bright is likely. The document's titles.",
    ),
    "variants": (
        "Variants",
        "The same photos as the three kinds of network see them, and where scratches are labelled.",
    ),
}


@dataclass(frozen=True)
class Results:
    """All that is told of a reproduction."""

    title: str
    notes: tuple[str, ...]
    """What a reader must know first."""
    tables: tuple[TextTable, ...]
    claims: tuple[Claim, ...]
    failed: tuple[str, ...]
    """What was asked for and not reached."""
    goal: float
    networks: Mapping[str, Measured]
    rules: Sequence[Measured]
    figures: Mapping[str, bytes]
    """By a key of `FIGURES`."""
    seconds: Mapping[str, float]

    @property
    def gate(self) -> str:
        """The verdict on the goal, a sentence."""
        if not self.goal:
            return "gate       nothing is asked at this scale"
        asked = f"the best row has an IoU of {self.goal:.2f} and U-Net 3+ is above U-Net at equal rate"
        return "gate       " + ("NOT PASSED: " + "; ".join(self.failed) if self.failed else f"passed: {asked}")


def text(results: Results) -> str:
    """Return what a terminal shows."""
    lines = [results.title, *results.notes, ""]
    lines += [table.plain() + "\n" for table in results.tables]
    lines += ["The document's table says", *(f"  {c.verdict:<10} {c.claim}: {c.why}" for c in results.claims)]
    return "\n".join([*lines, "", results.gate])


def markdown(results: Results) -> str:
    """Return the report as markdown."""
    lines = [f"# {results.title}", "", *(f"* {note}" for note in results.notes), "", f"* {results.gate}", ""]
    lines += [table.markdown() for table in results.tables]
    lines += ["### The document's table says", ""]
    lines += [f"* **{c.verdict}**: {c.claim} ({c.why})" for c in results.claims]
    lines += ["", *(f"![{FIGURES[name][0]}]({name}.png)" for name in results.figures)]
    return "\n".join(lines) + "\n"


def write_report(storage: Storage, results: Results) -> None:
    """Write every file; `scores.json` last, because it says that the others belong to it."""
    for table in results.tables:
        storage.put(f"{table.name}.csv", csv_of(table.records()))
    for name, picture in results.figures.items():
        storage.put(f"{name}.png", picture)
    storage.put("table.txt", (text(results) + "\n").encode())
    storage.put("report.md", markdown(results).encode())
    storage.put("report.html", page(results).encode())
    values = {
        "title": results.title,
        "notes": list(results.notes),
        "gate": {"iou": results.goal, "failed": list(results.failed)},
        "claims": [{**asdict(c), "verdict": c.verdict} for c in results.claims],
        "networks": {name: _plain(one) for name, one in results.networks.items()},
        "trivial": {one.name: _plain(one) for one in results.rules},
        "tables": {table.name: table.records() for table in results.tables},
        "seconds": dict(results.seconds),
    }
    storage.put("scores.json", json.dumps(values, indent=1).encode())


def page(results: Results) -> str:
    """Return the report as one HTML page."""
    rows = [[c.verdict, c.claim, c.why] for c in results.claims]
    told = Table(
        "Claims", "What the document's table says, and what was found here.", ("verdict", "claim", "why"), rows
    )
    facts = ReportFacts(
        title=results.title,
        run_id="reproduce scratch",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        warnings=[*results.notes, results.gate],
        warnings_title="Before you trust these numbers",
        figures=[Figure(*FIGURES[name], picture) for name, picture in results.figures.items()],
        figures_title="Pictures",
        evaluation=[*(table.on_page() for table in results.tables), told],
        timings=[Table("Time", "", ("step", "seconds"), [[n, round(s, 1)] for n, s in results.seconds.items()])],
    )
    return render_report(facts)


def _plain(one: Measured) -> dict[str, object]:
    verdict = None if one.verdict is None else asdict(one.verdict)
    scores = {name: value if value == value else None for name, value in one.scores.items()}
    sources = {name: value if value == value else None for name, value in one.by_source.items()}
    told = {"scores": scores, "iou_by_source": sources, "collapsed": one.collapsed, "verdict": verdict}
    return {**told, "min_area_px": one.min_area_px}
