"""Data sets for the tests of curation: line drawings on white contaminated by dark photographs, of sizes that vary."""

import csv
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

SIDE = 40
CLEAN, DIRTY = ("birds", "boats", "cars", "cats", "trees"), ("suns", "tents")
"""Classes; a share of the latter are photographs."""
PHOTOS = 7
"""Of the 12 images of a contaminated class."""
MANY = 66
"""Images of the over-full class `cars`; `boats` has one, the others 12."""


def drawing(random: np.random.Generator, height: int, width: int, ink: int) -> np.ndarray:
    """Return uint8 (height, width, 3): dark strokes on white."""
    image = np.full((height, width, 3), 255, np.uint8)
    for _ in range(4):
        y, x = int(random.integers(height - 4)), int(random.integers(width - 12))
        image[y : y + 2, x : x + int(random.integers(4, 12))] = ink
    return image


def photograph(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return uint8 (height, width, 3): a dark, smooth scene with noise."""
    y, x = np.mgrid[0:height, 0:width]
    wave = 45 + 25 * np.sin(y / random.uniform(4, 9) + x / random.uniform(4, 9))
    return np.clip(wave[..., None] + random.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def write_pictures(folder: Path, seed: int = 0) -> set[str]:
    """Write images, and a list of their classes and splits; return the ids of the photographs.

    `cats/004.png` is an exact copy of `cats/001.png` on the other side of the split, `trees/003.png` a nearly equal one
    of `trees/002.png`, and `birds/006.png` is truncated.
    """
    random, photos, rows, images = np.random.default_rng(seed), set(), [], {}
    for name in (*CLEAN, *DIRTY):
        for index in range({"cars": MANY, "boats": 1}.get(name, 12)):
            height, width = (int(n) for n in random.integers(SIDE - 8, SIDE + 9, 2))
            path = f"{name}/{index:03d}.png"
            if name in DIRTY and index < PHOTOS:
                photos.add(path)
                images[path] = photograph(random, height, width)
            else:
                images[path] = drawing(random, height, width, 40 + 9 * len(name))
            rows.append((path, name, "validation" if index % 5 == 4 else "train"))
    images["cats/004.png"] = images["cats/001.png"]
    images["trees/003.png"] = images["trees/002.png"].copy()
    images["trees/003.png"][3, 3] ^= 1
    for path, image in images.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / path)
    whole = (folder / "birds/006.png").read_bytes()
    (folder / "birds/006.png").write_bytes(whole[: len(whole) // 2])
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return photos


def picture_run(folder: Path) -> str:
    """Write the run of `write_pictures(folder / "files")`, and return its path."""
    files = folder / "files"
    dataset = {"layout": "images", "root": str(files), "list": str(files / "list.csv"), "classes": "list"}
    dataset |= {"split": {"by": "list"}, "side_px": SIDE}
    run = {"out": str(folder / "out"), "dataset": dataset, "engine": {"kind": "serial", "threads_per_worker": 1}}
    path = folder / "pictures.yaml"
    path.write_text(yaml.safe_dump(run))
    return str(path)
