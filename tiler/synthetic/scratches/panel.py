"""The side of a car: its shape, its paint, what is mounted on it, and where a camera stands in front of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.noise import Dice, fractal_noise, gradient_noise, key_of, smooth_step
from tiler.synthetic.scratches.strokes import coverage, near_line

Array = np.ndarray

PAINTS = {
    "white": ((0.74, 0.74, 0.72), 0.0),
    "silver": ((0.40, 0.41, 0.42), 0.6),
    "grey": ((0.12, 0.125, 0.135), 0.5),
    "black": ((0.014, 0.014, 0.016), 0.1),
    "red": ((0.42, 0.022, 0.025), 0.1),
    "blue": ((0.025, 0.075, 0.33), 0.35),
}
"""Name to linear reflectance of red, green and blue, and to how metallic it is."""


@dataclass(frozen=True)
class View:
    """Where the camera looks. Panel units: a door is about 2 wide and 2 high, v points down."""

    height_px: int
    width_px: int
    zoom: float
    """Panel units of half of the longer side."""
    u: float
    v: float
    turn: float
    """Of the camera about its axis, radians."""

    @property
    def unit_px(self) -> float:
        """Pixels of a panel unit."""
        return max(self.height_px, self.width_px) / 2 / self.zoom

    def places(self) -> tuple[Array, Array]:
        """Return u and v of each pixel, float64 (y, x)."""
        y, x = np.mgrid[: self.height_px, : self.width_px].astype(np.float64)
        y, x = (y - (self.height_px - 1) / 2) / self.unit_px, (x - (self.width_px - 1) / 2) / self.unit_px
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return self.u + cos * x - sin * y, self.v + sin * x + cos * y

    def pixels(self, u: Array, v: Array) -> Array:
        """Return y and x of places of the panel, float64 (point, 2)."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        x, y = cos * (u - self.u) + sin * (v - self.v), -sin * (u - self.u) + cos * (v - self.v)
        centre = (np.array([self.height_px, self.width_px]) - 1) / 2
        return np.stack([y, x], 1) * self.unit_px + centre


@dataclass(eq=False)
class Surface:
    """What light falls on; layers paint it one after the other."""

    albedo: Array
    """float32 (3, y, x), linear."""
    gloss: Array
    """float32 (y, x): 1 where clear coat mirrors."""
    shade: Array
    """float32 (y, x): share of the light that arrives."""
    paint: Array
    """bool (y, x): where the car's own paint is seen."""
    slopes: tuple[Array, Array]
    """Of the height by v and by u, float32 (y, x)."""
    metallic: float = 0.0

    def cover(self, alpha: Array, colour: tuple[float, float, float], gloss: float, where: tuple = (...,)) -> None:
        """Lay a colour over a part of the surface."""
        for band, value in enumerate(colour):
            view = self.albedo[(band, *where)]
            view += alpha * (np.float32(value) - view)
        view = self.gloss[where]
        view += alpha * (np.float32(gloss) - view)

    def darken(self, alpha: Array, where: tuple = (...,)) -> None:
        """Keep light away."""
        view = self.shade[where]
        view *= 1 - alpha


def bare_panel(view: View, key: int, colour: tuple[float, float, float], metallic: float) -> Surface:
    """Return a painted panel with its bulge and creases."""
    dice = Dice(key, 1)
    u, v = view.places()
    z = -dice.between(0.25, 0.6) * v**2 - dice.between(0.02, 0.12) * u**2
    for _ in range(1 + int(dice.unit() * 3)):
        at, tilt, sharp = dice.between(-0.8, 0.8), dice.between(-0.12, 0.12), dice.between(0.03, 0.12)
        z += dice.between(-0.30, 0.30) * sharp * np.logaddexp(0, (v - at - tilt * u) / sharp)
    z += 0.03 * gradient_noise(key_of(key, 2), u, v, 1.1) + 0.0015 * gradient_noise(key_of(key, 3), u, v, 0.15)
    by_v, by_u = (np.asarray(s, np.float32) for s in np.gradient(z, 1 / view.unit_px))
    shape = u.shape
    albedo = np.empty((3, *shape), np.float32)
    flake = 1 + metallic * 0.10 * gradient_noise(key_of(key, 4), u * view.unit_px, v * view.unit_px, 2.0)
    for band, value in enumerate(colour):
        albedo[band] = value * flake
    ones = np.ones(shape, np.float32)
    return Surface(albedo, ones.copy(), ones, np.ones(shape, bool), (by_v, by_u), metallic)


