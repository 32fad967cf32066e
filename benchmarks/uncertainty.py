"""Does a map err where it is unsure? Wrong pixels against each band of `uncertainty.tif`, on held-back labels.

    python benchmarks/uncertainty.py                  about half an hour on two cores, most of it training
    python benchmarks/uncertainty.py --epochs 40      networks that have seen more

A synthetic country of 27 x 28 km (3.7 % industry), two dates with 15 % clouds each; a U-Net and a DeepLabV3+ on light
encoders, each trained for some minutes from random weights, in four views; three tenths of the blocks of 256 px of
each scene are held back from training. All by the ordinary commands: synthesize, train, map, evaluate; one that was
done already does nothing.

The labels are the synthetic annotator's, whose outlines err by about a pixel: some wrong pixels are wrong labels.
"""

from __future__ import annotations

import argparse
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from jobs import evaluate, synthesize, train
from jobs import map as make_map

BBOX, DATES, SEED = ("127.1", "36.8", "127.4", "37.05"), "2024-05-01,2024-09-12", "1"
NETWORKS = {"net1": ("unet", "tu-mobilenetv3_small_100"), "net2": ("deeplabv3plus", "tu-mobilenetv3_small_050")}
SPLIT = {"block_px": 256, "fraction": 0.3, "seed": 1}
RESULT = Path(__file__).with_suffix(".json")


def prepare(folder: Path) -> Path:
    """Draw the country and return the file of its run."""
    run = folder / "world" / "map.yaml"
    if not run.exists():
        words = ["--bbox", *BBOX, "--dates", DATES, "--clouds", "0.15", "--no-air", "--seed", SEED]
        _expect(synthesize.main([str(folder / "world"), *words]))
    return run


def trained(folder: Path, run: Path, name: str, epochs: int) -> str:
    """Train a network and return its folder."""
    architecture, encoder = NETWORKS[name]
    recipe: dict[str, Any] = {
        "out": str(folder / "models" / name),
        "classes": ["industrial"],
        "network": {"architecture": architecture, "encoder": encoder, "weights": f"random:{name[-1]}"},
        "data": {
            "run": str(run),
            "tile_px": 128,
            "tiles_per_epoch": 240,
            "sampling": {"classes": {1: 0.7}},
            "validation_tiles": 60,
            "split": SPLIT,
        },
        "train": {"epochs": epochs, "batch": 8, "learning_rate": 2e-3, "loss": "bce_dice", "alpha": 0.5},
        "engine": {"kind": "serial", "workers": 1},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    _expect(train.main([str(path)]))
    return str(recipe["out"])


def measure(folder: Path, epochs: int) -> dict[str, Any]:
    """Map, evaluate, and return what the evaluation tells."""
    run = prepare(folder)
    bundles = [trained(folder, run, name, epochs) for name in NETWORKS]
    words = [str(run), "--set", "engine.kind=serial", "--set", f"models=[{', '.join(bundles)}]"]
    words += ["--set", "infer.uncertainty=true", "--set", "infer.tile_px=256"]
    _expect(make_map.main(words))
    _expect(evaluate.main(words))
    out = Path(yaml.safe_load(run.read_text())["out"])
    found = json.loads((out / "evaluation" / "evaluation.json").read_text())
    rows = [{key: row[key] for key in ("name", "mIoU", "iou_fg", "precision", "recall")} for row in found["rows"]]
    shutil.copy(out / "evaluation" / "figures" / "uncertainty.png", folder / "uncertainty.png")
    return {"pixels": found["pixels"], "rows": rows, "uncertainty": found["uncertainty"]}


def _expect(code: int) -> None:
    if code:
        raise SystemExit(f"a command ended with {code}")


def table(found: dict[str, Any]) -> str:
    """Return the bands for people: wrong pixels in ten bins of equal mass."""
    lines = [
        "| band | AUROC | wrong pixels, % (mean value of the band) in ten bins of as many pixels |",
        "| --- | --- | --- |",
    ]
    for name, told in found["uncertainty"].items():
        columns = told["equal_mass"]
        pairs = [(v, w) for v, w in zip(columns["value"], columns["wrong"], strict=True) if v is not None]
        cells = ", ".join(f"{100 * wrong:.1f} ({value:.3f})" for value, wrong in pairs)
        lines.append(f"| {name} ({told['unit']}) | {told['auroc']:.3f} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/uncertainty"))
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    found = measure(arguments.folder, arguments.epochs)
    print(table(found))
    print(f"figure: {arguments.folder / 'uncertainty.png'}")
    facts = {"date": datetime.now(UTC).date().isoformat(), "epochs": arguments.epochs, **found}
    RESULT.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
