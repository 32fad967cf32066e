"""Estimates from stratified samples: published examples to their printed digits, and the truth on average."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.stratified import Stratified, accuracy_of, allocation, sample_size

CLASSES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
"""Olofsson et al. 2014, table 8: rows are classes of the map, which are the strata; columns are the reference."""
PIXELS = np.array([200_000.0, 150_000.0, 3_200_000.0, 6_450_000.0])
PIXEL_HA = 0.09
"""Landsat's, 30 m."""


def units_of(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of every unit of a matrix of counts."""
    rows, cols = np.nonzero(counts)
    return rows.repeat(counts[rows, cols]), cols.repeat(counts[rows, cols])


@pytest.fixture(scope="module")
def olofsson():
    mapped, reference = units_of(COUNTS)
    assert len(mapped) == 640
    infinite = np.full(4, np.inf)  # the paper leaves the correction of finite populations out
    return accuracy_of(Stratified(mapped, PIXELS, infinite), mapped, reference, 4)


def test_the_worked_example_of_olofsson_et_al_2014_accuracies(olofsson):
    """Section 5.2.1 as printed, with 95 % intervals to two digits."""
    assert round(olofsson.overall.value, 2) == 0.95
    assert round(olofsson.overall.half_width, 2) == 0.02
    assert [round(one.value, 2) for one in olofsson.users] == [0.88, 0.73, 0.93, 0.96]
    assert [round(one.half_width, 2) for one in olofsson.users] == [0.07, 0.10, 0.04, 0.02]
    assert [round(one.value, 2) for one in olofsson.producers] == [0.75, 0.85, 0.93, 0.96]
    # two are printed as 0.23 and 0.01; equation 7 of the paper itself gives 0.254 and 0.018
    assert [round(one.half_width, 3) for one in olofsson.producers] == [0.213, 0.254, 0.034, 0.018]


def test_the_worked_example_of_olofsson_et_al_2014_areas(olofsson):
    """Section 5.2.2 and table 9 as printed: hectares with 95 % intervals, and estimated proportions."""
    areas = [share.times(PIXELS.sum() * PIXEL_HA) for share in olofsson.shares]
    assert [one.value for one in areas] == pytest.approx([21_158, 11_686, 285_770, 581_386], abs=0.6)
    assert [one.half_width for one in areas] == pytest.approx([6158, 3756, 15_510, 16_282], abs=1.5)
    assert olofsson.shares[0].value * PIXELS.sum() == pytest.approx(235_086, abs=1)  # pixels of deforestation
    expected = [
        [0.0176, 0, 0.0013, 0.0011],
        [0, 0.0110, 0.0016, 0.0024],
        [0.0019, 0, 0.2967, 0.0213],
        [0.0040, 0.0020, 0.0179, 0.6212],
    ]
    np.testing.assert_allclose(olofsson.matrix, expected, atol=0.00005)
    assert [one.value for one in olofsson.agreement] == pytest.approx([one.value for one in olofsson.users])
    within = np.array([[one.value for one in by_stratum] for by_stratum in olofsson.within])
    np.testing.assert_allclose(within.T, COUNTS / COUNTS.sum(axis=1, keepdims=True))
    areas = within @ PIXELS * PIXEL_HA
    assert areas.tolist() == pytest.approx([21_158, 11_686, 285_770, 581_386], abs=0.6)


def test_equation_7_of_the_paper_is_the_ratio_of_stehman(olofsson):
    """Producer's accuracy: the formula for strata that are classes, written out as it is printed."""
    n, size = COUNTS.sum(axis=1), PIXELS
    users = np.diag(COUNTS) / n
    for j, found in enumerate(olofsson.producers):
        total = (size * COUNTS[:, j] / n).sum()
        p = size[j] * users[j] / total
        own = size[j] ** 2 * (1 - p) ** 2 * users[j] * (1 - users[j]) / (n[j] - 1)
        others = sum(
            size[i] ** 2 * COUNTS[i, j] / n[i] * (1 - COUNTS[i, j] / n[i]) / (n[i] - 1) for i in range(4) if i != j
        )
        assert found.value == pytest.approx(p)
        assert found.error == pytest.approx(np.sqrt(own + p**2 * others) / total)


def test_the_planned_size_of_olofsson_et_al_2014():
    """Section 5.1.1: 641 units for a standard error of 0.01."""
    assert sample_size([0.020, 0.015, 0.320, 0.645], [0.70, 0.60, 0.90, 0.95], 0.01) == 641
    assert allocation(641, [0.020, 0.015, 0.320, 0.645], [10**6] * 4, 0) == [13, 10, 205, 413]  # table 5
    assert allocation(641, [0.020, 0.015, 0.320, 0.645], [10**6] * 4, 100) == [100, 100, 146, 295]


def test_the_worked_example_of_stehman_2014():
    """Strata that are not the classes of the map: 40 units of four strata, as printed, to one in the last digit."""
    counts = {
        (0, "AA"): 5, (0, "AC"): 1, (0, "AB"): 1, (0, "BA"): 1, (0, "BB"): 1, (0, "BC"): 1,
        (1, "AA"): 1, (1, "BB"): 5, (1, "BA"): 2, (1, "BB "): 2,
        (2, "BC"): 2, (2, "BB"): 1, (2, "BA"): 1, (2, "CC"): 3, (2, "CD"): 2, (2, "CB"): 1,
        (3, "DD"): 7, (3, "DC"): 2, (3, "DB"): 1,
    }  # fmt: skip
    rows = [(s, "ABCD".index(pair[0]), "ABCD".index(pair[1])) for (s, pair), n in counts.items() for _ in range(n)]
    stratum, mapped, reference = np.array(rows).T
    sizes = np.array([40_000.0, 30_000.0, 20_000.0, 10_000.0])
    found = accuracy_of(Stratified(stratum, sizes, sizes), mapped, reference, 4)
    printed = {
        found.overall: (0.63, 0.085),
        found.users[1]: (0.574, 0.125),
        found.producers[1]: (0.794, 0.116),
        found.shares[0]: (0.35, 0.082),
        found.shares[2]: (0.20, 0.064),
    }
    for one, (value, error) in printed.items():
        assert (one.value, one.error) == (pytest.approx(value, abs=0.001), pytest.approx(error, abs=0.001))


def test_a_census_has_no_error():
    mapped, reference = units_of(np.array([[3, 1], [2, 4]]))
    found = accuracy_of(Stratified(mapped, np.array([4.0, 6.0]), np.array([4.0, 6.0])), mapped, reference, 2)
    assert found.overall.value == 0.7
    assert [one.value for one in found.shares] == [0.5, 0.5]
    assert (found.overall.error, found.shares[0].error, found.producers[1].error) == (0, 0, 0)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Samples of a population that is known: 95 % of intervals hold it, and the mean estimate is it."""
    random = np.random.default_rng(0)
    truth = random.random(30_000) < 0.3
    mapped = np.where(random.random(30_000) < 0.8, truth, ~truth).astype(int)
    members = [np.flatnonzero(mapped == k) for k in (0, 1)]
    sizes = np.array([len(one) for one in members], float)
    share, overall = truth.mean(), (truth == mapped).mean()
    held, estimates = np.zeros(2), []
    for _ in range(400):
        drawn = np.concatenate([random.choice(one, 60, replace=False) for one in members])
        found = accuracy_of(Stratified(mapped[drawn], sizes, sizes), mapped[drawn], truth[drawn].astype(int), 2)
        estimates.append(found.shares[1].value)
        held += [
            abs(found.shares[1].value - share) <= found.shares[1].half_width,
            abs(found.overall.value - overall) <= found.overall.half_width,
        ]
    assert np.mean(estimates) == pytest.approx(share, abs=0.01)
    assert (held / 400 > 0.91).all()
    assert (held / 400 < 0.98).all()


def test_a_class_that_nobody_mapped_or_found_is_unknown():
    mapped, reference = units_of(np.array([[5, 2], [1, 4]]))
    found = accuracy_of(Stratified(mapped, np.ones(2), np.full(2, 99.0)), mapped, reference, 3)
    assert (found.users[2].value, found.producers[2].half_width) == (None, None)
    assert found.shares[2].value == 0
    assert found.users[2].times(3).value is None


def test_a_stratum_of_one_unit_is_refused():
    with pytest.raises(ValueError, match=r"strata \[1\] have fewer"):
        Stratified(np.array([0, 0, 1]), np.ones(2), np.array([9.0, 9.0]))
    Stratified(np.array([0, 0, 1]), np.ones(2), np.array([9.0, 1.0]))  # which is all of it


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.001, 1), st.integers(1, 10_000)), min_size=1, max_size=6),
    st.integers(1, 3000),
    st.integers(0, 60),
)
@example([(1.0, 1), (1.0, 1), (1.0, 182), (1.0, 511), (1.0, 511), (0.002, 2)], 1207, 2)
def test_allocations_are_whole_and_within_bounds(strata, size, least):
    weights, units = [w for w, _ in strata], [u for _, u in strata]
    floors = [min(least, u) for u in units]
    if sum(floors) > size or sum(units) < size:
        with pytest.raises(ValueError, match="ask for"):
            allocation(size, weights, units, least)
        return
    found = allocation(size, weights, units, least)
    assert sum(found) == size
    assert all(low <= n <= high for low, n, high in zip(floors, found, units, strict=True))
