import numpy as np
import pytest
from skimage.feature import canny as reference

from models.contrast_rules import best_rules, canny, contrast, families, grey, iou


def panel(seed: int, height: int = 40, width: int = 56) -> tuple[np.ndarray, np.ndarray]:
    """Return a shaded image with a bright line, 0 to 1, and where the line is."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = 0.3 + 0.3 * x / width + 0.02 * random.standard_normal((height, width))
    line = np.abs(y - (10 + seed % 7) - 0.4 * x) < 1
    return np.clip(np.where(line, image + 0.3, image), 0, 1), line


@pytest.mark.parametrize(("sigma", "high"), [(0.7, 0.3), (1.0, 0.2), (1.6, 0.1)])
def test_edges_are_cannys(sigma, high):
    for seed in range(4):
        image, _ = panel(seed)
        ours, theirs = canny(image, sigma, 0.4 * high, high), reference(image, sigma, 0.4 * high, high)
        assert theirs.any()
        assert (ours & theirs).sum() > 0.9 * (ours | theirs).sum()


def test_a_flat_image_has_no_edges_and_weak_ones_alone_do_not_count():
    assert not canny(np.full((9, 13), 0.5), 1, 0.1, 0.2).any()
    step = np.repeat([0.0, 0.1], [20, 20])[None].repeat(30, axis=0)
    assert canny(step, 1, 0.05, 0.1).any()
    assert not canny(step, 1, 0.05, 0.9).any()


def test_contrast_has_signs():
    image, line = panel(2)
    assert contrast(image, 1)[line].mean() > 0.05
    assert np.array_equal(contrast(image, -1), -contrast(image, 1))
    assert np.array_equal(contrast(image, 0), np.abs(contrast(image, 1)))


def test_each_family_gives_its_best_rule():
    images, labels = zip(*(panel(seed) for seed in range(3)), strict=True)
    masks = [label.astype(np.uint8) for label in labels]
    found = best_rules(images, masks)
    rules = dict(families(images))
    assert list(found) == list(rules)
    for name, best in found.items():
        score = iou([best(image) for image in images], masks)
        assert score == max(np.nan_to_num(iou([rule(image) for image in images], masks)) for rule in rules[name])
    assert iou([found["brighter than around"](image) for image in images], masks) > 0.4
    assert iou([found["dark"](image) for image in images], masks) < 0.1


def test_iou_leaves_out_what_is_not_labelled():
    found = [np.array([[True, True, False, False]])]
    assert iou(found, [np.array([[1, 255, 1, 0]], np.uint8)]) == 0.5
    assert np.isnan(iou([np.zeros((1, 2), bool)], [np.array([[0, 255]], np.uint8)]))


def test_grey_is_luma():
    pixels = np.zeros((3, 1, 3), np.uint8)
    pixels[[0, 1, 2], 0, [0, 1, 2]] = 255
    assert grey(pixels)[0].tolist() == pytest.approx([0.299, 0.587, 0.114])
