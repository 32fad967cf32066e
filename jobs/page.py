"""The report page of a run: gathers pictures and tables from what the run left in its folder."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml

from jobs import figures
from jobs.estimate import format_bytes
from jobs.plan import Run
from jobs.report import Figure, ReportFacts, Table, render_report
from tiler.grids import PixelGrid
from tiler.scene_store import SceneStore
from tiler.warp import Mapping as PixelMapping
from tiler.warp import nearest

PICTURE_PX = 1400
"""Longest side of the pictures' rasters; the map's own overviews are read."""


def write_page(run: Run, record: Mapping[str, Any]) -> None:
    """Write `OUT/report.html` from `run.json`, the map's files, the scenes' quality and the evaluation, if any."""
    evaluation = None
    if run.storage.exists("evaluation.json"):
        found = json.loads(run.storage.get("evaluation.json"))
        judged = record["map"]["key"], record["config"]["fuse"]["threshold"]
        evaluation = found if (found["map"], found["threshold"]) == judged else None  # else it is of another map
    stores = {s["id"]: SceneStore(run.url("ingest", s["store"])) for s in record["scenes"]}
    facts = ReportFacts(
        title=f"Map of {', '.join(run.classes)} areas",
        run_id=Path(run.config.out).name or run.config.out,
        created=str(record["created"]),
        description=(
            "Each window of each scene was seen by every network in every view; logits were averaged, blended on the "
            "scene's own pixels, warped to the map grid and fused. Missing pixels are missing in the map, never zero."
        ),
        summary=_summary(record, evaluation),
        warnings=[f"{unit}: {error}" for unit, error in record["quarantined"].items()],
        figures=_figures(run, record, stores),
        quality=[_quality(stores), _bands(stores)],
        evaluation=[] if evaluation is None else [_evaluation(evaluation)],
        models=[_models(record)],
        timings=[_timings(record)],
        config_yaml=yaml.safe_dump(record["config"], sort_keys=False, allow_unicode=True),
        provenance={
            "map": record["map"]["key"],
            "code": record["git_commit"] or "unknown",
            **record["versions"],
            **{f"bundle {m['name']}": m["digest"] for m in record["models"]},
            **{f"scene {s['id']}": s["fingerprint"] for s in record["scenes"]},
        },
    )
    run.storage.put("report.html", render_report(facts).encode())


def _summary(record: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> list[tuple[str, object]]:
    numbers = record["products"]["numbers"]
    rows: list[tuple[str, object]] = [("scenes", len(record["scenes"])), ("networks", len(record["models"]))]
    if numbers["pixel_area_m2"]:
        rows.append(("mapped, km²", numbers["seen_px"] * numbers["pixel_area_m2"] / 1e6))
        rows.append(("of the class, km²", numbers["positive_px"] * numbers["pixel_area_m2"] / 1e6))
    if numbers["seen_px"]:
        rows.append(("share of the class", numbers["positive_px"] / numbers["seen_px"]))
    if evaluation is not None:
        rows.append(("mIoU on held-back blocks", evaluation["rows"][0]["mIoU"]))
    return rows


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
    """Read a product at picture size, from its overviews: (y, x) and the grid of what was read."""
    with _local(run, f"map/{name}.tif") as path, rasterio.open(path, driver="GTiff") as data:
        step = max(1.0, max(data.height, data.width) / PICTURE_PX)
        height, width = math.ceil(data.height / step), math.ceil(data.width / step)
        values = data.read(1, out_shape=(height, width))
        a, b, c, d, e, f = tuple(data.transform)[:6]
        sx, sy = data.width / width, data.height / height
        return values, PixelGrid(data.crs.to_wkt(), (a * sx, b * sy, c, d * sx, e * sy, f), height, width)


def imagery(stores: Mapping[str, SceneStore], grid: PixelGrid) -> tuple[np.ndarray, np.ndarray]:
    """Return the scenes' quick-looks on a grid: red, green, blue (3, y, x) float32 and valid (y, x).

    A sensor without those names gives its first three bands. Where scenes overlap, the first by id shows.
    """
    rgb, valid = np.zeros((3, grid.height, grid.width), np.float32), np.zeros((grid.height, grid.width), bool)
    for _, store in sorted(stores.items()):
        image, seen, source = store.quicklook()
        names = store.sensor.bands
        chosen = (
            [names.index(n) for n in ("red", "green", "blue")] if {"red", "green", "blue"} <= set(names) else [0, 0, 0]
        )
        mapping = PixelMapping(grid, source)
        new = nearest(mapping, grid.box, seen, source.box, False) & ~valid
        for channel, place in enumerate(chosen):
            values = nearest(mapping, grid.box, image[place], source.box, 0)
            rgb[channel][new] = values[new]
        valid |= new
    return rgb, valid


def _figures(run: Run, record: Mapping[str, Any], stores: Mapping[str, SceneStore]) -> list[Figure]:
    out = []
    threshold = run.config.fuse.threshold
    if record["products"]["files"]:
        probability, grid = _read_small(run, "probability")
        classes, _ = _read_small(run, "class")
        rgb, valid = imagery(stores, grid)
        crs = grid.pyproj_crs
        (left, top), (right, bottom) = (
            tuple(float(v) for v in grid.xy(np.array(r), np.array(c))) for r, c in ((0, 0), (grid.height, grid.width))
        )
        extent = figures.Extent(left, bottom, right, top, crs.name, "°" if crs.is_geographic else "m")
        picture = figures.side_by_side(
            figures.stretch(rgb, valid),
            probability,
            classes,
            valid,
            extent,
            class_name=run.classes[0],
            threshold=threshold,
        )
        out.append(Figure("The map beside the imagery", f"Class from a probability of {threshold:g} on.", picture))
    counts = np.array(record["products"]["numbers"]["probability_counts"])
    edges = np.linspace(0.0, 1.0, len(counts) + 1)
    picture = figures.histogram(counts, edges, label="probability", threshold=threshold)
    out.append(Figure("Probabilities of all mapped pixels", "A sure map has its mass at both ends.", picture))
    seconds = {name: facts["seconds"] for name, facts in record["stages"].items()}
    if seconds:
        out.append(Figure("Time of each stage", "Wall time when the stage last had work.", figures.timing_bar(seconds)))
    histories = {m["name"]: [_shown(row) for row in m["history"]] for m in _histories(run) if m["history"]}
    if histories:
        out.append(Figure("Training", "By epoch.", figures.learning_curves(histories)))
    return out


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


def _quality(stores: Mapping[str, SceneStore]) -> Table:
    rows = []
    for name, store in sorted(stores.items()):
        q, coverage = store.quality, store.quality["coverage"] or {}
        rows.append(
            (
                name,
                store.acquired.date().isoformat() if store.acquired else None,
                f"{store.grid.height} × {store.grid.width}",
                q["missing_ratio"],
                q["missing_ratio_3_patches"],
                coverage.get("ratio"),
            )
        )
    header = ("scene", "acquired", "pixels", "missing ratio", "3-patch estimate", "label coverage")
    caption = "Missing pixels over all pixels, exact and estimated from three patches; labelled pixels of the class."
    return Table("Scenes", caption, header, rows)


def _bands(stores: Mapping[str, SceneStore]) -> Table:
    rows = [
        (name, band["name"], band["minimum"], band["median"], band["mean"], band["standard_deviation"], band["maximum"])
        for name, store in sorted(stores.items())
        for band in store.quality["bands"]
    ]
    header = ("scene", "band", "minimum", "median", "mean", "standard deviation", "maximum")
    return Table("Bands", "Digital numbers of valid pixels.", header, rows)


def _evaluation(evaluation: Mapping[str, Any]) -> Table:
    rows = [(r["name"], *(r[c] for c in evaluation["columns"])) for r in evaluation["rows"]]
    return Table("Held-back blocks", str(evaluation["definition"]), ("map", *evaluation["columns"]), rows)


def _models(record: Mapping[str, Any]) -> Table:
    rows = [
        (m["name"], m["architecture"], m["encoder"], ", ".join(m["channels"]), m["weights"], m["metrics"].get("mIoU"))
        for m in record["models"]
    ]
    header = ("name", "architecture", "encoder", "channels", "started from", "own mIoU")
    return Table("Bundles", "Own mIoU: of the single network and one view, on held-back tiles.", header, rows)


def _timings(record: Mapping[str, Any]) -> Table:
    rows = [
        (
            name,
            facts["seconds"],
            facts.get("units"),
            format_bytes(facts["bytes_written"]) if "bytes_written" in facts else None,
            format_bytes(facts["peak_memory_bytes"]) if facts.get("peak_memory_bytes") else None,
        )
        for name, facts in record["stages"].items()
    ]
    caption = "When the stage last had work to do; peak memory is of its largest worker."
    return Table("Stages", caption, ("stage", "seconds", "units", "written", "peak memory"), rows)
