"""Sums over pixels and images: what models/losses.py needs of them before it divides."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.loss_sums import SMOOTH, cross_entropy_sum, dice_sum, focal_sum, lovasz_sum

torch.set_num_threads(1)

SUMS = {"cross_entropy": cross_entropy_sum, "focal": focal_sum, "dice": dice_sum, "lovasz": lovasz_sum}
CASES = [(name, classes) for name in SUMS for classes in (1, 3)]


def sample(seed: int, classes: int, n: int = 4, h: int = 5, w: int = 9):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, max(classes, 2), (n, h, w), generator=generator, dtype=torch.uint8)
    labels[torch.rand((n, h, w), generator=generator) < 0.25] = 255
    if n > 1:
        labels[1] = 255
    return 3 * torch.randn((n, classes, h, w), generator=generator), labels


@pytest.mark.parametrize(("name", "classes"), CASES)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), cut=st.integers(1, 3))
def test_a_sum_over_images_is_the_sum_of_its_parts(name, classes, seed, cut):
    logits, labels = sample(seed, classes)
    weights = torch.linspace(0.5, 2, max(classes, 2))
    of, whole = SUMS[name], SUMS[name](logits, labels, weights)
    parts = of(logits[:cut], labels[:cut], weights) + of(logits[cut:], labels[cut:], weights)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
    assert whole.shape == ()
    assert whole > 0


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_twice_the_same_image_is_twice_the_sum(name, classes):
    logits, labels = sample(3, classes, n=2)
    once, twice = (SUMS[name](logits[:1].repeat(n, 1, 1, 1), labels[:1].repeat(n, 1, 1)) for n in (1, 2))
    torch.testing.assert_close(twice, 2 * once, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
@pytest.mark.parametrize("classes", [1, 3])
def test_pixels_are_worth_what_their_class_weighs(name, classes):
    logits, labels = sample(5, classes)
    of, size = SUMS[name], max(classes, 2)
    alone = [of(logits, labels, torch.eye(size)[c]) for c in range(size)]
    weights = torch.arange(1.0, size + 1)
    torch.testing.assert_close(of(logits, labels, weights), sum(w * a for w, a in zip(weights, alone, strict=True)))
    torch.testing.assert_close(of(logits, labels), of(logits, labels, torch.ones(size)))


def test_focal_without_gamma_is_the_cross_entropy_and_never_more_than_it():
    for classes in (1, 3):
        logits, labels = sample(7, classes)
        plain = cross_entropy_sum(logits, labels)
        torch.testing.assert_close(focal_sum(logits, labels, gamma=0.0), plain)
        sums = [focal_sum(logits, labels, gamma=g).item() for g in (0.0, 0.5, 1.0, 2.0, 5.0)]
        assert sums == sorted(sums, reverse=True)


def test_focal_below_one_has_a_finite_slope_where_the_network_is_certain():
    logits = torch.tensor([[[[60.0, -60.0]]]], requires_grad=True)
    focal_sum(logits, torch.tensor([[[1, 0]]], dtype=torch.uint8), gamma=0.5).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["dice", "lovasz"])
@pytest.mark.parametrize("classes", [1, 3])
def test_the_order_of_pixels_does_not_matter_to_a_loss_of_images(name, classes):
    logits, labels = sample(9, classes)
    order = torch.randperm(labels[0].numel(), generator=torch.Generator().manual_seed(1))
    mixed, truth = (
        logits.flatten(2)[..., order].unflatten(2, (5, 9)),
        labels.flatten(1)[..., order].unflatten(1, (5, 9)),
    )
    torch.testing.assert_close(SUMS[name](mixed, truth), SUMS[name](logits, labels))


@pytest.mark.parametrize("name", ["dice", "lovasz"])
def test_a_perfect_answer_costs_nothing_and_the_opposite_everything(name):
    labels = torch.zeros((1, 4, 6), dtype=torch.uint8)
    labels[:, :2, :3] = 1
    labels[:, 3, 5] = 255
    right = torch.where(labels == 1, 50.0, -50.0)[:, None]
    assert SUMS[name](right, labels).item() == pytest.approx(0, abs=1e-6)
    # nothing of 6 pixels found, all of 17 others: Dice is smoothed by 1; the hinge of Lovasz is 51
    expected = {"dice": 1 - SMOOTH / (17 + 6 + SMOOTH), "lovasz": 51.0}[name]
    assert SUMS[name](-right, labels).item() == pytest.approx(expected, rel=1e-5)


def test_an_image_in_which_nothing_is_and_nothing_is_found_costs_nothing():
    nothing = torch.zeros((2, 3, 7), dtype=torch.uint8)
    assert dice_sum(torch.full((2, 1, 3, 7), -60.0), nothing).item() == pytest.approx(0, abs=1e-6)
    assert lovasz_sum(torch.full((2, 1, 3, 7), -60.0), nothing).item() == 0


def test_classes_absent_from_an_image_have_no_part_in_it():
    labels = torch.zeros((1, 4, 6), dtype=torch.uint8)
    labels[:, :, 3:] = 2
    logits = sample(11, 3, n=1, h=4, w=6)[0]
    heavy = torch.tensor([1.0, 1000.0, 1.0])  # class 1, which does not occur, would rule the mean
    for of in (dice_sum, lovasz_sum):
        torch.testing.assert_close(of(logits, labels, heavy), of(logits, labels, torch.ones(3)))


def test_weights_of_nothing_but_zero_in_an_image_are_no_division_by_zero():
    labels = torch.zeros((1, 3, 4), dtype=torch.uint8)
    weights = torch.tensor([0.0, 1.0, 1.0])  # only class 0 occurs, which weighs nothing
    for of in (dice_sum, lovasz_sum):
        assert of(torch.randn((1, 3, 3, 4)), labels, weights).item() == 0


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_labels_may_be_of_either_type_and_sums_are_float32(name, classes):
    logits, labels = sample(13, classes)
    found = SUMS[name](logits.double(), labels.long())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, SUMS[name](logits, labels))


def test_hand_computed_sums_are_not_divided():
    labels = torch.tensor([[[1, 0, 1, 255]], [[0, 0, 0, 1]]], dtype=torch.uint8)
    logits = torch.zeros((2, 1, 1, 4))
    assert cross_entropy_sum(logits, labels).item() == pytest.approx(7 * math.log(2))
    assert focal_sum(logits, labels, gamma=1.0).item() == pytest.approx(3.5 * math.log(2))
    dice = (1 - (2 * 1 + 1) / (1.5 + 2 + 1)) + (1 - (2 * 0.5 + 1) / (2 + 1 + 1))
    assert dice_sum(logits, labels).item() == pytest.approx(dice)
    assert lovasz_sum(logits, labels).item() == pytest.approx(2.0)


@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (1, 3, 5), (1, 4, 3)])
def test_labels_that_do_not_lie_on_the_logits_are_refused(shape):
    for of in SUMS.values():
        with pytest.raises(ValueError, match="Give one label for each pixel"):
            of(torch.zeros(1, 2, 3, 4), torch.zeros(shape, dtype=torch.uint8))