def mount_parts(surface: Surface, view: View, key: int) -> None:
    """Mount gaps, mouldings, handle, badge, lamp and fuel lid; cut window, wheel and road out of the panel."""
    dice = Dice(key, 11)
    u, v = view.places()
    for side in (-1.0, 1.0):
        if dice.unit() < 0.8:
            _gap(surface, view, dice, side * dice.between(0.55, 1.05))
    if dice.unit() < 0.45:
        _moulding(surface, v - dice.between(0.1, 0.5) - dice.between(-0.04, 0.04) * u, dice)
    if dice.unit() < 0.5:
        _handle(surface, u - dice.between(-0.8, 0.8), v + dice.between(0.25, 0.5), dice)
    if dice.unit() < 0.35:
        _badge(surface, u - dice.between(-0.7, 0.7), v - dice.between(-0.2, 0.5), dice)
    if dice.unit() < 0.2:
        _lid(surface, u - dice.between(-0.7, 0.7), v + dice.between(0.0, 0.4), view)
    if dice.unit() < 0.25:
        _lamp(surface, u - dice.between(0.7, 1.1) * (1 if dice.unit() < 0.5 else -1), v + dice.between(0.1, 0.5), key)
    _window(surface, u, v + dice.between(0.85, 1.05) + 0.05 * u, view)
    if dice.unit() < 0.8:
        _wheel(surface, u - dice.between(0.9, 1.5) * (1 if dice.unit() < 0.5 else -1), v - 0.95, view, dice)
    _road(surface, u, v - dice.between(1.0, 1.15), view, key)


def _gap(surface: Surface, view: View, dice: Dice, at: float) -> None:
    steps = np.linspace(-1.2, 1.2, 16)
    bow, lean = dice.between(-0.15, 0.15), dice.between(-0.1, 0.1)
    points = view.pixels(at + bow * steps**2 + lean * steps, steps)
    width_px = max(0.012 * view.unit_px, 1.2)
    near = near_line(points, 3 * width_px + 3, view.height_px, view.width_px)
    if near is None:
        return
    line = coverage(near.distance_px, width_px)
    rim = coverage(near.distance_px, 3 * width_px)
    surface.slopes[1][near.window] += (rim - line) * np.float32(dice.between(-0.6, 0.6))
    surface.cover(line, (0.008, 0.008, 0.009), 0.05, near.window)
    surface.paint[near.window] &= line < 0.3


def _moulding(surface: Surface, v: Array, dice: Dice) -> None:
    half = dice.between(0.03, 0.07)
    inside = smooth_step(half * 1.05, half * 0.95, v) * smooth_step(-half * 1.05, -half * 0.95, v)
    inside = np.where(np.abs(v) < half, 1, 0).astype(np.float32)
    if dice.unit() < 0.5:
        surface.cover(inside, (0.03, 0.03, 0.032), 0.15)
    surface.slopes[0][...] += inside * (v / half * 0.7).astype(np.float32)
    surface.darken(0.5 * np.where((v > half) & (v < half * 1.5), 1, 0).astype(np.float32))
    surface.paint &= inside < 0.5


def _box(u: Array, v: Array, half_u: float, half_v: float, corner: float) -> Array:
    """Return the signed distance to a rounded box, negative inside."""
    du, dv = np.abs(u) - half_u + corner, np.abs(v) - half_v + corner
    return np.hypot(np.maximum(du, 0), np.maximum(dv, 0)) + np.minimum(np.maximum(du, dv), 0) - corner


def _handle(surface: Surface, u: Array, v: Array, dice: Dice) -> None:
    long = dice.between(0.18, 0.28)
    surface.darken(0.6 * smooth_step(0.06, 0.0, _box(u, v - 0.05, long, 0.05, 0.04)))
    bowl = _box(u, v, long * 0.6, 0.10, 0.09)
    surface.slopes[0][...] += (smooth_step(0.03, -0.03, bowl) * -6 * v).astype(np.float32)
    inside = smooth_step(0.006, -0.006, _box(u, v, long, 0.04, 0.035))
    if dice.unit() < 0.4:
        surface.cover(inside, (0.5, 0.5, 0.5), 1.0)
    surface.slopes[0][...] += (inside * 22 * v).astype(np.float32)
    surface.paint &= (inside < 0.2) & (bowl > 0.02)


