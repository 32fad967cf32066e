"""The ground of a map: labels and bands of scenes, brought to map pixels, with what may train and what may judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiler.grids import Box, PixelGrid
from tiler.labels import IGNORE
from tiler.map_store import MapStore
from tiler.scene_store import SceneStore
from tiler.split import Split
from tiler.stores import array_of
from tiler.warp import Mapping, nearest


@dataclass(frozen=True)
class Labelled:
    """The labels of some map pixels, uint8 (y, x) each, `IGNORE` elsewhere."""

    judging: np.ndarray
    """Where the map is judged."""
    training: np.ndarray
    """Where networks have learnt, and so may the rules that they are compared with."""


def read_labels(
    scenes: Sequence[SceneStore], pixels: PixelGrid, box: Box, split: Split, labels: int, everywhere: bool
) -> Labelled:
    """Read the labels of map pixels from all scenes that reach them; the first scene that labels a pixel decides.

    A pixel is held back if every scene that labels it holds it back: what one of them trained on is known ground.

    Args:
        scenes: in order of their ids.
        pixels: the map grid's plane.
        box: absolute map pixels.
        split: what was held back.
        labels: how many class indices there are; with two, every class above background is the class.
        everywhere: judge on all labelled pixels.
    """
    truth = np.full((box.height, box.width), IGNORE, np.uint8)
    trained = np.zeros(truth.shape, bool)
    for scene in scenes:
        mapping = Mapping(pixels, scene.grid)
        at = mapping.source_box(box)
        if at.empty or not scene.labelled:
            continue
        found = scene.read("label", at, IGNORE)
        if labels == 2:
            found = np.where(found == IGNORE, found, np.uint8(1) * (found > 0)).astype(np.uint8)
        learnt = (found != IGNORE) & ~split.held_back(scene.id, at)
        here, learnt_here = nearest(mapping, box, np.stack([found, learnt.astype(np.uint8)]), at, IGNORE)
        np.copyto(truth, here, where=truth == IGNORE)
        trained |= learnt_here == 1
    nothing = np.uint8(IGNORE)
    return Labelled(truth if everywhere else np.where(trained, nothing, truth), np.where(trained, truth, nothing))


def read_bands(scenes: Sequence[SceneStore], pixels: PixelGrid, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Return the bands at map pixels, of the first labelled scene that saw them: float32 (band, y, x), bool (y, x)."""
    bands = np.zeros((len(scenes[0].sensor.bands), box.height, box.width), np.float32)
    seen = np.zeros((box.height, box.width), bool)
    for scene in scenes:
        mapping = Mapping(pixels, scene.grid)
        at = mapping.source_box(box)
        if at.empty or not scene.labelled:
            continue
        new = nearest(mapping, box, scene.read("valid", at, False), at, False) & ~seen
        image = nearest(mapping, box, scene.read("image", at, 0), at, 0)
        np.copyto(bands, image, where=new, casting="unsafe")
        seen |= new
    return bands, seen


def read_logits(store: MapStore, box: Box) -> np.ndarray:
    """Read the logits of a map, float32 (class, y, x); NaN also where the box hangs over the store."""
    array = array_of(store.group, "logit")
    row, col = store.origin
    whole = Box(row, col, row + array.shape[1], col + array.shape[2])
    out = np.full((array.shape[0], box.height, box.width), np.nan, np.float32)
    part = box.clip(whole)
    if not part.empty:
        out[(slice(None), *part.shift(-box.y0, -box.x0).slices)] = store.read("logit", part)
    return out
