import numpy as np
import pytest

from models.change_screening import screen


def country(seed: int, places: int = 300, dates: int = 6, dim: int = 16):
    """Return earlier and new embeddings of places of which some change with the seasons far more than others."""
    random = np.random.default_rng(seed)
    middle = random.normal(size=(places, dim))
    restless = np.exp(random.normal(-1.5, 0.8, places))[:, None]

    def at_a_date() -> np.ndarray:
        return middle + restless * random.normal(size=(places, dim))

    earlier = np.concatenate([at_a_date() for _ in range(dates)])
    return np.tile(np.arange(places), dates), earlier, np.arange(places), at_a_date(), restless[:, 0], middle


def test_a_planted_change_ranks_first_among_places_that_change_with_the_seasons():
    hits = 0
    for seed in range(20):
        places, old, new_places, new, restless, middle = country(seed)
        planted = int(np.argsort(restless)[100])  # a quiet place, whose change is smaller than others' seasons
        new[planted] = middle[planted] + 3 * restless[planted] * np.random.default_rng(seed).normal(size=16)
        found = screen(places, old, new_places, new)
        hits += int(np.flatnonzero(found.order == planted)[0] < 3)  # the first one of a hundred
        by_distance = np.argsort(-found.distance)
        assert np.flatnonzero(by_distance == planted)[0] > 3  # distance alone finds paddy
    assert hits >= 17


def test_distances_are_from_the_nearest_date_by_brute_force():
    places, old, new_places, new, _, _ = country(1, places=7, dates=3)
    found = screen(places, old, new_places, new)
    for place in range(7):
        one = old[places == place]
        cosine = one @ new[place] / np.linalg.norm(one, axis=1) / np.linalg.norm(new[place])
        assert found.distance[place] == pytest.approx(1 - cosine.max())
    assert found.dates.tolist() == [3] * 7
    assert sorted(found.order.tolist()) == list(range(7))


def test_what_a_whole_acquisition_has_in_common_is_no_change():
    places, old, new_places, new, _, _ = country(2)
    hazy = np.where(np.arange(300)[:, None] < 150, new, 0.3 * new + 0.5)
    found = screen(places, old, new_places, hazy, acquisition=(np.arange(300) >= 150).astype(int))
    first = found.order[:60]
    assert 15 < (first >= 150).sum() < 45
    assert (screen(places, old, new_places, hazy).order[:60] >= 150).all()


def test_places_with_few_dates_lean_on_all_places():
    places, old, new_places, new, _, _ = country(3)
    keep = (places >= 2) | (np.arange(len(places)) < 300)
    keep &= places != 5
    found = screen(places[keep], old[keep], new_places, new)
    assert found.dates[[0, 1, 2, 5]].tolist() == [1, 1, 6, 0]
    assert np.isfinite(found.score[[0, 1]]).all()
    assert found.usual[0] == pytest.approx(found.usual[1])  # both are that of all places
    assert np.isnan(found.score[5])
    assert 5 not in found.order


def test_one_earlier_date_says_nothing_of_seasons():
    places, old, new_places, new, _, _ = country(1, dates=1)
    with pytest.raises(ValueError, match="no place was seen at two earlier dates"):
        screen(places, old, new_places, new)
