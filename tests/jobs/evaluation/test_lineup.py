"""The line-up: rows, means and differences of any number of networks, with one view or several."""

import numpy as np
import pytest

from jobs.evaluation.lineup import Lineup


def test_one_network_in_one_view_is_one_row():
    one = Lineup(("a",), False)
    assert (one.order, one.principal, one.groups, one.differences) == (["a"], "a", {}, [])
    first = np.ones((1, 2, 1, 3, 3))
    assert list(one.maps(first, first * 2)) == ["a"]


def test_one_network_in_several_views_gains_from_them():
    one = Lineup(("a",), True)
    assert one.order == ["a", "a + TTA"]
    assert one.principal == "a + TTA"
    assert one.differences == [("TTA minus one view, a", "a + TTA", "a")]


def test_the_ensemble_is_the_mean_of_logits_and_the_mean_of_members_is_a_group():
    two = Lineup(("a", "b"), True)
    rng = np.random.default_rng(0)
    first, mean = rng.normal(size=(2, 2, 3, 1, 4, 5))
    maps = two.maps(first, mean)
    np.testing.assert_allclose(maps["ensemble"], (first[0] + first[1]) / 2)
    np.testing.assert_allclose(maps["ensemble + TTA"], (mean[0] + mean[1]) / 2)
    np.testing.assert_array_equal(maps["b"], first[1])
    np.testing.assert_array_equal(maps["b + TTA"], mean[1])
    assert set(two.order) == set(maps) | set(two.groups)
    assert two.groups["mean of members + TTA"] == ["a + TTA", "b + TTA"]
    known = {*maps, *two.groups}
    assert all(first in known and second in known for _, first, second in two.differences)


@pytest.mark.parametrize("names", [(), ("a", "a")])
def test_networks_need_names_of_their_own(names):
    with pytest.raises(ValueError, match="names of their own"):
        Lineup(names, True)
