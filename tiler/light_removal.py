"""Light removal: what varies slowly over an image is taken for light, and divided out (Retinex).

An image is reflectance times light, so its logarithm is their sum (Land 1986). Light varies slowly: a wide Gaussian
mean of the logarithm of luminance estimates it, at one scale or as the mean of several (Jobson, Rahman and Woodell
1997). All bands are divided by the one estimate, so that hues stay:

    out_b = level * image_b / exp(mean over scales of G_s * log(luminance))

A factor on the whole image cancels: an exposure does not matter. What is wider than the scale and not light (a large
dark area) is lost as well; sharp edges of shadows and highlights stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiler.luminance import RGB, luminance

WHITE = 255.0
DARKEST = 0.05
"""Share of the mean luminance below which a pixel counts as that: log(0) is no number, and where nothing can be seen,
only noise would be made visible."""


@dataclass(frozen=True)
class LightRemoval:
    """Divide an image by its light."""

    scales: tuple[float, ...] = (0.1,)
    """Standard deviations of the Gaussians, as shares of the longer side; small ones take more of the picture along."""
    level: float = 128.0
    """What luminance becomes on average (of logarithms)."""

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 2 for scale in self.scales):
            raise ValueError(f"light_removal: scales are shares of the longer side in (0, 2], got {self.scales}")
        if not 0 < self.level <= WHITE:
            raise ValueError(f"light_removal: level lies in (0, 255], got {self.level}")

    def __call__(self, image: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return image float32 (band, y, x) without its light, clipped to 0 and 255; and valid bool (y, x)."""
        light = self.light(image, valid)
        if light is None:
            return image, valid
        out = np.clip(self.level * image / light, 0, WHITE).astype(np.float32)
        return np.where(valid, out, np.float32(0)), valid

    def light(self, image: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
        """Return the estimate of the light, float64 (y, x), in units of luminance; None where all is black or missing.

        Borders and missing pixels have no weight: a mean is over what is there.
        """
        from scipy.ndimage import gaussian_filter

        brightness = luminance(image).astype(np.float64)
        mean = brightness[valid].mean() if valid.any() else 0.0
        if mean <= 0:
            return None
        logs = np.where(valid, np.log(np.maximum(brightness, DARKEST * mean)), 0.0)
        weights = valid.astype(np.float64)
        total = np.zeros_like(logs)
        for scale in self.scales:
            sigma_px = scale * max(valid.shape)
            known = gaussian_filter(weights, sigma_px, mode="constant")
            total += gaussian_filter(logs, sigma_px, mode="constant") / np.maximum(known, 1e-12)
        return np.exp(total / len(self.scales))

    def bands(self, bands: tuple[str, ...]) -> tuple[str, ...]:
        """The same: red, green and blue, whose luminance tells the light, and any bands behind them; or one band."""
        if len(bands) != 1 and bands[:3] != RGB:
            raise ValueError(f"light_removal: takes {list(RGB)}, then any others, or one band, there are {list(bands)}")
        return bands
