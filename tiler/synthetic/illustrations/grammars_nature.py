"""Ten grammars of plants, animals and land."""

from __future__ import annotations

import numpy as np

from tiler.synthetic.illustrations.shapes import Piece, bow, closed, oval, path, polar, spots, whole
from tiler.synthetic.noise import Dice


def flower(dice: Dice) -> list[Piece]:
    """Petals around a disc, a stem with leaves."""
    n, long = whole(dice, 5, 9), dice.between(0.3, 0.42)
    pieces = [bow(0, 0.1, dice.between(-0.2, 0.2), 0.98, dice.between(-0.15, 0.15))]
    pieces += [oval(s * 0.2, dice.between(0.5, 0.75), 0.2, 0.08, 1, s * -0.5) for s in (-1, 1)]
    for at in np.linspace(0, 2 * np.pi, n, endpoint=False):
        pieces.append(oval(0.42 * np.cos(at), -0.35 + 0.42 * np.sin(at), long * 0.6, 1.1 / n, 0, at))
    return [*pieces, oval(0, -0.35, 0.2, 0.2, 2)]


def tree(dice: Dice) -> list[Piece]:
    """Branches that fork, leaves at their ends."""
    pieces: list[Piece] = []
    spread, shrink = dice.between(0.35, 0.6), dice.between(0.68, 0.76)

    def grow(x: float, y: float, angle: float, length: float, depth: int) -> None:
        x1, y1 = x + length * np.sin(angle), y - length * np.cos(angle)
        pieces.append(bow(x, y, x1, y1, dice.between(-0.1, 0.1), 5))
        if depth == 0:
            pieces.append(oval(x1, y1, 0.07, 0.05, 1, angle, 12))
            return
        for side in (-1, 1):
            grow(x1, y1, angle + side * spread * dice.between(0.7, 1.3), length * shrink, depth - 1)

    grow(0, 0.95, dice.between(-0.05, 0.05), 0.5, 4)
    return pieces


def fish(dice: Dice) -> list[Piece]:
    """A spindle with tail, fins and scales."""
    high = dice.between(0.3, 0.45)
    pieces = [spots((0.5, 0), (0.95, -0.4), (0.82, 0), (0.95, 0.4), fill=1)]
    pieces += [spots((-0.2, -high * 0.8), (0.15, -high - 0.3), (0.3, -high * 0.6), fill=1)]
    pieces.append(oval(-0.15, 0, 0.72, high, 0))
    pieces += [
        bow(x, y + 0.09, x, y - 0.09, -0.5, 6) for x in np.arange(-0.25, 0.4, 0.17) for y in np.arange(-0.15, 0.2, 0.15)
    ]
    pieces += [
        bow(-0.5, high * 0.7, -0.5, -high * 0.7, -0.2),
        oval(-0.68, -0.08, 0.07, 0.07),
        oval(-0.68, -0.08, 0.03, 0.03, 2),
    ]
    return pieces


def shell(dice: Dice) -> list[Piece]:
    """A snail: a spiral on a foot with horns."""
    turns, grow = dice.between(2.5, 4), dice.between(0.9, 1.1)
    at = np.linspace(0, 1, 70)
    radius, angle = 0.55 * at**grow, at * turns * 2 * np.pi
    foot = closed(
        np.array([(-0.95, 0.6), (-0.6, 0.42), (0.2, 0.5), (0.6, 0.1), (0.85, 0.15), (0.8, 0.55), (0.4, 0.72)]), 1
    )
    whorl = Piece(np.stack([-0.1 + radius * np.cos(angle), -0.05 + radius * np.sin(angle)], 1))
    horns = [path((0.7, 0.13), (0.68, -0.25)), path((0.8, 0.14), (0.9, -0.22))]
    return [
        foot,
        oval(-0.1, -0.05, 0.56, 0.56, 0),
        whorl,
        *horns,
        oval(0.68, -0.27, 0.03, 0.03, 2),
        oval(0.9, -0.24, 0.03, 0.03, 2),
    ]


def bird(dice: Dice) -> list[Piece]:
    """Body, head, beak, wing, tail, legs."""
    x = dice.between(-0.55, -0.4)
    pieces = [path((0, 0.4), (-0.05, 0.9)), path((0.15, 0.4), (0.15, 0.9))]
    pieces += [path((s - 0.15, 0.9), (s + 0.1, 0.9)) for s in (-0.05, 0.15)]
    pieces += [
        spots((0.4, 0), (0.98, dice.between(-0.3, 0.1)), (0.92, 0.25), fill=1),
        oval(0.05, 0.1, 0.55, 0.38, 0, -0.2),
    ]
    pieces += [spots((x - 0.2, -0.42), (x - 0.5, -0.33), (x - 0.2, -0.26), fill=2), oval(x, -0.35, 0.25, 0.25, 0)]
    pieces += [oval(x - 0.06, -0.4, 0.04, 0.04, 3), oval(0.15, 0.05, 0.35, 0.18, 1, 0.35)]
    return [*pieces, *(bow(0.0 + 0.1 * i, 0.1, 0.15 + 0.1 * i, 0.18, 0.3, 5) for i in range(3))]


