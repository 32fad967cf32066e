"""Gates: what a finished map must pass before it is published. To add one: a bound in `GatesConfig`, a line here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.gates_config import QualityGates
from jobs.map_changes import MapChange
from jobs.schedule_config import GatesConfig


@dataclass(frozen=True)
class DriftFacts:
    """How the embeddings of what is new differ from those of what is published."""

    found: int | None
    """Regions that drift; None where it could not be measured."""
    told: str


@dataclass(frozen=True)
class QualityFacts:
    """What the scenes of a map are like."""

    missing: float | None
    """Largest missing ratio of a scene; None where none is there."""
    missing_told: str
    odd: float | None
    """Largest robust z of a scene's band mean among all scenes; None where there are too few."""
    odd_told: str
    outliers: float | None = None
    """Share of the windows that are like no other; None where nobody asks."""
    outliers_told: str = "outliers were not looked for"


@dataclass(frozen=True)
class MapFacts:
    """What gates ask about."""

    found: int
    """Scenes that the search found."""
    mapped: int
    """Scenes in the map."""
    lacking: tuple[str, ...] = ()
    """Ids of scenes that are not in it, or not whole."""
    failed_cells: int = 0
    seen: float | None = None
    """Share of the area; None where nobody asks."""
    has_before: bool = False
    """Whether there is a published map to compare with."""
    change: MapChange | None = None
    """None without one, or where it cannot be compared."""
    miou: float | None = None
    drift: DriftFacts | None = None
    """None where nobody asks, or nothing is there to compare."""
    quality: QualityFacts | None = None
    """None where nobody asks."""


@dataclass(frozen=True)
class Verdict:
    """What one gate says."""

    gate: str
    found: float | None
    """None where it could not be measured: then it is not passed."""
    asked: float
    passed: bool
    told: str
    """A sentence for people."""


def verdicts(gates: GatesConfig, facts: MapFacts) -> list[Verdict]:
    """Judge a map; every gate that is asked speaks, also after one was not passed."""
    lacking = len(facts.lacking) / facts.found if facts.found else 1.0
    names = ", ".join(facts.lacking[:5]) + (" ..." if len(facts.lacking) > 5 else "")
    said = f"{len(facts.lacking)} of {facts.found} scenes are missing or not whole" + (f" ({names})" if names else "")
    asked: list[tuple[str, float | None, float | None, int, str]] = [
        ("min_scenes", facts.mapped, gates.min_scenes, 1, f"{facts.mapped} scenes are in the map"),
        ("max_lacking", lacking, gates.max_lacking, -1, said),
        ("failed_cells", facts.failed_cells, 0, -1, f"{facts.failed_cells} cells of the map could not be made"),
        ("min_seen", facts.seen, gates.min_seen, 1, _share(facts.seen, "of the area is seen")),
        ("min_miou", facts.miou, gates.min_miou, 1, f"the mean IoU against the labels is {_number(facts.miou)}"),
    ]
    if facts.has_before:  # the first map differs from nothing
        gained, lost = _shares(facts.change)
        asked += [
            ("max_gained", gained, gates.max_gained, -1, _share(gained, "of what was mapped was gained")),
            ("max_lost", lost, gates.max_lost, -1, _share(lost, "of what was mapped was lost")),
        ]
    judged = [_verdict(gate, found, bound, sign, told) for gate, found, bound, sign, told in asked if bound is not None]
    if facts.quality is not None:
        judged += quality_verdicts(gates, facts.quality)
    if facts.drift is not None:
        judged.append(drift_verdict((facts.drift.found, facts.drift.told)))
    return judged


def quality_verdicts(gates: QualityGates, quality: QualityFacts, key: str = "gates") -> list[Verdict]:
    """Judge the pixels of scenes or tiles by what is asked of them.

    Args:
        gates: bounds.
        quality: as measured.
        key: of the configuration, for people.
    """
    asked = [
        ("max_missing", quality.missing, gates.max_missing, quality.missing_told),
        ("max_odd", quality.odd, gates.max_odd, quality.odd_told),
        ("max_outliers", quality.outliers, gates.max_outliers, quality.outliers_told),
    ]
    return [_verdict(gate, found, bound, -1, told, key) for gate, found, bound, told in asked if bound is not None]


def drift_verdict(drift: tuple[int | None, str], key: str = "gates") -> Verdict:
    """Judge how many regions drift: none may."""
    return _verdict("drift", drift[0], 0, -1, drift[1], key)


def _verdict(gate: str, found: float | None, bound: float, sign: int, told: str, key: str = "gates") -> Verdict:
    passed = found is not None and (found - bound) * sign >= 0
    return Verdict(gate, found, bound, passed, f"{told}, {_asked(gate, bound, key)}")


def refused(judged: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts of gates that were not passed."""
    return [verdict for verdict in judged if not verdict.passed]


def lacking_scenes(found: Mapping[str, str], unreadable: Mapping[str, str], record: Mapping[str, Any]) -> list[str]:
    """Return the ids of scenes that a map lacks, whole or in part.

    Args:
        found: id to store of the scenes that were planned.
        unreadable: id to reason of those that could not be opened.
        record: `run.json` of the map.
    """
    logits = {scene["logits"]: scene["id"] for scene in record["scenes"]}
    units = (unit.split("/") for unit in record["quarantined"])
    partly = {logits[parts[1]] for parts in units if parts[0] == "infer" and parts[1] in logits}
    return sorted({*unreadable, *(found.keys() - logits.values()), *partly})


def _shares(change: MapChange | None) -> tuple[float | None, float | None]:
    if change is None:
        return None, None
    return change.share(change.gained_px), change.share(change.lost_px)


def _share(value: float | None, of: str) -> str:
    return f"it could not be measured how much {of}" if value is None else f"{value:.1%} {of}"


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"


def _asked(gate: str, bound: float, key: str) -> str:
    if gate in ("failed_cells", "drift"):
        return "none may"
    least = "at least" if gate.startswith("min") else "at most"
    return f"{least} {bound:g} is asked ({key}.{gate})"


def announced(judged: Sequence[Verdict]) -> str:
    """Tell every verdict on stderr, and return what was not passed as one sentence; "" where all were."""
    for one in judged:
        print(f"gate {'passed' if one.passed else 'NOT PASSED'}: {one.told}", file=sys.stderr)
    return "; ".join(one.told for one in refused(judged))
