import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.losses import LOSSES, bce_dice_loss, bce_sums, dice_sums

torch.set_num_threads(1)


def sample(seed, n=3, h=5, w=8, ignored=0.3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n, h, w)).astype(np.uint8)
    labels[rng.random((n, h, w)) < ignored] = 255
    return (3 * rng.standard_normal((n, 1, h, w))).astype(np.float32), labels


def bce_oracle(logits, labels):
    x, y = logits[:, 0].astype(np.float64), labels.astype(np.float64)
    p = 1 / (1 + np.exp(-x))
    per_pixel = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    return per_pixel[labels != 255].sum(), (labels != 255).sum()


def dice_oracle(logits, labels, smooth=1.0):
    losses = []
    for x, y in zip(logits[:, 0].astype(np.float64), labels, strict=True):
        if (y != 255).any():
            p, t = 1 / (1 + np.exp(-x[y != 255])), y[y != 255].astype(np.float64)
            losses.append(1 - (2 * (p * t).sum() + smooth) / (p.sum() + t.sum() + smooth))
    return sum(losses), len(losses)


def mean_oracle(logits, labels, alpha):
    bce, pixels = bce_oracle(logits, labels)
    dice, images = dice_oracle(logits, labels)
    return alpha * bce / max(pixels, 1) + (1 - alpha) * dice / max(images, 1)


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.95]))
def test_sums_and_counts_equal_the_written_out_formulas(seed, ignored):
    logits, labels = sample(seed, ignored=ignored)
    x, y = torch.from_numpy(logits), torch.from_numpy(labels)
    assert [float(v) for v in bce_sums(x, y)] == pytest.approx(bce_oracle(logits, labels), rel=1e-5)
    for smooth in (1.0, 0.1):
        expected = dice_oracle(logits, labels, smooth)
        assert [float(v) for v in dice_sums(x, y, smooth)] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_hand_computed_value():
    # logit 0 everywhere: p = 1/2; four valid pixels, two of them foreground
    logits = torch.zeros(1, 1, 1, 5)
    labels = torch.tensor([[[1, 0, 1, 0, 255]]], dtype=torch.uint8)
    dice = 1 - (2 * 1 + 1) / (2 + 2 + 1)
    assert float(bce_dice_loss(logits, labels)) == pytest.approx(0.5 * np.log(2) + 0.5 * dice)


@pytest.mark.parametrize(("name", "alpha"), [("bce", 1.0), ("dice", 0.0), ("bce_dice", 0.5), ("bce_dice", 0.2)])
def test_value_and_gradient_of_every_loss(name, alpha):
    assert set(LOSSES) == {"bce", "dice", "bce_dice"}
    logits, labels = sample(7, n=2, h=3, w=4)
    x = torch.from_numpy(logits).requires_grad_()
    loss = LOSSES[name](x, torch.from_numpy(labels), alpha=alpha)
    assert loss.item() == pytest.approx(mean_oracle(logits, labels, alpha), rel=1e-5)
    loss.backward()
    for index in np.ndindex(logits.shape):
        up, down = logits.astype(np.float64), logits.astype(np.float64)
        up[index] += 1e-4
        down[index] -= 1e-4
        slope = (mean_oracle(up, labels, alpha) - mean_oracle(down, labels, alpha)) / 2e-4
        assert x.grad[index].item() == pytest.approx(slope, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_parts_of_a_batch_on_unequal_workers_have_the_gradient_of_the_whole(name):
    logits, labels = sample(11, n=4)
    labels[0] = 255  # an image without a valid pixel, and so unequal counts
    labels[1, 1:] = 255
    whole = torch.from_numpy(logits).requires_grad_()
    y = torch.from_numpy(labels)
    total = LOSSES[name](whole, y)
    total.backward()
    parts = [slice(0, 2), slice(2, 4)]
    measures = {"bce": (bce_sums,), "dice": (dice_sums,), "bce_dice": (bce_sums, dice_sums)}[name]
    counts = torch.stack([measure(whole.detach(), y)[1] for measure in measures])
    mean, gradient = 0.0, torch.zeros_like(whole)
    for part in parts:
        x = torch.from_numpy(logits[part]).requires_grad_()
        loss = LOSSES[name](x, y[part], reduce_count=lambda own: counts, world_size=2)
        loss.backward()
        gradient[part] += x.grad / 2  # what DDP does
        mean += loss.item() / 2
    assert mean == pytest.approx(total.item(), rel=1e-6)
    torch.testing.assert_close(gradient, whole.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_valid_pixels_is_zero_with_zero_gradient(name):
    x = torch.full((2, 1, 3, 4), float("inf")).requires_grad_()
    loss = LOSSES[name](x, torch.full((2, 3, 4), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("name", LOSSES)
def test_arithmetic_is_float32_under_autocast_and_for_bfloat16_logits(name):
    logits, labels = sample(3)
    rounded = torch.from_numpy(logits).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = LOSSES[name](rounded, torch.from_numpy(labels))
    assert loss.dtype == torch.float32
    assert torch.equal(loss, LOSSES[name](rounded.float(), torch.from_numpy(labels)))


def test_logits_of_several_classes_are_refused():
    with pytest.raises(ValueError, match=r"logits \(n, 1, h, w\)"):
        bce_sums(torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 4, dtype=torch.uint8))
