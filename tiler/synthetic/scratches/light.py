"""Light on a panel: sun and sky (Lambert), highlights (Phong), and what the clear coat mirrors (Schlick's Fresnel)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.synthetic.noise import Dice, fractal_noise, gradient_noise, key_of, smooth_step
from tiler.synthetic.scratches.panel import Surface, View

Array = np.ndarray

CLEAR_COAT = 0.045
"""Reflectance of clear coat at a right angle."""


@dataclass(frozen=True, eq=False)
class Lit:
    """Light on a surface."""

    diffuse: Array
    """float32 (y, x): what falls on it, shadows included; the surface's albedo times this is its own colour."""
    mirrored: Array
    """float32 (3, y, x): what is mirrored on top of it."""


def shine(surface: Surface, view: View, key: int, indoors: bool) -> Lit:
    """Light a surface by one sun and one surrounding, both drawn from `key`."""
    dice = Dice(key, 31)
    by_v, by_u = surface.slopes
    normal = np.stack([-by_u, by_v, np.ones_like(by_u)])
    normal /= np.sqrt((normal**2).sum(0))
    y, x = np.mgrid[: view.height_px, : view.width_px].astype(np.float32)
    half = max(view.height_px, view.width_px) / 2
    field = np.float32(0.35)
    to_camera = np.stack([-(x - view.width_px / 2) / half * field, (y - view.height_px / 2) / half * field, 0 * x + 1])
    to_camera /= np.sqrt((to_camera**2).sum(0))
    facing = np.clip((normal * to_camera).sum(0), 0, 1)
    mirror = 2 * facing * normal - to_camera
    azimuth, height = dice.between(-1.2, 1.2), dice.between(0.25, 1.1)
    sun = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)], np.float32)
    strength = dice.between(0.1, 0.4) if indoors else dice.between(0.0, 1.3)
    u, v = view.places()
    shadow = _cast_shadow(u, v, key) if dice.unit() < 0.5 else np.ones(u.shape, np.float32)
    towards = np.clip(np.tensordot(sun, normal, 1), 0, 1) * shadow
    sky = 0.5 + 0.5 * normal[1]
    falloff = 1 + np.float32(dice.between(-0.35, 0.35)) * (x / view.width_px - 0.5) * 2
    diffuse = (0.22 + 0.55 * sky + strength * towards) * falloff * surface.shade
    shown = _surrounding(mirror, key, indoors)
    fresnel = CLEAR_COAT + (1 - CLEAR_COAT) * (1 - facing) ** 5 + 0.10 * surface.metallic
    sharp = dice.between(20, 250)
    glint = np.clip(np.tensordot(sun, mirror, 1), 0, 1) ** np.float32(sharp)
    glint = glint * np.float32(strength * dice.between(0.3, 1.5)) * shadow
    wide = np.clip(np.tensordot(sun, mirror, 1), 0, 1) ** np.float32(6) * np.float32(0.25 * surface.metallic * strength)
    coat = surface.gloss * surface.shade
    mirrored = coat * (fresnel * shown * np.float32(dice.between(1.0, 2.6)) + glint + wide)
    return Lit(diffuse.astype(np.float32), mirrored.astype(np.float32))


def _cast_shadow(u: Array, v: Array, key: int) -> Array:
    """Return 0.35 in the shadow of a building, a branch or a post, 1 elsewhere."""
    dice = Dice(key, 32)
    turn = dice.between(-1.2, 1.2)
    across = np.cos(turn) * u + np.sin(turn) * v
    if dice.unit() < 0.5:
        dark = smooth_step(-0.01, 0.01, across - dice.between(-0.6, 0.6))
    elif dice.unit() < 0.5:
        dark = smooth_step(0.02, 0.0, np.abs(across - dice.between(-0.6, 0.6)) - dice.between(0.01, 0.08))
    else:
        dark = smooth_step(0.0, 0.15, fractal_noise(key_of(key, 33), u, v, [(0.5, 0.6), (0.2, 0.4), (0.08, 0.2)]))
    return 1 - np.float32(0.65) * dark


def _surrounding(mirror: Array, key: int, indoors: bool) -> Array:
    """Return the radiance (3, y, x) from the directions that are mirrored."""
    dice = Dice(key, 41)
    up, azimuth = mirror[1], np.arctan2(mirror[0], mirror[2])
    up64, azimuth64 = up.astype(np.float64), azimuth.astype(np.float64)
    if indoors:
        bright = 0.12 + 0.1 * smooth_step(-0.3, 0.6, up)
        for number in range(2 + int(dice.unit() * 3)):
            at, wide = dice.between(0.1, 0.8), dice.between(0.01, 0.05)
            tube = smooth_step(wide * 1.2, wide * 0.9, np.abs(up - at - 0.15 * number * azimuth))
            bright = bright + 2.2 * tube * smooth_step(1.3, 1.1, np.abs(azimuth - dice.between(-0.6, 0.6)))
        tint = (1.0, 0.98, 0.9)
        return np.stack([bright * t for t in tint]).astype(np.float32)
    skyline = dice.between(-0.12, 0.15) + 0.10 * fractal_noise(
        key_of(key, 42), azimuth64 * 3, 0 * azimuth64, [(1.0, 0.6), (0.3, 0.4), (0.1, 0.25)]
    )
    above = smooth_step(-0.012, 0.012, up - skyline)
    clouds = fractal_noise(key_of(key, 43), azimuth64, up64 * 2, [(0.7, 0.6), (0.3, 0.3), (0.1, 0.15)])
    sky = 0.75 + 0.35 * smooth_step(0.8, 0.0, up) + 0.35 * np.clip(clouds, 0, 1)
    ground = 0.16 + 0.10 * gradient_noise(key_of(key, 44), azimuth64, up64 * 2, 0.2)
    ground = ground * smooth_step(-1.4, -0.1, up)
    for _ in range(int(dice.unit() * 5)):
        at, wide, top = dice.between(-1.0, 1.0), dice.between(0.004, 0.03), dice.between(0.1, 0.9)
        pole = smooth_step(wide * 1.3, wide * 0.8, np.abs(azimuth - at)) * smooth_step(top + 0.02, top, up)
        level = dice.between(0.02, 0.2) if dice.unit() < 0.7 else 1.4
        sky, ground = sky + pole * (level - sky), ground + pole * (level - ground)
    for _ in range(int(dice.unit() * 4)):  # overhead wires: thin dark lines that sag
        at, sag = dice.between(0.15, 0.7), dice.between(0.0, 0.15)
        wire = smooth_step(0.012, 0.006, np.abs(up - at - sag * azimuth**2 - dice.between(-0.2, 0.2) * azimuth))
        sky = sky * (1 - 0.8 * wire)
    blue = dice.between(0.0, 0.25)
    of_sky, of_ground = (1 - blue, 1 - blue / 3, 1.0), (1.0, 0.95, 0.85)
    mixed = [sky * s * above + ground * g * (1 - above) for s, g in zip(of_sky, of_ground, strict=True)]
    return np.stack(mixed).astype(np.float32)
