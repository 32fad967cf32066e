"""Numbers of NetCDF and zarr arrays: which are measurements, what range they have, which way up they lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

BITS = "number_of_valid_bits_per_pixel"
"""Attribute of KMA's GK2A files: the bits above these are flags of quality, none set on a good pixel."""


def stored_dtype(dtype: np.dtype) -> str:
    """Return the type in which a store keeps numbers of a type: the same, but float32 for any float.

    Raises:
        ValueError: no number, or more than 32 bits.
    """
    if dtype.kind == "f":
        return "float32"
    if dtype.kind in "iu" and dtype.itemsize <= 4:
        return np.dtype(dtype).newbyteorder("=").name
    raise ValueError(f"numbers of type {dtype} are not read; give integers of up to 32 bits, or floats")


def measured(values: np.ndarray, attributes: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return raw numbers in the store's type, and which are measurements, by the attributes of CF and of KMA.

    Scale and offset of CF are left alone: a store keeps the numbers that the file has.
    """
    numbers = values.astype(stored_dtype(values.dtype), copy=False)
    valid = np.isfinite(numbers) if numbers.dtype.kind == "f" else np.ones(numbers.shape, bool)
    for name in ("_FillValue", "missing_value"):
        for fill in np.atleast_1d(np.asarray(attributes.get(name, []))).tolist():
            valid &= numbers != fill
    if BITS in attributes and numbers.dtype.kind in "iu":
        bits = np.atleast_1d(np.asarray(attributes[BITS]))
        valid &= (numbers >= 0) & (numbers < 2 ** int(bits[0]))
    return np.where(valid, numbers, numbers.dtype.type(0)), valid


def range_of(dtype: np.dtype, attributes: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return smallest and largest number, where the attributes or 8 bits say so."""
    if BITS in attributes:
        return 0.0, float(2 ** int(np.atleast_1d(np.asarray(attributes[BITS]))[0]) - 1)
    for name in ("valid_range", "actual_range"):
        if name in attributes:
            low, high = (float(v) for v in np.asarray(attributes[name]).ravel()[:2])
            return low, high
    if {"valid_min", "valid_max"} <= set(attributes):
        return tuple(float(np.asarray(attributes[name]).ravel()[0]) for name in ("valid_min", "valid_max"))  # type: ignore[return-value]
    return (0.0, 255.0) if np.dtype(dtype) == np.uint8 else None


def upright(y: np.ndarray | None, x: np.ndarray | None) -> tuple[slice, slice]:
    """Return what turns an image north up and west left, by its coordinates; without them it stays as it is."""
    down = slice(None, None, -1) if y is not None and len(y) > 1 and y[0] < y[-1] else slice(None)
    across = slice(None, None, -1) if x is not None and len(x) > 1 and x[0] > x[-1] else slice(None)
    return down, across
