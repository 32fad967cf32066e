"""Panels of samples: errors where they are, missing and ignored pixels as nothing, sizes that stay small."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jobs import prediction_figures
from jobs.prediction_figures import (
    BACKGROUND_RIGHT,
    CLASS_COLORS,
    CONFUSED,
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    GROUND,
    HIT,
    PANEL_PX,
    Sample,
    _errors,
    prediction_panels,
)
from tests.jobs.test_figures import pixels

pytestmark = pytest.mark.usefixtures("drawn_pictures")
HEIGHT, WIDTH = 40, 66


def sample(classes: int = 1, height: int = HEIGHT, width: int = WIDTH) -> Sample:
    """Truth: class 1 in the left half, then background; found: class 1 in the upper half. A corner is ignored."""
    truth = np.zeros((height, width), np.uint8)
    truth[:, : width // 2] = 1
    truth[:8, -10:] = 255
    share = np.full((classes, height, width), 0.1, np.float32)
    share[-1 if classes == 1 else 1, : height // 2] = 0.9
    if classes > 1:
        share[0, height // 2 :] = 0.8
    missing = np.zeros((height, width), bool)
    missing[-6:, -6:] = True
    image = np.random.default_rng(1).random((3, height, width)).astype(np.float32) * 9000
    return Sample(image, missing, truth, share, "sample 3")


def has(png: bytes, color: str, share: float = 1.0, least: int = 50) -> bool:
    """Whether some pixels have the colour, laid over white or pale grey by no more than the rest."""
    rgb = share * np.array(to_rgb(color)) * 255
    off = pixels(png).astype(float) - rgb
    low, high = (1 - share) * 255 * (1 - BACKGROUND_RIGHT) - 2, (1 - share) * 255 + 2
    return int(((off >= low) & (off <= high)).all(-1).sum()) >= least


def test_every_pixel_is_painted_by_what_it_is():
    given = sample(3)
    share = given.probability.copy()
    share[2, : HEIGHT // 4] = 0.95  # taken for another class in the uppermost quarter
    given = Sample(given.image, given.missing, given.truth, share, "s")
    painted = _errors(np.full((HEIGHT, WIDTH, 3), 255, np.uint8), given)
    left, right = WIDTH // 4, 3 * WIDTH // 4 - 2
    for (row, col), (color, part) in {
        (HEIGHT * 3 // 8, left): (HIT, 0.45),
        (HEIGHT * 3 // 8, right): (FALSE_POSITIVE, 0.95),
        (HEIGHT * 7 // 8, left): (FALSE_NEGATIVE, 0.95),
        (HEIGHT // 8, left): (CONFUSED, 0.95),
    }.items():
        expected = 255 * (1 - part) + 255 * part * np.array(to_rgb(color))
        np.testing.assert_allclose(painted[row, col], expected, atol=1)
    assert np.ptp(painted[HEIGHT * 7 // 8, right]) == 0  # right about the background: grey


def test_the_binary_answer_is_the_probability_above_one_half():
    share = np.array([[[0.5, 0.51], [0.2, 0.9]]], np.float32)
    blank = np.zeros((2, 2))
    given = Sample(np.zeros((3, 2, 2)), blank.astype(bool), blank.astype(np.uint8), share, "s")
    np.testing.assert_array_equal(given.predicted, [[0, 1], [0, 1]])


def test_errors_and_classes_can_be_seen_in_the_picture():
    png = prediction_panels([sample(), sample()], ("industrial",), "Epoch 3")
    for color, share in ((FALSE_POSITIVE, 0.95), (FALSE_NEGATIVE, 0.95), (HIT, 0.45), (CLASS_COLORS[0], 1.0)):
        assert has(png, color, share, least=2000), color
    assert not has(png, CONFUSED, 0.95)
    several = prediction_panels([sample(4)], ("background", "industrial", "port", "mine"), "Epoch 3")
    assert has(several, CLASS_COLORS[1])  # of the legend: named though not seen
    assert has(several, CONFUSED)


def test_ignored_labels_and_missing_pixels_are_not_drawn():
    whole = sample()
    nothing = Sample(
        whole.image, np.ones_like(whole.missing), np.full_like(whole.truth, 255), whole.probability, whole.caption
    )
    seen, unseen = (prediction_panels([s], ("industrial",), "Epoch 3") for s in (whole, nothing))
    ground = np.round(np.array(to_rgb(GROUND)) * 255)
    shares = [(np.abs(pixels(png).astype(float) - ground) <= 1).all(-1).mean() for png in (seen, unseen)]
    assert shares[1] > shares[0] + 0.15
    assert not has(unseen, FALSE_POSITIVE, 0.95, least=2000)


def test_colours_of_classes_are_not_those_of_errors():
    assert not set(CLASS_COLORS) & {HIT, FALSE_POSITIVE, FALSE_NEGATIVE, CONFUSED}
    assert len(set(CLASS_COLORS)) == len(CLASS_COLORS)


@pytest.mark.parametrize("shape", [(700, 513), (90, 800)])
def test_large_samples_are_thinned_to_a_bounded_picture(shape):
    thin = sample(1, *shape).thinned()
    assert max(thin.truth.shape) <= PANEL_PX
    assert thin.image.shape[1:] == thin.missing.shape == thin.truth.shape == thin.probability.shape[1:]
    large, small = (pixels(prediction_panels([s], ("industrial",), "Epoch 3")).shape for s in (sample(1, *shape), thin))
    assert np.allclose(large, small, atol=4)


def test_what_cannot_be_laid_over_each_other_is_refused():
    good = sample()
    odd = Sample(good.image, good.missing, good.truth.T, good.probability, "s")
    with pytest.raises(ValueError, match=r"\(66, 40\).*one window"):
        prediction_panels([good, odd], ("industrial",), "Epoch 3")
    with pytest.raises(ValueError, match="at least one"):
        prediction_panels([], ("industrial",), "Epoch 3")


def test_more_classes_than_colours_begin_again():
    names = tuple(f"class {i}" for i in range(len(CLASS_COLORS) + 3))
    colors = prediction_figures._colors(names)
    assert colors.shape == (len(names), 3)
    np.testing.assert_array_equal(colors[1], colors[1 + len(CLASS_COLORS)])
