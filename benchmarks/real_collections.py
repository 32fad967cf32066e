"""Curation and classification of real files, beside trivial rules.

    python benchmarks/real_collections.py photos  --data curation_photo_vs_illustration
    python benchmarks/real_collections.py tiles   --data defects_magnetic_tile

photos: 88 files, of which labels.csv says what they are (photo, illustration, ambiguous). Every reducer of `sandan
curate clean` divides those that are not ambiguous; autoencoders are trained on the same files.

tiles: 140 grey photos of magnetic tiles in six unbalanced classes (Huang et al., Saliency of magnetic tile surface
defects). The same tile was photographed under up to six exposures, so that the number in the name runs on by 13 to 154:
files whose numbers are less than 200 apart are one group, which no split divides. Three folds judge every group once;
`random` divides images instead, to show what that hides.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from jobs import curate
from jobs.evaluation.files import csv_of
from jobs.illustrations import write_yaml
from jobs.illustrations_table import clusters_table, removal_table, scores_table
from jobs.image_predictions import answers
from jobs.image_recipe_config import AutoencodeRecipeConfig, ClassifyRecipeConfig
from jobs.parsing import parse
from jobs.train_images import plan_images
from models.image_baselines import logistic_regression

FOLDS = 3
APART = 200
"""Numbers of names that are nearer are of one tile."""
AUTOENCODERS = {"autoencoder": {}, "autoencoder-contrast": {"per_image": True}}
NETWORKS: dict[str, dict[str, Any]] = {
    "as documented: 10 epochs of 128": {"train": {"epochs": 10, "batch": 128}},
    "40 epochs of 8": {"train": {"epochs": 40, "batch": 8}},
    "40 epochs of 8, balanced loss": {"train": {"epochs": 40, "batch": 8}, "class_weights": "balanced"},
    "40 epochs of 8, shape kept": {"train": {"epochs": 40, "batch": 8}, "fit": "pad"},
    "40 epochs of 8, images divided at random": {"train": {"epochs": 40, "batch": 8}, "random": True},
}
"""Settings of a classifier: of training, the loss, the fit of images, and the split."""


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return a CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def photos(data: Path, out: Path, side_px: int) -> list[str]:
    """Divide photos and illustrations; return tables."""
    known = {row["file"]: row["label"] for row in rows_of(data / "labels.csv") if row["label"] != "ambiguous"}
    listed = out / "list.csv"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_bytes(csv_of([{"path": name} for name in known]))
    dataset = {"layout": "images", "root": str(data / "images"), "list": str(listed), "side_px": side_px}
    dataset["split"] = {"by": "ratio", "validation": 0, "test": 0}
    run = write_yaml(
        out / "run.yaml",
        {"out": str(out / "run"), "dataset": dataset, "engine": {"kind": "serial", "threads_per_worker": 1}},
    )
    words = ["clean", str(run), "--classes", "all"]
    for name, network in AUTOENCODERS.items():
        recipe = {
            "task": "autoencode",
            "out": str(out / name),
            "network": {"weights": "random:1", "side_px": 64, "width": 8, "bottleneck": 32, **network},
            "data": {"run": str(run), "augment": ["HorizontalFlip", "VerticalFlip"]},
            "train": {"epochs": 60, "batch": 8, "learning_rate": 1e-3, "optimizer": "Adam"},
            "engine": {"kind": "serial", "threads_per_worker": 1},
        }
        plan_images(parse(AutoencodeRecipeConfig, recipe, name)).run()
        words += ["--encoder", f"{name}={out / name}"]
    if curate.main(words) or curate.main(["report", str(run)]):
        raise SystemExit("curation failed")
    folder = out / "run" / "curation"
    pixel = {row["name"]: float(row["pixel"]) for row in rows_of(folder / "frame.csv")}
    scores, clusters = rows_of(folder / "clean" / "scores.csv"), rows_of(folder / "clean" / "clusters.csv")
    photo = np.array([known[row["id"]] == "photo" for row in clusters])
    means = np.array([pixel[row["id"]] for row in clusters])
    return [clusters_table(scores).markdown(), removal_table(scores, clusters, means, photo).markdown()]


def tile_groups(names: Sequence[str]) -> dict[str, str]:
    """Return the group of each file: those whose numbers follow each other closely are photos of one tile."""
    numbered = sorted((int(re.search(r"_num_(\d+)", name)[1]), name) for name in names)  # type: ignore[index]
    groups, last, group = {}, -APART, ""
    for number, name in numbered:
        group = group if number - last < APART else f"tile-{number}"
        groups[name], last = group, number
    return groups


def folds(groups: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, int]:
    """Return the fold of each file: groups of a class are dealt out in turn, the largest first."""
    members: dict[str, list[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    order = sorted(members, key=lambda group: (labels[members[group][0]], -len(members[group]), group))
    return {name: place % FOLDS for place, group in enumerate(order) for name in members[group]}


SCALES_PX = (1.5, 3.0, 6.0, 12.0)
QUANTILES = (0, 0.001, 0.01, 0.5, 0.99, 0.999, 1)


def local_contrast(path: Path) -> list[float]:
    """Return quantiles and deviation of what differs from around, at four scales, of a file at its own size."""
    grey = np.log(np.asarray(Image.open(path).convert("L"), float)[8:-8, 8:-8] + 5)
    found: list[float] = []
    for scale in SCALES_PX:
        away = gaussian_filter(grey, scale) - gaussian_filter(grey, 2 * scale)
        found += [*np.quantile(away, QUANTILES).tolist(), float(away.std())]
    return found


def contrast_matrix(data: Path) -> np.ndarray:
    """Return the confusion matrix of a logistic regression of local contrast, over the same folds of tiles."""
    names, labels = _named(data)
    classes = sorted(set(labels.values()))
    truth = np.array([classes.index(labels[name]) for name in names])
    fold_of = folds(tile_groups(names), labels)
    fold = np.array([fold_of[name] for name in names])
    rows = np.array([local_contrast(data / "images" / name) for name in names])
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    for one in range(FOLDS):
        held = fold == one
        answered = logistic_regression(rows[~held], truth[~held], rows[held])
        np.add.at(matrix, (truth[held], answered), 1)
    return matrix


def _named(data: Path) -> tuple[list[str], dict[str, str]]:
    names = sorted(path.relative_to(data / "images").as_posix() for path in (data / "images").glob("*/*.jpg"))
    return names, {name: name.split("/")[0] for name in names}


def _recipes(out: Path, data: Path, side_px: int, settings: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    names, labels = _named(data)
    groups = {name: name for name in names} if settings.get("random") else tile_groups(names)
    fold_of = folds(groups, labels)
    for fold in range(FOLDS):
        folder = out / f"fold-{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            {"path": name, "label": labels[name], "split": "test" if fold_of[name] == fold else "train"}
            for name in names
        ]
        (folder / "list.csv").write_bytes(csv_of(rows))
        dataset = {"layout": "images", "root": str(data / "images"), "list": str(folder / "list.csv")}
        dataset |= {
            "classes": "list",
            "split": {"by": "list"},
            "side_px": side_px,
            "fit": settings.get("fit", "stretch"),
        }
        run = {"out": str(folder / "run"), "dataset": dataset, "engine": {"kind": "serial", "threads_per_worker": 1}}
        recipe = {
            "task": "classify",
            "out": str(folder / "cnn"),
            "network": {"weights": f"random:{fold + 1}", "widths": [16, 24, 32]},
            "data": {
                "run": str(write_yaml(folder / "run.yaml", run)),
                "scaling": "range",
                "augment": ["RandomAffine", "HorizontalFlip", "VerticalFlip"],
            },
            "class_weights": settings.get("class_weights", "none"),
            "train": {"learning_rate": 1e-3, "optimizer": "Adam", "seed": fold, **settings["train"]},
            "engine": {"kind": "serial", "threads_per_worker": 1},
        }
        yield fold, plan_images(parse(ClassifyRecipeConfig, recipe, "recipe"))


def tiles(data: Path, out: Path, side_px: int) -> list[str]:
    """Classify defects in three folds; return tables."""
    contrast = "logistic regression of local contrast at four scales, full size"
    judged: list[tuple[str, str, np.ndarray]] = [(contrast, "tiles held back", contrast_matrix(data))]
    training: list[str] = []
    for number, (name, settings) in enumerate(NETWORKS.items()):
        sums: dict[str, np.ndarray] = {}
        fitted = []
        for _, planned in _recipes(out / f"network-{number}", data, side_px, settings):
            planned.run()
            count = len(planned.classes)
            for part in ("test", "train"):
                found = answers(planned, name, part)
                if part == "train":
                    fitted.append(float(np.trace(found.matrix(name, count)) / len(found.ids)))
                    continue
                for who in found.answered:
                    sums[who] = sums.get(who, 0) + found.matrix(who, count)
        on = "images at random" if settings.get("random") else "tiles held back"
        rules = [who for who in sums if who != name] if number == 0 else []
        judged += [(who, on, sums[who]) for who in (*rules, name)]
        training.append(f"{name}: accuracy on what trained {np.mean(fitted):.3f}")
    return [scores_table(judged).markdown(), "\n".join(f"* {one}" for one in training)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("photos", "tiles"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/real-collections"))
    parser.add_argument("--side", type=int, default=96)
    arguments = parser.parse_args()
    work = {"photos": photos, "tiles": tiles}[arguments.what]
    tables = work(arguments.data, arguments.out / arguments.what, arguments.side)
    print("\n\n".join(tables))
    (arguments.out / arguments.what / "tables.json").write_text(json.dumps(tables, indent=1))
    (arguments.out / arguments.what / "tables.md").write_text("\n\n".join(tables))


if __name__ == "__main__":
    main()
