"""Objects: which labelled estates a map finds, splits or misses, and which of its own are false or merged.

A worker tells the pieces of objects in its part of the ground (`pieces_of`); here they are stitched and judged. Every
judgement compares whole numbers of pixels, so it does not depend on how the ground was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from jobs.config import EvaluateConfig
from tiler.components import Pieces, Stitched, label, overlaps_of, stitch
from tiler.grids import Box
from tiler.labels import IGNORE

Place = Callable[[int, float, float], tuple[float, float, float | None]]
"""From part, row and column (centre of an object) to x, y and the area of a pixel there in m2; None on no map."""
SIZE_EDGES_PX = (0.0, 10.0, 100.0, 1000.0, 10000.0)
"""Lower limits of the size classes where objects have no area on Earth."""


@dataclass(frozen=True)
class ObjectRow:
    """One object."""

    kind: str
    """labelled or mapped."""
    label: str
    """Class."""
    part: int
    """Where it begins."""
    x: float
    y: float
    pixels: int
    area_ha: float | None
    """None in images, which have no place on Earth."""
    region: int
    """The region that holds most of it, -1 for none."""
    share: float
    """Of its pixels, how many the other side has as well."""
    partners: int
    """Objects of the other side that meet it: a labelled object's parts, or what a mapped object covers."""
    verdict: str
    """A labelled object is found, partly or missed; a mapped one right or false."""
    broken: bool
    """A labelled object is split, a mapped one merges several."""


def pieces_of(
    truth: np.ndarray, found: np.ndarray, labels: int, box: Box, regions: np.ndarray | None, alone: bool = False
) -> list[list[Any]]:
    """Describe the objects in a part of the ground, for each label but background.

    Args:
        truth: uint8 (y, x), `IGNORE` where pixels do not count: there are no objects there.
        found: uint8 (y, x).
        labels: how many class indices there are.
        box: where the part lies, absolute.
        regions: int (y, x) or None.
        alone: whether the part has no neighbours.

    Returns:
        Plain values: pieces and strips of the labelled, of the mapped, and their overlaps.
    """
    out = []
    for index in range(1, labels):
        layers = [label(mask)[0] for mask in (truth == index, (found == index) & (truth != IGNORE))]
        told = [Pieces.of(layer, box, regions, alone) for layer in layers]
        out.append([*([p.pieces, p.strips] for p in told), overlaps_of(*layers)])
    return out


def objects_of(
    parts: Sequence[Sequence[Sequence[Any]]], classes: Sequence[str], settings: EvaluateConfig, place: Place
) -> list[ObjectRow]:
    """Stitch the parts (each as `pieces_of` returns it) and judge every object.

    classes: names without background. Returns the objects sorted: labelled before mapped, the largest first.
    """
    rows: list[ObjectRow] = []
    for index, name in enumerate(classes):
        layers = [stitch([Pieces(*part[index][side]) for part in parts]) for side in (0, 1)]
        shared: dict[tuple[int, int], int] = {}
        for number, part in enumerate(parts):
            for a, b, pixels in part[index][2]:
                key = layers[0].owner[number, a], layers[1].owner[number, b]
                shared[key] = shared.get(key, 0) + pixels
        sizes = [_sums(layer)[:, 0] for layer in layers]
        meets: list[list[int]] = [[0] * len(sizes[0]), [0] * len(sizes[1])]
        covered: list[list[int]] = [[0] * len(sizes[0]), [0] * len(sizes[1])]
        for (a, b), pixels in shared.items():
            covered[0][a] += pixels
            covered[1][b] += pixels
            if pixels >= settings.part_from * sizes[0][a]:  # of the labelled object, on both sides
                meets[0][a] += 1
                meets[1][b] += 1
        for side, kind in enumerate(("labelled", "mapped")):
            rows += _rows(kind, name, layers[side], covered[side], meets[side], settings, place)
    return sorted(rows, key=lambda o: (o.kind, o.label, -o.pixels, o.y, o.x))


