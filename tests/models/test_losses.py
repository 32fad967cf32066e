from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segmentation_models_pytorch.losses import LovaszLoss
from segmentation_models_pytorch.losses._functional import focal_loss_with_logits, softmax_focal_loss_with_logits

from models.losses import LOSS_NAMES, LOSSES, LossOptions, batch_loss, denominators, label_counts

torch.set_num_threads(1)

CLASSES = (1, 3)
WEIGHTS = {1: (0.25, 2.0), 3: (0.5, 2.0, 1.25)}


def sample(seed, classes=1, n=3, h=5, w=8, ignored=0.3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(classes, 2), (n, h, w)).astype(np.uint8)
    if classes > 1:
        labels[0][labels[0] == 1] = 2  # a class that does not occur in every image
    labels[rng.random((n, h, w)) < ignored] = 255
    return (3 * rng.standard_normal((n, classes, h, w))).astype(np.float32), labels


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_labels_are_counted_without_those_that_are_ignored(dtype):
    labels = torch.tensor([[[0, 2, 255], [2, 2, 0]], [[255, 255, 255], [255, 255, 255]]], dtype=dtype)
    assert label_counts(labels, 3).tolist() == [2, 0, 3, 1]
    assert label_counts(labels.swapaxes(1, 2)[1:], 3).tolist() == [0, 0, 0, 0]


def probabilities(logits):
    """float64 (n, max(K, 2), h, w): of each label value."""
    x = logits.astype(np.float64)
    if x.shape[1] == 1:
        x = np.concatenate([np.zeros_like(x), x], 1)
    x = np.exp(x - x.max(1, keepdims=True))
    return x / x.sum(1, keepdims=True)


def pixel_oracle(logits, labels, weights, gamma=0.0):
    p, total, weight = probabilities(logits), 0.0, 0.0
    for n, y, x in np.argwhere(labels != 255):
        label = labels[n, y, x]
        own = p[n, label, y, x]
        total += weights[label] * (1 - own) ** gamma * -np.log(own)
        weight += weights[label]
    return total / weight if weight else 0.0


def image_oracle(logits, labels, weights, of_class):
    """Mean over images of the weighted mean over present classes (binary: the foreground alone) of a loss."""
    found = []
    for p, x, label in zip(probabilities(logits), logits.astype(np.float64), labels, strict=True):
        seen = label != 255
        if not seen.any():
            continue
        if len(x) == 1:
            found.append(of_class(p[1][seen], x[0][seen], label[seen] == 1))
            continue
        present = [c for c in range(len(x)) if (label[seen] == c).any()]
        losses = [weights[c] * of_class(p[c][seen], None, label[seen] == c) for c in present]
        found.append(sum(losses) / sum(weights[c] for c in present))
    return sum(found) / max(len(found), 1)


def dice_of_class(p, logit, truth):
    return 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)


def lovasz_of_class(p, logit, truth):
    """The Lovasz extension as an integral over level sets: sum of error differences times 1 - IoU of the set."""
    errors = np.maximum(1 - logit * np.where(truth, 1, -1), 0) if logit is not None else np.abs(truth - p)
    levels = np.unique(np.append(errors, 0.0))
    total = 0.0
    for low, high in pairwise(levels):
        wrong = errors >= high
        missed = (truth & ~wrong).sum()
        total += (high - low) * (1 - missed / (truth | wrong).sum())
    return total


