"""Ten grammars of buildings, people and things."""

from __future__ import annotations

import numpy as np

from tiler.synthetic.illustrations.shapes import Piece, block, bow, closed, oval, path, polar, spots, whole
from tiler.synthetic.noise import Dice


def house(dice: Dice) -> list[Piece]:
    """Walls, roof, chimney, door, windows."""
    half, eave = dice.between(0.55, 0.75), dice.between(-0.25, 0.0)
    pieces = [block(0.25, -0.8, 0.42, -0.2, 2), block(-half, eave, half, 0.9, 0)]
    pieces.append(spots((-half - 0.15, eave), (0, -0.9), (half + 0.15, eave), fill=1))
    door = dice.between(-0.3, 0.1)
    pieces += [block(door, 0.4, door + 0.25, 0.9, 2), oval(door + 0.2, 0.66, 0.02, 0.02, 3)]
    for x in (-half + 0.1, half - 0.32):
        pieces += [
            block(x, 0.1, x + 0.22, 0.32, 3),
            path((x + 0.11, 0.1), (x + 0.11, 0.32)),
            path((x, 0.21), (x + 0.22, 0.21)),
        ]
    return pieces


def star(dice: Dice) -> list[Piece]:
    """A star inside a star, rays between."""
    n, inner = whole(dice, 5, 8), dice.between(0.35, 0.6)
    radius = np.where(np.arange(2 * n) % 2, inner * 0.95, 0.95)
    pieces = [polar(radius, fill=0, turn=-np.pi / 2), polar(radius * 0.55, fill=1, turn=-np.pi / 2)]
    at = np.arange(n) * 2 * np.pi / n - np.pi / 2
    return [*pieces, *(path((0, 0), (0.5 * np.cos(a), 0.5 * np.sin(a))) for a in at)]


def car(dice: Dice) -> list[Piece]:
    """Body, cabin, two wheels, lamp."""
    roof, front = dice.between(-0.5, -0.3), dice.between(0.25, 0.45)
    pieces = [spots((-0.6, 0), (-0.4, roof), (front - 0.1, roof), (front + 0.25, 0), fill=1)]
    pieces.append(spots((-0.95, 0), (0.75, 0), (0.96, 0.2), (0.96, 0.45), (-0.95, 0.45), fill=0))
    pieces += [path((-0.08, roof), (-0.08, 0.42)), block(0.02, 0.1, 0.14, 0.14, 3), oval(0.9, 0.2, 0.05, 0.07, 2)]
    for x in (-0.55, 0.5):
        pieces += [oval(x, 0.47, 0.24, 0.24, 3), oval(x, 0.47, 0.12, 0.12)]
    return pieces


def face(dice: Dice) -> list[Piece]:
    """Head, hair, eyes, nose, mouth, ears."""
    wide = dice.between(0.55, 0.7)
    hair = np.array([dice.between(0.75, 0.98) for _ in range(16)])
    pieces = [polar(np.repeat(hair, 2), 0, -0.12, 1), *(oval(s * wide, 0.1, 0.12, 0.18, 0) for s in (-1, 1))]
    pieces.append(oval(0, 0.1, wide, 0.75, 0))
    pieces.append(bow(-wide * 0.85, -0.3, wide * 0.85, -0.3, dice.between(-0.2, 0.15)))
    for s in (-1, 1):
        pieces += [oval(s * 0.25, -0.05, 0.13, 0.08), oval(s * 0.25, -0.05, 0.05, 0.06, 2)]
        pieces.append(bow(s * 0.12, -0.22, s * 0.4, -0.22, s * dice.between(-0.2, 0.0)))
    mouth = dice.between(-0.25, 0.35)
    return [*pieces, path((0, 0.0), (-0.08, 0.25), (0.04, 0.27)), bow(-0.25, 0.48, 0.25, 0.48, -mouth)]


def person(dice: Dice) -> list[Piece]:
    """A standing figure with limbs in some pose."""
    a, b, c, d = (dice.between(-0.6, 0.9) for _ in range(4))
    pieces: list[Piece] = []
    for s, lift, step in ((-1, a, c), (1, b, d)):
        elbow = (s * (0.3 + 0.1 * abs(lift)), -0.3 - 0.25 * lift + 0.2)
        pieces.append(path((s * 0.18, -0.35), elbow, (s * 0.6, elbow[1] - 0.3 * lift)))
        pieces.append(path((s * 0.1, 0.3), (s * (0.15 + 0.12 * step), 0.62), (s * (0.18 + 0.1 * step), 0.92)))
        pieces.append(oval(s * (0.24 + 0.1 * step), 0.94, 0.09, 0.04, 2))
    skirt = dice.between(0.12, 0.4)
    pieces.append(
        spots((-0.18, -0.42), (0.18, -0.42), (0.15, 0.0), (skirt, 0.36), (-skirt, 0.36), (-0.15, 0.0), fill=0)
    )
    return [
        *pieces,
        oval(0, -0.68, 0.2, 0.23, 1),
        bow(-0.2, -0.75, 0.2, -0.75, -0.5),
        bow(-0.08, -0.6, 0.08, -0.6, -0.3),
    ]


