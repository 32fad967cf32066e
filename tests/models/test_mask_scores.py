import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.confusion import confusion
from models.losses import batch_loss
from models.mask_scores import ImageCounts, collapse, iou_of_dice_loss, mask_scores
from models.metrics import imagewise_iou_fg, scores

torch.set_num_threads(1)


def sample(seed: int, rare: float = 0.2, n: int = 4, height: int = 5, width: int = 9):
    """Return labels, the last image without the class, and logits."""
    random = np.random.default_rng(seed)
    labels = (random.random((n, height, width)) < rare).astype(np.uint8)
    labels[-1] = 0
    labels[random.random(labels.shape) < 0.1] = 255
    return labels, (2 * random.standard_normal(labels.shape)).astype(np.float32)


def counted(labels, logits) -> list[ImageCounts]:
    return [ImageCounts.of(label, logit) for label, logit in zip(labels, logits, strict=True)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.2, 0.7]))
def test_scores_are_those_of_the_confusion_matrix_and_of_the_losses(seed, rare):
    labels, logits = sample(seed, rare)
    found = mask_scores(counted(labels, logits))
    expected = scores(confusion(labels, logits >= 0, 2))
    for ours, theirs in (("iou", "iou_fg"), ("precision", "precision"), ("recall", "recall")):
        assert found[ours] == pytest.approx(expected[theirs], nan_ok=True)
    assert found["iou_images"] == pytest.approx(imagewise_iou_fg(labels, logits >= 0).mean())
    x, y = torch.from_numpy(logits)[:, None], torch.from_numpy(labels)
    for ours, theirs in (("dice_loss", "dice"), ("dice_loss_whole", "batch_dice"), ("bce_loss", "bce")):
        assert found[ours] == pytest.approx(batch_loss(theirs, x, y).item(), rel=1e-5)
    assert found["images"] == len(labels)


def test_who_finds_nothing_has_the_share_of_empty_images_and_no_iou():
    labels, _ = sample(1)
    nothing = [ImageCounts.of_mask(label, np.zeros(label.shape, bool)) for label in labels]
    found = mask_scores(nothing)
    assert (found["iou"], found["iou_scratched"], found["iou_images"]) == (0, 0, 0.25)
    assert np.isnan(found["precision"])


def test_a_mask_counts_as_its_logits_do():
    labels, logits = sample(2)
    for label, logit in zip(labels, logits, strict=True):
        one, other = ImageCounts.of(label, logit), ImageCounts.of_mask(label, logit >= 0)
        names = ("seen_px", "truth_px", "found_px", "hit_px")
        assert [getattr(one, n) for n in names] == [getattr(other, n) for n in names]


def test_extreme_logits_are_finite():
    one = ImageCounts.of(np.array([[0, 1, 1]], np.uint8), np.array([[-1e4, 1e4, -1e4]], np.float32))
    assert (one.found_px, one.hit_px, one.cross_entropy) == (1, 1, 1e4)


def collapsed(labels, logits) -> str:
    return collapse(mask_scores(counted(labels, logits)))


def test_collapse_is_told_by_what_was_found():
    labels, _ = sample(3, n=8)
    good = np.where(labels == 1, 3.0, -3.0)
    assert collapsed(labels, good) == ""
    assert collapsed(labels, np.full_like(good, -2)) == "nothing"
    assert collapsed(labels, np.full_like(good, 2)) == "everything"
    same = np.broadcast_to(np.where(np.arange(9) < 3, 1.0, -1.0), labels.shape)
    uninformed = np.stack([np.full((5, 9), -1.0), np.full((5, 9), 1.0)] * 4)
    halves = np.repeat(labels[:1], 8, axis=0)  # the same label everywhere: hits and false alarms of one image in two
    assert collapsed(halves, uninformed) == "guess"
    assert collapsed(labels, same) in ("", "guess")
    weak = np.where(labels == 1, 0.5, -0.5)
    weak[0] = -weak[0]
    assert collapsed(labels, weak) == ""


def test_nothing_to_find_is_no_collapse():
    labels = np.zeros((2, 3, 4), np.uint8)
    assert collapsed(labels, np.full(labels.shape, -1.0)) == ""


@given(st.floats(0, 1))
def test_the_iou_of_a_dice_loss_is_that_of_a_mask(share):
    truth, found = 100.0, 100.0
    hit = share * 100
    dice, iou = 2 * hit / (truth + found), hit / (truth + found - hit)
    assert iou_of_dice_loss(1 - dice) == pytest.approx(iou)
