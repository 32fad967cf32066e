"""What could a GEMS channel add to networks that do not see it? Figures behind the table of benchmarks/effects.py.

    python benchmarks/effects_gems.py --out runs/effects        after effects.py, with the same --out

On the tiles that effects.py judges by, for the U-Net++ of five channels of each seed: how well the resampled GEMS value
alone tells estates from confusers (area under the curve), apart for confusers that the network takes for industry; and
mIoU when a logistic regression of the network's logit and GEMS decides, fitted on labels of one half of the tiles and
judged on the other, beside one of the logit alone (which only moves the threshold).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from effects_data import CONFUSERS, KIND_NAMES

from jobs.bundles import read_bundles
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.parsing import load
from models.members import load_members
from models.metrics import scores
from tiler.tile_store import TileStore

GEMS = "gems0"
"""The channel that the recipes of six channels read."""
FIT_EVERY = 7
"""One pixel of so many is enough for three coefficients."""


def pixels_of(out: Path, seeds: list[int]) -> list[tuple[np.ndarray, ...]]:
    """Return for each tile, at its labelled pixels: logits (seed, n), GEMS (n,), industry (n,), confuser (n,)."""
    planned = plan_dataset(load(RunConfig, str(out / "SN10.yaml")))
    store = TileStore(planned.url)
    bundles = read_bundles([str(out / f"seed-{seed}/unetpp-5") for seed in seeds])
    networks = load_members(bundles, store.offered, tta="flips4", batch=1)
    kinds, found = [KIND_NAMES.index(kind) for kind in CONFUSERS], []
    for row in store.kept(planned.limit, "validation").tolist():
        tile = store.network_input(row, networks.channels)
        gems = tile[networks.channels.index(GEMS)]
        logits = networks.predict_each(tile[None])[1][:, 0, 0]
        with rasterio.open(out / "data" / "kinds" / f"{store.tiles[row]['id']}.tif") as file:
            confuser = np.isin(file.read(1), kinds)
        truth = store.read("label", row)
        known = (truth != 255) & store.read("valid", row) & np.isfinite(gems)
        found.append((logits[:, known], gems[known], truth[known] == 1, confuser[known]))
    return found


def area_under_curve(high: np.ndarray, low: np.ndarray) -> float:
    """Return how often a value of the first lies above one of the second (ties count half)."""
    _, place, count = np.unique(np.append(high, low), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def fitted(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the coefficients of a logistic regression, by Newton's method."""
    columns, weights = np.column_stack([features, np.ones(len(features))]), np.zeros(features.shape[1] + 1)
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(columns @ weights, -30, 30)))
        slope, curvature = columns.T @ (p - truth), (columns * (p * (1 - p))[:, None]).T @ columns
        weights -= np.linalg.solve(curvature + 1e-6 * np.eye(len(weights)), slope)
    return weights


def judged(tiles: list[tuple[np.ndarray, ...]], place: int, with_gems: bool) -> float:
    """Return the mIoU of a regression, each half of the tiles judged by what the other half taught."""

    def features(tile: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.column_stack([tile[0][place], tile[1]] if with_gems else [tile[0][place]]).astype(float)

    counts = np.zeros((2, 2), np.int64)
    for half in (0, 1):
        taught = tiles[half::2]
        weights = fitted(
            np.concatenate([features(t)[::FIT_EVERY] for t in taught]),
            np.concatenate([t[2][::FIT_EVERY] for t in taught]),
        )
        for tile in tiles[1 - half :: 2]:
            said = features(tile) @ weights[:-1] + weights[-1] > 0
            counts += np.bincount(tile[2] * 2 + said, minlength=4).reshape(2, 2)
    return scores(counts)["mIoU"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/effects"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    tiles = pixels_of(arguments.out.resolve(), arguments.seeds)
    gems, industry, confuser = (np.concatenate([tile[i] for tile in tiles]) for i in (1, 2, 3))
    print("| seed | AUC of GEMS, confusers taken for industry | the others | mIoU, logit | logit and GEMS |")
    print("| --- | --- | --- | --- | --- |")
    for place, seed in enumerate(arguments.seeds):
        taken = np.concatenate([tile[0][place] for tile in tiles]) > 0
        areas = [area_under_curve(gems[industry], gems[confuser & ~industry & (taken == t)]) for t in (True, False)]
        miou = [judged(tiles, place, with_gems) for with_gems in (False, True)]
        print(f"| {seed} | {areas[0]:.3f} | {areas[1]:.3f} | {miou[0]:.4f} | {miou[1]:.4f} |")


if __name__ == "__main__":
    main()
