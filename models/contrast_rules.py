"""What single pixels and their next neighbours say of a thin mark: rules that every network has to beat.

Families of rules on grey values: brightness, contrast with what is around (a difference of Gaussians), and Canny's
edges (Canny 1986: smoothed gradients, thinned across the edge, kept by two thresholds). Of each family the best setting
is chosen on images that do not judge it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, label, map_coordinates, sobel

from models.metrics import IGNORE

Array = np.ndarray
Rule = Callable[[Array], Array]
QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
"""Of the values of a measure: thresholds that are tried."""
SIGMAS = (0.7, 1.0, 1.6, 2.5)
GRADIENTS = (0.05, 0.1, 0.2, 0.3, 0.45)
"""Of grey values from 0 to 1 for each pixel: upper thresholds of Canny's edges; the lower one is 0.4 of it."""


def grey(pixels: Array) -> Array:
    """Return luma (y, x), 0 to 1, of uint8 (3, y, x) (ITU-R BT.601)."""
    return np.tensordot(np.array([0.299, 0.587, 0.114]), pixels / 255.0, 1)


def contrast(image: Array, sign: int) -> Array:
    """Return how much brighter (sign 1), darker (-1), or other (0) each pixel is than what is around it, (y, x)."""
    off = gaussian_filter(image, 0.7) - gaussian_filter(image, 3)
    return np.abs(off) if sign == 0 else sign * off


def canny(image: Array, sigma: float, low: float, high: float) -> Array:
    """Return edges, bool (y, x): ridges of the gradient above `low` that are joined to one above `high`.

    image: float (y, x). sigma: of the smoothing, in pixels. low, high: gradients, in units of the image for each pixel,
    times 4 (Sobel's weights, as scikit-image has them).
    """
    smooth = gaussian_filter(image.astype(float), sigma, mode="nearest")
    down, right = sobel(smooth, 0), sobel(smooth, 1)
    size = np.hypot(down, right)
    step = np.stack([down, right]) / np.maximum(size, 1e-12)
    here = np.indices(image.shape).astype(float)
    beside = [map_coordinates(size, here + sign * step, order=1, mode="constant") for sign in (1, -1)]
    ridge = (size >= beside[0]) & (size >= beside[1]) & (size > low)
    ridge[[0, -1]] = False
    ridge[:, [0, -1]] = False
    places, count = label(ridge, np.ones((3, 3)))
    strong = np.zeros(count + 1, bool)
    strong[np.unique(places[ridge & (size > high)])] = True
    strong[0] = False
    return strong[places]


def families(images: Sequence[Array]) -> Iterator[tuple[str, list[Rule]]]:
    """Yield the name of each family, and its rules; thresholds are quantiles of these images (y, x), 0 to 1."""
    measures: dict[str, Callable[[Array], Array]] = {
        "bright": lambda image: image,
        "dark": lambda image: -image,
        "brighter than around": lambda image: contrast(image, 1),
        "darker than around": lambda image: contrast(image, -1),
        "unlike around": lambda image: contrast(image, 0),
    }
    for name, measure in measures.items():
        levels = np.quantile(np.concatenate([measure(image).ravel()[::7] for image in images]), QUANTILES)
        yield name, [_above(measure, float(level)) for level in levels]
    yield "Canny", [_edges(*setting) for setting in itertools.product(SIGMAS, GRADIENTS, (0, 1))]


def iou(found: Sequence[Array], labels: Sequence[Array]) -> float:
    """Return the IoU over all labelled pixels of all images, NaN where there is neither.

    found: bool (y, x) each; labels: uint8 (y, x) each, 1 for the class, 255 for no label; or bool.
    """
    both = either = 0
    for answer, mask in zip(found, labels, strict=True):
        seen, truth = mask != IGNORE, mask == 1
        both += int((answer & truth).sum())
        either += int(((answer & seen) | truth).sum())
    return both / either if either else float("nan")


def best_rules(images: Sequence[Array], labels: Sequence[Array]) -> dict[str, Rule]:
    """Return the rule of each family with the best IoU on some images (y, x), 0 to 1, and their labels."""
    return {
        name: max(rules, key=lambda rule: np.nan_to_num(iou([rule(image) for image in images], labels)))
        for name, rules in families(images)
    }


def _above(values: Callable[[Array], Array], level: float) -> Rule:
    return lambda image: values(image) > level


def _edges(sigma: float, high: float, wide: int) -> Rule:
    def rule(image: Array) -> Array:
        edges = canny(image, sigma, 0.4 * high, high)
        return binary_dilation(edges, iterations=wide) if wide else edges

    return rule
