"""Balance and filter: which tiles are too many, which are not good enough, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jobs.curate_frame import Frame
from jobs.curate_versions import Removal
from models.balance import Imbalance, imbalance, undersampled

RULE, USER = "rule", "user"


def balanced(
    frame: Frame, usable: np.ndarray, names: Sequence[str], times: float, seed: int
) -> tuple[Imbalance, list[Removal]]:
    """Judge classes (or strata), and draw what over-full ones lose.

    Args:
        frame: of all tiles.
        usable: bool (n,): which tiles count.
        names: classes that must be named even if they are empty.
        times: over-full from so many times the median.
        seed: of the draw.
    """
    classes = frame.classes[usable].tolist()
    judged = imbalance(dict.fromkeys(names, 0) | dict(sorted(Counter(classes).items())), times)
    lost = np.flatnonzero(usable)[undersampled(classes, judged, seed)]
    rule = f"balance times={times:g} seed={seed}"
    reason = f"of an over-full class; {judged.target} of it are kept"
    return judged, [Removal(str(frame["name"][row]), f"{frame.classes[row]}: {reason}", rule, RULE) for row in lost]


@dataclass(frozen=True)
class Limits:
    """What a tile must keep; None is not asked."""

    missing: float | None = None
    """Largest missing ratio, equal is kept."""
    least_width: int | None = None
    least_height: int | None = None
    most_width: int | None = None
    most_height: int | None = None
    outliers: float | None = None
    """Largest outlier score."""
    copies: str = "none"
    """`exact` or `near`: of tiles that are copies of each other the first is kept."""
    listed: Sequence[str] = field(default=())
    """Ids that the user wants left out."""


def filtered(frame: Frame, usable: np.ndarray, limits: Limits) -> list[Removal]:
    """Return the tiles that break a limit, each once with all its reasons; damaged ones always do.

    Args:
        frame: of all tiles.
        usable: bool (n,): which tiles are asked; only among these the first copy is kept.
        limits: what they must keep.

    Raises:
        ValueError: ids that are listed and not there.
    """
    found: dict[int, list[tuple[str, str, str]]] = {}

    def add(broken: np.ndarray, rule: str, reasons: Sequence[str], by: str = RULE) -> None:
        for row in np.flatnonzero(broken & usable).tolist():
            found.setdefault(row, []).append((reasons[row], rule, by))

    n = len(frame)
    damaged = frame["damaged"]
    add(damaged, "damaged", ["damaged"] * n)
    if limits.missing is not None:
        ratio = frame["missing_ratio"]
        broken = ~damaged & ~(ratio <= np.float32(limits.missing))
        add(broken, f"missing_ratio<={limits.missing:g}", [f"missing ratio {value:.4f}" for value in ratio.tolist()])
    for name, bound, sign in (
        ("width", limits.least_width, 1),
        ("height", limits.least_height, 1),
        ("width", limits.most_width, -1),
        ("height", limits.most_height, -1),
    ):
        if bound is not None:
            broken = ~damaged & (sign * frame[name].astype(int) < sign * bound)
            rule = f"{name}{'>' if sign > 0 else '<'}={bound}"
            add(broken, rule, [f"{name} {value} px" for value in frame[name].tolist()])
    if limits.outliers is not None:
        score = frame["outlier_score"]
        add(score > limits.outliers, f"outlier_score<={limits.outliers:g}", [f"outlier score {v:.1f}" for v in score])
    if limits.copies != "none":
        add(*_copies(frame, usable & np.array([row not in found for row in range(n)]), limits.copies))
    if limits.listed:
        unknown = sorted(set(limits.listed) - set(frame["name"].tolist()))
        if unknown:
            raise ValueError(f"--list names {len(unknown)} tiles that are not there, such as {unknown[:3]}; correct it")
        add(np.isin(frame["name"], limits.listed), "listed", ["listed by the user"] * n, USER)
    return [
        Removal(str(frame["name"][row]), *("; ".join(dict.fromkeys(told)) for told in zip(*why, strict=True)))
        for row, why in sorted(found.items())
    ]


def _copies(frame: Frame, asked: np.ndarray, kind: str) -> tuple[np.ndarray, str, list[str]]:
    """Return which tiles are copies of an earlier one that stays, the rule, and a reason for each tile."""
    group = frame["exact_group" if kind == "exact" else "duplicate_group"]
    first: dict[int, int] = {}
    for row in np.flatnonzero(asked).tolist():
        first.setdefault(int(group[row]), row)
    copies = np.array([asked[row] and first[int(group[row])] != row for row in range(len(frame))], bool)
    reasons = [f"copy of {frame['name'][first[int(group[row])]]}" if copies[row] else "" for row in range(len(frame))]
    return copies, f"duplicates={kind}", reasons
