"""Dark objects of an image as a few numbers: how bright its darkest pixels are, band by band.

Water, shadow and forest are nearly black in some band, so that what is not black there is air (Chavez 1988, "An
improved dark-object subtraction technique for atmospheric scattering correction of multispectral data", Remote Sensing
of Environment 24): haze lifts the darkest pixels of a scene many times, and its mean hardly.
"""

from __future__ import annotations

import numpy as np

PERCENT = 1.0
"""Of the valid pixels: darker ones may be noise."""
FLOOR = 1e-4
"""Share of the full scale that is added before the logarithm: black is no number there."""


def dark_objects(image: np.ndarray, valid: np.ndarray, full_scale: float) -> np.ndarray:
    """Return the logarithm of each band's first percentile as a share of the full scale, float64 (band,).

    Logarithms, because a cloud's numbers would hide what haze does to others.

    Args:
        image: (band, y, x) of any type.
        valid: bool (y, x); where nothing is, the darkest pixels are 0.
        full_scale: what a pixel reaches at most, such as 20,000.
    """
    if not valid.any():
        return np.full(len(image), np.log(FLOOR))
    darkest = np.percentile(image[:, valid], PERCENT, axis=1)
    return np.asarray(np.log(np.maximum(darkest, 0) / full_scale + FLOOR))
