"""How values of a layer are painted, and the legend that says so: one table for tiles, legends and clicked values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import matplotlib
import numpy as np

from jobs.figures import PROBABILITY_COLORS

STEPS = 255
"""Colours of a ramp."""
MISSING = 255
"""The place in every palette of what is not known: it is that of the class map, too."""
FAINT = 70
"""Opacity of background in the class map: seen, but nothing was found there."""
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, eq=False)
class Ramp:
    """Numbers from `low` to `high` in a continuous colour map; what lies outside has the colour of the end."""

    colors: str
    """Name of a colour map of matplotlib."""
    low: float
    high: float
    unit: str = ""
    is_date: bool = False
    """Whether values are days since 1970-01-01."""
    hidden: float | None = None
    """A number that says that there is nothing to see."""

    def places(self, values: np.ndarray) -> np.ndarray:
        """Return the places in `palette`, uint8 (y, x), of finite numbers (y, x)."""
        share = (values.astype(np.float64) - self.low) / (self.high - self.low)
        found = np.clip(np.round(share * (STEPS - 1)), 0, STEPS - 1).astype(np.uint8)
        return found if self.hidden is None else np.where(values == self.hidden, np.uint8(MISSING), found)

    @cached_property
    def palette(self) -> np.ndarray:
        """Red, green, blue, alpha of each place, uint8 (256, 4); `MISSING` is transparent."""
        colors = np.zeros((256, 4), np.uint8)
        colors[:STEPS] = np.round(255 * matplotlib.colormaps[self.colors](np.linspace(0, 1, STEPS)))
        return colors

    def told(self, value: float) -> str:
        """Return a value for people."""
        if self.is_date:
            return (EPOCH + timedelta(days=int(value))).isoformat()
        return f"{value:.4g}{' ' + self.unit if self.unit else ''}"

    def legend(self) -> dict[str, Any]:
        """Return what the page draws beside the layer."""
        stops = [_hex(self.palette[place]) for place in np.linspace(0, STEPS - 1, 17).astype(int)]
        return {"kind": "ramp", "colors": stops, "low": self.told(self.low), "high": self.told(self.high)}

    def lookup(self) -> dict[str, Any]:
        """Return every colour with the value that it stands for: what a page without a server reads tiles by."""
        values = np.linspace(self.low, self.high, STEPS)
        return {
            "table": [_hex(color) for color in self.palette[:STEPS]],
            "told": [self.told(value) for value in values],
        }


@dataclass(frozen=True, eq=False)
class Classes:
    """Whole numbers with a colour and a name each; a value without one is transparent."""

    colors: Mapping[int, tuple[int, int, int, int]]
    names: Mapping[int, str]

    def places(self, values: np.ndarray) -> np.ndarray:
        """Return the places in `palette`, uint8 (y, x), of whole numbers 0 to 255 (y, x): themselves."""
        return values.astype(np.uint8)

    @cached_property
    def palette(self) -> np.ndarray:
        """Red, green, blue, alpha of each place, uint8 (256, 4); `MISSING` is transparent."""
        colors = np.zeros((256, 4), np.uint8)
        for value, color in self.colors.items():
            colors[value] = color
        colors[0, 3] = min(colors[0, 3], FAINT)
        colors[MISSING] = 0
        return colors

    def told(self, value: float) -> str:
        """Return a value for people."""
        return self.names.get(int(value), f"{value:g}")

    def legend(self) -> dict[str, Any]:
        """Return what the page draws beside the layer."""
        entries = [{"color": _hex(self.colors[value]), "name": name} for value, name in sorted(self.names.items())]
        return {"kind": "classes", "entries": entries}

    def lookup(self) -> dict[str, Any]:
        """Return nothing: the legend has all colours."""
        return {}


Style = Ramp | Classes


def _hex(color: Any) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(part) for part in color[:3]))


def rounded_up(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten, at which a legend may end; 1 for what is not above 0."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power * (1 + 1e-9))


@dataclass(frozen=True)
class BandFacts:
    """What the header of a raster says about one of its bands."""

    statistics: Mapping[str, float]
    """`minimum`, `maximum`, `mean`, `stddev` of its values; empty where the file does not tell."""
    unit: str
    colors: Mapping[int, tuple[int, int, int, int]]
    """Its colour table, if it has one."""
    names: Mapping[int, str]
    """Names of its classes."""

    @property
    def far_end(self) -> float:
        """Where nearly all values lie below: three standard deviations above the mean, or the maximum."""
        found = self.statistics
        if not found:
            return 1.0
        return rounded_up(min(found["maximum"], found["mean"] + 3 * found["stddev"]))


def _classes(facts: BandFacts) -> Style:
    return Classes({value: facts.colors[value] for value in facts.names if value in facts.colors}, facts.names)


def _count(facts: BandFacts) -> Style:
    return Ramp("YlGnBu", 0, max(1.0, facts.statistics.get("maximum", 1.0)), hidden=0)  # sea, as in all other layers


def _latest(facts: BandFacts) -> Style:
    low, high = facts.statistics.get("minimum", 0.0), facts.statistics.get("maximum", 0.0)
    return Ramp("cividis", low, max(high, low + 1), is_date=True)


def _difference(facts: BandFacts) -> Style:
    return Ramp("viridis", 0, facts.far_end, facts.unit)


STYLES: Mapping[str, Callable[[BandFacts], Style]] = {
    "probability": lambda facts: Ramp(PROBABILITY_COLORS, 0, 1),
    "class": _classes,
    "spread": _difference,
    "count": _count,
    "uncertainty": lambda facts: Ramp("inferno", 0, facts.far_end, facts.unit),
    "latest": _latest,
}
"""Product to what paints it; a raster of another name has the one of spread, or that of its colour table."""


def style_of(product: str, facts: BandFacts) -> Style:
    """Return how a band of a product is painted."""
    if product not in STYLES and facts.colors and facts.names:
        return _classes(facts)
    return STYLES.get(product, _difference)(facts)
