"""Photos that do not belong: lit bodies before textures of 1/f, vignetting, grain, mostly dark."""

from __future__ import annotations

import numpy as np

from tiler.synthetic.noise import Dice, bell, hash_cells, key_of, smooth_step

Array = np.ndarray

MOST_PX = 700
"""Longest side that is computed; larger photos are enlarged."""


def texture(key: int, height: int, width: int, slope: float) -> Array:
    """Return noise float32 (y, x) of mean 0 and deviation 1 whose amplitude falls as 1/f^slope."""
    rows, cols = np.mgrid[:height, :width]
    white = bell(hash_cells(key, rows, cols), 1).astype(np.float64)
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    f[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(white) / f**slope, s=(height, width))
    return (field / max(float(field.std()), 1e-12)).astype(np.float32)


def photograph(key: int, height_px: int, width_px: int, bright: bool) -> Array:
    """Return a photo, uint8 (y, x, 3); bright ones stand before a white backdrop."""
    shrink = max(1, -(-max(height_px, width_px) // MOST_PX))
    height, width = -(-height_px // shrink), -(-width_px // shrink)
    dice = Dice(key, 11)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    side = min(height, width)
    level = dice.between(0.95, 1.15) if bright else dice.between(0.05, 0.3)
    wall = texture(key_of(key, 1), height, width, dice.between(0.9, 1.5))
    fine = texture(key_of(key, 2), height, width, dice.between(0.5, 0.9))
    contrast = 0.04 if bright else dice.between(0.2, 0.5)
    scene = np.clip(level * (1 + contrast * wall), 0.005, 1.2)[None] * _tint(dice, 0.03 if bright else 0.25)
    floor_at = height * dice.between(0.45, 0.8)
    if dice.unit() < 0.8:
        below = smooth_step(floor_at - 2, floor_at + 2, y)
        ground = level * dice.between(0.5, 1.3) * (1 + 0.5 * contrast * fine + 0.3 * contrast * wall[::-1])
        scene = scene * (1 - below) + below * np.clip(ground, 0.005, 1.2)[None] * _tint(dice, 0.03 if bright else 0.3)
    sun = np.array([dice.between(-0.8, 0.8), -dice.between(0.3, 0.9), dice.between(0.3, 0.8)], np.float32)
    sun /= np.sqrt(sun @ sun)
    for number in range(1 + int(dice.unit() * 4)):
        scene = _body(scene, key_of(key, 3, number), sun, x, y, side, floor_at, bright)
    away = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    scene = scene * (1 - np.float32(dice.between(0.0, 0.2) if bright else dice.between(0.5, 1.2)) * away**2)
    rows, cols = np.mgrid[:height, :width]
    shown = 255 * np.clip(scene, 0, 1) ** np.float32(1 / 1.8)
    grain = np.stack([bell(hash_cells(key_of(key, 5, band), rows, cols), 1) for band in range(3)])
    shown += grain * np.float32(dice.between(1, 6))
    pixels = np.round(np.clip(shown, 0, 255)).astype(np.uint8).transpose(1, 2, 0)
    if shrink > 1:
        from PIL import Image

        enlarged = Image.fromarray(pixels).resize((width * shrink, height * shrink), Image.Resampling.BICUBIC)
        pixels = np.asarray(enlarged)[:height_px, :width_px]
    return pixels


def _tint(dice: Dice, strength: float) -> Array:
    return np.array([1 + dice.between(-strength, strength) for _ in range(3)], np.float32)[:, None, None]


def _body(scene: Array, key: int, sun: Array, x: Array, y: Array, side: int, floor_at: float, bright: bool) -> Array:
    """Put a ball, a cylinder or a box into a scene, with its shadow."""
    dice = Dice(key, 12)
    height, width = y.shape
    r = side * dice.between(0.1, 0.28)
    cx, cy = dice.between(0.1, 0.9) * width, min(floor_at + dice.between(-0.1, 0.25) * side, height - r * 0.6)
    u, v = (x - cx) / r, (y - cy) / (r * dice.between(0.7, 1.3))
    kind = int(dice.unit() * 3)
    if kind == 0:
        inside, slope = 1 - np.hypot(u, v), np.sqrt(np.clip(1 - u**2 - v**2, 0, 1))
        normal = np.stack([u, v, slope])
    elif kind == 1:
        inside = np.minimum(1 - np.abs(u) / 0.7, (1.0 - np.abs(v)) * 1.0)
        across = np.clip(u / 0.7, -1, 1)
        normal = np.stack([across, 0 * u, np.sqrt(1 - across**2)])
    else:
        lean = dice.between(-0.6, 0.6)
        inside = 1 - np.maximum(np.abs(u), np.abs(v))
        left, top = (u < lean).astype(np.float32), (v < -0.55 + 0.2 * np.abs(u)).astype(np.float32)
        normal = np.stack([(1 - top) * (0.8 - 1.6 * left), -top, 0.6 * (1 - top) + 0.1 * top])
    alpha = smooth_step(0.0, dice.between(1.5, 4.0) / r, inside)
    shadow = np.exp(-(((u + 0.6 * float(sun[0])) / 1.2) ** 2) - ((v - 0.9) / 0.25) ** 2) * 0.7
    scene = scene * (1 - shadow.astype(np.float32))
    towards = np.clip(np.tensordot(sun, normal, 1), 0, 1)
    mirrored = np.clip(2 * towards * normal[2] - sun[2], 0, 1)
    skin = 1 + 0.25 * texture(key_of(key, 1), height, width, 1.0)
    strength = dice.between(0.4, 0.9) if bright else dice.between(0.1, 0.6)
    colour = np.array([dice.between(0.15, 1.0) for _ in range(3)], np.float32)[:, None, None]
    lit = colour * np.clip((0.12 + towards) * skin, 0, 2) * strength + np.float32(dice.between(0, 0.6)) * mirrored**20
    return scene * (1 - alpha) + alpha * lit
