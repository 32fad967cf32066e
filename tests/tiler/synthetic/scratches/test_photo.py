from collections import Counter
from functools import cache

import numpy as np
import pytest

from tiler.light_removal import LightRemoval
from tiler.luminance import luminance
from tiler.preprocess import preparation
from tiler.synthetic.scratches import SOURCES, Photo, take_photo
from tiler.synthetic.scratches.marks import LEAST, MOST, rasterised
from tiler.synthetic.scratches.panel import PAINTS

SIDE_PX = 112


@cache
def photos(source: int, count: int = 24) -> tuple[Photo, ...]:
    return tuple(take_photo(SOURCES[source], 3, n, SIDE_PX) for n in range(count))


def test_a_photo_is_a_function_of_source_seed_and_number():
    kept = photos(1)[5]
    again = take_photo(SOURCES[1], 3, 5, SIDE_PX)
    assert again.jpeg == kept.jpeg
    np.testing.assert_array_equal(again.label, kept.label)
    assert take_photo(SOURCES[1], 4, 5, SIDE_PX).jpeg != kept.jpeg
    assert take_photo(SOURCES[0], 3, 5, SIDE_PX).jpeg != kept.jpeg


@pytest.mark.parametrize("source", [0, 1], ids=[s.name for s in SOURCES])
def test_some_photos_show_scratches_on_a_few_of_their_pixels(source):
    shares = [p.label.mean() for p in photos(source)]
    scratched = [share for share in shares if share]
    assert 0.3 < len(scratched) / len(shares) < 0.9
    assert all(LEAST <= share <= MOST for share in scratched)
    assert max(scratched) > 2 * min(scratched)
    for photo in photos(source):
        assert bool(photo.polygons) == photo.label.any() == photo.scratched.any()
        np.testing.assert_array_equal(rasterised(list(photo.polygons), *photo.label.shape), photo.label)


def test_all_arrays_have_the_size_of_the_photo_and_sizes_differ():
    for photo in photos(1):
        assert photo.pixels.shape == photo.albedo.shape == (3, *photo.label.shape)
        assert photo.light.shape == photo.scratched.shape == photo.label.shape
        assert max(photo.label.shape) == SIDE_PX
    assert len({p.label.shape for p in photos(1)}) == 4
    assert {p.paint for p in (*photos(0), *photos(1))} == set(PAINTS)


def test_annotators_are_near_the_truth_and_not_on_it():
    both = either = 0
    for photo in (*photos(0), *photos(1)):
        both += (photo.label & photo.scratched).sum()
        either += (photo.label | photo.scratched).sum()
    assert 0.2 < both / either < 0.7


def test_scratches_change_the_photo_where_they_are():
    """Contrast of true scratches to their surroundings is larger than elsewhere, but small on some."""
    contrasts = []
    for photo in photos(0):
        if photo.scratched.sum() > 30:
            image = photo.albedo.mean(0)
            contrasts.append(abs(image[photo.scratched].mean() - np.median(image)))
    assert np.median(contrasts) > 10


def test_light_has_something_to_hide():
    """Grey values of photos go with the light that fell, and only partly with the true colours."""
    with_albedo = [np.corrcoef(p.pixels.mean(0).ravel(), p.albedo.mean(0).ravel())[0, 1] for p in photos(0)]
    assert np.mean(with_albedo) < 0.85
    assert all(abs(p.light.mean() - 1) < 1e-3 for p in photos(0))
    assert Counter(p.light.std() > 0.05 for p in photos(0))[True] > 12


def likeness(photo: Photo, image: np.ndarray) -> float:
    """Correlation of the grey of an image with that of the true colours."""
    return float(np.corrcoef(luminance(photo.albedo).ravel(), luminance(image).ravel())[0, 1])


@pytest.mark.parametrize("source", [0, 1], ids=[s.name for s in SOURCES])
def test_light_removal_brings_photos_nearer_to_their_true_colours(source):
    """The operation itself, on light that it was not made for: Phong, mirrored sky, shadows, indoors and outdoors."""
    removal, colour = preparation(["light_removal"]), preparation(["colour"])
    likenesses, of_light = [], []
    for photo in photos(source):
        seen, valid = photo.pixels.astype(np.float32), np.ones(photo.label.shape, bool)
        likenesses.append([likeness(photo, image) for image in (seen, removal(seen, valid)[0], colour(seen, valid)[0])])
        estimate, true = LightRemoval().light(seen, valid), np.maximum(photo.light, 1e-3)
        of_light.append(np.corrcoef(np.log(estimate).ravel(), np.log(true).ravel())[0, 1])
    before, after, tinted = np.mean(likenesses, axis=0)
    assert after > before + (0.04, 0.15)[source]
    assert np.mean([found > seen for seen, found, _ in likenesses]) >= 0.75
    assert abs(tinted - before) < 0.03, "another operation does not do it"
    assert np.mean(of_light) > 0.6, "what was taken away is like the light that fell"


def test_company_photos_are_closer():
    assert SOURCES[0].zoom[1] < sum(SOURCES[1].zoom) / 2
