"""Scratches and what looks like them: both are drawn on a surface, only the first are labelled."""

from __future__ import annotations

import numpy as np

from tiler.synthetic.noise import Dice, bell, fractal_noise, hash_cells, key_of, smooth_step, unit
from tiler.synthetic.scratches.panel import Surface, View
from tiler.synthetic.scratches.strokes import arc, coverage, near_line, outline

Array = np.ndarray

LEAST, MOST = 0.002, 0.02
"""Share of the pixels of an image with scratches that its label marks."""
PRIMER, GROOVE = (0.62, 0.61, 0.58), (0.03, 0.03, 0.032)
TRIALS = 60


def scratch(surface: Surface, view: View, key: int, width_px: tuple[float, float]) -> tuple[Array, list[Array]]:
    """Scratch the paint, in bundles of one to four arcs around one or two places.

    Args:
        surface: is changed.
        view: where the camera stands.
        key: what is left to chance.
        width_px: narrowest and widest scratch.

    Returns:
        bool (y, x): what is truly scratched; and the polygons that an annotator draws, (corner, 2) of y and x each.
        No polygons where too little paint is in view.
    """
    dice = Dice(key, 51)
    true = np.zeros(surface.paint.shape, bool)
    paint = np.argwhere(surface.paint)
    if len(paint) < 0.1 * surface.paint.size:
        return true, []
    luminance = float(surface.albedo[:, surface.paint].mean())
    bright = dice.unit() < (0.9 if luminance < 0.2 else 0.25)
    target = MOST * 0.9 * dice.between(0.25, 1.0) ** 2
    longest = 0.38 * max(view.height_px, view.width_px)
    polygons: list[Array] = []
    label = np.zeros_like(true)
    places = [paint[int(dice.unit() * len(paint))] for _ in range(1 + int(dice.unit() * 2))]
    angles = [dice.between(-0.5, 0.5) if dice.unit() < 0.7 else dice.between(0, np.pi) for _ in places]
    for trial in range(TRIALS):
        which = int(dice.unit() * len(places))
        spread = longest * 0.35
        middle = places[which] + spread * np.array([dice.between(-1, 1), dice.between(-1, 1)])
        angle, bend = angles[which] + dice.between(-0.1, 0.1), dice.between(-0.08, 0.08)
        length = longest * dice.between(0.25, 1.0)
        for number in range(1 + int(dice.unit() * 4)):
            aside = number * dice.between(2.5, 7) * np.array([np.cos(angle), -np.sin(angle)])
            points = arc(dice, middle + aside, angle + dice.between(-0.05, 0.05), length, bend, 0.5)
            points = _on_paint(points, surface.paint)
            if len(points) < 4:
                continue
            wobble = outline(_jittered(points, dice), dice.between(1.1, 2.1))
            more = label | rasterised([wobble], view.height_px, view.width_px)
            if more.mean() > MOST:
                continue
            true |= _draw(surface, points, key_of(key, trial, number), width_px, bright)
            label = more
            polygons.append(wobble)
        if label.mean() >= max(target, 1.2 * LEAST):
            break
    return (true, polygons) if label.mean() >= LEAST else (true, [])


