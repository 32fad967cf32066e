"""The files of a weather reproduction: tables, figures, scores, and a page that shows them together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from cluster.storage import Storage
from jobs.lists import csv_of
from jobs.report import Figure, ReportFacts, Table, render_report
from jobs.text_table import TextTable
from jobs.weather_evaluation import STATE_SCORES, Judged
from jobs.weather_gates import Gate, gates_text
from jobs.weather_scores import HOURS
from jobs.weather_table import (
    METHODS,
    score_values,
    table_differences,
    table_recalls,
    table_states,
    table_two,
)

FIGURES = {
    "figure1": (
        "Figure 1: what is found for four days",
        "Infrared, shortwave infrared and water vapour as red, green and "
        "blue. Nothing within 72 h of the query is shown.",
    ),
    "figure2": ("Figure 2: embeddings in the plane (UMAP)", "A dot is a frame, its colour the month. First seed."),
}


@dataclass(frozen=True)
class Results:
    """All that is told of a reproduction."""

    title: str
    judged: Judged
    table_one: TextTable
    figures: Mapping[str, bytes]
    """By a key of `FIGURES`."""
    gates: Sequence[Gate]
    weights: Mapping[str, str]
    """Method to where its weights began."""
    seconds: Mapping[str, float]

    def tables(self) -> list[TextTable]:
        """Return the tables in their order."""
        found = self.judged
        k, chance = found.question.k, found.base["chance_0h"]
        tables = [self.table_one, table_two(found.scores, found.headings, chance, k)]
        tables += [table_recalls(found.scores, found.headings, source, HOURS, k) for source in found.sources]
        tables += [table_states(found.scores, k, found.base)]
        return [*tables, table_differences(found.differences)]

    def notes(self) -> list[str]:
        """Return what a reader must know first."""
        found = self.judged
        lines = [
            f"{len(found.question.queries)} queries, of which {len(found.asked)} by image metrics; "
            f"{len(found.gallery)} frames in the gallery; chance is {found.base['chance_0h']:.4f}.",
            *found.notes,
            *(f"{METHODS.get(method, method)}: weights from {begin}." for method, begin in self.weights.items()),
            *(f"left out: {unit}: {reason}" for unit, reason in found.failed.items()),
        ]
        if any("*" in heading for heading in found.headings.values()):
            lines.append("LPIPS* is a distance of its own: the trunk has not the weights of ImageNet.")
        return lines


def markdown(results: Results) -> str:
    """Return the report as markdown."""
    lines = [f"# {results.title}", "", *(f"* {note}" for note in results.notes()), "", "### Claims", ""]
    lines += [f"* **{gate.verdict}**: {gate.claim} ({gate.why})" for gate in results.gates]
    lines += ["", *(table.markdown() for table in results.tables())]
    lines += [f"![{FIGURES[name][0]}]({name}.png)" for name in results.figures]
    return "\n".join(lines) + "\n"


def text(results: Results) -> str:
    """Return what a terminal shows: not the single images, and of the differences those that the claims are about."""
    shown = [d for d in results.judged.differences if d.score in STATE_SCORES or d.score.startswith("recall_observed")]
    shown = [d for d in shown if d.score in STATE_SCORES or d.score.endswith("_0h")]
    tables = [*results.tables()[1:-1], table_differences(shown)]
    return "\n".join([*results.notes(), "", *(table.plain() + "\n" for table in tables), gates_text(results.gates)])


def write_report(storage: Storage, results: Results) -> None:
    """Write every file; `scores.json` last, because it says that the others belong to it."""
    for table in results.tables():
        storage.put(f"{table.name}.csv", csv_of(table.records()))
    for name, picture in results.figures.items():
        storage.put(f"{name}.png", picture)
    storage.put("report.md", markdown(results).encode())
    storage.put("report.html", page(results).encode())
    found = results.judged
    values = {
        "queries": len(found.question.queries),
        "image_queries": len(found.asked),
        "gallery": len(found.gallery),
        "k": found.question.k,
        "headings": dict(found.headings),
        "base": dict(found.base),
        "scores": score_values(found.scores),
        "differences": [asdict(d) for d in found.differences],
        "gates": [asdict(gate) for gate in results.gates],
        "notes": results.notes(),
        "tables": {table.name: table.records() for table in results.tables()},
        "seconds": dict(results.seconds),
    }
    storage.put("scores.json", json.dumps(values, indent=1).encode())


def page(results: Results) -> str:
    """Return the report as one HTML page."""
    gates = [[gate.verdict, gate.claim, gate.why] for gate in results.gates]
    claims = Table("Claims", "What the document says, and what was measured here.", ("verdict", "claim", "why"), gates)
    facts = ReportFacts(
        title=results.title,
        run_id="reproduce weather",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        warnings=results.notes(),
        warnings_title="Before you trust these numbers",
        figures=[Figure(*FIGURES[name], picture) for name, picture in results.figures.items()],
        figures_title="Figures",
        evaluation=[claims, *(table.on_page() for table in results.tables())],
        timings=[Table("Time", "", ("step", "seconds"), [[n, round(s, 1)] for n, s in results.seconds.items()])],
    )
    return render_report(facts)
