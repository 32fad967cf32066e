"""Frames as pictures: the composite of the first three bands as red, green and blue, and a sheet of a frame a month."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from tiler.frame_store import FrameStore

THUMBNAIL_PX = 96
MONTHS = 12


def composite(unit: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return a frame as a picture: of ir, swir and wv, in this order, as red, green and blue.

    Args:
        unit: (band, y, x) in [0, 1], as `FrameStore.unit_images` gives it; of more than three bands the first three are
            shown, two leave blue dark, one is grey.
        valid: bool (band, y, x); what is missing is dark.

    Returns:
        uint8 (y, x, 3).
    """
    shown = np.rint(np.clip(np.where(valid, unit, 0), 0, 1) * 255).astype(np.uint8)
    if len(shown) == 1:
        shown = np.repeat(shown, 3, axis=0)
    picture = np.zeros((*shown.shape[1:], 3), np.uint8)
    picture[..., : len(shown[:3])] = shown[:3].transpose(1, 2, 0)
    return picture


def frames_of_months(times: np.ndarray) -> list[tuple[int, int, int]]:
    """Choose a frame of every month that has any: the one next to noon (UTC) of its middle day.

    Args:
        times: datetime64[s] (n,), rising.

    Returns:
        Year, month from 1 and place in `times` of each, rising.
    """
    months = times.astype("datetime64[M]")
    found = []
    for month in np.unique(months):
        inside = np.flatnonzero(months == month)
        middle = month.astype("datetime64[s]") + np.timedelta64(14 * 24 + 12, "h")
        number = int(month.astype(int))
        found.append(
            (1970 + number // MONTHS, 1 + number % MONTHS, int(inside[np.abs(times[inside] - middle).argmin()]))
        )
    return found


def contact_sheet(store: FrameStore) -> bytes:
    """Return a PNG with a row for each year and a column for each month: a small frame of it, dark where there is none.

    Raises:
        ValueError: the store has no frames.
    """
    chosen = frames_of_months(store.times)
    if not chosen:
        raise ValueError(f"{store.url} has no frames to show")
    first = chosen[0][0]
    rows = chosen[-1][0] - first + 1
    sheet = Image.new("RGB", (MONTHS * THUMBNAIL_PX, rows * THUMBNAIL_PX))
    draw = ImageDraw.Draw(sheet)
    for year, month, at in chosen:
        unit, valid = store.unit_images(at, at + 1)
        small = Image.fromarray(composite(unit[0], valid[0])).resize((THUMBNAIL_PX,) * 2, Image.Resampling.BOX)
        place = (month - 1) * THUMBNAIL_PX, (year - first) * THUMBNAIL_PX
        sheet.paste(small, place)
        corner = place[0] + 3, place[1] + THUMBNAIL_PX - 13
        draw.text(corner, f"{year}-{month:02}", fill="white", stroke_width=1, stroke_fill="black")
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
