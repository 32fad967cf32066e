"""The known states of a synthetic weather world, as the scores want them: vectors, and the quarter of a typhoon."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jobs.weather_scores import States

ANGLES = ("season_rad",)
WAVES = ("amplitude_km_", "phase_rad_")
"""How the columns of a wave begin; its number follows."""
TYPHOON = ("typhoon", "typhoon_x", "typhoon_y", "typhoon_intensity", "typhoon_quadrant")


def read_states(path: Path, times: np.ndarray) -> States:
    """Return the states of some times (datetime64[s]), from a table of `sandan synthesize --kind weather`.

    Raises:
        ValueError: the table has no row for a time, or lacks a column.
    """
    columns = _columns(path)
    if lacking := [name for name in ("time", *TYPHOON) if name not in columns]:
        raise ValueError(f"{path} has no columns {lacking}, only {sorted(columns)}; make the world again")
    known = np.array(columns["time"], "datetime64[s]")
    order = np.argsort(known)
    place = order[np.minimum(np.searchsorted(known[order], times), len(known) - 1)]
    if (known[place] != times).any():
        raise ValueError(f"{path} has no state at {times[known[place] != times][0]}; it belongs to other frames")
    table = {name: _numbers(texts)[place] for name, texts in columns.items() if name != "time"}
    return States(state_vectors(table), np.where(table["typhoon"] > 0, table["typhoon_quadrant"], -1).astype(int))


def _columns(path: Path) -> dict[str, Sequence[str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} holds no states; make the world again")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _numbers(texts: Sequence[str]) -> np.ndarray:
    return np.array([float(text) if text else np.nan for text in texts])


def state_vectors(table: dict[str, np.ndarray]) -> np.ndarray:
    """Return the numbers that two states are compared by, (n, m).

    Angles become cosine and sine, a wave its amplitude times them; a typhoon counts with its intensity, so that where
    there is none its place is nothing. All other columns are taken as they are.
    """
    parts = []
    for name in sorted(table):
        if name in ANGLES:
            parts += [np.cos(table[name]), np.sin(table[name])]
        elif name.startswith(WAVES[0]):
            phase = table[WAVES[1] + name.removeprefix(WAVES[0])]
            parts += [table[name] * np.cos(phase), table[name] * np.sin(phase)]
        elif name not in TYPHOON and not name.startswith(WAVES[1]):
            parts.append(table[name])
    strength = np.where(table["typhoon"] > 0, np.nan_to_num(table["typhoon_intensity"]), 0)
    parts += [strength, *(strength * np.nan_to_num(table[axis]) for axis in ("typhoon_x", "typhoon_y"))]
    return np.stack(parts, 1)
