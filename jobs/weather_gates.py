"""What the weather document claims, judged on what was measured: held, or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jobs.weather_evaluation import LEAST_STRETCHES, RIVALS, STATE_SCORES
from jobs.weather_scores import Difference, Score
from jobs.weather_table import METHODS

HELD, NOT_HELD, UNKNOWN = "held", "not held", "not known"
LEAST_RING = 0.5
"""Ring score of a layout that is called a ring. 1: the angle tells the day; winter left and summer right make 0.1."""


@dataclass(frozen=True)
class Gate:
    """A claim and what became of it."""

    claim: str
    verdict: str
    """`held`, `not held`, or `not known` where nothing was measured."""
    why: str
    by_interval: bool = False
    """Whether it was judged by intervals."""


def judge_gates(
    scores: Mapping[str, Mapping[str, Score]],
    differences: Sequence[Difference],
    headings: Mapping[str, str],
    stretches: int,
) -> list[Gate]:
    """Return every claim with its verdict.

    headings: image metrics to their headings; stretches: of days, in which the queries lie: with few of them an
    interval proves nothing.
    """
    gates = _gates(scores, differences, headings)
    if stretches >= LEAST_STRETCHES:
        return gates
    few = f"queries lie in {stretches} stretches of days, an interval wants {LEAST_STRETCHES}"
    return [replace(gate, verdict=UNKNOWN, why=f"{few}; {gate.why}") if gate.by_interval else gate for gate in gates]


def _gates(
    scores: Mapping[str, Mapping[str, Score]], differences: Sequence[Difference], headings: Mapping[str, str]
) -> list[Gate]:
    found = {(d.score, d.than): d for d in differences if d.better == "timely"}
    gates = []
    for rival in RIVALS:
        title = f"timely beats {METHODS[rival]} by the known state, with intervals that exclude 0"
        gates.append(_all_of(title, [found.get((score, rival)) for score in STATE_SCORES], STATE_SCORES))
    wanted = [(score, rival) for score in STATE_SCORES for rival in RIVALS]
    gates.append(_order("the order by the known state is kept with every seed", [found.get(w) for w in wanted]))
    columns = [f"recall_observed_{metric}_0h" for metric in headings]
    for rival in RIVALS:
        title = f"timely beats {METHODS[rival]} by recall of every image metric, as the document reports"
        gates.append(_all_of(title, [found.get((score, rival)) for score in columns], columns))
    gates.append(
        _all_of(
            "pooled pixels lose by state nDCG: the world is not too easy",
            [found.get((STATE_SCORES[0], "pixels"))],
            STATE_SCORES[:1],
        )
    )
    gates.append(_ring(scores))
    return gates


def _all_of(claim: str, found: Sequence[Difference | None], names: Sequence[str]) -> Gate:
    known = [d for d in found if d is not None]
    lacking = [name for name, d in zip(names, found, strict=True) if d is None]
    told = [f"{d.score} {d.interval.value:+.4f} [{d.interval.low:.4f}, {d.interval.high:.4f}]" for d in known]
    told += [f"{name} was not measured" for name in lacking]
    if not known:
        return Gate(claim, UNKNOWN, "; ".join(told), True)
    return Gate(claim, HELD if all(d.is_clear for d in known) and not lacking else NOT_HELD, "; ".join(told), True)


def _order(claim: str, found: Sequence[Difference | None]) -> Gate:
    known = [d for d in found if d is not None]
    if not known:
        return Gate(claim, UNKNOWN, "the states are not known")
    seeds = max(len(d.seeds) for d in known)
    broken = [
        f"{d.score} beside {d.than}: {' '.join(f'{v:+.4f}' for v in d.seeds)}" for d in known if not d.keeps_order
    ]
    if broken:
        return Gate(claim, NOT_HELD, "; ".join(broken))
    why = f"{seeds} seeds" + ("" if seeds >= 3 else ", fewer than the 3 that a claim wants")
    return Gate(claim, HELD if seeds >= 3 else UNKNOWN, why)


def _ring(scores: Mapping[str, Mapping[str, Score]]) -> Gate:
    claim = "the UMAP of timely is a ring along which the year runs, more than that of the others"
    rings = {m: scores[m]["ring"].mean for m in ("timely", *RIVALS) if m in scores and "ring" in scores[m]}
    if len(rings) < 3:
        return Gate(claim, UNKNOWN, "no layouts were made")
    why = ", ".join(f"{method} {value:.2f}" for method, value in rings.items())
    is_ring = rings["timely"] >= LEAST_RING and rings["timely"] > max(rings[r] for r in RIVALS)
    return Gate(claim, HELD if is_ring else NOT_HELD, f"{why}; a ring has {LEAST_RING} or more")


def gates_text(gates: Sequence[Gate]) -> str:
    """Return the gates for a terminal."""
    return "\n".join(f"{gate.verdict:9}  {gate.claim}\n           ({gate.why})" for gate in gates)
