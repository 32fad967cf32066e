"""Do the effects that the industrial document claims appear on the synthetic country?

    python benchmarks/effects.py --seeds 0 1 2          trains and judges what is not done yet, then prints the table
    python benchmarks/effects.py --seeds 1 --no-table   one seed alone, for example beside another on other cores

At the scale `small` of `sandan reproduce`, for each seed of the networks: U-Net++ and DeepLabV3+ with 5 and 6 channels
(the sixth is GEMS), DeepLabV3+ from LS30 and from scratch on a tenth of the labels and from scratch on all of them (all
three scaled by valid range, as LS30 is), and DeepLabV3+ on 2 workers instead of 1. Judged on tiles of another part of
the country with exact labels: every network alone, their ensemble, one view and four, those with GEMS also without it
("deaf"); and apart on the pixels of what only looks like industry. Per seed, intervals are by bootstrap over tiles;
over seeds, they are Student's t of the mean.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from effects_data import COARSE_PX, CONFUSERS, KIND_NAMES, SIDE_PX, write_tiles

from jobs.bundles import read_bundles
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.industrial import RECIPES, SCALES
from jobs.parsing import load
from jobs.recipe_config import RecipeConfig
from jobs.train import plan_train
from models.bootstrap import block_bootstrap
from models.members import load_members
from models.metrics import scores
from tiler.tile_store import TileStore

MAIN = ("unetpp-5", "deeplab-5", "unetpp-6", "deeplab-6")
SIX = ("unetpp-6", "deeplab-6")
SMALL = SCALES["small"]
RANGE = {"data.scaling": "range"}
TENTH = RANGE | {"data.sampling.label_fraction": 0.1}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    # name: (shipped recipe, what is changed)
    "unetpp-5": ("unetpp-5", {}),
    "deeplab-5": ("deeplab-5", {}),
    "unetpp-6": ("unetpp-6", {}),
    "deeplab-6": ("deeplab-6", {}),
    "pretrain-ls30": ("pretrain-ls30", {}),
    "scratch-100": ("deeplab-5", RANGE),
    "scratch-10": ("deeplab-5", TENTH),
    "transfer-10": ("deeplab-5", TENTH | {"network.weights": "recipe:pretrain-ls30"}),
    "deeplab-5-on-2": ("deeplab-5", {"engine": {"kind": "ray", "workers": 2}}),
}
JUDGED = tuple(name for name in NETWORKS if name != "pretrain-ls30")
STRATA = ("all", "confusers", "elsewhere")


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what every network has in common."""
    return {
        "network.encoder": arguments.encoder,
        "data.tile_px": arguments.crop,
        "data.tiles_per_epoch": arguments.tiles_per_epoch,
        "data.sampling.classes": {1: 0.5},
        "data.validation_tiles": 16,
        **{f"train.{key}": value for key, value in (SMALL.train or {}).items()},
        "train.epochs": arguments.epochs,
        "train.best": None,
        "engine": {"kind": "serial", "threads_per_worker": arguments.threads},
    }


def write_runs(out: Path) -> None:
    """Write the two data sets as runs."""
    for sensor in ("SN10", "LS30"):
        dataset: dict[str, Any] = {"root": str(out / "data"), "tile_px": SIDE_PX}
        if sensor == "SN10":
            dataset["modalities"] = [{"sensor": "GEMS", "side_px": COARSE_PX}]
        values = {"out": str(out / sensor), "sensor": sensor, "dataset": dataset, "engine": {"kind": "serial"}}
        (out / f"{sensor}.yaml").write_text(yaml.safe_dump(values))


