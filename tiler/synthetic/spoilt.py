"""Spoilt chips: cloud, haze, holes and another sensor's numbers, planted for tools that look for such."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tiler.synthetic.acquisition import RESPONSES, Acquisition
from tiler.synthetic.noise import Array, Dice

KINDS = ("cloud", "haze", "hole", "sensor")
VEIL = (0.75, 0.85, 1.0, 0.55)
"""How much of a veil red, green, blue and near infrared see."""


@dataclass(frozen=True)
class Spoilt:
    """What spoils a chip."""

    kind: str
    """One of `KINDS`."""
    strength: float
    """0 to 1: from hardly to hardly anything else."""

    def weather(self, how: Acquisition) -> Acquisition:
        """Return the weather of the chip, in place of what it would be."""
        if self.kind == "cloud":
            return replace(how, clouds=0.45 + 0.5 * self.strength, missing=0.0, edge=0.0)
        if self.kind == "hole":
            return replace(how, missing=0.35 + 0.6 * self.strength)
        return how

    def spoil(self, image: Array, missing: float = 0) -> Array:
        """Return the image of a chip as it is delivered, (band, y, x) of its type.

        Haze is a veil of 0.05 to 0.25 of reflectance that also dims the ground. Another sensor is the 30 m one: means
        of 3 x 3 pixels, in its numbers.

        Args:
            image: digital numbers of the 10 m sensor.
            missing: what stands where nothing was seen.
        """
        seen = image != missing
        if self.kind == "haze":
            light = 0.05 + 0.2 * self.strength
            veil = light * np.array(VEIL)[:, None, None]
            pixels = image * (1 - veil) + veil * RESPONSES["SN10"].gain * 0.9
        elif self.kind == "sensor":
            ratio = RESPONSES["LS30"].gain / RESPONSES["SN10"].gain
            pixels = _means_of_3(image.astype(np.float64)) * ratio
        else:
            return image
        top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else np.inf
        return np.where(seen, np.clip(pixels.round(), 1, top), missing).astype(image.dtype)


def spoiling_of(seed: int, number: int, share: float) -> Spoilt | None:
    """Return what spoils a chip, if anything does: a function of seed and number alone; kinds come alike often.

    Args:
        seed: of the country.
        number: of the chip, from 1.
        share: of all chips that are spoilt.
    """
    if Dice(seed, 94, number).unit() >= share:
        return None
    kind, strength = (Dice(seed, key, number).unit() for key in (95, 96))  # draws of one dice would go together
    return Spoilt(KINDS[int(kind * len(KINDS))], strength)


def _means_of_3(image: Array) -> Array:
    """Return means of 3 x 3 pixels, each shown as 3 x 3 pixels; what is left over at the end goes with the last."""
    out = image.copy()
    for axis in (1, 2):
        whole = out.shape[axis] // 3 * 3
        starts = np.arange(0, whole, 3)
        lengths = np.diff([*starts, out.shape[axis]])
        sums = np.add.reduceat(out, starts, axis=axis)
        shape = [1, 1, 1]
        shape[axis] = len(lengths)
        out = np.repeat(sums / lengths.reshape(shape), lengths, axis=axis)
    return out