def oracle(name, logits, labels, options):
    weights = options.class_weights or (1.0,) * max(logits.shape[1], 2)
    if name == "bce":
        return pixel_oracle(logits, labels, weights)
    if name == "focal":
        return pixel_oracle(logits, labels, weights, options.gamma)
    if name == "dice":
        return image_oracle(logits, labels, weights, dice_of_class)
    if name == "lovasz":
        return image_oracle(logits, labels, weights, lovasz_of_class)
    if name == "batch_dice":  # the batch is one image
        flat = logits.swapaxes(0, 1).reshape(1, logits.shape[1], -1, logits.shape[3])
        return image_oracle(flat, labels.reshape(1, -1, labels.shape[2]), weights, dice_of_class)
    assert name == "bce_dice"
    bce, dice = (oracle(part, logits, labels, options) for part in ("bce", "dice"))
    return options.alpha * bce + (1 - options.alpha) * dice


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", LOSS_NAMES)
@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.95]))
def test_the_value_is_the_written_out_formula(name, classes, weighted, seed, ignored):
    logits, labels = sample(seed, classes, ignored=ignored)
    options = LossOptions(alpha=0.3, gamma=1.7, class_weights=WEIGHTS[classes] if weighted else None)
    found = batch_loss(name, torch.from_numpy(logits), torch.from_numpy(labels), options)
    assert found.item() == pytest.approx(oracle(name, logits, labels, options), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_the_gradient_is_the_slope_of_the_formula(name, classes):
    logits, labels = sample(7, classes, n=2, h=3, w=4)
    options = LossOptions(alpha=0.3, class_weights=WEIGHTS[classes])
    x = torch.from_numpy(logits).requires_grad_()
    batch_loss(name, x, torch.from_numpy(labels), options).backward()
    for index in np.ndindex(logits.shape):
        up, down = logits.astype(np.float64), logits.astype(np.float64)
        up[index] += 1e-5
        down[index] -= 1e-5
        slope = (oracle(name, up, labels, options) - oracle(name, down, labels, options)) / 2e-5
        assert x.grad[index].item() == pytest.approx(slope, rel=2e-3, abs=1e-6)


def test_dice_of_a_batch_does_not_push_where_an_image_is_empty():
    # one image of three pixels of the class, three empty ones, and a network that is near to finding nothing
    labels = torch.zeros(4, 9, 11, dtype=torch.uint8)
    labels[0, 4, 2:5] = 1
    x = torch.full((4, 1, 9, 11), -6.0).requires_grad_()
    slopes = {}
    for name in ("dice", "batch_dice"):
        x.grad = None
        batch_loss(name, x, labels).backward()
        slopes[name] = -x.grad[0, 0][labels[0] == 1].sum().item(), x.grad[1:].sum().item()
    towards, away = slopes["dice"]
    assert away > 5 * towards > 0
    towards, away = slopes["batch_dice"]
    assert towards > 0
    assert away < 2 * slopes["dice"][1] / 5


def test_hand_computed_value():
    # logit 0 everywhere: p = 1/2; four valid pixels, two of them foreground
    logits = torch.zeros(1, 1, 1, 5)
    labels = torch.tensor([[[1, 0, 1, 0, 255]]], dtype=torch.uint8)
    dice = 1 - (2 * 1 + 1) / (2 + 2 + 1)
    assert batch_loss("bce_dice", logits, labels).item() == pytest.approx(0.5 * np.log(2) + 0.5 * dice)
    assert batch_loss("focal", logits, labels).item() == pytest.approx(0.25 * np.log(2))
    assert batch_loss("lovasz", logits, labels).item() == pytest.approx(1.0)
    three = torch.zeros(1, 3, 1, 5)
    assert batch_loss("bce", three, labels).item() == pytest.approx(np.log(3))


def test_lovasz_and_focal_equal_those_of_smp():
    logits, labels = (torch.from_numpy(v) for v in sample(5))
    assert batch_loss("lovasz", logits, labels) == pytest.approx(
        LovaszLoss("binary", per_image=True, ignore_index=255)(logits, labels).item(), rel=1e-6
    )
    seen = labels != 255
    expected = focal_loss_with_logits(logits[:, 0][seen], labels[seen].float(), alpha=None)
    assert batch_loss("focal", logits, labels).item() == pytest.approx(expected.item(), rel=1e-5)
    logits, labels = (torch.from_numpy(v) for v in sample(5, 3))
    seen = labels != 255
    expected = LovaszLoss("multiclass", per_image=True, ignore_index=255)(torch.softmax(logits, 1).log(), labels)
    assert batch_loss("lovasz", logits, labels).item() == pytest.approx(expected.item(), rel=1e-5)
    expected = softmax_focal_loss_with_logits(logits.movedim(1, -1)[seen], labels[seen].long())
    assert batch_loss("focal", logits, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_two_classes_of_a_softmax_are_the_binary_case():
    logits, labels = (torch.from_numpy(v) for v in sample(9))
    pair = torch.cat([torch.zeros_like(logits), logits], 1)
    for name in ("bce", "focal"):
        for weights in (None, WEIGHTS[1]):
            options = LossOptions(class_weights=weights)
            expected = batch_loss(name, logits, labels, options).item()
            assert batch_loss(name, pair, labels, options).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", LOSSES)
def test_unequal_parts_of_a_batch_add_up_to_the_gradient_of_the_whole(name, classes):
    logits, labels = sample(11, classes, n=4)
    labels[0] = 255  # an image without a valid pixel, and so unequal counts
    labels[1, 1:] = 255
    options = LossOptions(class_weights=WEIGHTS[classes])
    x, y = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(labels)
    total = batch_loss(name, x, y, options)
    total.backward()
    parts = [slice(0, 1), slice(1, 2), slice(2, 4)]
    whole = denominators(sum(label_counts(y[part], max(classes, 2)) for part in parts), options)
    part_sum, gradient = 0.0, torch.zeros_like(x)
    for part in parts:
        own = torch.from_numpy(logits[part]).requires_grad_()
        loss = LOSSES[name](own, y[part], whole, options)
        loss.backward()
        gradient[part] += own.grad
        part_sum += loss.item()
    assert part_sum == pytest.approx(total.item(), rel=1e-6)
    torch.testing.assert_close(gradient, x.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_a_batch_without_valid_pixels_is_zero_with_zero_gradient(name, classes):
    x = torch.full((2, classes, 3, 4), float("inf")).requires_grad_()
    options = LossOptions(class_weights=WEIGHTS[classes])
    loss = batch_loss(name, x, torch.full((2, 3, 4), 255, dtype=torch.uint8), options)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_ignored_pixels_have_no_part_whatever_their_logit(name, classes):
    logits, labels = (torch.from_numpy(v) for v in sample(2, classes))
    ignored = (labels == 255)[:, None].expand_as(logits)
    expected = batch_loss(name, logits, labels)
    for value in (-50.0, float("inf"), float("nan")):
        x = torch.where(ignored, value, logits).requires_grad_()
        loss = batch_loss(name, x, labels)
        loss.backward()
        assert torch.equal(loss, expected)
        assert not x.grad[ignored].any()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_large_logits_have_finite_losses_and_gradients(name, classes):
    logits, labels = sample(4, classes)
    for size in (1e2, 1e4):
        x = (size * torch.from_numpy(logits)).requires_grad_()
        loss = batch_loss(name, x, torch.from_numpy(labels), LossOptions(gamma=1.5))
        loss.backward()
        assert loss.isfinite()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_arithmetic_is_float32_under_autocast_and_for_bfloat16_logits(name, classes):
    logits, labels = sample(3, classes)
    rounded = torch.from_numpy(logits).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = batch_loss(name, rounded, torch.from_numpy(labels))
    assert loss.dtype == torch.float32
    assert torch.equal(loss, batch_loss(name, rounded.float(), torch.from_numpy(labels)))


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"logits \(n, classes, h, w\) and labels \(n, h, w\), got \(1, 2, 3, 4\)"):
        batch_loss("bce", torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 5, dtype=torch.uint8))
