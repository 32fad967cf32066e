from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import FINE_BINS, Reliability, SlopeGrid, binary_temperature, logit_histogram


def predictions(seed, n=3000, sharpness=1.0):
    """Confidences, and outcomes that are right with a probability that the sharpness distorts."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(2, 1, n)
    return confidence, rng.random(n) < confidence**sharpness


def ece_oracle(confidence, correct, edges):
    total = 0.0
    for low, high in pairwise(edges):
        own = (confidence >= low) & ((confidence < high) | (high == edges[-1]))
        if own.any():
            total += own.sum() * abs(correct[own].mean() - confidence[own].mean())
    return total / len(confidence)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([1, 4, 16]), st.sampled_from([0.5, 1.0, 3.0]))
def test_the_error_with_equal_widths_is_the_formula(seed, bins, sharpness):
    confidence, correct = predictions(seed, sharpness=sharpness)
    found = Reliability.of(confidence, correct).curve(bins).error
    assert found == pytest.approx(ece_oracle(confidence, correct, np.linspace(0, 1, bins + 1)), abs=1e-6)


def test_bins_that_are_no_power_of_two_are_near_the_formula():
    confidence, correct = predictions(3, n=20_000, sharpness=2.0)
    found = Reliability.of(confidence, correct).curve(15).error
    assert found == pytest.approx(ece_oracle(confidence, correct, np.linspace(0, 1, 16)), abs=2e-3)


@pytest.mark.parametrize("bins", [5, 10])
def test_bins_of_equal_mass_hold_equally_many(bins):
    confidence, correct = predictions(5, n=20_000, sharpness=2.0)
    curve = Reliability.of(confidence, correct).curve(bins, "mass")
    assert curve.counts.sum() == 20_000
    assert np.abs(curve.counts - 20_000 / bins).max() < 0.003 * 20_000
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1))
    assert curve.error == pytest.approx(ece_oracle(confidence, correct, edges), abs=2e-3)


def test_one_value_many_times_is_one_bin_of_mass():
    curve = Reliability.of(np.full(100, 0.7), np.arange(100) < 60).curve(10, "mass")
    assert (curve.counts > 0).sum() == 1
    assert curve.error == pytest.approx(0.1, abs=1e-6)


def test_a_calibrated_forecast_has_little_error_and_a_sharp_one_much():
    assert Reliability.of(*predictions(1, n=200_000)).curve().error < 0.01
    assert Reliability.of(*predictions(1, n=200_000, sharpness=3.0)).curve().error > 0.15


def test_the_curve_holds_means_and_shares():
    curve = Reliability.of(np.array([0.1, 0.2, 0.9, 1.0]), np.array([False, True, True, True])).curve(2)
    np.testing.assert_array_equal(curve.counts, [2, 2])
    np.testing.assert_allclose(curve.confidence, [0.15, 0.95], atol=1e-6)
    np.testing.assert_allclose(curve.accuracy, [0.5, 1.0])
    empty = Reliability.of(np.zeros(0), np.zeros(0, bool)).curve(3)
    assert np.isnan(empty.accuracy).all()
    assert np.isnan(empty.error)


def test_parts_add_up_to_the_whole_in_any_order_to_the_last_bit():
    confidence, correct = predictions(8)
    seen = np.random.default_rng(0).random(3000) < 0.9
    whole = Reliability.of(confidence, correct, seen)
    cuts = [slice(0, 7), slice(7, 2000), slice(2000, 3000)]
    parts = [Reliability.of(confidence[c], correct[c], seen[c]) for c in cuts]
    for order in ((0, 1, 2), (2, 0, 1)):
        total = parts[order[0]] + parts[order[1]] + parts[order[2]]
        for name in ("counts", "correct", "confidence"):
            np.testing.assert_array_equal(getattr(total, name), getattr(whole, name))
    assert whole.counts.shape == (FINE_BINS,)
    assert whole.counts.sum() == seen.sum()


def test_what_is_no_confidence_is_refused():
    with pytest.raises(ValueError, match="Apply the sigmoid"):
        Reliability.of(np.array([-0.5, 2.0]), np.array([True, False]))
    with pytest.raises(ValueError, match="differ"):
        Reliability.of(np.zeros(3), np.zeros(2, bool))


def binary(seed, truth, n=40_000):
    """Logits that are `truth` times too large for their labels."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(-0.5, 2, n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-honest))).astype(np.uint8)
    labels[rng.random(n) < 0.1] = 255
    return (truth * honest).astype(np.float32), labels


