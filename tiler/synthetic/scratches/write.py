"""A scratch world on disk: folders of photos, and masks as two tools of annotation write them.

OUT/company/NAME.jpg, NAME_watershed_mask.png       as the Pixel Annotation Tool saves: 0, 1, and borders of 255
OUT/public/NAME.jpg, OUT/public_via.json            outlines, as VIA saves them
OUT/images.csv                                      path, source, split, scratch, ... of every photo
OUT/masks/SOURCE/NAME.png                           on request: 0 and 255, without a border
OUT/truth/{albedo,light,scratched}/SOURCE/NAME.png  on request; light in ten thousandths of its mean
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tiler.synthetic.noise import key_of
from tiler.synthetic.pool import each
from tiler.synthetic.scratches.photo import SOURCES, Photo, take_photo

COLUMNS = ("path", "source", "split", "scratch", "positive", "paint", "width", "height")
VALIDATION = 2800 / 16300
"""Share of photos that validate."""
LIGHT_UNIT = 10_000
"""Grey value of the mean light."""


@dataclass(frozen=True)
class ScratchWorld:
    """Which photos."""

    seed: int
    side_px: int
    counts: tuple[int, int]
    """Photos of the company and of the public."""

    def __post_init__(self) -> None:
        if not 64 <= self.side_px <= 4096:
            raise ValueError(f"side {self.side_px} px: photos have a longest side of 64 to 4096 px")
        if min(self.counts) < 1:
            raise ValueError(f"counts {self.counts}: each source needs a photo at least")

    @staticmethod
    def of(seed: int, side_px: int, count: int) -> ScratchWorld:
        """Share `count` photos out between the sources, three in sixteen to the company."""
        if count < 2:
            raise ValueError(f"count {count}: two sources need two photos at least")
        company = max(1, round(count * 3000 / 16300))
        return ScratchWorld(seed, side_px, (company, count - company))


SCALES = {"tiny": (128, 60), "small": (256, 600), "paper": (512, 16_300)}
"""Name to longest side in pixels, and photos."""


@dataclass(frozen=True)
class Written:
    """What was written."""

    images: int
    scratched: int
    positive: float
    """Mean share of labelled pixels of photos with scratches."""


@dataclass(frozen=True)
class _Task:
    world: ScratchWorld
    out: Path
    source: int
    number: int
    masks: bool
    truth: bool


def write_scratches(
    world: ScratchWorld,
    out: Path,
    *,
    masks: bool = False,
    truth: bool = False,
    workers: int = 1,
    on_image: Callable[[], None] = lambda: None,
) -> Written:
    """Write a world; the files are the same to the last byte for any number of workers.

    Args:
        world: which.
        out: the folder; files of an earlier call are replaced.
        masks: plain masks too.
        truth: true colours, light and scratches too.
        workers: processes.
        on_image: called after each photo.
    """
    for source in SOURCES:
        for folder in (source.name, *(f"masks/{source.name}",) * masks):
            (out / folder).mkdir(parents=True, exist_ok=True)
        for kind in ("albedo", "light", "scratched") * truth:
            (out / "truth" / kind / source.name).mkdir(parents=True, exist_ok=True)
    tasks = [_Task(world, out, s, n, masks, truth) for s, count in enumerate(world.counts) for n in range(count)]
    rows: dict[int, dict[str, Any]] = {}
    regions: dict[int, dict[str, Any]] = {}
    for place, (row, annotation) in each(_write, tasks, workers):
        rows[place] = row
        if annotation is not None:
            regions[place] = annotation
        on_image()
    with open(out / "images.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows[place] for place in sorted(rows))
    found = [regions[place] for place in sorted(regions)]
    (out / "public_via.json").write_text(json.dumps({f"{a['filename']}{a['size']}": a for a in found}, indent=1) + "\n")
    shares = [float(r["positive"]) for r in rows.values() if r["scratch"] == "yes"]
    return Written(len(tasks), len(shares), float(np.mean(shares)) if shares else 0.0)


def _write(task: _Task) -> tuple[dict[str, Any], dict[str, Any] | None]:
    source = SOURCES[task.source]
    photo = take_photo(source, task.world.seed, task.number, task.world.side_px)
    name = f"{source.name}_{task.number:05d}"
    path = task.out / source.name / f"{name}.jpg"
    path.write_bytes(photo.jpeg)
    annotation = None
    if source.name == "company":
        Image.fromarray(watershed_mask(photo.label)).save(path.with_name(f"{name}_watershed_mask.png"))
    else:
        annotation = _via(photo, path.name)
    if task.masks:
        Image.fromarray(photo.label.astype(np.uint8) * 255).save(task.out / "masks" / source.name / f"{name}.png")
    if task.truth:
        light = np.round(np.clip(photo.light * LIGHT_UNIT, 0, 65535)).astype(np.uint16)
        scratched = photo.scratched.astype(np.uint8) * 255
        layers = {"albedo": photo.albedo.transpose(1, 2, 0), "light": light, "scratched": scratched}
        for kind, values in layers.items():
            Image.fromarray(values).save(task.out / "truth" / kind / source.name / f"{name}.png")
    height, width = photo.label.shape
    validates = key_of(task.world.seed, 91, task.source, task.number) / 2**32 < VALIDATION
    row = {
        "path": f"{source.name}/{path.name}",
        "source": source.name,
        "split": "validation" if validates else "train",
        "scratch": "yes" if photo.label.any() else "no",
        "positive": f"{photo.label.mean():.6f}",
        "paint": photo.paint,
        "width": width,
        "height": height,
    }
    return row, annotation


def watershed_mask(label: np.ndarray) -> np.ndarray:
    """Return uint8 (y, x): 0, 1 where scratched, 255 at the picture's edge and between the two.

    OpenCV's watershed leaves both borders, one pixel wide; the tool saves them (its issues 2 and 40). The border lies
    on the background here, so that thin scratches remain.
    """
    ring = label.copy()
    ring[1:] |= label[:-1]
    ring[:-1] |= label[1:]
    ring[:, 1:] |= label[:, :-1]
    ring[:, :-1] |= label[:, 1:]
    mask = np.where(label, 1, np.where(ring, 255, 0)).astype(np.uint8)
    mask[[0, -1]] = 255
    mask[:, [0, -1]] = 255
    return mask


def _via(photo: Photo, name: str) -> dict[str, Any]:
    """Return one entry of a project of the VGG Image Annotator 2."""
    regions = [
        {
            "shape_attributes": {
                "name": "polygon",
                "all_points_x": [round(float(x), 1) for _, x in polygon],
                "all_points_y": [round(float(y), 1) for y, _ in polygon],
            },
            "region_attributes": {"class": "scratch"},
        }
        for polygon in photo.polygons
    ]
    return {"filename": name, "size": len(photo.jpeg), "regions": regions, "file_attributes": {}}
