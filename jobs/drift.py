"""Drift: has this run's ground come to look different from a reference run's, region by region?

python -m jobs.drift RUN.yaml --reference OLD.yaml
sandan drift june.yaml --reference may.yaml --region-km 50
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely

from jobs.brightness import steady_pixels
from jobs.config import RunConfig
from jobs.drift_config import DriftConfig
from jobs.parsing import load, parse
from jobs.run_embeddings import RunEmbeddings, check_comparable, read_run
from jobs.shell import DONE, INCOMPLETE
from jobs.use_files import answered, parser_of, write_summary, write_table
from models.brightness import FEWEST_DATES, FEWEST_WINDOWS, Gain, gains
from models.drift import DriftSpec, Items, RegionDrift, find_drift
from tiler.vectors import known_crs, read_vectors

EXAMPLES = """  sandan drift june.yaml --reference may.yaml
  sandan drift june.yaml --reference may.yaml --region-km 50 --rate 0.01
  sandan drift june.yaml --reference year.yaml --regions districts.gpkg --name code"""
CODES = """Thresholds come from the reference itself: how far halves of it lie apart, how bright its dates are.
Gains are judged band by band where the reference has three dates of the run's pixels; four or more find small ones.

exit codes: 0 no region drifts, 1 fault, 2 bad input (nothing written), 3 a region drifts, or none could be judged,
130 interrupted"""
NEEDED = f"{FEWEST_DATES} dates of the reference on the pixels of the run are needed, and {FEWEST_WINDOWS} windows"
WHOLE = "all"
"""Name of the region, where there is one."""


@dataclass(frozen=True)
class Compared:
    """A run beside its reference, region by region."""

    names: list[str]
    found: list[RegionDrift]
    rings: list[list[list[float]]]
    """Box around the windows of each region, longitude and latitude."""

    @property
    def drifting(self) -> list[str]:
        """Return what is said of the regions that drift."""
        return [told(name, one) for name, one in zip(self.names, self.found, strict=True) if one.drifts]

    @property
    def judged(self) -> bool:
        """Whether there is a region of which anything could be said."""
        return any(one.judged or one.drifts for one in self.found)


def compare(run: RunEmbeddings, reference: RunEmbeddings, asked: DriftConfig) -> Compared:
    """Judge a run against a reference.

    Raises:
        ValueError: they cannot be compared, or the regions lie elsewhere.
    """
    check_comparable(run, reference, "the reference")
    block_m = 1000 * asked.block_km if asked.block_km is not None else 2 * run.window_m
    names, regions = _regions((run, reference), asked)
    items = []
    for one, region in zip((run, reference), regions, strict=True):
        dates = np.unique(one.times, return_inverse=True)[1]
        items.append(Items(one.vectors, region, one.blocks(block_m), one.seen, dates).only(region >= 0))
    spec = DriftSpec(rate=asked.rate, lost_limit=asked.max_lost, resamples=asked.resamples, seed=asked.seed)
    pixels = steady_pixels(run, reference, regions[0])
    brightness = {int(r): [gain for one in pixels for gain in gains(one, int(r))] for r in np.unique(regions[0])}
    found = find_drift(items[1], items[0], spec, brightness)
    lonlat, region = np.concatenate([run.lonlat, reference.lonlat]), np.concatenate(regions)
    return Compared([names[one.region] for one in found], found, [_box(lonlat[region == one.region]) for one in found])


def _box(lonlat: np.ndarray) -> list[list[float]]:
    (west, south), (east, north) = lonlat.min(0).round(6).tolist(), lonlat.max(0).round(6).tolist()
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _regions(runs: Sequence[RunEmbeddings], asked: DriftConfig) -> tuple[list[str], list[np.ndarray]]:
    """Return names of regions, and the region of each item of each run; -1 for none."""
    if asked.regions is not None:
        return _polygons([run.lonlat for run in runs], asked)
    if asked.region_km is None:
        return [WHOLE], [np.zeros(len(run), np.int64) for run in runs]
    squares = [run.blocks(1000 * asked.region_km) for run in runs]
    lonlat = np.concatenate([run.lonlat for run in runs])
    _, which = np.unique(np.concatenate(squares), return_inverse=True)
    middles = [lonlat[which == one].mean(0) for one in range(which.max() + 1)]
    names = [f"around {lon:.2f} {lat:.2f}" for lon, lat in middles]
    return names, np.split(which, [len(runs[0])])


def _polygons(places: Sequence[np.ndarray], asked: DriftConfig) -> tuple[list[str], list[np.ndarray]]:
    wanted = asked.regions
    assert wanted is not None
    found = read_vectors("regions", wanted.file, wanted.name)
    declared = found.crs or wanted.crs
    if declared is None:
        raise ValueError(f"regions: {wanted.file} does not declare its CRS; give it with --crs, such as EPSG:4326")
    assert found.values is not None
    names = list(dict.fromkeys(str(value) for value in found.values))
    change = pyproj.Transformer.from_crs("EPSG:4326", known_crs("regions", wanted.file, declared), always_xy=True)
    tree, regions = shapely.STRtree(found.shapes), []
    for lonlat in places:
        x, y = change.transform(*lonlat.T)
        item, shape = tree.query(shapely.points(x, y), predicate="within")
        region = np.full(len(lonlat), -1, np.int64)
        region[item[::-1]] = [names.index(str(found.values[s])) for s in shape[::-1]]  # the first of several
        regions.append(region)
    if not any((region >= 0).any() for region in regions):
        raise ValueError(f"regions: no window lies in a polygon of {wanted.file}; check its CRS ({declared})")
    return names, regions


def told(name: str, one: RegionDrift) -> str:
    """Return what is said of a region, for people."""
    if not one.judged and not one.drifts:
        return f"{name}: not judged: {one.blocks} blocks of ground in common are too few"
    why = {
        "missing": f"{one.lost:.0%} of what the reference saw is missing",
        "frechet": "mean and spread of the embeddings moved",
        "mmd": "the distribution of the embeddings changed",
        "psi": "kinds of ground occur in other shares",
    }
    unknown = "" if one.gains else f" (gains not judged: {NEEDED})"
    if not one.drifts:
        return f"{name}: does not drift (p {one.corrected:.3f}){unknown}"
    return f"{name}: drifts: " + "; ".join(why.get(reason, reason) for reason in one.reasons) + unknown


def table_row(name: str, one: RegionDrift) -> dict[str, Any]:
    """Return what is said of a region as plain values."""
    numbers = dict(one.distances)
    bounds = {f"{key}_threshold": value for key, value in one.thresholds.items()}
    return {
        "region": name,
        "judged": one.judged,
        "drifts": one.drifts,
        "reasons": "; ".join(one.reasons),
        "probability": one.probability,
        "corrected": one.corrected,
        **numbers,
        **bounds,
        "lost": one.lost,
        "windows": one.items,
        "blocks": one.blocks,
        **{key: value for gain in _farthest(one.gains) for key, value in _gain_row(gain).items()},
    }


def _farthest(gains: Sequence[Gain]) -> list[Gain]:
    """Return of each band the gain of the date that lies farthest from what is usual."""
    bands = dict.fromkeys(gain.band for gain in gains)
    return [min((g for g in gains if g.band == band), key=lambda g: g.probability) for band in bands]


def _gain_row(gain: Gain) -> dict[str, Any]:
    name = f"gain_{gain.band}"
    return {
        name: gain.ratio,
        f"{name}_usual": gain.usual,
        f"{name}_probability": gain.probability,
        f"{name}_date": gain.date,
        f"{name}_dates": gain.dates,
    }


def _work(words: Sequence[str] | None) -> int:
    parser = parser_of(
        "drift", "Compare embeddings and brightness of a run with those of a reference.", EXAMPLES, CODES
    )
    parser.add_argument("--reference", metavar="OLD.yaml", required=True, help="the run to compare with, embedded too")
    parser.add_argument("--rate", type=float, default=0.05, help="false-alarm rate for the whole run (default 0.05)")
    parser.add_argument("--region-km", type=float, help="judge squares of this side apart (default: all as one region)")
    parser.add_argument("--regions", metavar="FILE", help="judge the polygons of a vector file apart")
    parser.add_argument("--name", default="name", help="field with the names of the polygons (default name)")
    parser.add_argument("--crs", help="of the polygons, where the file does not declare it")
    parser.add_argument(
        "--block-km", type=float, help="side of the pieces of ground that are drawn whole (default: two windows)"
    )
    parser.add_argument("--max-lost", type=float, default=0.25, help="share that may be missing (default 0.25)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    values: dict[str, Any] = {"rate": arguments.rate, "max_lost": arguments.max_lost, "seed": arguments.seed}
    values |= {"region_km": arguments.region_km, "block_km": arguments.block_km}
    if arguments.regions is not None:
        values["regions"] = {"file": arguments.regions, "name": arguments.name, "crs": arguments.crs}
    asked = parse(DriftConfig, values, "the command line")
    config = load(RunConfig, arguments.config, arguments.set)
    run, reference = read_run(config), read_run(load(RunConfig, arguments.reference))
    compared = compare(run, reference, asked)
    for name, one in zip(compared.names, compared.found, strict=True):
        print(told(name, one))
    out = arguments.out or f"{config.out.rstrip('/')}/drift"
    rows = [table_row(name, one) for name, one in zip(compared.names, compared.found, strict=True)]
    write_table(out, "drift", rows, compared.rings)
    facts = {"reference": arguments.reference, "embedder": run.card, "asked": asked.model_dump()}
    write_summary(out, "drift", facts | {"regions": rows})
    print(f"{out}/drift.csv")
    return DONE if compared.judged and not compared.drifting else INCOMPLETE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return answered("drift", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
