"""The latent states as a table: one row a step, in a CSV that anything reads."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiler.synthetic.weather.domain import STEPS_PER_DAY, VIEW_KM, WeatherWorld
from tiler.synthetic.weather.sequence import LEAD_DAYS
from tiler.synthetic.weather.state import WAVES, Flow
from tiler.synthetic.weather.typhoons import SLOTS, Storms

Array = np.ndarray

SEEN_FROM = 0.25
"""Intensity from which a storm counts as a typhoon that is present."""
QUADRANTS = ("", "north-west", "north-east", "south-west", "south-east")


@dataclass(frozen=True)
class States:
    """Latent states of some steps.

    Columns (all float64): `season_rad`, `jet_latitude`, `jet_m_s`, `wave<k>_km` and `wave<k>_rad` (k from 1: amplitude
    and phase), `front_latitude`, `front_activity`, `typhoon<k>_x`, `_y`, `_intensity` (k from 1: every storm in or near
    the view; places are shares of the view from its north-western corner, NaN and intensity 0 where there is none), and
    of the strongest typhoon in the view: `typhoon_present` (0 or 1), `typhoon_x`, `typhoon_y`, `typhoon_intensity`,
    `typhoon_quadrant` (place in `QUADRANTS`).
    """

    times: Array
    """datetime64[s] (step,)."""
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: Array) -> States:
        """Return some rows, in their order."""
        return States(self.times[rows], {name: values[rows] for name, values in self.columns.items()})

    def at(self, times: Array) -> States:
        """Return the rows of some times.

        Raises:
            ValueError: a time is not in the table.
        """
        rows = np.searchsorted(self.times, times)
        there = np.minimum(rows, len(self) - 1)
        if len(times) and not np.array_equal(self.times[there], times.astype(self.times.dtype)):
            strange = times[self.times[there] != times][0]
            raise ValueError(
                f"no state of {strange}: the table holds {self.times[0]} to {self.times[-1]}; "
                f"give the frames that were made with it"
            )
        return self.take(there)


def states_of(world: WeatherWorld, latent: tuple[Flow, Storms]) -> States:
    """Return the table of a world; the lead before its first frame is left out."""
    flow, storms = latent
    since = slice(LEAD_DAYS * STEPS_PER_DAY, None)
    columns: dict[str, Array] = {
        "season_rad": flow.season_rad[since],
        "jet_latitude": flow.jet_latitude[since],
        "jet_m_s": flow.jet_m_s[since],
    }
    for k in range(WAVES):
        columns[f"wave{k + 1}_km"] = flow.amplitude_km[since, k]
        columns[f"wave{k + 1}_rad"] = np.mod(flow.phase_rad[since, k], 2 * np.pi)
    columns["front_latitude"] = flow.front_latitude[since]
    columns["front_activity"] = flow.front_activity[since]
    x, y = 0.5 + storms.x_km[since] / VIEW_KM, 0.5 - storms.y_km[since] / VIEW_KM
    strength = storms.intensity[since]
    for k in range(SLOTS):
        columns[f"typhoon{k + 1}_x"], columns[f"typhoon{k + 1}_y"] = x[:, k], y[:, k]
        columns[f"typhoon{k + 1}_intensity"] = strength[:, k]
    return States(world.times(), {**columns, **_strongest(x, y, strength)})


def _strongest(x: Array, y: Array, strength: Array) -> dict[str, Array]:
    """Return the columns of the strongest typhoon in the view."""
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (x < 1) & (y >= 0) & (y < 1) & (strength >= SEEN_FROM)
    seen = np.where(inside, strength, 0.0)
    slot, rows = seen.argmax(1), np.arange(len(seen))
    present = seen.max(1, initial=0.0) > 0
    at_x, at_y = (np.where(present, v[rows, slot], np.nan) for v in (x, y))
    quadrant = np.where(present, 1 + (at_x >= 0.5) + 2 * (at_y >= 0.5), 0)
    return {
        "typhoon_present": present.astype(np.float64),
        "typhoon_x": at_x,
        "typhoon_y": at_y,
        "typhoon_intensity": seen[rows, slot],
        "typhoon_quadrant": quadrant.astype(np.float64),
    }


def write_states(states: States, path: Path) -> None:
    """Write a table; numbers have six digits, no number is an empty cell."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *states.columns])
        for row, time in enumerate(states.times):
            writer.writerow([str(time), *_cells(states, row)])


def _cells(states: States, row: int) -> Iterator[str]:
    for name, values in states.columns.items():
        value = float(values[row])
        if name == "typhoon_quadrant":
            yield QUADRANTS[int(value)]
        else:
            yield "" if np.isnan(value) else f"{value:.6g}"


def read_states(path: Path) -> States:
    """Read what `write_states` wrote.

    Raises:
        ValueError: it is not such a table.
    """
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    if len(rows) < 2 or rows[0][:2] != ["time", "season_rad"]:
        raise ValueError(f"{path} is not a table of states; give states.csv of `sandan synthesize --kind weather`")
    columns = {}
    for place, name in enumerate(rows[0][1:], start=1):
        cells = [row[place] for row in rows[1:]]
        if name == "typhoon_quadrant":
            columns[name] = np.array([QUADRANTS.index(cell) for cell in cells], np.float64)
        else:
            columns[name] = np.array([float(cell) if cell else np.nan for cell in cells])
    return States(np.array([row[0] for row in rows[1:]], "datetime64[s]"), columns)
