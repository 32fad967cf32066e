"""How well cleaning finds spoilt windows of a synthetic country, beside thresholds that anybody would try first.

python -m benchmarks.curation_map OUT --windows 256 --share 0.1 --seeds 1,2,3 --json curation_map.json

A scene of windows that are each of their own weather: cloud, haze, holes and another sensor's numbers are planted in
some (tiler/synthetic/spoilt.py). `sandan curate clean` clusters all of them; thresholds are of the mean pixel and of
the missing ratio.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml

from jobs import curate
from tiler.grids import Box
from tiler.synthetic import Acquisition, Country, grid_over
from tiler.synthetic.render import render
from tiler.synthetic.spoilt import KINDS, spoiling_of

SIDE_PX = 256
DAY = date(2024, 5, 1)
WEST, SOUTH = 126.9, 36.5
ROUNDS = (("chosen",) * 3, ("dark_objects", "pca"), ("dark_objects", "chosen"))
"""Of cleaning by rule, each of what the last one kept; the reducer of each."""


country_of = lru_cache(maxsize=1)(Country)


def draw(task: tuple[int, int, int, float]) -> tuple[np.ndarray, np.ndarray, str]:
    """Return a window: image uint16 (4, y, x), whether it is industrial (y, x), and what spoils it ("" for nothing)."""
    seed, number, across, share = task
    country, spoiling = country_of(seed), spoiling_of(seed, number + 1, share)
    grid = grid_over((WEST, SOUTH, WEST + 1, SOUTH + 1), "SN10", "EPSG:32652")
    how = Acquisition("SN10", DAY)
    row, col = divmod(number, across)
    box = Box(row * SIDE_PX, col * SIDE_PX, (row + 1) * SIDE_PX, (col + 1) * SIDE_PX)
    drawn = render(country, grid, how if spoiling is None else spoiling.weather(how), box)
    image = drawn.image if spoiling is None else spoiling.spoil(drawn.image)
    return image, drawn.truth, "" if spoiling is None else spoiling.kind


def write(out: Path, seed: int, windows: int, share: float) -> tuple[str, np.ndarray]:
    """Write the scene, its labels and a run; return the run's file, and what spoils each window."""
    across = math.ceil(math.sqrt(windows))
    tasks = [(seed, number, across, share) for number in range(across * (windows // across))]
    down = len(tasks) // across
    shape = down * SIDE_PX, across * SIDE_PX
    image, truth = np.zeros((4, *shape), np.uint16), np.zeros(shape, np.uint8)
    kinds = []
    with ProcessPoolExecutor(2) as pool:
        for number, (pixels, industrial, kind) in enumerate(pool.map(draw, tasks, chunksize=8)):
            row, col = divmod(number, across)
            part = slice(row * SIDE_PX, (row + 1) * SIDE_PX), slice(col * SIDE_PX, (col + 1) * SIDE_PX)
            image[:, *part], truth[part] = pixels, industrial
            kinds.append(kind)
    grid = grid_over((WEST, SOUTH, WEST + 1, SOUTH + 1), "SN10", "EPSG:32652")
    out.mkdir(parents=True, exist_ok=True)
    for name, array, nodata in (("scene", image, 0), ("label", truth[None], None)):
        form = {"driver": "GTiff", "dtype": array.dtype, "compress": "deflate", "tiled": True, "nodata": nodata}
        size = {"count": len(array), "height": shape[0], "width": shape[1]}
        with rasterio.open(out / f"{name}.tif", "w", **form, **size, crs=grid.crs, transform=grid.affine) as file:
            file.write(array)
    run = {
        "out": str(out / "run"),
        "scenes": [{"id": "country", "files": str(out / "scene.tif"), "acquired": DAY}],
        "labels": {"files": str(out / "label.tif"), "codes": {1: 1}},
        "infer": {"tile_px": SIDE_PX},
        "engine": {"kind": "serial"},
    }
    path = out / "run.yaml"
    path.write_text(yaml.safe_dump(run))
    return str(path), np.array(kinds)


def scores(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return precision, recall and F1 of bool (n,) against bool (n,)."""
    right = int((found & truth).sum())
    precision, recall = right / max(1, int(found.sum())), right / max(1, int(truth.sum()))
    return {"precision": precision, "recall": recall, "f1": 2 * right / max(1, int(found.sum() + truth.sum()))}


def best_threshold(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return what the threshold from above finds that has the best F1 of all, known truth in hand."""
    cuts = np.unique(values[~np.isnan(values)])
    return values >= max(cuts, key=lambda cut: scores(values >= cut, truth)["f1"])


def measure(path: str, kinds: np.ndarray, clusters: int) -> dict[str, Any]:
    """Clean, and score what suspect clusters, all but the largest cluster, filters and thresholds find."""
    out = Path(path).parent / "run/curation"
    curate.main(["report", path])
    assert curate.main(["clean", path, "--clusters", str(clusters), "--on", "all"]) == 0
    told = json.loads((out / "clean/clean.json").read_text())
    with (out / "frame.csv").open(newline="") as file:
        frame = list(csv.DictReader(file))
    names = [row["name"] for row in frame]
    wanted = ("pixel", "missing_ratio", "outlier_score")
    column = {name: np.array([float(row[name] or "nan") for row in frame]) for name in wanted}
    with (out / "clean/clusters.csv").open(newline="") as file:
        of = {row["id"]: row for row in csv.DictReader(file)}
    clusterings = {
        row["reducer"]: np.array([int(of[name][row["reducer"]]) if name in of else -1 for name in names])
        for row in told["scores"]
    }
    cluster = clusterings[told["chosen"]]
    spoilt, missing = kinds != "", column["missing_ratio"] > 0.3
    rules = {
        "everything": np.ones(len(kinds), bool),
        "missing ratio above 0.3": missing,
        "mean pixel, best threshold": best_threshold(column["pixel"], spoilt),
        "mean pixel, best threshold, or missing ratio": best_threshold(column["pixel"], spoilt) | missing,
        "suspect cluster": cluster == told["suspect"],
        "suspect cluster or missing ratio": (cluster == told["suspect"]) | missing,
        "all but the largest cluster, or missing ratio": (cluster > 0) | missing,
        **{
            f"suspect cluster of {row['reducer']}, or missing ratio": (clusterings[row["reducer"]] == row["suspect"])
            | missing
            for row in told["scores"]
        },
        "outlier score above 3.5, or missing ratio": (column["outlier_score"] > 3.5) | missing,
    }
    table = {
        name: scores(found, spoilt) | {kind: float(found[kinds == kind].mean()) for kind in KINDS}
        for name, found in rules.items()
    }
    return {
        "clusters": clusters,
        "chosen": told["chosen"],
        "sizes": np.bincount(cluster[cluster >= 0]).tolist(),
        "rules": table,
    }


def again(path: str, kinds: np.ndarray, rounds: list[str]) -> list[dict[str, float]]:
    """Filter, then clean by rule and apply, again and again; score what is left out after each round.

    Args:
        path: of the run.
        kinds: what spoils each window.
        rounds: the reducer of each; "chosen" takes the chosen one.
    """
    out = Path(path).parent / "run/curation"
    with (out / "frame.csv").open(newline="") as file:
        names = np.array([row["name"] for row in csv.DictReader(file)])
    for folder in out.glob("0*"):
        shutil.rmtree(folder)
    (out / "kept.csv").unlink(missing_ok=True)
    table = []
    for verb in (
        ["filter"],
        *(["clean", "--by", "rule", *([] if one == "chosen" else ["--reducer", one])] for one in rounds),
    ):
        assert curate.main([verb[0], path, *verb[1:]]) == curate.main(["apply", path]) == 0
        with (out / "kept.csv").open(newline="") as file:
            gone = ~np.isin(names, [row["id"] for row in csv.DictReader(file)])
        table.append(scores(gone, kinds != "") | {kind: float(gone[kinds == kind].mean()) for kind in KINDS})
    return table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--windows", type=int, default=400)
    parser.add_argument("--share", type=float, default=0.1, help="of windows that are spoilt")
    parser.add_argument("--seeds", default="1", help="of countries, comma-separated")
    parser.add_argument("--clusters", default="2,4,6", help="how many, comma-separated")
    parser.add_argument("--json", type=Path, help="where the figures go")
    arguments = parser.parse_args()
    told = []
    for seed in map(int, arguments.seeds.split(",")):
        path, kinds = write(arguments.out / str(seed), seed, arguments.windows, arguments.share)
        facts = {"seed": seed, "windows": len(kinds), "spoilt": {one: int((kinds == one).sum()) for one in KINDS}}
        found = [measure(path, kinds, int(k)) for k in arguments.clusters.split(",")]
        rounds = {", ".join(["filter", *names]): again(path, kinds, [*names]) for names in ROUNDS}
        told.append(facts | {"found": found, "rounds": rounds})
        print(f"\nseed {seed}: {facts}")
        for one in found:
            print(f"\n{one['clusters']} clusters, {one['chosen']}, sizes {one['sizes']}")
            for name, row in one["rules"].items():
                print(f"{name:48}" + "".join(f" {key} {value:.2f}" for key, value in row.items()))
        for name, table in rounds.items():
            for number, row in enumerate(table):
                print(f"{name}: {number:<12}" + "".join(f" {key} {value:.2f}" for key, value in row.items()))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
