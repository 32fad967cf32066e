from collections import Counter
from functools import cache

import numpy as np
import pytest

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


def test_company_photos_are_closer():
    assert SOURCES[0].zoom[1] < sum(SOURCES[1].zoom) / 2
