"""Random numbers that belong to places: hashes of whole numbers, and smooth noise made of them.

Nothing here has a state. The same seed and place give the same bits in every process and for every cut of the work,
because only element-wise arithmetic is used (no sums whose order could change, no library generators whose streams
change between versions).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray

MASK = 0xFFFFFFFF
SMALL = 4_096
"""Places up to which all octaves are computed at once."""
X_PRIME, Y_PRIME, STREAM_PRIME = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D


def _mix(values: Array) -> Array:
    """Scramble uint32 in place (a bijection with good avalanche: "lowbias32" of the hash prospector)."""
    values ^= values >> np.uint32(16)
    values *= np.uint32(0x7FEB352D)
    values ^= values >> np.uint32(15)
    values *= np.uint32(0x846CA68B)
    values ^= values >> np.uint32(16)
    return values


def key_of(*numbers: int) -> int:
    """Return one 32-bit key of several whole numbers, in order."""
    key = 0x27220A95
    for number in numbers:
        key = (key * X_PRIME + (int(number) & MASK)) & MASK
        key ^= key >> 15
        key = (key * 0x2C1B3C6D) & MASK
        key ^= key >> 13
    return key


def hash_cells(key: int | Array, rows: Array, cols: Array) -> Array:
    """Return uint32 hashes of integer places.

    Args:
        key: a seed, or uint32 of the same shape.
        rows: integers of any shape; only their low 32 bits count.
        cols: integers of the same shape.
    """
    mixed = cols.astype(np.uint32) * np.uint32(X_PRIME)
    mixed = mixed + rows.astype(np.uint32) * np.uint32(Y_PRIME)
    mixed ^= mixed >> np.uint32(15)
    mixed = mixed + (np.uint32(key) if isinstance(key, int) else key)
    return _mix(mixed)


def rehash(keys: Array, stream: int) -> Array:
    """Return another uint32 hash of each key: `stream` numbers independent draws."""
    return _mix(keys + np.uint32((stream * STREAM_PRIME) & MASK))


def unit(keys: Array, stream: int | None = None) -> Array:
    """Return float32 in [0, 1), evenly spread, one for each uint32 key (of a further draw where `stream` is given)."""
    keys = keys if stream is None else rehash(keys, stream)
    return (keys >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def bell(keys: Array, stream: int) -> Array:
    """Return float32 of mean 0 and standard deviation 1 within +-3: the sum of four bytes of a hash."""
    hashed = rehash(keys, stream)
    total = (hashed & np.uint32(255)) + ((hashed >> np.uint32(8)) & np.uint32(255))
    total += ((hashed >> np.uint32(16)) & np.uint32(255)) + (hashed >> np.uint32(24))
    return (total.astype(np.float32) - np.float32(510.0)) * np.float32(1 / 147.8)


def smooth_step(low: float, high: float, values: Array) -> Array:
    """Return 0 below `low`, 1 above `high`, and a smooth rise between (float32)."""
    t = np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0, 1).astype(np.float32, copy=False)
    return t * t * (np.float32(3) - 2 * t)


def gradient_noise(key: int | Array, x_m: Array, y_m: Array, wavelength_m: float | Array) -> Array:
    """Return float32 noise of mean 0, about +-1, that changes over `wavelength_m`.

    Args:
        key: which noise; or uint32 of several, in a shape that broadcasts with the places.
        x_m: float64 world coordinates, any shape.
        y_m: the same shape.
        wavelength_m: distance of the lattice of random gradients; as many as keys.
    """
    # Each wavelength gets its own shift, or every octave would vanish at the same lattice points.
    keys, scale = np.asarray(key, np.uint32), 1.0 / np.asarray(wavelength_m, np.float64)
    xs = x_m * scale + (keys & np.uint32(0xFFFF)) / 65536.0
    ys = y_m * scale + (keys >> np.uint32(16)) / 65536.0
    col, row = np.floor(xs), np.floor(ys)
    fx, fy = (xs - col).astype(np.float32), (ys - row).astype(np.float32)
    col, row = col.astype(np.int32), row.astype(np.int32)
    corners = [
        _slope(hash_cells(keys, row + np.int32(dy), col + np.int32(dx)), fx - np.float32(dx), fy - np.float32(dy))
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    wx, wy = _fade(fx), _fade(fy)
    top = corners[0] + wx * (corners[1] - corners[0])
    low = corners[2] + wx * (corners[3] - corners[2])
    return np.asarray((top + wy * (low - top)) * np.float32(1.6))


def _slope(hashes: Array, dx: Array, dy: Array) -> Array:
    """Return the plane through a corner whose gradient is drawn from its hash."""
    gx = (hashes & np.uint32(0xFFFF)).astype(np.float32) * np.float32(2.0**-15) - np.float32(1)
    gy = (hashes >> np.uint32(16)).astype(np.float32) * np.float32(2.0**-15) - np.float32(1)
    return gx * dx + gy * dy


def _fade(t: Array) -> Array:
    """Return Perlin's fifth-degree curve: first and second derivative are 0 at both ends."""
    return t * t * t * (t * (t * np.float32(6) - np.float32(15)) + np.float32(10))


def fractal_noise(key: int, x_m: Array, y_m: Array, octaves: Sequence[tuple[float, float]]) -> Array:
    """Return the sum of noises (fBm), float32.

    Args:
        key: which noise.
        x_m: float64 world coordinates, any shape.
        y_m: the same shape.
        octaves: (wavelength in metres, amplitude) of each.
    """
    total = np.zeros(np.shape(x_m), np.float32)
    keys = [key_of(key, number) for number in range(len(octaves))]
    if np.size(x_m) > SMALL:
        for one, (wavelength_m, amplitude) in zip(keys, octaves, strict=True):
            total += np.float32(amplitude) * gradient_noise(one, x_m, y_m, wavelength_m)
        return total
    # The same numbers; for few places the calls would cost more than the arithmetic.
    shape = (len(octaves),) + (1,) * np.ndim(x_m)
    wavelengths = np.array([w for w, _ in octaves]).reshape(shape)
    layers = gradient_noise(np.array(keys, np.uint32).reshape(shape), x_m, y_m, wavelengths)
    for layer, (_, amplitude) in zip(layers, octaves, strict=True):
        total += np.float32(amplitude) * layer
    return total


class Dice:
    """A short stream of numbers for one feature, from its key."""

    def __init__(self, *numbers: int) -> None:
        self._key, self._count = key_of(*numbers), 0

    def unit(self) -> float:
        """Return the next number of [0, 1)."""
        self._count += 1
        return key_of(self._key, self._count) / 2.0**32

    def between(self, low: float, high: float) -> float:
        """Return the next number of [low, high)."""
        return low + (high - low) * self.unit()

    def pick(self, shares: Sequence[float]) -> int:
        """Return an index, drawn with the given shares (they need not add up to 1)."""
        left = self.unit() * sum(shares)
        for index, share in enumerate(shares):
            left -= share
            if left < 0:
                return index
        return len(shares) - 1