def train_all(out: Path, seed: int, arguments: argparse.Namespace) -> Path:
    """Train every network of a seed that is not trained yet; return their folder."""
    folder = out / f"seed-{seed}"
    for name, (recipe, changes) in NETWORKS.items():
        run = out / ("LS30.yaml" if recipe == "pretrain-ls30" else "SN10.yaml")
        wanted = {"network.weights": f"random:{seed + 1}", **settings_of(arguments), **changes}
        wanted |= {"out": str(folder / name), "data.run": str(run), "train.seed": seed}
        wanted["network.weights"] = wanted["network.weights"].replace("recipe:", f"recipe:{folder}/")
        overrides = [f"{key}={json.dumps(value)}" for key, value in wanted.items()]
        code = plan_train(load(RecipeConfig, str(RECIPES / f"{recipe}.yaml"), overrides)).run()
        if code:
            raise SystemExit(f"{name} of seed {seed} ended with {code}")
    return folder


def judge(out: Path, folder: Path) -> dict[str, Any]:
    """Return names of maps, and counts int (tile, map, stratum, label, prediction) as lists."""
    planned = plan_dataset(load(RunConfig, str(out / "SN10.yaml")))
    store = TileStore(planned.url)
    members, six = (
        load_members(read_bundles(str(folder / n) for n in names), store.offered, tta="flips4", batch=1)
        for names in (JUDGED, SIX)
    )
    coarse = [place for place, name in enumerate(members.channels) if name not in store.channels]
    kinds = [KIND_NAMES.index(kind) for kind in CONFUSERS]
    names: list[str] = []
    counts = []
    for row in store.kept(planned.limit, "validation").tolist():
        tile = store.network_input(row, members.channels)[None]
        first, mean = members.predict_each(tile)
        maps = {name: logits[0, 0] for name, logits in zip(JUDGED, mean, strict=True)}
        maps |= {f"{name}, one view": logits[0, 0] for name, logits in zip(JUDGED, first, strict=True)}
        for suffix, logits in (("", mean), (", one view", first)):
            maps["ensemble" + suffix] = logits[[JUDGED.index(name) for name in MAIN], 0, 0].mean(axis=0)
        tile[:, coarse] = np.nan  # which a network sees as its training mean
        maps |= {f"{name}, deaf": logits[0, 0] for name, logits in zip(SIX, six.predict_each(tile)[1], strict=True)}
        with rasterio.open(out / "data" / "kinds" / f"{store.tiles[row]['id']}.tif") as file:
            confuser = np.isin(file.read(1), kinds)
        truth = store.read("label", row)
        known = (truth != 255) & store.read("valid", row)
        names = list(maps)
        counts.append([_strata(truth, logits > 0, known, confuser) for logits in maps.values()])
    return {"names": names, "counts": np.array(counts).tolist()}


def _strata(truth: np.ndarray, found: np.ndarray, known: np.ndarray, confuser: np.ndarray) -> np.ndarray:
    pairs = truth.astype(int) * 2 + found
    parts = (known, known & confuser, known & ~confuser)
    return np.stack([np.bincount(pairs[part], minlength=4)[:4].reshape(2, 2) for part in parts])


def effects_of(counts: np.ndarray, names: list[str]) -> dict[str, float]:
    """Return every effect of summed counts (map, stratum, label, prediction)."""
    miou = {n: scores(c[0])["mIoU"] for n, c in zip(names, counts, strict=True)}
    wrong = {n: c[1, 0, 1] / c[1, 0].sum() for n, c in zip(names, counts, strict=True)}  # confusers called industry
    elsewhere = {n: scores(c[2])["mIoU"] for n, c in zip(names, counts, strict=True)}
    mean = float(np.mean([miou[n] for n in MAIN]))
    found = {f"mIoU {name}": miou[name] for name in (*JUDGED, "ensemble")}
    for five, six in (("unetpp-5", "unetpp-6"), ("deeplab-5", "deeplab-6")):
        title = f"6 minus 5 channels, {five.split('-')[0]}"
        found[f"{title}: mIoU"] = miou[six] - miou[five]
        found[f"{title}: share of confusers called industry"] = wrong[six] - wrong[five]
        found[f"{title}: mIoU outside confusers"] = elsewhere[six] - elsewhere[five]
        found[f"{six} with GEMS minus without: mIoU"] = miou[six] - miou[f"{six}, deaf"]
        found[f"{six} with GEMS minus without: share of confusers called industry"] = wrong[six] - wrong[f"{six}, deaf"]
    found["LS30 pre-training minus scratch, 10 % of labels: mIoU"] = miou["transfer-10"] - miou["scratch-10"]
    found["a tenth of the labels minus all, from scratch: mIoU"] = miou["scratch-10"] - miou["scratch-100"]
    found["ensemble minus mean of members: mIoU"] = miou["ensemble"] - mean
    found["ensemble minus best member: mIoU"] = miou["ensemble"] - max(miou[n] for n in MAIN)
    found["four views minus one, mean of members: mIoU"] = mean - float(np.mean([miou[f"{n}, one view"] for n in MAIN]))
    found["four views minus one, ensemble: mIoU"] = miou["ensemble"] - miou["ensemble, one view"]
    found["2 workers minus 1: mIoU"] = miou["deeplab-5-on-2"] - miou["deeplab-5"]
    return found


