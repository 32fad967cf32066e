"""How well the outlines of a map follow those of the labels: precision and recall of boundary pixels.

A boundary pixel of a mask belongs to it and has one of its four neighbours outside. Ignored pixels are neither inside
nor outside: no boundary runs along them, nor along the border of the array. A boundary pixel is right if the other
mask has one within the tolerance (Euclidean distance between pixel centres); F1 is the harmonic mean of the share of
predicted ones that are right and the share of labelled ones that are found (Csurka et al. 2013).
"""

import numpy as np

from models.metrics import IGNORE


def boundary(inside: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the boundary pixels of a mask, bool (h, w); inside and seen: bool (h, w)."""
    mask, outside = inside & seen, ~inside & seen
    found = np.zeros(mask.shape, bool)
    found[1:] |= mask[1:] & outside[:-1]
    found[:-1] |= mask[:-1] & outside[1:]
    found[:, 1:] |= mask[:, 1:] & outside[:, :-1]
    found[:, :-1] |= mask[:, :-1] & outside[:, 1:]
    return found


def widened(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Return where a pixel of the mask lies within the radius, bool (h, w)."""
    reach = int(radius_px)
    height, width = mask.shape
    found = np.zeros(mask.shape, bool)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx <= radius_px * radius_px and abs(dy) < height and abs(dx) < width:
                here = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
                there = slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0))
                found[here] |= mask[there]
    return found


def boundary_masks(
    labels: np.ndarray, predictions: np.ndarray, tolerance_px: float = 2.0, label: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the boundary pixels of one class, bool (h, w) each: predicted and right, predicted, labelled and found,
    labelled.

    labels: (h, w), 255 is ignored; predictions: (h, w) of label values.
    Raises ValueError: unlike shapes.
    """
    if labels.shape != predictions.shape or labels.ndim != 2:
        raise ValueError(f"Labels {labels.shape} and predictions {predictions.shape} must be one (h, w). Give a map.")
    seen = labels != IGNORE
    truth, found = boundary(labels == label, seen), boundary(predictions == label, seen)
    return found & widened(truth, tolerance_px), found, truth & widened(found, tolerance_px), truth


def boundary_counts(
    labels: np.ndarray,
    predictions: np.ndarray,
    tolerance_px: float = 2.0,
    inner: tuple[slice, slice] | None = None,
    label: int = 1,
) -> np.ndarray:
    """Count the `boundary_masks` of one class: int64 (4,). Counts of parts add up.

    inner: count in this part only, and use what lies around it to look for partners: parts that are read with a
    margin of `tolerance_px + 1` pixels add up to the counts of the whole.
    """
    place = inner if inner is not None else (slice(None), slice(None))
    masks = boundary_masks(labels, predictions, tolerance_px, label)
    return np.array([int(mask[place].sum()) for mask in masks], np.int64)


def boundary_scores(counts: np.ndarray) -> dict[str, float]:
    """Return boundary_precision, boundary_recall and boundary_f1 of counts; NaN for a ratio of nothing to nothing."""
    right, found, recalled, truth = (int(c) for c in counts)
    precision = right / found if found else float("nan")
    recall = recalled / truth if truth else float("nan")
    if not found and not truth:
        f1 = float("nan")
    elif not found or not truth or not right + recalled:
        f1 = 0.0  # one side has an outline and the other has none, or they never meet
    else:
        f1 = 2 * precision * recall / (precision + recall)
    return {"boundary_precision": precision, "boundary_recall": recall, "boundary_f1": f1}
