"""What Predict tells of its answers: a row for each image, and scores where labels are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from jobs.config import RunConfig
from jobs.image_scores import score_files, told
from jobs.lists import csv_bytes
from models.image_verdict import ImageScores, choose_min_area_px, image_scores
from tiler.classes import value_names
from tiler.image_spec import ImagesSpec
from tiler.tile_store import TileStore

Lists = tuple[dict[str, bytes], list[str]]
"""Files by name, and lines to print."""
KNOWN = ("id", "split", "source", "label")


def mask_lists(
    store: TileStore, images: Sequence[dict[str, Any]], classes: Sequence[str], config: RunConfig, judged: str
) -> Lists:
    """Return `images.csv` (yes or no of each image) and `scores.json`, of what `PredictMasks` recorded.

    An image holds something by its label where a pixel is of any class; without a labelled pixel nobody knows, and no
    network where all of it is missing.

    Raises:
        ValueError: the area is to be chosen on validation images, and none of them is labelled.
    """
    counts = store.facts("class_counts")[[image["row"] for image in images]]
    truth = [bool(c[1:].sum()) if c.sum() else None for c in counts]
    areas = [sum(image["areas_px"]) for image in images]
    parts = [store.tiles[image["row"]]["split"] for image in images]
    min_area = config.predict.min_area_px
    if isinstance(min_area, str):
        known = [i for i, part in enumerate(parts) if part == "validation" and truth[i] is not None]
        if not any(truth[i] for i in known):
            raise ValueError(
                f"predict.min_area_px: none of the {noun_of(config)} that validate has something labelled in it and "
                "could be asked; give a number"
            )
        min_area = choose_min_area_px(
            [areas[i] for i in known], [bool(truth[i]) for i in known], config.predict.min_recall
        )
    names = value_names(classes)[1:]
    header = (*KNOWN, "truth", "answer", "area_px", "share", "highest_probability", *(f"area_px_{n}" for n in names))
    rows = [
        (
            *(store.tiles[image["row"]][name] for name in KNOWN),
            "" if there is None else _word(there),
            _word(area >= min_area) if image["seen_px"] else "",
            area,
            round(area / max(1, image["seen_px"]), 6),
            image["highest"],
            *image["areas_px"],
        )
        for image, there, area in zip(images, truth, areas, strict=True)
    ]
    yes = sum(area >= min_area for area in areas)
    facts: dict[str, Any] = {
        "min_probability": config.fuse.threshold,
        "min_area_px": min_area,
        "images": len(images),
        "yes": yes,
    }
    lines = [f"yes: {yes} of {len(images)} {noun_of(config)} have {min_area} px or more of it"]
    if judged == "validation" and config.predict.min_area_px == "validation":
        lines.append("WARNING: the area was chosen on the validation part, which also judges it, in its favour")
    judging = [i for i, part in enumerate(parts) if part == judged and truth[i] is not None]
    if judging:
        there = [bool(truth[i]) for i in judging]
        rules = {
            "network": image_scores([areas[i] for i in judging], there, min_area),
            "always yes": image_scores([1] * len(there), there, 1),
        }
        facts |= {"judged": judged, "scores": {name: _scores(one) for name, one in rules.items()}}
        lines += [f"{judged:<10} {name:<10} {_line(one)}" for name, one in rules.items()]
    files = {"images.csv": csv_bytes(header, rows), "scores.json": json.dumps(facts, indent=1).encode()}
    return files, lines


def class_lists(store: TileStore, images: Sequence[dict[str, Any]], classes: Sequence[str]) -> Lists:
    """Return `images.csv` (the class of each image) and the files of `score_files`, of what `PredictClasses` recorded.

    Images of a class that the networks do not know are told apart, and have no part in the scores.
    """
    header = (*KNOWN, "answer", "probability", *(f"p_{name}" for name in classes))
    matrices: dict[str, np.ndarray] = {}
    rows, strangers = [], set()
    for image in images:
        tile, chances = store.tiles[image["row"]], image["probabilities"]
        best = int(np.argmax(chances))
        rows.append((*(tile[name] for name in KNOWN), classes[best], chances[best], *chances))
        if tile["label"] in classes:
            matrix = matrices.setdefault(tile["split"], np.zeros((len(classes),) * 2, np.int64))
            matrix[list(classes).index(tile["label"]), best] += 1
        elif tile["label"]:
            strangers.add(tile["label"])
    files = {"images.csv": csv_bytes(header, rows)}
    scores, _, _ = score_files({part: m for part, m in matrices.items() if part}, classes)
    lines = told(json.loads(scores["scores.json"])) if scores else []
    if strangers:
        lines.append(f"the networks do not know the classes {sorted(strangers)[:10]}: these images are not scored")
    return files | scores, lines


def noun_of(config: RunConfig) -> str:
    """Return what the rows of a data set are called."""
    return "images" if isinstance(config.dataset, ImagesSpec) else "tiles"


def _word(answer: bool) -> str:
    return "yes" if answer else "no"


def _scores(scores: ImageScores) -> dict[str, float]:
    return {**asdict(scores), **{n: getattr(scores, n) for n in ("precision", "recall", "f1", "accuracy", "spared")}}


def _line(scores: ImageScores) -> str:
    return (
        f"precision {scores.precision:.3f}  recall {scores.recall:.3f}  F1 {scores.f1:.3f}  spared {scores.spared:.3f}"
    )
