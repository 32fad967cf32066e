"""One photo of a car panel: composed, seen by a camera, with its truth."""

from __future__ import annotations

import io
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from tiler.synthetic.noise import Dice, bell, hash_cells, key_of
from tiler.synthetic.scratches.light import shine
from tiler.synthetic.scratches.marks import lookalikes, rasterised, scratch
from tiler.synthetic.scratches.panel import PAINTS, View, bare_panel, mount_parts

Array = np.ndarray

GAMMA = 1 / 2.2


@dataclass(frozen=True)
class Source:
    """A collection of photos that were taken in one manner."""

    name: str
    shapes: tuple[tuple[float, float], ...]
    """Height and width of its photos, in units of the world's side."""
    zoom: tuple[float, float]
    """Panel units of half of the longer side: small is close."""
    scratched: float
    """Share of its photos that show a scratch."""
    width_px: tuple[float, float]
    """Narrowest and widest scratch."""
    indoors: float
    """Share that was taken in a workshop."""
    quality: tuple[int, int]
    """Of JPEG."""


SOURCES = (
    Source("company", ((0.75, 1.0), (1.0, 1.0)), (0.35, 0.75), 0.7, (0.7, 3.0), 0.6, (80, 95)),
    Source("public", ((0.75, 1.0), (1.0, 0.75), (0.5625, 1.0), (1.0, 1.0)), (0.7, 1.5), 0.6, (0.5, 2.2), 0.1, (55, 92)),
)


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo and what is true of it."""

    jpeg: bytes
    pixels: Array
    """uint8 (3, y, x): the photo as it is decoded."""
    label: Array
    """bool (y, x): scratches as annotated."""
    scratched: Array
    """bool (y, x): scratches as they are."""
    polygons: tuple[Array, ...]
    """Outlines of the annotation, (corner, 2): y and x."""
    albedo: Array
    """uint8 (3, y, x): the colours of the surface under even white light, encoded as the photo is."""
    light: Array
    """float32 (y, x): what falls on the surface, shadows included; 1 is the mean."""
    paint: str


def take_photo(source: Source, seed: int, number: int, side_px: int) -> Photo:
    """Return photo `number` of a source: a function of these numbers alone.

    Args:
        source: how photos are taken.
        seed: which world.
        number: which photo.
        side_px: longest side.
    """
    key = key_of(seed, 0x5C7A7C4, SOURCES.index(source), number)
    dice = Dice(key, 71)
    shape = source.shapes[int(dice.unit() * len(source.shapes))]
    height, width = (max(16, round(side_px * share)) for share in shape)
    zoom = dice.between(*source.zoom)
    reach = 0.75 if zoom < 0.7 else 0.4
    u, v = (dice.between(-reach, reach) for _ in range(2))
    view = View(height, width, zoom, u, v, dice.between(-0.12, 0.12))
    paint = list(PAINTS)[int(dice.unit() * len(PAINTS))]
    colour, metallic = PAINTS[paint]
    surface = bare_panel(view, key, colour, metallic)
    mount_parts(surface, view, key)
    bare = deepcopy(surface)
    true = np.zeros((height, width), bool)
    polygons: list[Array] = []
    if dice.unit() < source.scratched:
        true, polygons = scratch(surface, view, key, source.width_px)
        if not polygons:  # too little paint in view: nothing is scratched
            surface, true = bare, np.zeros((height, width), bool)
    lookalikes(surface, view, key)
    lit = shine(surface, view, key, dice.unit() < source.indoors)
    linear = surface.albedo * lit.diffuse + lit.mirrored
    exposure = dice.between(0.55, 0.85) / max(float(np.quantile(linear, 0.97)), 0.4)
    jpeg = _camera(linear * np.float32(exposure), key, dice, source.quality)
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).transpose(2, 0, 1)
    albedo = np.round(255 * np.clip(surface.albedo, 0, 1) ** GAMMA).astype(np.uint8)
    light = lit.diffuse / max(float(lit.diffuse.mean()), 1e-6)
    label = rasterised(polygons, height, width)
    return Photo(jpeg, pixels, label, true, tuple(polygons), albedo, light, paint)


def _camera(linear: Array, key: int, dice: Dice, quality: tuple[int, int]) -> bytes:
    """Return a JPEG: vignetting, white balance, tone curve, blur, noise, compression."""
    _, height, width = linear.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    linear = linear * (1 - np.float32(dice.between(0.0, 0.5)) * away**2)
    warmth = dice.between(-0.1, 0.1)
    balance = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)[:, None, None]
    shown = np.clip(linear * balance, 0, None)
    shown = np.where(shown > 0.8, 0.8 + 0.2 * np.tanh((shown - 0.8) / 0.2), shown) ** np.float32(GAMMA)
    picture = Image.fromarray(np.round(255 * np.clip(shown, 0, 1)).astype(np.uint8).transpose(1, 2, 0))
    picture = picture.filter(ImageFilter.GaussianBlur(dice.between(0.2, 0.7)))
    rows, cols = np.mgrid[:height, :width]
    noise = np.stack([bell(hash_cells(key_of(key, 81, band), rows, cols), 1) for band in range(3)], 2)
    noisy = np.asarray(picture) + noise * np.float32(dice.between(1.0, 5.0))
    held = io.BytesIO()
    grade = int(dice.between(*quality))
    Image.fromarray(np.round(np.clip(noisy, 0, 255)).astype(np.uint8)).save(held, "JPEG", quality=grade)
    return held.getvalue()
