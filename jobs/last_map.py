"""What a map is beside the one that was published before it in the same folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jobs.map_changes import PublishedMap, compare
from jobs.plan import Run
from jobs.report import Table
from tiler.stores import is_complete

KEPT = ("key", "map", "threshold", "published", "numbers")
"""What the pointer of a map keeps of the one before."""


def last_map(pointer: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """Return what is known of the map that was published before the one of this key; None for the first.

    Args:
        pointer: as it is before the new map is switched to; a map that is written once more keeps its predecessor.
        key: of the new one.
    """
    if pointer.get("key") == key:
        return pointer.get("last")
    return {name: pointer[name] for name in KEPT if name in pointer} if pointer else None


def changed_since(run: Run, last: Mapping[str, Any] | None, name: str) -> dict[str, Any] | None:
    """Count how a map differs from the last one.

    Args:
        run: whose map it is.
        last: of `last_map`.
        name: of the map store.

    Returns:
        The numbers of `MapChange`; None where the last map's store is gone, or of another grid or other classes.
    """
    if last is None or "map" not in last or not is_complete(run.url("mosaic", last["map"])):
        return None
    before = PublishedMap(run.storage, last["map"], last["threshold"])
    change = compare(before, PublishedMap(run.storage, name, run.config.fuse.threshold))
    return None if change is None else asdict(change)


def last_map_table(products: Mapping[str, Any]) -> list[Table]:
    """Return the table that sets a map beside the last one; none for the first map of a folder.

    Args:
        products: what the pointer says.
    """
    last, now = products.get("last"), products["numbers"]
    if not last or "numbers" not in last:
        return []
    then = last["numbers"]
    rows: list[tuple[object, ...]] = []
    if now["pixel_area_m2"] and then["pixel_area_m2"]:
        for label, name in (("mapped, km²", "seen_px"), ("of the class, km²", "positive_px")):
            areas = [numbers[name] * numbers["pixel_area_m2"] / 1e6 for numbers in (then, now)]
            rows.append((label, *areas, areas[1] - areas[0]))
    shares = [numbers["positive_px"] / max(1, numbers["seen_px"]) for numbers in (then, now)]
    rows.append(("share of the class", *shares, shares[1] - shares[0]))
    for kind, label in (("window", "seam index of windows"), ("cell", "seam index of cells")):
        found = [(numbers.get("seams") or {}).get(kind) for numbers in (then, now)]
        if any(found):
            rows.append((label, *(one and one["index"] for one in found), None))
    change = products.get("change")
    if change:
        unit = (now["pixel_area_m2"] or 0) / 1e6
        for label, name in (("gained", "gained_px"), ("lost", "lost_px")):
            rows.append((f"{label}, km²" if unit else f"{label}, pixels", None, change[name] * (unit or 1), None))
    told = f"The map of {last.get('published', 'an earlier run')} ({last['key']}) beside this one."
    told += (
        " Gained and lost: of any class, on ground that both saw."
        if change
        else " What was gained and lost is not known: the last map's pixels are gone, or of another grid."
    )
    return [Table("Since the last map", told, ("", "then", "now", "difference"), rows)]