def fitted(loss):
    """The temperature by brute force: LBFGS of torch in float64 on the pixels themselves."""
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def closure():
        optimizer.zero_grad()
        value = loss(log_t.exp())
        value.backward()
        return value

    optimizer.step(closure)
    return float(log_t.detach().exp())


@pytest.mark.parametrize("truth", [0.3, 1.0, 2.5])
def test_the_binary_temperature_is_that_of_a_fit_to_the_pixels(truth):
    logits, labels = binary(2, truth)
    seen = torch.from_numpy(labels != 255)
    x, y = torch.from_numpy(logits).double()[seen], torch.from_numpy(labels).double()[seen]
    expected = fitted(lambda t: torch.nn.functional.binary_cross_entropy_with_logits(x / t, y))
    parts = [logit_histogram(logits[i::3], labels[i::3]) for i in range(3)]
    np.testing.assert_array_equal(sum(parts), logit_histogram(logits, labels))
    found = binary_temperature(sum(parts))
    assert found == pytest.approx(expected, rel=2e-4)
    assert found == pytest.approx(truth, rel=0.05)


def test_the_temperature_lowers_the_calibration_error():
    logits, labels = binary(4, 3.0)
    seen = labels != 255

    def error(t):
        return Reliability.of(1 / (1 + np.exp(-logits.astype(float) / t)), labels == 1, seen).curve().error

    assert error(binary_temperature(logit_histogram(logits, labels))) < 0.2 * error(1.0)


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.0])
def test_the_temperature_of_several_classes_is_that_of_a_fit_to_the_pixels(truth):
    rng = np.random.default_rng(6)
    honest = rng.normal(0, 1.5, (5, 4, 30, 40))
    cumulated = np.cumsum(np.exp(honest) / np.exp(honest).sum(1, keepdims=True), 1)
    labels = (rng.random((5, 1, 30, 40)) > cumulated[:, :-1]).sum(1).astype(np.uint8)
    labels[:, :3] = 255
    logits = (truth * honest).astype(np.float32)
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(labels).long()
    expected = fitted(lambda t: torch.nn.functional.cross_entropy(x / t, y, ignore_index=255))
    whole = SlopeGrid.of(logits[:2], labels[:2]) + SlopeGrid.of(logits[2:], labels[2:])
    assert whole.count == (labels != 255).sum()
    assert whole.temperature() == pytest.approx(expected, rel=1e-3)
    assert whole.temperature() == pytest.approx(truth, rel=0.05)


def test_two_classes_have_the_temperature_of_the_binary_case():
    logits, labels = binary(9, 1.7, n=5000)
    pair = np.stack([np.zeros_like(logits), logits], 1)
    assert SlopeGrid.of(pair, labels).temperature() == pytest.approx(
        binary_temperature(logit_histogram(logits, labels)), rel=1e-3
    )


def test_labels_that_fit_every_temperature_are_refused():
    for labels in (np.ones(50, np.uint8), np.full(50, 255, np.uint8)):
        logits = np.linspace(0.1, 3, 50).astype(np.float32)
        with pytest.raises(ValueError, match="No finite temperature"):
            binary_temperature(logit_histogram(logits, labels))
        with pytest.raises(ValueError, match="No finite temperature"):
            SlopeGrid.of(np.stack([0 * logits, logits], 1), labels).temperature()
