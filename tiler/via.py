"""Annotations of the VGG Image Annotator (VIA): regions of an image with attributes, drawn as masks.

A coordinate names the middle of a pixel, as VIA's own viewers draw it. A pixel is of a region if its middle is inside;
a region that holds no middle, such as a hair-thin one, gets the pixels that it touches, so that none vanishes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Region = tuple[dict[str, Any], dict[str, Any]]
"""Shape attributes and region attributes."""
CORNERS = 72
"""Of the polygon that stands for a circle or an ellipse."""
LARGEST_BYTES = 2**30
"""Of a file of annotations."""


def read_via(path: str) -> dict[str, tuple[Region, ...]]:
    """Return the regions of each file name: of a project or of exported annotations, of VIA 1 or 2.

    Raises:
        ValueError: no such file, or no annotations of VIA.
    """
    place = Path(path)
    if not place.is_file():
        raise ValueError(f"masks.file: {path} does not exist; give the JSON of VIA")
    if place.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"masks.file: {path} has more than {LARGEST_BYTES} bytes; split it")
    try:
        told = json.loads(place.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"masks.file: {path} is no JSON ({error}); export the annotations again") from error
    if isinstance(told, dict):
        told = told.get("_via_img_metadata", told)
    records = list(told.values()) if isinstance(told, dict) else told
    if not isinstance(records, list) or not records or not all(_is_record(r) for r in records):
        raise ValueError(f"masks.file: {path} holds no annotations of VIA (filename and regions of each image)")
    found: dict[str, tuple[Region, ...]] = {}
    for record in records:
        regions = record["regions"] or ()
        some = list(regions.values() if isinstance(regions, dict) else regions)
        if not all(isinstance(r, dict) for r in some):
            raise ValueError(f"masks.file: {path}: a region of {record['filename']!r} is no mapping; export it again")
        pairs = [(r.get("shape_attributes") or {}, r.get("region_attributes") or {}) for r in some]
        found[record["filename"]] = (*found.get(record["filename"], ()), *pairs)
    return found


def _is_record(record: object) -> bool:
    return isinstance(record, dict) and isinstance(record.get("filename"), str) and "regions" in record


def value_of(region: Region, attribute: str) -> str:
    """Return the value of an attribute of a region; of checkboxes the one that is ticked, "" for none or several."""
    value = region[1].get(attribute, "") if isinstance(region[1], Mapping) else ""
    if isinstance(value, Mapping):
        ticked = [str(name) for name, on in value.items() if on]
        return ticked[0] if len(ticked) == 1 else ""
    return str(value).strip()


def counted(annotations: Mapping[str, Sequence[Region]], attribute: str) -> Counter[str]:
    """Return how many regions have each value of an attribute."""
    return Counter(value_of(region, attribute) for regions in annotations.values() for region in regions)


def drawn(regions: Sequence[Region], attribute: str, classes: Mapping[str, int], height: int, width: int) -> np.ndarray:
    """Draw regions as a mask: uint8 (y, x), 0 where no region of `classes` is; later regions lie over earlier ones.

    Raises:
        ValueError: a region has no shape that VIA knows, or coordinates that are no numbers.
    """
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    label = np.zeros((height, width), np.uint8)
    middle = Affine.translation(-0.5, -0.5)
    for region in regions:
        index = classes.get(value_of(region, attribute))
        if index is None:
            continue
        shape = _geometry(region[0])
        one = {"out_shape": (height, width), "transform": middle, "fill": 0, "dtype": "uint8"}
        inside = rasterize([(shape, 1)], **one) if shape["type"] == "Polygon" else np.zeros_like(label)
        if not inside.any():
            inside = rasterize([(shape, 1)], all_touched=True, **one)
        label[inside == 1] = index
    return label


def _geometry(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return a shape of VIA as GeoJSON in pixels."""
    kind = shape.get("name")
    try:
        if kind in ("polygon", "polyline"):
            xs, ys = (_numbers(shape[key]) for key in ("all_points_x", "all_points_y"))
            points = list(zip(xs, ys, strict=True))
            if kind == "polygon" and len(set(points)) >= 3:
                return _polygon(points)
            return {"type": "LineString", "coordinates": points} if len(points) > 1 else _point(points[0])
        if kind == "rect":
            x, y, width, height = _numbers([shape[key] for key in ("x", "y", "width", "height")])
            return _polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
        if kind in ("circle", "ellipse"):
            radii = ("r", "r") if kind == "circle" else ("rx", "ry")
            cx, cy, rx, ry = _numbers([shape["cx"], shape["cy"], *(shape[key] for key in radii)])
            (turn,) = _numbers([shape.get("theta", 0.0)])
            return _polygon([_on_ellipse(cx, cy, rx, ry, turn, 2 * math.pi * i / CORNERS) for i in range(CORNERS)])
        if kind == "point":
            x, y = _numbers([shape["cx"], shape["cy"]])
            return _point((x, y))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"a {kind} of VIA cannot be drawn: {error!r}; correct the annotation") from error
    raise ValueError(f"VIA knows no shape {kind!r}; known are polygon, polyline, rect, circle, ellipse, point")


def _on_ellipse(cx: float, cy: float, rx: float, ry: float, turn: float, at: float) -> tuple[float, float]:
    x, y = rx * math.cos(at), ry * math.sin(at)
    return cx + x * math.cos(turn) - y * math.sin(turn), cy + x * math.sin(turn) + y * math.cos(turn)


def _polygon(points: list[tuple[float, float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


def _point(point: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Point", "coordinates": point}


def _numbers(values: Sequence[Any]) -> list[float]:
    numbers = [float(value) for value in values]
    if not all(math.isfinite(n) and abs(n) < 1e6 for n in numbers):
        raise ValueError("a coordinate is no number of pixels")
    return numbers
