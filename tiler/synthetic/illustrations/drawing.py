"""Line art of a grammar as a picture: turned, drawn in one of two manners, coloured to a mean that tells no class."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tiler.synthetic.illustrations.grammars import GRAMMARS
from tiler.synthetic.illustrations.shapes import Piece
from tiler.synthetic.noise import Dice, key_of

Array = np.ndarray

INK, CLUTTER, FILLS = 250, 240, 5
LARGE_PX = 1_600
"""From this side on pixels are small enough to go without smoothing."""


def illustrate(label: str, key: int, height_px: int, width_px: int, dark: bool) -> Array:
    """Return an illustration of a class, uint8 (y, x, 3).

    Args:
        label: of `GRAMMARS`.
        key: what is left to chance.
        height_px: of the picture.
        width_px: of the picture.
        dark: light lines on a dark ground.
    """
    dice = Dice(key, 1)
    pieces = GRAMMARS[label](Dice(key, 2))
    fine = 1 if max(height_px, width_px) > LARGE_PX else 2
    canvas = Image.new("L", (width_px * fine, height_px * fine), 0)
    pen = ImageDraw.Draw(canvas)
    half = min(height_px, width_px) * fine / 2
    size, turn = half * dice.between(0.55, 0.92), dice.between(-0.45, 0.45)
    room = np.array([width_px, height_px]) * fine / 2 - size
    middle = np.array([width_px, height_px]) * fine / 2 + room * [dice.between(-0.8, 0.8), dice.between(-0.8, 0.8)]
    mirror = -1 if dice.unit() < 0.5 else 1
    squeeze = dice.between(0.85, 1.15)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos * mirror * squeeze, -sin], [sin * mirror * squeeze, cos]]) * size / max(1, squeeze)
    width = max(1, round(half * dice.between(0.008, 0.03)))
    sketchy, filled = dice.unit() < 0.5, dice.unit() < 0.75
    _clutter(pen, Dice(key, 3), canvas.size, width)
    for number, piece in enumerate(pieces):
        points = piece.points @ matrix.T + middle
        _draw(pen, Piece(points, piece.fill), width, Dice(key, 4, number) if sketchy else None, filled)
    return _coloured(canvas, Dice(key, 5), dark, fine)


def _draw(pen: ImageDraw.ImageDraw, piece: Piece, width: int, sketch: Dice | None, filled: bool) -> None:
    """Fill a piece and draw its line: once and evenly, or twice by an unsteady hand."""
    points = piece.points
    if piece.fill != -1:
        level = 1 + piece.fill if filled and piece.fill >= 0 else 0
        pen.polygon([tuple(p) for p in points], fill=level)
        points = np.concatenate([points, points[:2]])
    strokes = [points] if sketch is None else [_unsteady(points, sketch, width) for _ in range(2)]
    for stroke in strokes:
        pen.line(
            [tuple(p) for p in stroke], fill=INK, width=width if sketch is None else max(1, width // 2), joint="curve"
        )


def _unsteady(points: Array, dice: Dice, width: int) -> Array:
    off = np.array([[dice.between(-1, 1), dice.between(-1, 1)] for _ in points])
    return points + off * width * 0.9


def _clutter(pen: ImageDraw.ImageDraw, dice: Dice, size: tuple[int, int], width: int) -> None:
    """Strew small signs over the paper: dots, dashes, crosses, lines of writing."""
    wide, high = size
    for _ in range(int(dice.unit() ** 2 * 14)):
        x, y, r = dice.unit() * wide, dice.unit() * high, min(size) * dice.between(0.01, 0.05)
        kind = int(dice.unit() * 4)
        thin = max(1, width // 2)
        if kind == 0:
            pen.ellipse((x - r, y - r, x + r, y + r), outline=CLUTTER, width=thin)
        elif kind == 1:
            pen.line((x - r, y - r, x + r, y + r), fill=CLUTTER, width=thin)
            pen.line((x - r, y + r, x + r, y - r), fill=CLUTTER, width=thin)
        elif kind == 2:
            pen.line((x - 2 * r, y, x + 2 * r, y + r * dice.between(-1, 1)), fill=CLUTTER, width=thin)
        else:
            for number in range(5):
                step = x + number * r * 0.8
                pen.line((step, y, step + r * 0.4, y - r * dice.between(0.3, 1)), fill=CLUTTER, width=thin)


def _coloured(canvas: Image.Image, dice: Dice, dark: bool, fine: int) -> Array:
    """Give levels colours, so strong that the picture's mean is near one that was drawn for it alone."""
    share = np.array(canvas.histogram(), float) / (canvas.width * canvas.height)
    table = np.zeros((256, 3))
    spread = dice.between(-1, 1) + dice.between(-1, 1)
    if dark:
        table[0] = np.array([dice.between(8, 55) for _ in range(3)])
        for level in range(1, FILLS + 1):
            table[level] = [dice.between(40, 200) for _ in range(3)]
        table[INK], table[CLUTTER] = dice.between(190, 255), dice.between(90, 170)
    else:
        aim = 220 + 13 * spread
        table[0], table[CLUTTER] = 255, dice.between(90, 200)
        table[INK] = [dice.between(0, 70) for _ in range(3)] if dice.unit() < 0.3 else dice.between(0, 50)
        base = np.array([[dice.between(60, 255) for _ in range(3)] for _ in range(FILLS)])
        lost_by_ink = float(share[[INK, CLUTTER]] @ (255 - table[[INK, CLUTTER]].mean(1)))
        lost_by_fill = float(share[1 : FILLS + 1] @ (255 - base.mean(1)))
        wanted = 255 - aim - lost_by_ink
        strength = np.clip(wanted / max(lost_by_fill, 1e-3), 0.12, 1.6)
        table[1 : FILLS + 1] = np.clip(255 - strength * (255 - base), 0, 255)
        found = lost_by_ink + float(share[1 : FILLS + 1] @ (255 - table[1 : FILLS + 1].mean(1)))
        # what the fills cannot give is given by the paper: grey, cream or recycled
        short = np.clip((255 - aim - found) / max(share[0], 0.05), 0, 45)
        table[0] = np.clip(255 - short * np.array([0.85, 0.95, 1.2]), 0, 255)
        if dice.unit() < 0.5 and short < 12:
            table[0] = 255
    lut = np.round(table).astype(np.uint8)
    picture = Image.fromarray(lut[np.asarray(canvas)])
    return np.asarray(picture.reduce(fine) if fine > 1 else picture)


def seed_of(seed: int, label: str, number: int) -> int:
    """Return the key of an item of a class."""
    return key_of(seed, 0x111057, list(GRAMMARS).index(label), number)