def cup(dice: Dice) -> list[Piece]:
    """A cup with a handle on a saucer, steam above."""
    low = dice.between(0.3, 0.5)
    pieces = [oval(0, 0.8, 0.9, 0.14, 1), oval(0.62, 0.15, 0.28, 0.3, 0), oval(0.62, 0.15, 0.17, 0.19)]
    pieces.append(spots((-0.62, -0.25), (0.62, -0.25), (low, 0.78), (-low, 0.78), fill=0))
    pieces += [oval(0, -0.25, 0.62, 0.13), oval(0, -0.23, 0.5, 0.08, 2)]
    for x in (-0.25, 0.0, 0.25):
        t = np.linspace(0, 1, 14)
        pieces.append(Piece(np.stack([x + 0.06 * np.sin(9 * t), -0.42 - 0.5 * t], 1)))
    return pieces


def gear(dice: Dice) -> list[Piece]:
    """A toothed wheel with spokes, and a smaller one."""
    pieces: list[Piece] = []
    for x, y, r in ((-0.2, 0.12, 0.72), (0.68, -0.62, 0.3)):
        n = whole(dice, 8, 14)
        teeth = np.where(np.arange(4 * n) % 4 < 2, r, r * 0.82)
        pieces += [
            polar(teeth, x, y, 0, dice.between(0, 1)),
            oval(x, y, r * 0.6, r * 0.6, 1),
            oval(x, y, r * 0.2, r * 0.2),
        ]
        for at in np.arange(5) * 2 * np.pi / 5:
            c, s = np.cos(at), np.sin(at)
            pieces.append(path((x + 0.2 * r * c, y + 0.2 * r * s), (x + 0.6 * r * c, y + 0.6 * r * s)))
    return pieces


def bottle(dice: Dice) -> list[Piece]:
    """A bottle with shoulders, cork and label."""
    half, neck, shoulder = dice.between(0.28, 0.42), dice.between(0.09, 0.14), dice.between(-0.3, -0.05)
    t = np.linspace(0, 1, 12)
    curve = half + (neck - half) * (3 * t**2 - 2 * t**3)
    right = [(half, 0.93), *zip(curve, shoulder - 0.25 * t, strict=True), (neck, -0.75)]
    outline = np.array([*right, *((-x, y) for x, y in right[::-1])])
    pieces = [closed(outline, 0), block(-neck * 0.9, -0.95, neck * 0.9, -0.75, 2), block(-half, 0.2, half, 0.65, 1)]
    pieces += [path((-half * 0.7, y), (half * dice.between(0.2, 0.7), y)) for y in (0.32, 0.42, 0.52)]
    return [*pieces, bow(-half * 0.7, 0.1, -half * 0.6, shoulder, 0.05)]


def boat(dice: Dice) -> list[Piece]:
    """A hull, a mast with two sails, waves."""
    x = dice.between(-0.2, 0.1)
    pieces = [
        path((x, 0.4), (x, -0.92)),
        spots((x + 0.04, -0.88), (x + dice.between(0.5, 0.75), 0.28), (x + 0.04, 0.28), fill=1),
    ]
    pieces.append(spots((x - 0.04, -0.7), (x - dice.between(0.4, 0.6), 0.28), (x - 0.04, 0.28), fill=2))
    pieces.append(spots((-0.85, 0.4), (0.9, 0.4), (0.6, 0.75), (-0.6, 0.75), fill=0))
    for row in range(2):
        at = np.linspace(-1, 1, 40)
        pieces.append(Piece(np.stack([at, 0.82 + 0.1 * row + 0.03 * np.sin(at * 18 + row * 2)], 1)))
    return [*pieces, *(oval(s * 0.3, 0.56, 0.06, 0.06) for s in (-1, 0, 1))]


def tiles(dice: Dice) -> list[Piece]:
    """A regular pattern: squares or diamonds, each with the same sign in it."""
    n, corners, inner = whole(dice, 3, 5), whole(dice, 3, 6), dice.between(0.35, 0.6)
    step, turn, pieces = 1.9 / n, dice.between(0, 1.5), []
    for row in range(n):
        for col in range(n):
            x, y = -0.95 + (col + 0.5) * step, -0.95 + (row + 0.5) * step
            pieces.append(block(x - step / 2, y - step / 2, x + step / 2, y + step / 2, (row + col) % 2))
            pieces.append(polar(np.full(corners, step * inner * 0.7), x, y, 2 if (row + col) % 2 else -2, turn))
    return pieces
