"""The pictures of the report page: read from the map's files at picture size, and from the run's records."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from jobs import figures
from jobs.plan import Run
from jobs.products import positive_probability
from jobs.published import current
from jobs.report import Figure
from jobs.run_map import run_map
from jobs.run_map_figure import run_map_picture
from jobs.training_figures import learning_curves
from tiler.classes import class_colors, value_names
from tiler.grids import PixelGrid
from tiler.product_specs import UNCERTAINTY
from tiler.scene_store import SceneStore
from tiler.vrt import driver_of
from tiler.warp import Mapping as PixelMapping
from tiler.warp import nearest

PICTURE_PX = 1400
"""Longest side of the pictures' rasters; the map's own overviews are read."""


@contextmanager
def _local(run: Run, key: str) -> Iterator[Path]:
    if run.storage.is_local:
        yield run.storage.path(key)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / Path(key).name
        path.write_bytes(run.storage.get(key))
        yield path


def _read_small(run: Run, name: str) -> tuple[np.ndarray, PixelGrid]:
    """Read a product at picture size, from its overviews: (band, y, x) and the grid of what was read."""
    pointer = current(run.storage)
    key = f"{pointer['folder']}/{pointer['files'][name]['href']}"
    with _local(run, key) as path, rasterio.open(path, driver=driver_of(path)) as data:
        step = max(1.0, max(data.height, data.width) / PICTURE_PX)
        height, width = math.ceil(data.height / step), math.ceil(data.width / step)
        values = data.read(out_shape=(data.count, height, width))
        a, b, c, d, e, f = tuple(data.transform)[:6]
        sx, sy = data.width / width, data.height / height
        return values, PixelGrid(data.crs.to_wkt(), (a * sx, b * sy, c, d * sx, e * sy, f), height, width)


def imagery(stores: Mapping[str, SceneStore], grid: PixelGrid) -> tuple[np.ndarray, np.ndarray]:
    """Return the scenes' quick-looks on a grid: red, green, blue (3, y, x) float32 and valid (y, x).

    A sensor without those names is shown by its first band, in grey. Where scenes overlap, the first by id shows.
    """
    rgb, valid = np.zeros((3, grid.height, grid.width), np.float32), np.zeros((grid.height, grid.width), bool)
    for _, store in sorted(stores.items()):
        image, seen, source = store.quicklook()
        names = store.sensor.bands
        chosen = (
            [names.index(n) for n in ("red", "green", "blue")] if {"red", "green", "blue"} <= set(names) else [0, 0, 0]
        )
        box = PixelMapping(source, grid).source_box(source.box)  # a scene is a small part of a country
        if box.empty:  # an area that is mapped without it
            continue
        mapping, there = PixelMapping(grid, source), box.slices
        new = nearest(mapping, box, seen, source.box, False) & ~valid[there]
        np.copyto(rgb[:, *there], nearest(mapping, box, image[chosen], source.box, 0), where=new, casting="unsafe")
        valid[there] |= new
    return rgb, valid


def page_figures(run: Run, record: Mapping[str, Any], stores: Mapping[str, SceneStore]) -> list[Figure]:
    """Return the pictures of the page: map, probabilities, time, training; those without anything to show are left out.

    Args:
        run: the run.
        record: its `run.json`.
        stores: its scenes, by id.
    """
    there = "class" in record["products"]["files"] and (run.storage.is_local or "sheets" not in record["products"])
    out = [_map_figure(run, stores)] if there else []  # the sheets of a bucket are too much to fetch for a picture
    if there and "uncertainty" in record["products"]["files"]:
        out.append(_uncertainty_figure(run))
    several = len(run.classes) > 1
    counts = np.array(record["products"]["numbers"]["probability_counts"])
    edges = np.linspace(0.0, 1.0, len(counts) + 1)
    label = "largest probability but that of background" if several else "probability"
    threshold = None if several else run.config.fuse.threshold
    picture = figures.histogram(counts, edges, label=label, threshold=threshold)
    out.append(Figure("Probabilities of all mapped pixels", "A sure map has its mass at both ends.", picture))
    seconds = {name: facts["seconds"] for name, facts in record["stages"].items()}
    if seconds:
        out.append(Figure("Time of each stage", "Wall time when the stage last had work.", figures.timing_bar(seconds)))
    work = run_map_picture(run_map(run))
    if work is not None:
        caption = "Units of work on the ground, in degrees: what was done, and what is not in the map."
        out.append(Figure("Where the work was", caption, work))
    histories = {m["name"]: [_shown(row) for row in m["history"]] for m in _histories(run) if m["history"]}
    if histories:
        out.append(Figure("Training", "By epoch.", learning_curves(histories)))
    return out


def _map_figure(run: Run, stores: Mapping[str, SceneStore]) -> Figure:
    """Imagery, probability and class; of several classes the largest probability but that of background."""
    probability, grid = _read_small(run, "probability")
    classes, _ = _read_small(run, "class")
    rgb, valid = imagery(stores, grid)
    names = value_names(run.classes)[1:]
    several = len(run.classes) > 1
    threshold = None if several else run.config.fuse.threshold
    picture = figures.side_by_side(
        figures.stretch(rgb, valid),
        positive_probability(probability) if several else probability[0],
        classes[0],
        valid,
        _extent(grid),
        class_colors=_colors(names) if several else {names[0]: figures.INDUSTRIAL},
        threshold=threshold,
    )
    largest = f"Class: the most probable one. Probability: the largest of {', '.join(names)}, background left out."
    caption = largest if several else f"Class from a probability of {threshold:g} on."
    return Figure("The map beside the imagery", caption, picture, wide=True)


def _uncertainty_figure(run: Run) -> Figure:
    bands, grid = _read_small(run, "uncertainty")
    titles = [
        f"{name.replace('_', ' ').capitalize()}, {unit}"
        for name, unit in zip(UNCERTAINTY.bands, UNCERTAINTY.band_units, strict=True)
    ]
    return Figure(
        "Where the map is unsure",
        "Entropy: however it comes. Mutual information: because networks, views or scenes contradict each other. "
        "Disagreement: between scenes; 0 where one was taken.",
        figures.planes(dict(zip(titles, bands, strict=True)), _extent(grid)),
        wide=True,
    )


def _extent(grid: PixelGrid) -> figures.Extent:
    """Return where a raster lies, for a picture."""
    crs = grid.pyproj_crs
    (left, top), (right, bottom) = (
        tuple(float(v) for v in grid.xy(np.array(r), np.array(c))) for r, c in ((0, 0), (grid.height, grid.width))
    )
    return figures.Extent(left, bottom, right, top, crs.name, "°" if crs.is_geographic else "m")


def _colors(names: Sequence[str]) -> dict[str, str]:
    """The colours of the class map's own table, as #rrggbb."""
    table = class_colors(len(names) + 1)
    return {name: "#{:02x}{:02x}{:02x}".format(*table[value][:3]) for value, name in enumerate(names, start=1)}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("epoch", "training_loss", "mIoU", "learning_rate") if key in row}


def _histories(run: Run) -> list[dict[str, Any]]:
    from cluster.storage import Storage

    found = []
    for path in run.config.models:
        storage = Storage(path)
        history = json.loads(storage.get("history.json")) if storage.exists("history.json") else []
        found.append({"name": path.rstrip("/").rsplit("/", 1)[-1], "history": history})
    return found
