"""The seam index of a map, with intervals: measured when it is published, told by its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jobs.cells import CellTask
from jobs.plan import LogitPlan
from jobs.report import Table
from models.bootstrap import Interval, block_bootstrap
from tiler.grids import MapGrid
from tiler.map_store import MapStore
from tiler.seams import KINDS, SeamScene, seam_blocks, seam_ratios, steps

MOST_BLOCKS = 96
"""Blocks of 512 px that are measured across the borders of cells, and as many others."""
UNIT = 1e-6
"""Of a logit, in which sums are counted as whole numbers."""


def measured_seams(store: MapStore, plans: Sequence[LogitPlan], tasks: Iterable[CellTask]) -> dict[str, Any]:
    """Return the seam index of windows and of cells, each with its interval; None where there is no such border.

    Args:
        store: the map.
        plans: the logits that it was made of.
        tasks: its cells, with the names of the logits that touch each: of thousands of scenes few reach a block.
    """
    scenes = {plan.name: SeamScene(plan.source.scene.grid, plan.lattice) for plan in plans}
    places = {block: set(MapGrid.cells_of(block)) for block in seam_blocks(store.extent, MOST_BLOCKS)}
    wanted = set().union(*places.values())
    reaching = {task.cell: task.scenes for task in tasks if task.cell in wanted}
    blocks = []
    for block, cells in places.items():
        names = sorted({name for cell in cells for name in reaching.get(cell, ())})
        blocks.append(steps(store.read("logit", block), block, [scenes[n] for n in names], store.grid.pixels))
    sums = np.array([block for block in blocks if block[-1, 1]]).reshape(-1, len(KINDS), 2)
    found = dict.fromkeys(KINDS[:-1])
    if len(sums) > 1:
        whole = (sums * [1 / UNIT, 1]).round().astype(np.int64)
        found = {kind: _told(one) for kind, one in block_bootstrap(whole, _ratios).items()}
    return {"blocks": len(sums), **found}


def _ratios(counts: np.ndarray) -> dict[str, float]:
    return seam_ratios(counts * [UNIT, 1])


def _told(found: Interval) -> dict[str, float] | None:
    return None if found.value != found.value else {"index": found.value, "low": found.low, "high": found.high}


def seam_table(seams: Mapping[str, Any]) -> list[Table]:
    """Return the table of a map's seam index; none where the map has no borders."""
    rows = [(f"{kind}s", *seams[kind].values()) for kind in KINDS[:-1] if seams[kind]]
    told = (
        "Mean step of the logits between neighbouring pixels where windows or cells meet, over that elsewhere: "
        f"1 where nothing shows. 95 % interval by drawing {seams['blocks']} blocks of 512 px anew."
    )
    return [Table("Seams", told, ("borders of", "index", "low", "high"), rows)] if rows else []
