"""Confusion matrices: pixel by pixel, of parts and of the whole, of arrays and tensors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.confusion import confusion

SHAPE = (2, 3, 5)
LABELS = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 255]))
PREDICTIONS = arrays(np.bool_, SHAPE)


def oracle(labels, predictions, classes):
    matrix = np.zeros((classes, classes), int)
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if label != 255:
            matrix[label, int(prediction)] += 1
    return matrix


@given(LABELS, PREDICTIONS)
def test_confusion_counts_pixel_by_pixel(labels, predictions):
    matrix = confusion(labels, predictions, 2)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, oracle(labels, predictions, 2))
    from_torch = confusion(torch.from_numpy(labels), torch.from_numpy(predictions), 2)
    assert from_torch.dtype == torch.int64
    np.testing.assert_array_equal(from_torch.numpy(), matrix)


@given(LABELS, PREDICTIONS)
def test_counts_of_parts_add_up_to_the_whole(labels, predictions):
    parts = sum(confusion(labels[i], predictions[i], 2) for i in range(2))
    np.testing.assert_array_equal(parts, confusion(labels, predictions, 2))


def test_confusion_of_several_classes_from_read_only_arrays():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 4, (6, 7)), rng.integers(0, 4, (6, 7))
    labels.flags.writeable = predictions.flags.writeable = False
    np.testing.assert_array_equal(confusion(labels, predictions, 4), oracle(labels, predictions, 4))


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        confusion(np.zeros((1, 2, 3), int), np.zeros((1, 1, 2, 3), int), 2)
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\), found 0 to 2"):
        confusion(np.array([0, 2]), np.array([0, 1]), 2)
