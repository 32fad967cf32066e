"""An illustration world on disk.

OUT/images/CLASS/CLASS_NUMBER.{jpg,png}
OUT/truth.csv       path, label, kind (photo or illustration), group (of duplicates), hard, width, height
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tiler.synthetic.illustrations.drawing import seed_of
from tiler.synthetic.illustrations.plan import IllustrationWorld, Item, altered, items_of, picture_of
from tiler.synthetic.noise import Dice
from tiler.synthetic.pool import each

COLUMNS = ("path", "label", "kind", "group", "hard", "width", "height")
SCALES = {"tiny": (400, 4), "small": (2_000, 1), "paper": (25_503, 1)}
"""Name to images, and by how much their sides are smaller."""


@dataclass(frozen=True)
class WrittenImages:
    """What was written."""

    images: int
    photos: int
    repeated: int
    """Images that repeat another one, exactly or nearly."""


@dataclass(frozen=True)
class _Task:
    world: IllustrationWorld
    out: Path
    item: Item
    of: Item | None
    """What it repeats byte for byte."""


def write_illustrations(
    world: IllustrationWorld, out: Path, *, workers: int = 1, on_image: Callable[[], None] = lambda: None
) -> WrittenImages:
    """Write a world; the files are the same to the last byte for any number of workers.

    Args:
        world: which.
        out: the folder; files of an earlier call are replaced.
        workers: processes.
        on_image: called after each image.
    """
    tasks = []
    for label in world.counts:
        (out / "images" / label).mkdir(parents=True, exist_ok=True)
        items = items_of(world, label)
        tasks += [
            _Task(world, out, i, items[i.original] if i.exact and i.original is not None else None) for i in items
        ]
    for _ in each(_write, tasks, workers):
        on_image()
    with open(out / "truth.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        repeated = {(t.item.label, t.item.original) for t in tasks if t.item.original is not None}
        for item in (task.item for task in tasks):
            first = item.number if item.original is None else item.original
            group = f"{item.label}-{first}" if (item.label, first) in repeated else ""
            kind = "photo" if item.photo else "illustration"
            hard = "yes" if item.hard else "no"
            table.writerow((item.path, item.label, kind, group, hard, item.width_px, item.height_px))
    photos = sum(task.item.photo for task in tasks)
    return WrittenImages(len(tasks), photos, sum(task.item.original is not None for task in tasks))


def encoded(world: IllustrationWorld, item: Item) -> bytes:
    """Return the file of an image that is no exact copy."""
    dice = Dice(seed_of(world.seed, item.label, item.number), 21)
    picture = picture_of(world, item)
    if item.original is not None and not item.exact:
        picture = altered(picture, dice)
    held = io.BytesIO()
    if item.suffix == ".jpg":
        Image.fromarray(picture).save(held, "JPEG", quality=int(dice.between(70, 96)))
    else:
        Image.fromarray(picture).save(held, "PNG", compress_level=3)
    return held.getvalue()


def _write(task: _Task) -> None:
    (task.out / task.item.path).write_bytes(encoded(task.world, task.of or task.item))
