import numpy as np
import pytest
from PIL import Image

from models.near_copies import DETAIL, WHOLE, explained, near_copies


def picture(seed: int, side: int = 96) -> np.ndarray:
    """Return float64 (3, side, side) of 0 to 255: blocks and lines in colours of their own."""
    random = np.random.default_rng(seed)
    out = np.full((3, side, side), random.uniform(150, 255))
    for _ in range(9):
        y, x, h, w = random.integers([0, 0, 5, 5], [side - 30, side - 30, 30, 30])
        out[:, y : y + h, x : x + w] = random.uniform(0, 255, (3, 1, 1))
    return out


def small(image: np.ndarray, side: int = 32) -> np.ndarray:
    step = image.shape[-1] // side
    return image.reshape(len(image), side, step, side, step).mean((2, 4)).astype(np.float32)


def cropped(image: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    side = image.shape[-1]
    box = (left * side, top * side, (1 - right) * side, (1 - bottom) * side)
    planes = [
        Image.fromarray(plane.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR, box)
        for plane in image
    ]
    return np.stack([np.asarray(plane, np.float64) for plane in planes])


def test_copies_that_are_brighter_noisy_and_a_little_cropped_are_found_and_nothing_else():
    random = np.random.default_rng(1)
    images = [picture(seed) for seed in range(30)]
    altered = {
        30: (3, 1.04 * images[3] - 9),
        31: (7, images[7] + random.normal(0, 6, images[7].shape)),
        32: (11, cropped(images[11], 0.012, 0.0, 0.004, 0.01)),
        33: (19, 0.95 * cropped(images[19], 0.0, 0.012, 0.012, 0.0)),
    }
    pictures = np.stack([small(image) for image in [*images, *(image for _, image in altered.values())]])
    assert near_copies(pictures).tolist() == sorted([of, copy] for copy, (of, _) in altered.items())


def test_a_shift_is_explained_and_what_hides_in_it_is_not():
    one = picture(5)
    moved = cropped(one, 0.02, 0.0, 0.0, 0.015)
    other = one.copy()
    other[:, 30:70, 30:70] = picture(6)[:, 30:70, 30:70]
    pictures = np.stack([small(image) for image in (one, moved, other)])
    whole, detail = explained(pictures, np.array([[0, 1], [0, 2]]))
    assert whole[0] > WHOLE > whole[1]
    assert detail[0] > DETAIL > detail[1]


def test_smooth_pictures_are_alike_and_no_copies():
    y, x = np.mgrid[0:32, 0:32] / 32
    random = np.random.default_rng(2)
    waves = [np.cos(np.pi * (x + shift)) * np.cos(np.pi * y) for shift in (0.0, 0.04, 0.08)]
    pictures = np.stack([100 + 50 * wave[None] + random.normal(0, 1, (1, 32, 32)) for wave in waves])
    whole, detail = explained(pictures, np.array([[0, 1], [0, 2], [1, 2]]))
    assert (whole > WHOLE).all()
    assert (detail < 0.5).all()
    assert not len(near_copies(pictures))


def test_what_is_explained_is_what_least_squares_explain():
    pictures = np.stack([small(picture(seed))[:, :20, :28] for seed in range(4)])
    pairs = np.array([[0, 1], [2, 3], [1, 3]])
    whole, _ = explained(pictures, pairs)
    for pair, found in zip(pairs.tolist(), whole.tolist(), strict=True):
        best = 0.0
        for a, b in (pair, pair[::-1]):
            one, other = pictures[a].astype(float), pictures[b].astype(float)
            down, along = np.gradient(one, axis=(1, 2))
            y, x = np.linspace(-1, 1, 20)[:, None], np.linspace(-1, 1, 28)
            columns = np.stack([v.ravel() for v in (one, along, along * x, down, down * y, np.ones_like(one))], axis=1)
            gains, residual, *_ = np.linalg.lstsq(columns, other.ravel(), rcond=None)
            if gains[0] > 0:
                best = max(best, 1 - residual[0] / ((other - other.mean()) ** 2).sum())
        assert found == pytest.approx(best, abs=1e-9)


def test_a_negative_and_a_picture_of_one_colour_explain_nothing():
    one = small(picture(4))
    pictures = np.stack([one, 255 - one, np.full_like(one, 80), np.full_like(one, 80)])
    pairs = np.array([[0, 1], [0, 2], [2, 3]])
    assert np.array_equal(explained(pictures, pairs), np.zeros((2, 3)))
    assert not len(near_copies(pictures))


@pytest.mark.parametrize("side", [32, 20])
def test_pairs_do_not_depend_on_how_they_are_cut_in_blocks(side, monkeypatch):
    random = np.random.default_rng(3)
    base = random.normal(100, 20, (1, 2, side, side))
    pictures = (base + random.normal(0, 2, (40, 2, side, side))).astype(np.float32)
    found = near_copies(pictures)
    assert len(found) == 40 * 39 // 2
    whole, detail = explained(pictures, found)
    for name, length in (("BLOCK_PICTURES", 7), ("BLOCK_PAIRS", 5), ("BLOCK_ROWS", 11)):
        monkeypatch.setattr(f"models.near_copies.{name}", length)
    assert near_copies(pictures).tolist() == found.tolist()
    shuffled = np.random.default_rng(4).permutation(len(found))
    assert explained(pictures, found[shuffled])[0] == pytest.approx(whole[shuffled], abs=1e-12)
    assert explained(pictures, found[:, ::-1])[1] == pytest.approx(detail, abs=1e-12)
    series = np.array(["a", "b"])[np.arange(40) % 2]
    assert len(near_copies(pictures, series)) == 2 * (20 * 19 // 2)
    assert near_copies(pictures[:1]).shape == (0, 2)
    assert near_copies(pictures, chosen=np.array([3, 8, 21])).tolist() == [[3, 8], [3, 21], [8, 21]]
