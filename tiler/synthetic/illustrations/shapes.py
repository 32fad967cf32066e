"""Pieces of line art: closed and open lines in a square from -1 to 1, y down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.noise import Dice

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Piece:
    """One line; closed ones are filled and hide what lies below."""

    points: Array
    """float (point, 2): x and y."""
    fill: int = -1
    """Colour of the palette, 0 to 4; -1: an open line; -2: closed and as white as the paper."""


def spots(*points: tuple[float, float], fill: int = -2) -> Piece:
    """Return a polygon."""
    return Piece(np.array(points, float), fill)


def path(*points: tuple[float, float]) -> Piece:
    """Return an open line."""
    return Piece(np.array(points, float))


def oval(x: float, y: float, rx: float, ry: float, fill: int = -2, turn: float = 0.0, n: int = 40) -> Piece:
    """Return an ellipse, turned by `turn` radians."""
    at = np.linspace(0, 2 * np.pi, n, endpoint=False)
    px, py = rx * np.cos(at), ry * np.sin(at)
    cos, sin = np.cos(turn), np.sin(turn)
    return Piece(np.stack([x + cos * px - sin * py, y + sin * px + cos * py], 1), fill)


def block(x0: float, y0: float, x1: float, y1: float, fill: int = -2) -> Piece:
    """Return a rectangle."""
    return spots((x0, y0), (x1, y0), (x1, y1), (x0, y1), fill=fill)


def polar(radius: Array, x: float = 0.0, y: float = 0.0, fill: int = -2, turn: float = 0.0) -> Piece:
    """Return the closed line of a radius for each of equal angles."""
    at = np.linspace(0, 2 * np.pi, len(radius), endpoint=False) + turn
    return Piece(np.stack([x + radius * np.cos(at), y + radius * np.sin(at)], 1), fill)


def bow(x0: float, y0: float, x1: float, y1: float, bend: float, n: int = 14) -> Piece:
    """Return an open arc between two points; `bend` is its height in lengths of the chord."""
    t = np.linspace(0, 1, n)
    rise = 4 * bend * t * (1 - t)
    return Piece(np.stack([x0 + t * (x1 - x0) - rise * (y1 - y0), y0 + t * (y1 - y0) + rise * (x1 - x0)], 1))


def closed(points: Array, fill: int = -2) -> Piece:
    """Return a closed line through points."""
    return Piece(np.asarray(points, float), fill)


def whole(dice: Dice, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`, both included."""
    return low + int(dice.unit() * (high - low + 1))
