"""What curation knows of windows and frames besides their looks, gathered from the files of all units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jobs.curate_looks import SIDE, Looks, mapped
from tiler.tile_source import original_facts, stored_facts

BANDED = ("mean", "standard_deviation", "minimum", "maximum")
SINGLE = ("height", "width", "pixel", "missing_ratio", "missing_ratio_3_patches", "coverage")
BYTES_PER_VALUE = 40
"""Of a window while a worker looks at it: as it is, filled, squared and sorted for its median."""


def window_facts(image: np.ndarray, valid: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """Return `SINGLE` and `BANDED` facts of what of a window lies inside its scene, or of a frame."""
    found = stored_facts(image, valid, label, 1) | original_facts(image, valid)
    return {name: np.asarray(found[name], np.float64) for name in (*SINGLE, *BANDED)}


@dataclass(eq=False)
class Gathered:
    """Columns of all rows, filled unit by unit; rows that no unit fills stay damaged."""

    rows: int
    bands: int
    side_px: int
    """Smaller side of a window or frame."""
    columns: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        n, side = self.rows, min(SIDE, self.side_px)
        self.columns = {"pictures": mapped((n, self.bands, side, side)), "white": np.full(n, np.nan, np.float32)}
        self.columns |= {"digests": np.full(n, "", "U64"), "damaged": np.ones(n, bool)}
        self.columns |= {name: np.full(n, np.nan) for name in SINGLE}
        self.columns |= {name: np.full((n, self.bands), np.nan) for name in BANDED}

    def put(self, rows: Sequence[int] | np.ndarray, part: Mapping[str, np.ndarray]) -> None:
        """Keep the columns of some rows, as a unit's file holds them."""
        for name, values in part.items():
            self.columns[name][rows] = values
        self.columns["damaged"][rows] = False

    @property
    def looks(self) -> Looks:
        """What was seen."""
        return Looks(*(self.columns[name] for name in ("pictures", "white", "digests")))

    @property
    def facts(self) -> dict[str, np.ndarray]:
        """What is known, in the types of `TileStore.facts`."""
        whole = {name: np.nan_to_num(self.columns[name]).astype(np.int32) for name in ("height", "width")}
        shares = {name: self.columns[name].astype(np.float32) for name in SINGLE[3:]}
        others = {name: self.columns[name] for name in ("pixel", *BANDED, "damaged")}
        return whole | shares | others