def rasterised(polygons: list[Array], height: int, width: int) -> Array:
    """Return bool (y, x): pixels whose middle lies in one of the polygons."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    found = np.zeros((height, width), bool)
    for polygon in polygons:
        ring = [(x, y) for y, x in (*polygon, polygon[0])]
        shape = {"type": "Polygon", "coordinates": [ring]}
        one = rasterize(
            [(shape, 1)], out_shape=(height, width), transform=Affine.translation(-0.5, -0.5), dtype="uint8"
        )
        found |= one == 1
    return found


def _on_paint(points: Array, paint: Array) -> Array:
    """Return the longest run of points that lie on paint."""
    at = np.round(points).astype(int)
    inside: Array = np.all((at >= 0) & (at < paint.shape), axis=1)
    inside[inside] = paint[at[inside, 0], at[inside, 1]]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return points[:0]
    start, end = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return points[start:end]


def _jittered(points: Array, dice: Dice) -> Array:
    """Return the line as a hand follows it: shifted, slowly wandering, ends missed."""
    n = len(points)
    at = np.linspace(0, 2, n)
    knots = np.array([[dice.between(-1.3, 1.3) for _ in range(3)] for _ in range(2)])
    off = np.stack([np.interp(at, [0, 1, 2], k) for k in knots], 1)
    first, last = int(dice.unit() * n * 0.12), n - int(dice.unit() * n * 0.12)
    return (points + off)[first : max(last, first + 3)]


def _draw(surface: Surface, points: Array, key: int, width_px: tuple[float, float], bright: bool) -> Array:
    """Draw one scratch: a profile across, a depth along it, breaks, tapered ends; return bool (y, x) where it is."""
    dice = Dice(key, 52)
    height, width = surface.paint.shape
    wide = width_px[0] + (width_px[1] - width_px[0]) * dice.unit() ** 2
    near = near_line(points, wide / 2 + 2, height, width)
    drawn = np.zeros((height, width), bool)
    if near is None:
        return drawn
    depth = 0.75 + 0.35 * fractal_noise(key, near.along.astype(np.float64), 0.0 * near.along, [(0.5, 0.7), (0.08, 0.6)])
    broken = smooth_step(0.15, 0.4, depth) if dice.unit() < 0.6 else np.ones_like(depth)
    taper = smooth_step(0, 0.15, near.along) * smooth_step(1, 0.75, near.along)
    strength = np.clip(depth * broken, 0, 1) * (0.25 + 0.75 * taper) * dice.between(0.3, 1.0)
    line = coverage(near.distance_px, wide * (0.5 + 0.5 * taper))
    core = line * np.clip(1.15 - near.distance_px / max(wide, 1), 0.4, 1)
    alpha = (core * strength * surface.paint[near.window]).astype(np.float32)
    flip = dice.unit() < 0.12
    surface.cover(alpha, PRIMER if bright != flip else GROOVE, 0.1, near.window)
    surface.slopes[0][near.window] += alpha * np.float32(dice.between(-0.4, 0.4))
    drawn[near.window] = alpha > 0.12
    return drawn


def lookalikes(surface: Surface, view: View, key: int) -> None:
    """Lay hairs, lint, cables, dirt and droplets on a surface."""
    dice = Dice(key, 61)
    height, width = surface.paint.shape
    side = max(height, width)
    if dice.unit() < 0.5:
        _dirt(surface, view, key)
    if dice.unit() < 0.3:
        _droplets(surface, key)
    for number in range(int(dice.unit() * 5)):  # hair and lint
        middle = np.array([dice.unit() * height, dice.unit() * width])
        length, bend = side * dice.between(0.06, 0.3), dice.between(-0.4, 0.4)
        points = arc(Dice(key, 62, number), middle, dice.between(0, np.pi), length, bend, 0.7)
        near = near_line(points, 5, height, width)
        if near is not None:
            hair = coverage(near.distance_px, dice.between(0.6, 1.5)) * np.float32(dice.between(0.4, 0.95))
            dark = dice.unit() < 0.6
            surface.darken(0.2 * coverage(near.distance_px, 4.0), near.window)
            surface.cover(hair, (0.02, 0.015, 0.012) if dark else (0.55, 0.52, 0.46), 0.2, near.window)
    if dice.unit() < 0.2:
        _cable(surface, dice)


def _cable(surface: Surface, dice: Dice) -> None:
    height, width = surface.paint.shape
    side = max(height, width)
    middle = np.array([height * dice.between(0.2, 0.8), width * dice.between(0.2, 0.8)])
    points = arc(dice, middle, dice.between(0, np.pi), side * 1.6, dice.between(-0.2, 0.2), side * 0.004, 24)
    thick = dice.between(2.0, 5.0)
    near = near_line(points, 3 * thick, height, width)
    if near is None:
        return
    surface.darken(0.35 * coverage(near.distance_px, 2.5 * thick), near.window)
    colour = ((0.015, 0.015, 0.015), (0.5, 0.5, 0.48), (0.45, 0.12, 0.02))[int(dice.unit() * 3)]
    whole = coverage(near.distance_px, thick)
    surface.cover(whole, colour, 0.3, near.window)
    surface.albedo[(slice(None), *near.window)] += 0.15 * coverage(near.distance_px, thick * 0.3)
    surface.paint[near.window] &= whole < 0.2


def _dirt(surface: Surface, view: View, key: int) -> None:
    u, v = view.places()
    cloud = fractal_noise(key_of(key, 63), u, v, [(0.9, 0.5), (0.3, 0.4), (0.1, 0.3), (0.03, 0.3)])
    dust = smooth_step(-0.1, 1.1, cloud + 0.6 * v) * np.float32(Dice(key, 64).between(0.1, 0.55))
    rows, cols = np.mgrid[: u.shape[0], : u.shape[1]]
    specks = (bell(hash_cells(key_of(key, 65), rows, cols), 1) > 2.5) * np.float32(0.6)
    surface.cover(np.maximum(dust, specks).astype(np.float32), (0.24, 0.20, 0.15), 0.2)


def _droplets(surface: Surface, key: int) -> None:
    dice = Dice(key, 66)
    height, width = surface.paint.shape
    count = 15 + int(dice.unit() * 60)
    # a hash of each number: the steps of `Dice` lie on lines where they become places of many things
    drawn = unit(hash_cells(key_of(key, 67), *np.mgrid[:count, :3])).astype(float)
    for cy, cx, r in drawn * (height, width, 2.4 * max(height, width) / 256):
        cy, cx, r = float(cy), float(cx), float(r) + 0.8
        y0, x0 = max(int(cy - r - 1), 0), max(int(cx - r - 1), 0)
        where = (slice(y0, int(cy + r + 2)), slice(x0, int(cx + r + 2)))
        ys, xs = np.mgrid[y0 : min(int(cy + r + 2), height), x0 : min(int(cx + r + 2), width)]
        dy, dx = (ys - cy) / r, (xs - cx) / r
        inside = np.clip((1 - np.hypot(dy, dx)) * r + 0.5, 0, 1).astype(np.float32)
        surface.slopes[0][where] += (inside * dy * 1.2).astype(np.float32)
        surface.slopes[1][where] += (inside * dx * 1.2).astype(np.float32)
        surface.darken(inside * np.where(dy < 0, 0.25, 0.0).astype(np.float32), where)
