"""The confusion matrix of labels and predictions, on any device; the scores of it are in models/metrics.py."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from models.metrics import IGNORE

Array = TypeVar("Array", np.ndarray, Tensor)


def confusion(labels: Array, predictions: Array, classes: int, ignore: int = IGNORE) -> Array:
    """Count pixels: `matrix[label, prediction]`, int64 (classes, classes), of the kind of the inputs.

    labels: any shape, integers in [0, classes) or `ignore`; predictions: same shape, integers or bool.
    Raises ValueError: the shapes differ, or a value lies outside [0, classes).
    """
    if labels.shape != predictions.shape:
        raise ValueError(
            f"labels {tuple(labels.shape)} and predictions {tuple(predictions.shape)} differ in shape. "
            "Give one prediction per label (drop the channel axis)."
        )
    if isinstance(labels, Tensor):
        return _counts(labels, predictions, classes, ignore)
    # tensor, not from_numpy: arrays may be read-only
    return _counts(torch.tensor(labels), torch.tensor(predictions), classes, ignore).numpy()


def _counts(labels: Tensor, predictions: Tensor, classes: int, ignore: int) -> Tensor:
    seen = labels != ignore
    label, prediction = labels[seen].long(), predictions[seen].long()
    for what, values in (("labels", label), ("predictions", prediction)):
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < classes:
            raise ValueError(
                f"{what} must lie in [0, {classes}), found {int(values.min())} to {int(values.max())}. "
                f"Mark pixels to leave out with {ignore}, or raise the number of classes."
            )
    return torch.bincount(label * classes + prediction, minlength=classes**2).reshape(classes, classes)
