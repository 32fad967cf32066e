"""Quality: histograms that merge say what numpy says of all pixels at once; three patches are three reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from tiler.grids import Box
from tiler.quality import MAX_BINS, BandStatistics, Bins, estimate_missing_ratio, patches

few = settings(max_examples=60, deadline=None)
INTEGERS = [("uint8", 0, 255), ("int16", -32_768, 32_767), ("uint16", 0, 65_535), ("uint16", 3, 700)]


def counts_of(bins, values):
    """Counts of one band of one row, all valid."""
    return bins.counts(values[None, None], np.ones((1, len(values)), bool))[0].astype(np.int64)


def statistics(parts, bins):
    return BandStatistics.of(sum(counts_of(bins, part) for part in parts), bins)


@few
@given(st.sampled_from(INTEGERS), st.data())
def test_merged_integers_are_exact(kind, data):
    dtype, low, high = kind
    values = data.draw(arrays(dtype, st.integers(1, 60), elements=st.integers(low, high)))
    at = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=3)))
    bins = Bins.for_range(low, high, np.dtype(dtype))
    found = statistics(np.split(values, at), bins)
    exact = values.astype(np.float64)
    assert found.count == len(values)
    assert (found.minimum, found.maximum, found.median) == (exact.min(), exact.max(), np.median(exact))
    assert_allclose(found.mean, exact.mean(), rtol=1e-12)
    assert_allclose(found.standard_deviation, exact.std(), rtol=1e-9, atol=1e-9)


@few
@given(arrays(np.float32, st.integers(1, 60), elements=st.floats(-0.25, 1.5, width=32)))
def test_floats_are_within_a_bin(values):
    bins = Bins.for_range(-0.25, 1.5, np.dtype("float32"))
    found = statistics([values], bins)
    exact = values.astype(np.float64)
    for name, value in (
        ("minimum", exact.min()),
        ("maximum", exact.max()),
        ("mean", exact.mean()),
        ("median", np.median(exact)),
        ("standard_deviation", exact.std()),
    ):
        assert abs(getattr(found, name) - value) <= bins.width, name
    assert bins.count == MAX_BINS
    assert bins.width < 1.75 / 65_000


@pytest.mark.parametrize(("values", "median"), [([1, 2, 9, 700], 5.5), ([4, 4, 5], 4), ([3], 3), ([3, 8], 5.5)])
def test_the_median_of_an_even_count_is_the_mean_of_the_two_in_the_middle(values, median):
    bins = Bins.for_range(0, 1000, np.dtype("uint16"))
    assert statistics([np.array(values, "uint16")], bins).median == median == np.median(values)


def test_integer_bins_are_integers_inside_range_and_type():
    assert Bins.for_range(0, 20_000, np.dtype("uint8")) == Bins(0, 1, 256)
    assert Bins.for_range(-1e9, 1e9, np.dtype("int16")) == Bins(-32_768, 1, 65_536)
    assert Bins.for_range(0.5, 9.5, np.dtype("uint16")) == Bins(1, 1, 9)


def test_ends_of_a_float_range_have_bins_of_their_own():
    bins = Bins.for_range(-2.0, 3.0, np.dtype("float32"))
    counts = counts_of(bins, np.array([-2.0, 3.0, 3.0], "float32"))
    assert (counts[0], counts[-1], counts.sum()) == (1, 2, 3)
    assert_allclose(bins.centres[[0, -1]], [-2, 3], rtol=1e-12)


@few
@given(
    st.sampled_from(["uint8", "int16", "uint16", "float32"]),
    st.sampled_from([(0, 250), (7, 90), (-40.0, 33.0), (0.0, 1e4)]),
    st.integers(0, 999),
)
def test_counts_are_numpy_s_of_the_valid_values(dtype, ends, seed):
    random, bins = np.random.default_rng(seed), Bins.for_range(*ends, np.dtype(dtype))
    image = np.clip(random.normal(sum(ends) / 2, np.ptp(ends), (3, 5, 17)), *bins.centres[[0, -1]]).astype(dtype)
    valid = random.random((5, 17)) < 0.7
    found = bins.counts(image, valid)
    for band, counts in zip(image, found, strict=True):
        places = np.rint((band[valid].astype(np.float64) - bins.low) / bins.width).astype(np.int64)
        expected = np.bincount(np.clip(places, 0, bins.count - 1), minlength=bins.count)
        assert_array_equal(counts, expected)
    assert found.dtype == np.uint32


def test_nothing_valid_gives_no_numbers():
    bins = Bins.for_range(0, 9, np.dtype("uint8"))
    found = statistics([np.array([], "uint8")], bins)
    assert found.count == 0
    assert np.isnan([found.minimum, found.maximum, found.mean, found.standard_deviation, found.median]).all()


def test_the_estimate_reads_three_windows_and_counts_what_they_hold():
    valid = np.ones((301, 407), bool)
    valid[:40, :30] = False  # corner: 1200 px of hole
    valid[130:170, 190:220] = False  # centre: 1200
    valid[-10:, -20:] = False  # opposite corner: 200
    valid[200:, :100] = False  # a hole that no patch sees
    reads = []

    def read(box):
        reads.append(box)
        return valid[box.slices]

    ratio = estimate_missing_ratio(read, 301, 407, patch_px=100)
    assert reads == [Box(0, 0, 100, 100), Box(100, 153, 200, 253), Box(201, 307, 301, 407)]
    assert ratio == pytest.approx(2600 / 30_000)


@pytest.mark.parametrize("missing", [0, 3, 10])
def test_the_estimate_is_the_truth_where_holes_repeat(missing):
    valid = np.ones((250, 410), bool)
    valid[:, :] = np.arange(410) % 10 >= missing
    assert estimate_missing_ratio(lambda b: valid[b.slices], 250, 410, 100) == pytest.approx(1 - valid.mean())


@few
@given(st.integers(1, 900), st.integers(1, 900))
def test_patches_lie_inside_and_reach_both_corners(height, width):
    whole = Box(0, 0, height, width)
    first, middle, last = patches(height, width, 128)
    size = min(128, height), min(128, width)
    for box in (first, middle, last):
        assert box.clip(whole) == box
        assert (box.height, box.width) == size
    assert (first.y0, first.x0, last.y1, last.x1) == (0, 0, height, width)
    # The middle one's centre is the scene's, to the pixel.
    assert_array_equal(np.abs([middle.y0 + middle.y1 - height, middle.x0 + middle.x1 - width]) <= 1, True)
