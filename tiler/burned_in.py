"""What is drawn over every frame of a series: title rows, and coast lines, borders, graticules and texts.

A drawn line is thin, brighter than what is around it, and stands still while clouds move; and it is the same in all
bands, which lakes and coasts are not. So the *opacity* with which white seems to be laid over a pixel,
`(value - around) / (white - around)` with the median of 5 x 5 pixels around, is looked at over many frames and bands:
a line has some in nearly all of them, also where it was averaged with its neighbours, or is half transparent. Where
clouds are about as white as the line it cannot be told, and such a frame does not count there.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

LEAST_FRAMES = 8
"""Fewer frames cannot tell what stands still."""
SAMPLE_BYTES = 250_000_000
"""Memory for the frames that are looked at."""
MOST_PLANES = 72
"""Frames times bands that are looked at: more tell nothing new."""
AROUND_PX = 5
HEADROOM = 50
"""Of 255: how much darker than white its surroundings must be for a line to show."""
SHARE = 0.25
"""A line shows in at least 3 of 4 of the frames that count."""
SURE, LIKELY = 0.06, 0.03
"""Opacity from which a pixel is of a line, and from which it is if its neighbour is. On real frames of COMS, whose
lines were averaged with 15 neighbours each, clouds and ground stay below 0.03 for 95 % of all pixels."""


def sample_size(height_px: int, width_px: int, bands: int) -> int:
    """Return how many times to look at."""
    planes = min(MOST_PLANES, SAMPLE_BYTES // (2 * height_px * width_px))
    return max(LEAST_FRAMES, planes // bands)


def find_lines(planes: Iterable[tuple[np.ndarray, np.ndarray, tuple[float, float]]]) -> np.ndarray:
    """Find lines and texts that are drawn over all frames.

    Args:
        planes: (y, x) numbers, bool (y, x), what is a measurement, and the numbers of black and of white; of several
            times and bands.

    Returns:
        bool (y, x): what is drawn.
    """
    from tiler.median import median_around

    levels, around = [], []
    for values, valid, (low, high) in planes:
        level = np.clip((values.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
        levels.append(level)
        near = median_around(level, AROUND_PX // 2)
        near[~valid] = 255  # never counts
        around.append(near)
    rows = (_opacity(np.stack([p[y] for p in levels]), np.stack([p[y] for p in around])) for y in range(len(levels[0])))
    shown = np.stack(list(rows))
    return _grown(shown >= SURE, shown >= LIKELY)


def _opacity(level: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Return the lower quartile over planes of the opacity of white, (plane, x) to (x,); 0 where too few count."""
    room = 255 - around.astype(np.float32)
    counts = room >= HEADROOM
    opacity = np.where(counts, (level.astype(np.float32) - around) / np.maximum(room, 1), np.float32(np.inf))
    opacity.sort(axis=0)
    number = counts.sum(axis=0)
    at = (SHARE * (number - 1)).clip(0).astype(np.intp)
    return np.where(number >= LEAST_FRAMES, np.take_along_axis(opacity, at[None], axis=0)[0], np.float32(0))


def _grown(sure: np.ndarray, likely: np.ndarray) -> np.ndarray:
    """Return `sure` and whatever is `likely` and hangs together with it, across corners too."""
    found = sure
    while True:
        wide = np.pad(found, 1)
        near = np.zeros_like(found)
        for dy in range(3):
            for dx in range(3):
                near |= wide[dy : dy + found.shape[0], dx : dx + found.shape[1]]
        more = found | (near & likely)
        if (more == found).all():
            return found
        found = more


def title_rows(height_px: int, width_px: int, top_px: int, bottom_px: int) -> np.ndarray:
    """Return bool (y, x): the rows of titles.

    Raises:
        ValueError: nothing would be left.
    """
    if top_px + bottom_px >= height_px:
        raise ValueError(
            f"frames.burned_in: {top_px} rows above and {bottom_px} below leave nothing of {height_px}; give fewer"
        )
    rows = np.zeros((height_px, width_px), bool)
    rows[:top_px] = True
    rows[height_px - bottom_px :] = True
    return rows