def _sums(layer: Stitched) -> np.ndarray:
    """Return int64 (object, 3): pixels, sum of rows, sum of columns."""
    out = np.zeros((len(layer), 3), np.int64)
    for (number, _), sums in layer.regions.items():
        out[number] += sums
    return out


def _rows(
    kind: str,
    name: str,
    layer: Stitched,
    covered: Sequence[int],
    meets: Sequence[int],
    settings: EvaluateConfig,
    place: Place,
) -> Iterable[ObjectRow]:
    most: dict[int, tuple[int, int]] = {}
    for (number, region), sums in sorted(layer.regions.items()):
        most[number] = max(most.get(number, (0, 0)), (int(sums[0]), -region))  # the lower region of two as large
    for number, (pixels, rows, cols) in enumerate(_sums(layer).tolist()):
        x, y, pixel_m2 = place(layer.part[number], rows / pixels + 0.5, cols / pixels + 0.5)
        share = covered[number] / pixels
        if kind == "labelled":
            verdict = "found" if share >= settings.found_from else "partly" if share >= settings.part_from else "missed"
        else:
            verdict = "right" if share >= settings.part_from else "false"
        yield ObjectRow(
            kind,
            name,
            layer.part[number],
            x,
            y,
            pixels,
            None if pixel_m2 is None else pixels * pixel_m2 / 1e4,
            -most[number][1],
            share,
            meets[number],
            verdict,
            meets[number] >= 2,
        )


def tally(objects: Iterable[ObjectRow]) -> dict[str, int | float | None]:
    """Count objects by verdict: labelled (found, partly, missed, split) and mapped (right, false, merged)."""
    rows = list(objects)
    labelled, mapped = ([o for o in rows if o.kind == kind] for kind in ("labelled", "mapped"))
    counts: dict[str, int | float | None] = {"labelled": len(labelled)}
    counts |= {v: sum(o.verdict == v for o in labelled) for v in ("found", "partly", "missed")}
    counts |= {"split": sum(o.broken for o in labelled), "mapped": len(mapped)}
    counts |= {"false": sum(o.verdict == "false" for o in mapped), "merged": sum(o.broken for o in mapped)}
    for name, some in (("labelled_ha", labelled), ("mapped_ha", mapped)):
        areas = [o.area_ha for o in some if o.area_ha is not None]
        counts |= {name: sum(areas)} if len(areas) == len(some) else {}
    counts["found_share"] = counts["found"] / len(labelled) if labelled else None  # type: ignore[operator]
    return counts


def size_names(edges: Sequence[float], unit: str = "ha") -> list[str]:
    """Return what the size classes are called."""
    closed = [f"{low:g} to {high:g} {unit}" for low, high in pairwise(edges)]
    return [*closed, f"{edges[-1]:g} {unit} and more"]


def by_size(objects: Sequence[ObjectRow], edges_ha: Sequence[float]) -> list[dict[str, Any]]:
    """Return one `tally` per size class `[low, high)`; objects below the first edge are in none.

    Where objects have no area on Earth, the classes are those of `SIZE_EDGES_PX`.
    """
    areas = [o.area_ha for o in objects if o.area_ha is not None]
    on_earth = len(areas) == len(objects)
    sizes, edges = (areas, edges_ha) if on_earth else ([float(o.pixels) for o in objects], SIZE_EDGES_PX)
    place = np.searchsorted(edges, sizes, side="right") - 1
    names = size_names(edges, "ha" if on_earth else "px")
    chosen = ([o for o, p in zip(objects, place, strict=True) if p == index] for index in range(len(names)))
    return [{"size": name, **tally(group)} for name, group in zip(names, chosen, strict=True)]


def object_columns(row: ObjectRow, regions: Sequence[str], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as a row of a file."""
    values = asdict(row)
    values["region"] = regions[row.region] if 0 <= row.region < len(regions) else ""
    values["split_or_merged"] = values.pop("broken")
    del values["part"]
    return {**more, **values}
