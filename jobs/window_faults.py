"""What has to be known of windows: quarantined ones, which are not in the map, and those that are in it with a remark.

A window is quarantined where the networks answered NaN or infinity, twice. Its scene is mapped without it: its
neighbours' overlaps and other scenes cover what they cover. The logit store says so, window by window; whoever asks
reads one listing for each scene, and more only where there is something to be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cluster.storage import Storage
from cluster.units import THREADS
from tiler.grids import Box, Cell, MapGrid
from tiler.lattice import Lattice
from tiler.logit_store import FLAGS, QUARANTINED, Flag, LogitStore
from tiler.warp import Mapping as WarpMapping

if TYPE_CHECKING:
    from jobs.plan import LogitPlan
    from models.launched import Answer

NAMED = 1000
"""Quarantined windows that are named one by one; of the others each scene tells how many there are."""


@dataclass(frozen=True)
class WindowFaults:
    """The windows of some scenes of which something has to be known."""

    scenes: tuple[tuple[LogitPlan, np.ndarray], ...] = ()
    """Plans, and `LogitStore.flags` of their windows; only scenes that have any."""

    @property
    def _lacking(self) -> Iterator[tuple[LogitPlan, np.ndarray]]:
        """Yield the plans that lack windows, and the places (n, 2) of those."""
        for plan, flags in self.scenes:
            places = np.argwhere(flags & QUARANTINED)
            if len(places):
                yield plan, places

    @property
    def facts(self) -> tuple[object, ...]:
        """What makes a map without these windows another one; nothing, where none is quarantined."""
        return tuple((plan.name, places.tolist()) for plan, places in self._lacking)

    @property
    def counts(self) -> dict[str, int]:
        """How many windows are quarantined, were clamped to float16, and were inferred in smaller batches."""
        kinds = {"quarantined": QUARANTINED, "clamped": Flag.CLAMPED, "smaller_batch": Flag.SMALLER_BATCH}
        return {
            name: sum(int(np.count_nonzero(flags & flag)) for _, flags in self.scenes) for name, flag in kinds.items()
        }

    def quarantined(self) -> dict[str, str]:
        """Return the quarantined windows by name, `<scene's logits>/window_r3_c7`, with the reason of each."""
        named: dict[str, str] = {}
        for plan, flags in self.scenes:
            places = np.argwhere(flags & QUARANTINED).tolist()
            room = max(0, NAMED - len(named))
            for row, col in places[:room]:
                box = plan.lattice.window(row, col)
                named[f"{plan.name}/{window_name(row, col)}"] = reason(Flag(int(flags[row, col])), box, plan.precision)
            if len(places) > room:
                more = f"{len(places) - room} more windows, not named: the array `{FLAGS}` of its logits has them"
                named[f"{plan.name}/windows"] = more
        return named

    def affected(self, grid: MapGrid, touched_by: Callable[[str], Sequence[Cell]]) -> tuple[Cell, ...]:
        """Return the cells whose pixels a quarantined window may reach, in order.

        Args:
            grid: of the map.
            touched_by: the cells of a scene, by the name of its logits.
        """
        found: set[Cell] = set()
        flags_of = {plan.name: flags for plan, flags in self.scenes}
        for plan, _ in self._lacking:
            mapping = WarpMapping(grid.pixels, plan.source.scene.grid)
            for cell in touched_by(plan.name):
                at = mapping.source_box(MapGrid.box_of(cell))
                if lacking(flags_of[plan.name], plan.lattice, at):
                    found.add(cell)
        return tuple(sorted(found))


def read_faults(storage: Storage, plans: Sequence[LogitPlan]) -> WindowFaults:
    """Ask the logit stores of some scenes.

    Args:
        storage: the run's folder.
        plans: of the scenes; a store need not exist yet.
    """

    def asked(plan: LogitPlan) -> tuple[LogitPlan, np.ndarray] | None:
        store = storage.child(f"infer/{plan.name}.zarr")
        if next(store.list(f"{FLAGS}/c"), None) is None:
            return None
        return plan, LogitStore(store.url).flags

    with ThreadPoolExecutor(THREADS, "flags") as pool:
        return WindowFaults(tuple(one for one in pool.map(asked, plans) if one is not None))


def window_name(row: int, col: int) -> str:
    """Return what a window of a lattice is called."""
    return f"window_r{row}_c{col}"


def reason(flag: Flag, box: Box, precision: str) -> str:
    """Return why a window is quarantined: its pixels, what was answered, in which number format."""
    answer = "NaN" if flag & Flag.NAN else "infinity"
    shown = "; what they were shown holds infinities" if flag & Flag.INFINITE_INPUT else ""
    return f"pixels [{box.y0}, {box.y1}) x [{box.x0}, {box.x1}): the networks answered {answer} in {precision}{shown}"


def flags_of(answer: Answer, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Flag]:
    """Return what has to be known of windows that were answered; those of which nothing has are left out.

    Args:
        answer: of the networks.
        places: `(row, col)` of each window.
    """
    found: dict[tuple[int, int], Flag] = {}
    for number, place in enumerate(places):
        flag = Flag.SMALLER_BATCH if answer.asked.batch_halved else Flag(0)
        if answer.broken[number]:
            flag |= Flag.NAN if np.isnan(answer.windows[number]).any() else Flag.INFINITE
            flag |= Flag.INFINITE_INPUT if answer.asked.infinite_input(number) else Flag(0)
        if answer.clamped[number]:
            flag |= Flag.CLAMPED
        if flag:
            found[place] = flag
    return found


def lacking(flags: np.ndarray, lattice: Lattice, at: Box) -> int:
    """Return how many quarantined windows touch a rectangle of a scene.

    Args:
        flags: `LogitStore.flags`.
        lattice: the windows.
        at: scene pixels.
    """
    return sum(bool(flags[place] & QUARANTINED) for place in lattice.touching(at))


def remarks(counts: Mapping[str, int], cells: Sequence[str] = ()) -> list[str]:
    """Return sentences for people, none where there is nothing to say.

    Args:
        counts: `WindowFaults.counts`.
        cells: of the map, that quarantined windows reach.
    """
    said = []
    if cells:
        shown = ", ".join(cells[:20]) + (f" and {len(cells) - 20} more" if len(cells) > 20 else "")
        said.append(f"{counts['quarantined']} quarantined windows are not in the map; cells that they reach: {shown}")
    if counts["clamped"]:
        said.append(f"{counts['clamped']} windows hold logits beyond float16, which were set to its largest, 65504")
    if counts["smaller_batch"]:
        said.append(
            f"memory was short: {counts['smaller_batch']} windows were inferred in smaller batches than planned, so "
            "the last bits of their logits may differ from those of a run that had enough"
        )
    return said


def cell_name(cell: Cell) -> str:
    """Return what a cell is called in records."""
    return f"r{cell.row}_c{cell.col}"