def _badge(surface: Surface, u: Array, v: Array, dice: Dice) -> None:
    size = dice.between(0.05, 0.09)
    letters = np.zeros(u.shape, np.float32)
    for number in range(2 + int(dice.unit() * 4)):
        x, y = u - number * 1.5 * size, v
        ring = np.abs(_box(x, y, size * 0.55, size, size * dice.between(0.1, 0.5))) - size * 0.16
        cut = np.where((x > 0) & (np.abs(y) < size * dice.between(0.0, 0.6)), 1, 0)
        letters = np.maximum(letters, smooth_step(0.006, -0.006, ring) * (1 - cut))
    surface.cover(letters.astype(np.float32), (0.55, 0.55, 0.56), 1.0)
    surface.slopes[0][...] += letters.astype(np.float32) * np.float32(dice.between(-0.6, 0.6))
    surface.paint &= letters < 0.2


def _lid(surface: Surface, u: Array, v: Array, view: View) -> None:
    away = np.abs(_box(u, v, 0.22, 0.2, 0.08)) * view.unit_px
    line = np.clip(1.4 - away, 0, 1).astype(np.float32)
    surface.cover(line, (0.01, 0.01, 0.01), 0.1)
    surface.paint &= line < 0.3


def _lamp(surface: Surface, u: Array, v: Array, key: int) -> None:
    away = _box(u, v - 0.3 * u, 0.3, 0.13, 0.1)
    inside = smooth_step(0.008, -0.008, away)
    ribs = 0.5 + 0.5 * np.sin(u * 90) * np.sin(v * 60)
    colour = ((0.5, 0.16, 0.01), (0.4, 0.02, 0.02), (0.45, 0.47, 0.5))[key % 3]
    surface.cover((inside * (0.55 + 0.45 * ribs)).astype(np.float32), colour, 1.0)
    surface.darken((0.8 * smooth_step(0.02, 0.0, np.abs(away))).astype(np.float32))
    surface.paint &= away > 0.02


def _window(surface: Surface, u: Array, v: Array, view: View) -> None:
    glass = np.where(v < 0, 1, 0).astype(np.float32)
    surface.cover(glass, (0.012, 0.014, 0.015), 1.3)
    surface.slopes[0][...] += glass * np.float32(0.25)
    trim = np.where(np.abs(v) < 0.025, 1, 0).astype(np.float32)
    surface.cover(trim, (0.02, 0.02, 0.02) if view.unit_px % 2 < 1 else (0.5, 0.5, 0.5), 0.7)
    surface.paint &= v > 0.03


def _wheel(surface: Surface, u: Array, v: Array, view: View, dice: Dice) -> None:
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    soft = 1.2 / view.unit_px
    surface.cover(smooth_step(0.56 + soft, 0.56 - soft, radius), (0.006, 0.006, 0.006), 0.0)
    tyre = smooth_step(0.50 + soft, 0.50 - soft, radius)
    tread = 0.02 + 0.012 * np.sin(radius * 160)
    surface.cover(tyre, (0.02, 0.02, 0.021), 0.05)
    surface.albedo[:] += tyre * (tread - 0.02).astype(np.float32)
    spokes = 5 + int(dice.unit() * 8)
    rim = smooth_step(0.34 + soft, 0.34 - soft, radius)
    open_ = smooth_step(0.1, -0.1, np.abs(np.sin(angle * spokes / 2)) - 0.6) * smooth_step(0.09, 0.13, radius)
    open_ = open_ * smooth_step(0.31, 0.28, radius)
    surface.cover(rim, (0.42, 0.42, 0.44), 0.5)
    surface.cover((rim * open_).astype(np.float32), (0.015, 0.015, 0.015), 0.0)
    surface.paint &= radius > 0.58


def _road(surface: Surface, u: Array, v: Array, view: View, key: int) -> None:
    below = v > 0
    if not below.any():
        return
    grain = fractal_noise(key_of(key, 21), u, v * 3, [(0.6, 0.3), (0.15, 0.3), (3 / view.unit_px, 0.5)])
    ground = np.clip(0.14 * (1 + 0.6 * grain), 0.02, 1).astype(np.float32)
    for band, tint in enumerate((1.0, 0.97, 0.92)):
        surface.albedo[band][below] = (ground * tint)[below]
    surface.gloss[below] = 0
    surface.darken(np.where(below, 0.75 * np.exp(-np.maximum(v, 0) / 0.12), 0).astype(np.float32))
    surface.paint &= ~below & (v < -0.02)
