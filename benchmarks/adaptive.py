"""How much less must the networks run for (nearly) the same map? The curve of adaptive inference.

    python benchmarks/adaptive.py                     writes, trains, learns and maps what is not there yet: hours
    python benchmarks/adaptive.py --quick             the same on small scenes and a few steps: the figures mean nothing
    python benchmarks/adaptive.py --bundles A B       with networks that are trained already, as those of effects.py

Three scenes of one synthetic country, far from each other: two small networks (U-Net++ and DeepLabV3+) are trained on
the first (or brought), the rule is learnt from windows of the second (`sandan adapt`, one run for all bounds: what was
compared is kept), and the third is mapped in full and under each rule (`sandan map`), and judged against the exact
truth (`sandan evaluate`). All that with windows of 512 px every 448, and of 256 px every 224 (`--tiles-px`), which show
a pixel to the networks as often, but hold an estate less often.

Forwards: forward passes of a window, as a share of those of the full map with such windows. d: Jaccard distance of the
class between the two maps as they are published. Found: labelled estates of which half is
mapped; false: mapped ones of which less than a tenth is labelled.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml

SCENES = {
    "train": (126.8, 36.8, 127.4, 37.3),
    "validation": (127.0, 36.0, 127.5, 36.4),
    "test": (128.2, 35.6, 128.8, 36.1),
}
"""Longitudes and latitudes: west, south, east, north."""
QUICK = {
    "train": (126.8, 36.8, 126.9, 36.9),
    "validation": (127.0, 36.0, 127.1, 36.1),
    "test": (128.2, 35.6, 128.3, 35.7),
}
WORLD, DATE = 12, "2024-05-15"
TILES_PX = {512: 64, 256: 32}
"""Side of a window to its overlap."""
BOUNDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
NETWORKS = {"unetpp": "unetplusplus", "deeplab": "deeplabv3plus"}
ENCODER = "tu-mobilenetv3_small_100"
VIEWS = 4


def sandan(*words: str) -> None:
    """Run a command; stop where it fails."""
    print("+ sandan", *words, file=sys.stderr)
    done = subprocess.run([sys.executable, "-m", "jobs.cli", *words])
    if done.returncode:
        raise SystemExit(f"sandan {' '.join(words)} ended with {done.returncode}")


def write_scenes(out: Path, boxes: dict[str, tuple[float, ...]]) -> dict[str, Path]:
    """Write the scenes that are not there; return their run files."""
    files = {}
    for name, box in boxes.items():
        files[name] = out / name / "map.yaml"
        if not files[name].is_file():
            where = ["--bbox", *map(str, box), "--dates", DATE, "--sensors", "SN10", "--no-air"]
            sandan("synthesize", str(out / name), "--seed", str(WORLD), *where)
    return files


def train(out: Path, run: Path, epochs: int, tiles: int) -> list[str]:
    """Train the networks that are not there; return their bundles."""
    for name, architecture in NETWORKS.items():
        recipe = {
            "out": str(out / name),
            "classes": ["industrial"],
            "network": {"architecture": architecture, "encoder": ENCODER, "weights": "random:1"},
            "data": {
                "run": str(run),
                "tile_px": 256,
                "tiles_per_epoch": tiles,
                "augment": ["HorizontalFlip", "VerticalFlip", "RandomRotate90"],
                "sampling": {"classes": {1: 0.3}},
                "validation_tiles": 32,
            },
            "train": {"epochs": epochs, "batch": 8, "learning_rate": 2e-3, "loss": "bce_dice", "alpha": 0.5},
            "engine": {"kind": "serial"},
        }
        (out / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
        sandan("train", str(out / f"{name}.yaml"))
    return [str(out / name) for name in NETWORKS]


def learn(out: Path, run: Path, bundles: list[str], tile_px: int, windows: int) -> dict[float, Path]:
    """Learn a rule for each bound; return their files."""
    settings = [f"models={json.dumps(bundles)}", "infer.precision=bf16", "infer.batch=1", f"adapt.windows={windows}"]
    settings += [f"infer.tile_px={tile_px}", f"infer.overlap_px={TILES_PX[tile_px]}"]
    words = [word for setting in settings for word in ("--set", setting)]
    sandan("ingest", str(run), *words)
    rules = {}
    for bound in BOUNDS:
        sandan("adapt", str(run), *words, "--set", f"adapt.bound={bound}")
        folder = Path(yaml.safe_load(run.read_text())["out"])
        rules[bound] = out / f"rule-{tile_px}-{bound}.json"
        rules[bound].write_bytes((folder / "adaptive.json").read_bytes())
    return rules


def judge(out: Path, run: Path, bundles: list[str], tile_px: int, rule: Path | None) -> tuple[dict[str, Any], Path]:
    """Map the test scene and judge it against the truth; return what the run says of itself, and its map."""
    values = yaml.safe_load(run.read_text())
    name = f"full-{tile_px}" if rule is None else rule.stem
    values["out"] = str(out / f"map-{name}")
    values["labels"]["files"] = [str(run.parent / "truth" / Path(file).name) for file in values["labels"]["files"]]
    values["models"] = bundles
    values["infer"] = {"precision": "bf16", "batch": 1, "adaptive": None if rule is None else str(rule)}
    values["infer"] |= {"tile_px": tile_px, "overlap_px": TILES_PX[tile_px]}
    values["evaluate"] = {"where": "all"}
    values["outputs"] = ["cog"]
    file = out / f"map-{name}.yaml"
    file.write_text(yaml.safe_dump(values))
    for command in ("map", "evaluate"):
        sandan(command, str(file))
    folder = Path(values["out"])
    facts = json.loads((folder / "stages/infer.json").read_text())
    evaluation = json.loads((folder / "evaluation/evaluation.json").read_text())
    (row,) = [r for r in evaluation["rows"] if r["id"] == "map"]
    share = facts["refined"] / facts["windows"]
    told = {
        "windows": facts["windows"],
        "refined": share,
        "forwards": share + (0 if rule is None else 1 / (VIEWS * len(bundles))),
        "infer_s": facts["seconds"],
        "iou": row["iou_fg"],
        "miou": row["mIoU"],
        "objects": evaluation["objects"]["total"],
    }
    return told, folder / "map/class.tif"


def distance(one: Path, other: Path) -> float:
    """Return the Jaccard distance of class 1 between two class maps."""
    with rasterio.open(one) as a, rasterio.open(other) as b:
        x, y = a.read(1) == 1, b.read(1) == 1
    return float(1 - np.count_nonzero(x & y) / max(1, np.count_nonzero(x | y)))


def curve(out: Path, runs: dict[str, Path], bundles: list[str], tile_px: int, windows: int) -> Iterator[dict[str, Any]]:
    """Yield the full map with windows of one size, and the map under each rule."""
    rules = learn(out, runs["validation"], bundles, tile_px, windows * (512 // tile_px) ** 2)
    full, reference = judge(out, runs["test"], bundles, tile_px, None)
    yield {"tile_px": tile_px, "bound": None, "distance": 0.0, "gain": 0.0, **full}
    for bound, rule in rules.items():
        found, made = judge(out, runs["test"], bundles, tile_px, rule)
        told = {"distance": distance(made, reference), "gain": found["iou"] - full["iou"]}
        yield {"tile_px": tile_px, "bound": bound, **told, **found}


def main() -> None:
    """Make what is missing, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/adaptive"))
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--tiles", type=int, default=320, help="of an epoch")
    parser.add_argument("--windows", type=int, default=256, help="of 512 px that the rule is learnt from")
    parser.add_argument("--tiles-px", type=int, nargs="+", default=list(TILES_PX), choices=TILES_PX)
    parser.add_argument("--bundles", nargs="+", help="trained networks, instead of training two")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    if arguments.quick:
        out, arguments.epochs, arguments.tiles = out / "quick", 1, 8
    out.mkdir(parents=True, exist_ok=True)
    scenes = dict(QUICK if arguments.quick else SCENES)
    if arguments.bundles:
        del scenes["train"]
    runs = write_scenes(out, scenes)
    bundles = arguments.bundles or train(out, runs["train"], arguments.epochs, arguments.tiles)
    rows = [row for tile_px in arguments.tiles_px for row in curve(out, runs, bundles, tile_px, arguments.windows)]
    print("| window, px | bound | forwards | d | IoU | IoU - full | found | false | Infer, s |\n| --- |" + " --- |" * 8)
    for row in rows:
        name = "full map" if row["bound"] is None else f"{row['bound']:g}"
        scores = f"{row['distance']:.4f} | {row['iou']:.4f} | {row['gain']:+.4f}"
        objects = f"{row['objects']['found']} | {row['objects']['false']}"
        print(f"| {row['tile_px']} | {name} | {row['forwards']:.3f} | {scores} | {objects} | {row['infer_s']:.0f} |")
    if not arguments.quick:
        told = {"date": datetime.now(UTC).date().isoformat(), "bundles": [Path(b).name for b in bundles], "rows": rows}
        Path(__file__).with_suffix(".json").write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
