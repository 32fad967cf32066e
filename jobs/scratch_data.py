"""Photos for the scratch document: the scratch world, a folder in a form that is known, or what a run names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.progress import Progress
from jobs.scratch import PUBLIC_FILE, Scale, world_dataset
from tiler.image_spec import ImagesSpec, nearest
from tiler.synthetic.scratches import ScratchWorld, write_scratches
from tiler.via import read_via

WORLD_SEED = 2
"""Settings of the scales were chosen on a world of seed 1."""
SCRATCH_NAMES = ("scratch", "rayure")
"""What annotations call a scratch; other names need a run YAML."""
FORMS = (
    f"company/ and public/ with {PUBLIC_FILE} (as `sandan synthesize --kind scratches` writes them), a folder of "
    "photos with one JSON of VIA whose regions are called "
    + " or ".join(SCRATCH_NAMES)
    + ", or a run YAML with `dataset: {layout: images}`"
)


def write_world(out: Path, scale: Scale) -> dict[str, Any]:
    """Write the photos of the scratch world, unless they are there; return the collections over them."""
    folder, done = out / "data", out / "data" / "written.json"
    asked = {"photos": scale.photos, "side_px": scale.world_px, "seed": WORLD_SEED}
    if not (done.is_file() and json.loads(done.read_text()) == asked):
        world = ScratchWorld.of(WORLD_SEED, scale.world_px, scale.photos)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with Progress(scale.photos, "synthesize", unit="images") as progress:
            write_scratches(world, folder, workers=cores, on_image=progress.advance)
        done.write_text(json.dumps(asked))  # last: it says that every photo is there
    return world_dataset(folder)


def given_dataset(data: str) -> dict[str, Any]:
    """Return what a run says of photos that are given: a folder in one of `FORMS`, or a run YAML.

    Raises:
        ValueError: nothing is there, or it has no masks or another form.
    """
    place = Path(data)
    if place.is_file() and place.suffix in (".yaml", ".yml"):
        run = load(RunConfig, data)
        if not isinstance(run.dataset, ImagesSpec):
            raise ValueError(
                f"--data {data} names no `dataset` of `layout: images`; the scratch document is about photos"
            )
        if any(part.masks is None for part in run.dataset.parts):
            raise ValueError(f"--data {data}: a collection has no `masks`; networks learn scratches from masks")
        values = run.dataset.model_dump(mode="json", exclude_defaults=True)
        if run.dataset.preprocess:
            raise ValueError(f"--data {data}: leave `preprocess` out; the rows of the document set it")
        return {**values, "layout": "images"}
    if not place.is_dir():
        raise ValueError(f"--data {data} is neither a folder nor a run YAML (looked in {Path.cwd()}); give {FORMS}")
    if (place / "company").is_dir() and (place / "public").is_dir() and (place / PUBLIC_FILE).is_file():
        return world_dataset(place)
    found = [path for path in sorted([*place.glob("*.json"), *place.glob("*/*.json")]) if _is_via(path)]
    if len(found) != 1:
        raise ValueError(
            f"--data {data} holds {len(found) or 'no'} annotations of VIA, and no other masks; give {FORMS}"
        )
    attribute, names = _scratch_attribute(found[0])
    masks = {"kind": "via", "file": str(found[0]), "attribute": attribute, "classes": dict.fromkeys(names, 1)}
    return {
        "root": str(found[0].parent),
        "masks": masks,
        "split": {"by": "ratio", "validation": 0.2, "test": 0.3, "seed": 1},
    }


def source_alone(sources: Iterable[str], wanted: str | None) -> str:
    """Return the source that row A has alone: the one that is wanted, else company, else "" where there is one only.

    Raises:
        ValueError: there is no such source, or there are several and none is called company.
    """
    known = sorted(set(sources))
    if wanted is not None:
        if wanted not in known:
            raise ValueError(
                f"--company {wanted}: the photos come from {known}{nearest(wanted, known)}; name one of them"
            )
        return wanted
    if len(known) < 2:
        return ""
    if "company" not in known:
        raise ValueError(f"the photos come from {known}; say with --company which one row A has alone")
    return "company"


def _is_via(path: Path) -> bool:
    try:
        return bool(read_via(str(path)))
    except ValueError:
        return False


def _scratch_attribute(path: Path) -> tuple[str, list[str]]:
    """Return the attribute of regions that says scratch, and the values that do."""
    seen: dict[str, set[str]] = {}
    for regions in read_via(str(path)).values():
        for _, attributes in regions:
            for key, value in attributes.items():
                seen.setdefault(key, set()).update([value] if isinstance(value, str) else [])
    for key, values in seen.items():
        scratches = sorted(value for value in values if value.casefold() in SCRATCH_NAMES)
        if scratches:
            return key, scratches
    names = {key: sorted(values)[:8] for key, values in seen.items()}
    raise ValueError(
        f"{path}: no region is called {' or '.join(SCRATCH_NAMES)}, found {names}; give a run YAML with `masks.classes`"
    )
