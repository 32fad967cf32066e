"""The metadata frame: one row per tile, in the columns that a source document names first, as CSV and as Parquet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.curate_looks import Looks
from jobs.curate_subject import Tiles
from jobs.lists import csv_bytes
from models.clustering import clustered
from models.duplicates import equal_pairs, groups_of
from models.near_copies import near_copies
from models.outliers import outlier_scores
from models.reducers import common_space

FIRST = ("name", "label", "width", "height", "pixel")
"""Columns of the source document, in its order; `pixel` is the mean of all valid pixels of all bands."""
LAND_COVERS = 3
"""Clusters of band means."""
DENSE = 0.5
"""Label coverage from which a tile is dense."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Columns of equal length; row i is tile i of the store."""

    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.columns["name"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @property
    def classes(self) -> np.ndarray:
        """What is balanced and flagged, str (n,): the class of each image, or its stratum where no image has one."""
        return self["label"] if (self["label"] != "").any() else self["stratum"]

    def to_csv(self) -> bytes:
        """Return the bytes of a CSV file."""
        rows = zip(*(_cells(column) for column in self.columns.values()), strict=True)
        return csv_bytes(tuple(self.columns), rows)

    def to_parquet(self) -> bytes:
        """Return the bytes of a Parquet file."""
        import pyarrow
        import pyarrow.parquet

        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(self.columns), file)
        return file.getvalue()


def frame_of(store: Tiles, looks: Looks, covers: int = LAND_COVERS, by_day: bool = False) -> Frame:
    """Gather what is known of every tile.

    Args:
        store: the tiles.
        looks: of these tiles.
        covers: clusters of land cover.
        by_day: whether only tiles of one date can be near copies: ground looks alike on two days, and is no copy.
    """
    said = {name: np.array([tile[name] for tile in store.tiles], str) for name in ("id", "label", "date", "source")}
    split = np.array([tile["split"] for tile in store.tiles], str)
    columns = {"name": said["id"], "label": said["label"]}
    columns |= {name: store.facts(name) for name in ("width", "height", "pixel")}
    numbers = {"mean": "mean", "sd": "standard_deviation", "min": "minimum", "max": "maximum"}
    facts = {short: store.facts(name) for short, name in numbers.items()}
    for place, band in enumerate(store.sensor.bands):
        columns |= {f"{band}_{short}": values[:, place] for short, values in facts.items()}
    missing = {name: store.facts(name) for name in ("missing_ratio", "missing_ratio_3_patches", "coverage")}
    exact, near = duplicate_groups(looks, said["date"] if by_day else None)
    columns |= {"near_white": looks.white, **missing, "date": said["date"], "source": said["source"], "split": split}
    columns |= {
        "damaged": store.facts("damaged"),
        "stratum": strata(missing["coverage"], facts["mean"], looks.seen, covers),
    }
    columns |= {"exact_group": exact, "duplicate_group": near, "outlier_score": lonely(looks)}
    return Frame(columns)


def duplicate_groups(looks: Looks, dates: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return two group numbers of each tile, int64 (n,): of exact copies, and of exact and near ones.

    The number is that of the first tile of the group; tiles without a valid pixel are copies of nothing.

    Args:
        looks: of all tiles.
        dates: str (n,): near copies are of one date; None: of any.
    """
    usable = np.flatnonzero(looks.seen)
    exact = usable[equal_pairs(looks.digests[usable].tolist())]
    n = len(looks.digests)
    equal = groups_of(n, [exact])
    near = near_copies(looks.pictures, dates, usable[equal[usable] == usable])  # the first of each exact group
    return equal, groups_of(n, [exact, near])


def lonely(looks: Looks) -> np.ndarray:
    """Return the outlier score of each tile, float64 (n,), NaN where nothing is valid.

    It is measured in the common space of all reducers: principal components of standardised small pictures.
    """
    out = np.full(len(looks.digests), np.nan)
    usable = np.flatnonzero(looks.seen)
    if usable.size:
        pictures = looks.pictures.reshape(len(looks.pictures), -1)
        out[usable] = outlier_scores(common_space(pictures, chosen=usable))
    return out


def strata(coverage: np.ndarray, means: np.ndarray, seen: np.ndarray, covers: int = LAND_COVERS) -> np.ndarray:
    """Return the stratum of each tile, str (n,): its label coverage x its land cover; "" where nothing is valid.

    Coverage is `none` (0), `sparse` (below a half), `dense`, or `unlabelled`. Land covers are clusters of the band
    means (`cover 0` is the largest); too few tiles, or tiles without different means, are of one cover.

    Args:
        coverage: float (n,), NaN where no pixel is labelled.
        means: float (n, band).
        seen: bool (n,).
        covers: clusters; 1 for none.
    """
    cover, usable = np.zeros(len(means), int), np.flatnonzero(seen)
    different = len(np.unique(means[usable], axis=0))
    if different > covers > 1:
        level, spread = means[usable].mean(axis=0), means[usable].std(axis=0)
        cover[usable] = clustered("cover", (means[usable] - level) / np.where(spread > 0, spread, 1), covers).labels
    words = np.select([np.isnan(coverage), coverage == 0, coverage < DENSE], ["unlabelled", "none", "sparse"], "dense")
    named = [f"{word}, cover {number}" for word, number in zip(words.tolist(), cover.tolist(), strict=True)]
    return np.where(seen, np.array(named, str), "")


def _cells(column: np.ndarray) -> Sequence[object]:
    """Return a column for CSV: six significant digits, nothing where nothing is known."""
    if column.dtype.kind == "f":
        return ["" if value != value else format(value, ".10g") for value in column.tolist()]
    return list(column.tolist())
