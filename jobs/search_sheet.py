"""The contact sheet of a search: its examples, and what was found, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.figures import FAINT, INK, new_figure, png_bytes, stretch
from jobs.search_archive import Archive, Member
from jobs.search_image import read_image
from jobs.search_queries import Resolved
from models.search import Best
from tiler.frame_store import FrameStore
from tiler.scene_store import SceneStore

SHOWN, EXAMPLES, COLUMNS = 24, 6, 6
"""Results and examples that are drawn, at most, and pictures in a row."""
FRAME_BANDS = ("ir", "swir", "wv")
SCENE_BANDS = ("red", "green", "blue")


@dataclass(frozen=True)
class Picture:
    """One picture of the sheet."""

    title: str
    color: str
    rgb: np.ndarray
    """uint8 (y, x, 3), white where missing."""


def picture_of(member: Member, item: int) -> np.ndarray:
    """Return what an item looks like, uint8 (y, x, 3); missing pixels are white.

    Frames: infrared, short-wave infrared and water vapour as red, green and blue, in the units of the series. Windows:
    red, green and blue, each stretched between its own 2nd and 98th percentile. What has other bands is shown in the
    first three, or in grey.
    """
    items = member.store.items
    if items is None:
        frames = FrameStore(member.images)
        unit, valid = frames.unit_images(item, item + 1)
        at = _three(frames.bands, FRAME_BANDS)
        out = np.round(255 * unit[0, at]).astype(np.uint8).transpose(1, 2, 0)
        out[~valid[0, at].any(axis=0)] = 255
        return out
    scene = SceneStore(member.images)
    box = items.box(item).clip(scene.grid.box)
    image, valid = scene.read("image", box, 0)[_three(scene.sensor.bands, SCENE_BANDS)], scene.read("valid", box, False)
    out = stretch(image, valid)
    out[~valid] = 255
    return out


def picture_of_file(path: str, member: Member, channels: Sequence[str]) -> np.ndarray:
    """Return what an example from a file looks like, stretched, uint8 (y, x, 3)."""
    bands = channels if member.plan.scene is None else member.plan.scene.scene.sensor.bands
    image, valid = read_image(path, channels, bands)
    wanted = FRAME_BANDS if member.plan.scene is None else SCENE_BANDS
    at = _three(channels, wanted)
    seen = np.asarray(valid[at].any(axis=0))
    out = stretch(image[at], seen)
    out[~seen] = 255
    return out


def _three(bands: Sequence[str], wanted: Sequence[str]) -> list[int]:
    names = list(bands)
    if set(wanted) <= set(names):
        return [names.index(name) for name in wanted]
    return [0, 1, 2] if len(names) >= 3 else [0, 0, 0]


def pictures_of(
    archive: Archive, examples: Sequence[Resolved], best: Best, channels: Sequence[str]
) -> tuple[list[Picture], list[Picture]]:
    """Return the pictures of examples and results."""
    asked: list[Picture] = []
    for one in examples[:EXAMPLES]:
        color = INK if one.example.like else "#d55e00"
        if one.example.kind == "image":
            rgb = picture_of_file(one.example.text, archive.members[0], channels)
            asked.append(Picture(one.example.told, color, rgb))
        elif one.ids:
            member, item = archive.place(one.ids[0])
            more = f" (1 of {len(one.ids)})" if len(one.ids) > 1 else ""
            asked.append(Picture(f"{one.example.told}{more}", color, picture_of(member, item)))
    found = []
    for rank, (score, item_id) in enumerate(zip(best.scores[:SHOWN], best.ids[:SHOWN].tolist(), strict=True), 1):
        member, item = archive.place(item_id)
        found.append(Picture(f"{rank}   {score:.4f}\n{archive.label(item_id)}", INK, picture_of(member, item)))
    return asked, found


def sheet_of(asked: Sequence[Picture], found: Sequence[Picture]) -> bytes:
    """Draw examples above results; return PNG."""
    columns = max(1, min(COLUMNS, max(len(asked), len(found))))
    top, below = (math.ceil(len(some) / columns) for some in (asked, found))
    figure = new_figure(2.3 * columns, 2.75 * (top + below) + 0.4)
    panels = np.atleast_2d(figure.subplots(max(1, top + below), columns, squeeze=False))
    for panel in panels.ravel():
        panel.set_axis_off()
    places = [*panels[:top].ravel()[: len(asked)], *panels[top:].ravel()[: len(found)]]
    for panel, picture in zip(places, [*asked, *found], strict=True):
        panel.imshow(picture.rgb, interpolation="nearest")
        panel.set_title(_cut(picture.title), fontsize=7, color=picture.color)
    figure.suptitle("what was asked for, then what was found, best first", fontsize=8, color=FAINT)
    return png_bytes(figure)


def _cut(title: str, most: int = 34) -> str:
    return "\n".join(
        line if len(line) <= most else f"{line[: most // 2 - 1]}…{line[-most // 2 :]}" for line in title.split("\n")
    )
