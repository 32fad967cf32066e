"""Drift on the synthetic country: what is planted in the west of a new date, or everywhere, and the alarms."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import zarr
from uses_data import DATES, NOW, Alter, Embedding, World, window_of

from jobs.brightness import steady_pixels
from jobs.config import RegionsConfig
from jobs.drift import Compared, compare
from jobs.drift_config import DriftConfig
from jobs.run_embeddings import RunEmbeddings
from models.brightness import gains
from tiler.quicklook import quicklook_step
from tiler.scene_store import SceneStore

GAINS = (0.9, 1.02, 1.05, 1.1, 1.25)
FEWER = (3, 4, 6)
"""Dates of the reference, the latest ones, beside all eight."""
SQUARES_KM = (25.0, 12.5)
"""Of regions that gains are judged in."""
Row = dict[str, Any]


def _gain(factor: float) -> Alter:
    return lambda image, valid, rows: (image * factor, valid)


PLANTED: dict[str, Alter] = {
    "haze 0.25": lambda image, valid, rows: (0.75 * image + 0.25 * 3000, valid),
    "half missing": lambda image, valid, rows: (image, valid & ((rows % 2 == 0)[:, None, None])),
    **{f"gain {factor:g}": _gain(factor) for factor in GAINS},
}


def repainted(run: RunEmbeddings, rows: np.ndarray, alter: Alter, folder: Path) -> tuple[str, ...]:
    """Copy the store of a scene and alter the pixels of some of its windows; return the addresses of a run's stores."""
    (source,) = np.unique(run.source[rows]).tolist()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run.ingested[source], folder)
    group = zarr.open_group(str(folder), mode="r+")
    image, valid = (np.asarray(group[name][...]) for name in ("image", "valid"))
    for row in rows.tolist():
        window, seen = alter(*(part[None] for part in window_of(run, row)), np.array([row]))
        down, along = run.box(row).slices
        image[:, down, along] = window[0].round().clip(0, 65535)
        valid[down, along] = seen[0]
    step = quicklook_step(SceneStore(str(folder)).grid)
    small = {"quality/quicklook": image[:, ::step, ::step], "quality/quicklook_valid": valid[::step, ::step]}
    for name, array in {"image": image, "valid": valid, **small}.items():
        group[name][...] = array
    return tuple(str(folder) if number == source else url for number, url in enumerate(run.ingested))


def told(compared: Compared) -> Row:
    """Return which regions drift, why, and how bright all are."""
    both = list(zip(compared.names, compared.found, strict=True))
    return {
        "drifting": [name for name, one in both if one.drifts],
        "reasons": {name: list(one.reasons) for name, one in both if one.drifts},
        "gains": {name: {gain.band: round(gain.ratio, 3) for gain in one.gains} for name, one in both},
    }


def drift_rows(world: World, embedding: Embedding, run: RunEmbeddings) -> list[Row]:
    """Judge a new date against eight earlier ones, as it is and with something planted; then each date as it is."""
    dates = run.times.astype("datetime64[D]").astype(str)
    middle = float(np.median(run.lonlat[:, 0]))
    halves = {"west": shapely.box(110, 20, middle, 50), "east": shapely.box(middle, 20, 145, 50)}
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": shapely.geometry.mapping(shape)}
        for name, shape in halves.items()
    ]
    path = world.folder / "halves.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    asked = {"halves": DriftConfig(regions=RegionsConfig(file=str(path), name="name")), "whole": DriftConfig()}
    reference, now = run.only(dates != NOW), dates == NOW
    places = {"west": np.flatnonzero(now & (run.lonlat[:, 0] < middle)), "everywhere": np.flatnonzero(now)}
    first = {"embedding": embedding.name}
    rows = [{**first, "planted": "nothing", **told(compare(run.only(now), reference, asked["halves"]))}]
    folder = world.folder / "altered"
    for name, alter in PLANTED.items():
        for where, some in places.items():
            if where == "everywhere" and not name.startswith("gain"):
                continue
            seen = replace(embedding.altered(run, some, alter), ingested=repainted(run, some, alter, folder))
            regions, new = asked["halves" if where == "west" else "whole"], seen.only(now)
            row = {**first, "planted": name, "where": where, **told(compare(new, reference, regions))}
            if name.startswith("gain"):
                fewer = {count: compare(new, run.only(np.isin(dates, DATES[-count:])), regions) for count in FEWER}
                row["drifting by dates of the reference"] = {str(n): told(one)["drifting"] for n, one in fewer.items()}
            rows.append(row)
    shutil.rmtree(folder)
    alarms: Row = {}
    for label, settings in asked.items():
        found = {day: told(compare(run.only(dates == day), run.only(dates != day), settings)) for day in (*DATES, NOW)}
        alarms[f"false alarms, {label}"] = sum(bool(one["drifting"]) for one in found.values())
        alarms[f"reasons, {label}"] = {day: one["reasons"] for day, one in found.items() if one["drifting"]}
    return [*rows, {**first, "planted": "controls", "dates": len(DATES) + 1, **alarms}]


def gain_rows(run: RunEmbeddings, rate: float = 0.05) -> list[Row]:
    """Judge each date against the others by gains alone, in regions of several sizes, at half of a rate as drift does.

    Returns:
        For each size: dates with a false alarm; the share of all bands, regions and dates with a probability of at most
        `rate`; and the share of all regions at all dates that would be flagged with a gain.
    """
    dates = run.times.astype("datetime64[D]").astype(str)
    east = run.lonlat[:, 0] > np.median(run.lonlat[:, 0])
    squares = {f"squares of {km:g} km": np.unique(run.blocks(1000 * km), return_inverse=True)[1] for km in SQUARES_KM}
    sizes = {"whole": np.zeros(len(run), np.int64), "halves": east.astype(np.int64), **squares}
    days = np.unique(dates).tolist()
    pixels = {}
    for day in days:
        now = run.only(dates == day)
        (pixels[day],) = steady_pixels(now, run.only(dates != day), np.arange(len(now)))
    rows = []
    for name, region in sizes.items():
        regions, alarms, small = np.unique(region), 0, []
        hits = dict.fromkeys(GAINS, 0)
        for day, steady in pixels.items():
            here = replace(steady, region=region[dates == day][steady.region])
            bound = rate / (2 * len(regions) * len(steady.bands))
            found = [gain.probability for one in regions.tolist() for gain in gains(here, one)]
            alarms += bool(min(found, default=1.0) <= bound)
            small += [probability <= rate for probability in found]
            for factor in GAINS:
                moved = steady.moved.copy()
                moved[:, 0] += np.log(factor)  # tests say that a gain changes nothing else
                brighter = replace(here, moved=moved)
                hits[factor] += sum(any(g.probability <= bound for g in gains(brighter, r)) for r in regions.tolist())
        tried = len(regions) * len(days)
        rows.append({"regions": name, "number": len(regions), "dates": len(days), "dates with a false alarm": alarms}
                    | {f"probability <= {rate:g}": round(float(np.mean(small)), 3), "judged": len(small)}
                    | {f"found, gain {factor:g}": round(hits[factor] / tried, 3) for factor in GAINS})  # fmt: skip
    return rows