def table(judged: Mapping[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each effect: mean over seeds, its t interval, and per seed value and bootstrap interval."""
    by_seed = {}
    for seed, one in judged.items():
        names = one["names"]
        by_seed[seed] = block_bootstrap(np.array(one["counts"]), lambda c, n=names: effects_of(c, n), seed=seed)
    rows = []
    for effect in next(iter(by_seed.values())):
        values = np.array([found[effect].value for found in by_seed.values()])
        reach = T_95[len(values)] * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
        seeds = {
            s: [round(float(v), 4) for v in (f[effect].value, f[effect].low, f[effect].high)]
            for s, f in by_seed.items()
        }
        row = {
            "effect": effect,
            "mean": float(values.mean()),
            "low": values.mean() - reach,
            "high": values.mean() + reach,
        }
        rows.append({**row, "deviation": float(values.std(ddof=1)) if len(values) > 1 else None, "seeds": seeds})
    return rows


T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Student's t of 0.975 with one degree of freedom less than there are seeds."""


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/effects"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tiles", type=int, default=SMALL.tiles)
    parser.add_argument("--validation", type=int, default=SMALL.tiles // 3)
    parser.add_argument("--landsat", type=int, default=SMALL.tiles // 2)
    parser.add_argument("--tiles-per-epoch", type=int, default=SMALL.tiles_per_epoch)
    parser.add_argument("--epochs", type=int, default=(SMALL.train or {})["epochs"])
    parser.add_argument("--crop", type=int, default=SMALL.tile_px, help="side of what a network sees, pixels")
    parser.add_argument("--encoder", default=SMALL.encoder)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-table", action="store_true", help="only train and judge")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    write_tiles(
        out / "data", arguments.tiles, arguments.validation, arguments.landsat, seed=11, workers=arguments.threads
    )
    write_runs(out)
    judged = {}
    for seed in arguments.seeds:
        file = out / f"judged-{seed}.json"
        if not file.is_file():
            file.write_text(json.dumps(judge(out, train_all(out, seed, arguments))))
        judged[seed] = json.loads(file.read_text())
    if arguments.no_table:
        return
    rows = table(judged)
    Path(__file__).with_suffix(".json").write_text(json.dumps({"rows": rows, "settings": _plain(arguments)}, indent=1))
    print("| effect | mean | 95 % over seeds | " + " | ".join(f"seed {s}" for s in judged) + " |")
    print("| --- | --- | --- |" + " --- |" * len(judged))
    for row in rows:
        seeds = " | ".join("{:+.4f} [{:+.4f}, {:+.4f}]".format(*v) for v in row["seeds"].values())
        print(f"| {row['effect']} | {row['mean']:+.4f} | {row['low']:+.4f} to {row['high']:+.4f} | {seeds} |")


def _plain(arguments: argparse.Namespace) -> dict[str, Any]:
    return {key: value for key, value in vars(arguments).items() if key not in ("out", "no_table")}


if __name__ == "__main__":
    main()