def butterfly(dice: Dice) -> list[Piece]:
    """Two pairs of mirrored wings with spots, a body, feelers."""
    pieces: list[Piece] = []
    a, b = dice.between(0.35, 0.55), dice.between(0.35, 0.55)
    for s in (-1, 1):
        pieces += [
            oval(s * 0.42, 0.38, 0.34, b * 0.75, 1, s * -0.6),
            oval(s * 0.5, -0.3, 0.45, a * 0.8, 0, s * 0.5 - 0.9 * s),
        ]
        pieces += [oval(s * 0.55, -0.35, 0.14, 0.14, 2), oval(s * 0.45, 0.42, 0.1, 0.1, 2)]
        pieces.append(bow(0, -0.45, s * 0.3, -0.9, s * 0.25))
    return [*pieces, oval(0, 0.05, 0.07, 0.52, 3)]


def crystal(dice: Dice) -> list[Piece]:
    """A snow crystal: six equal arms with side branches."""
    pieces: list[Piece] = []
    branches = [(dice.between(0.25, 0.85), dice.between(0.1, 0.3)) for _ in range(whole(dice, 2, 4))]
    for at in np.arange(6) * np.pi / 3:
        pieces.append(path((0, 0), (0.95 * np.cos(at), 0.95 * np.sin(at))))
        for away, long in branches:
            for s in (-1, 1):
                x, y = away * np.cos(at), away * np.sin(at)
                pieces.append(path((x, y), (x + long * np.cos(at + s), y + long * np.sin(at + s))))
    return [*pieces, polar(np.full(6, dice.between(0.12, 0.22)), fill=0)]


def mountains(dice: Dice) -> list[Piece]:
    """Ridges with snow, a sun, a river."""
    pieces = [oval(dice.between(-0.7, 0.7), -0.65, 0.2, 0.2, 2)]
    for row, base in enumerate((0.35, 0.65)):
        xs = np.linspace(-1, 1, whole(dice, 5, 7) * 2 - 1)
        ys = (
            np.where(np.arange(len(xs)) % 2, 0.2, -0.45)
            + base
            - 0.3
            + np.array([dice.between(-0.15, 0.15) for _ in xs])
        )
        pieces.append(closed(np.array([*zip(xs, ys, strict=True), (1, 0.95), (-1, 0.95)]), row))
        pieces += [
            path((x - 0.08, y + 0.16), (x - 0.02, y + 0.1), (x + 0.03, y + 0.17), (x + 0.09, y + 0.12))
            for x, y in zip(xs[::2], ys[::2], strict=True)
        ]
    return [*pieces, bow(-0.2, 0.95, 0.3, 0.6, 0.3), bow(0.1, 0.95, 0.45, 0.6, 0.25)]


def cat(dice: Dice) -> list[Piece]:
    """A sitting cat: round head with pointed ears, whiskers, tail."""
    s = 1 if dice.unit() < 0.5 else -1
    pieces = [bow(s * 0.4, 0.85, s * 0.85, 0.1, s * -dice.between(0.3, 0.6)), oval(0, 0.5, 0.42, 0.45, 0)]
    for side in (-1, 1):
        pieces.append(spots((side * 0.42, -0.3), (side * 0.4, -0.88), (side * 0.1, -0.6), fill=0))
    pieces.append(oval(0, -0.28, 0.46, 0.4, 0))
    for side in (-1, 1):
        pieces += [oval(side * 0.18, -0.35, 0.06, 0.09, 2), oval(side * 0.2, 0.88, 0.15, 0.08, 1)]
        pieces += [path((side * 0.15, -0.13 + k * 0.05), (side * 0.6, -0.2 + k * 0.12)) for k in range(3)]
    return [*pieces, spots((-0.05, -0.2), (0.05, -0.2), (0, -0.13), fill=3), bow(-0.12, -0.05, 0.12, -0.05, -0.3)]


def leaf(dice: Dice) -> list[Piece]:
    """A blade with a toothed edge and veins."""
    t = np.linspace(0, 1, 40)
    wide = dice.between(0.35, 0.55) * np.sin(np.pi * t ** dice.between(0.8, 1.2)) * (1 + 0.08 * (np.arange(40) % 2))
    edge = np.concatenate([np.stack([wide, -0.9 + 1.5 * t], 1), np.stack([-wide, -0.9 + 1.5 * t], 1)[::-1]])
    pieces = [closed(edge, 0), path((0, -0.85), (0.02, 0.97))]
    for y in np.linspace(-0.5, 0.4, whole(dice, 5, 8)):
        reach = 0.75 * float(np.interp(y - 0.15, -0.9 + 1.5 * t, wide))
        pieces += [path((0, y), (s * reach, y - 0.2)) for s in (-1, 1)]
    return pieces
