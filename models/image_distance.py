"""How alike two images are, for many pairs at once: PSNR and SSIM, in the form that ranks a gallery.

A metric prepares each image once and then compares every query with every image of a block of the gallery, so that
memory is that of two blocks however large the gallery is. `models.lpips.Lpips` has the same form.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GAUSSIAN_PX, SIGMA_PX = 11, 1.5
K1, K2 = 0.01, 0.03
PAIR_VALUES = 2**22
"""Values of the cross term that are in memory at a time: pairs times bands times pixels."""
BAND_PX = 64
"""Outputs of the Gaussian that one matrix product makes: wider bands multiply more zeros."""


class ImageMetric(Protocol):
    """A similarity or a distance of images in the unit range."""

    name: str
    """Heading of its column."""
    alike_is: str
    """`largest` or `smallest`: which value means the same image."""

    def prepare(self, images: Tensor) -> Any:
        """Return what comparing needs of float32 images (n, C, h, w) in [0, 1]."""
        ...

    def compare(self, queries: Any, gallery: Any) -> Tensor:
        """Return the values (q, g), float32, of every pair of prepared images."""
        ...


def unit_images(images: np.ndarray, valid: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return un-normalised images: (value - offset) / scale, within [0, 1], float32 (n, C, h, w).

    images: (n, C, h, w) of any unit; valid: bool of the same shape; offset, scale: (C,).
    A missing pixel takes the mean of what the frame saw in its band (0.5 where it saw nothing): a black line would be
    the largest error of the frame, and a line of another frame's values would be a wrong observation.
    """
    by_band = (slice(None), None, None)
    low, span = (np.asarray(of_band, np.float32)[by_band] for of_band in (offset, scale))
    out = (images.astype(np.float32) - low) / span
    out = np.clip(np.where(valid, out, 0), 0, 1)
    seen = valid.sum((2, 3))
    mean = np.where(seen > 0, out.sum((2, 3), dtype=np.float64) / np.maximum(seen, 1), 0.5)
    return np.where(valid, out, mean[..., None, None]).astype(np.float32)


def shrunk(images: Tensor, side_px: int | None) -> Tensor:
    """Return images whose shorter side has at most `side_px`, as area means; None leaves them as they are."""
    height, width = images.shape[2:]
    if side_px is None or min(height, width) <= side_px:
        return images
    ratio = side_px / min(height, width)
    return functional.interpolate(images, (round(height * ratio), round(width * ratio)), mode="area")


class Psnr:
    """Peak signal-to-noise ratio in dB, with peak 1: -10 log10 of the mean squared error over all bands and pixels."""

    name, alike_is = "PSNR", "largest"

    def prepare(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images as rows, centred so that squares cancel little, and the squared length of each."""
        rows = images.flatten(1) - 0.5
        return rows, rows.square().sum(1)

    def compare(self, queries: tuple[Tensor, Tensor], gallery: tuple[Tensor, Tensor]) -> Tensor:
        """Return decibels (q, g), infinite for equal images: one matrix product."""
        (a, a2), (b, b2) = queries, gallery
        squares = (a2[:, None] + b2[None] - 2 * (a @ b.T)).clamp_min(0)
        # below the rounding of the sums an error cannot be told from none
        squares[squares <= 4e-7 * (a2[:, None] + b2[None])] = 0
        return -10 * torch.log10(squares / a.shape[1])


class Ssim:
    """Structural similarity (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861), averaged over bands.

    Gaussian weights of sigma 1.5 on 11 x 11 pixels, population covariance, data range 1, borders left out: what
    scikit-image computes with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
    """

    name, alike_is = "SSIM", "largest"

    def prepare(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return images (n, C, h, w), and local means and variances (n, C, h - 10, w - 10).

        Raises ValueError: images smaller than the window.
        """
        if min(images.shape[2:]) < GAUSSIAN_PX:
            raise ValueError(
                f"SSIM wants images of at least {GAUSSIAN_PX} px a side, got {tuple(images.shape[2:])}. "
                "Compare larger images."
            )
        mean = _smoothed(images)
        return images, mean, _smoothed(images.square()) - mean.square()

    def compare(self, queries: tuple[Tensor, Tensor, Tensor], gallery: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return similarities (q, g) in [-1, 1]; only the cross term is smoothed per pair, some pairs at a time."""
        images, means, variances = gallery
        out = torch.empty(len(queries[0]), len(images), device=images.device)
        at_once = max(1, PAIR_VALUES // images[0].numel())
        for place, (image, mean, variance) in enumerate(zip(*queries, strict=True)):
            for start in range(0, len(images), at_once):
                part = slice(start, start + at_once)
                product = mean * means[part]
                covariance = _smoothed(image * images[part]) - product
                alike = (2 * product + K1**2) * (2 * covariance + K2**2)
                most = (mean.square() + means[part].square() + K1**2) * (variance + variances[part] + K2**2)
                out[place, part] = (alike / most).mean((1, 2, 3))
        return out


def _smoothed(images: Tensor) -> Tensor:
    """Weighted means where the whole window lies inside: (..., h, w) to (..., h - 10, w - 10).

    As products with a band matrix: on processors they are ten times faster than convolutions of one channel.
    """
    down = _along_rows(images.transpose(-1, -2)).transpose(-1, -2)
    return _along_rows(down)


def _along_rows(images: Tensor) -> Tensor:
    width, reach = images.shape[-1], GAUSSIAN_PX - 1
    parts = []
    for start in range(0, width - reach, BAND_PX):
        stop = min(start + BAND_PX, width - reach)
        parts.append(images[..., start : stop + reach] @ _band(stop - start, images))
    return torch.cat(parts, -1)


def _band(outputs: int, like: Tensor) -> Tensor:
    """Matrix (outputs + 10, outputs) whose product with a row is the row under the Gaussian."""
    at = torch.arange(GAUSSIAN_PX, dtype=torch.float64) - GAUSSIAN_PX // 2
    weights = torch.exp(-at.square() / (2 * SIGMA_PX**2))
    weights = (weights / weights.sum()).to(like)
    band = torch.zeros(outputs + GAUSSIAN_PX - 1, outputs, device=like.device, dtype=like.dtype)
    columns = torch.arange(outputs, device=like.device)
    for step in range(GAUSSIAN_PX):
        band[columns + step, columns] = weights[step]
    return band


def alikeness(metric: ImageMetric, values: Tensor) -> Tensor:
    """Return values of a metric with the sign that makes the largest the most alike."""
    return values if metric.alike_is == "largest" else -values
