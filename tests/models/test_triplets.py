import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.triplets import Frames, Items, Places, TripletSampler

START = np.datetime64("2019-02-12T00", "s")


def series(hours, groups=None) -> Items:
    times = START + np.array(hours).astype("timedelta64[h]")
    return Items(np.zeros(len(times), np.int64) if groups is None else np.array(groups), times.astype("datetime64[s]"))


def hours_between(items, one, other):
    return (items.times[other] - items.times[one]) / np.timedelta64(1, "h")


gaps = st.lists(st.sampled_from([3, 3, 3, 6, 9, 30]), min_size=8, max_size=40)


@settings(deadline=None, max_examples=50)
@given(steps=gaps, seed=st.integers(0, 9), offsets=st.sampled_from([(3.0,), (-3.0,), (3.0, -3.0), (6.0,)]))
def test_positives_lie_exactly_the_offset_away_also_across_gaps(steps, seed, offsets):
    items = series(np.cumsum(steps))
    there = set(np.cumsum(steps).tolist())
    expected = sorted((h, h + o) for h in there for o in offsets if h + o in there)
    if not expected:
        with pytest.raises(ValueError, match="no pair of anchor and positive"):
            TripletSampler(items, Frames(offsets), seed)
        return
    sampler = TripletSampler(items, Frames(offsets), seed)
    drawn = [sampler.draw(1, i) for i in range(len(sampler))]
    hour = (items.times - START) / np.timedelta64(1, "h")
    assert sorted((hour[t.anchor], hour[t.positive]) for t in drawn) == expected
    assert all(hours_between(items, t.anchor, t.positive) in offsets for t in drawn)
    assert all(t.negative not in (t.anchor, t.positive) for t in drawn)


def test_positives_stay_in_their_series_and_negatives_need_not():
    items = series([0, 3, 6, 0, 3, 7], [0, 0, 0, 1, 1, 1])
    sampler = TripletSampler(items, Frames())
    assert sampler.pairs.tolist() == [[0, 1], [1, 2], [3, 4]]
    negatives = {sampler.draw(epoch, 0).negative for epoch in range(200)}
    assert negatives == {2, 3, 4, 5}


def test_negatives_are_uniform():
    sampler = TripletSampler(series(range(0, 60, 3)), Frames(), seed=4)
    counts = np.bincount([sampler.draw(epoch, 7).negative for epoch in range(4500)], minlength=20)
    assert counts[7] == counts[8] == 0
    others = np.delete(counts, [7, 8])
    # chi-square with 17 degrees of freedom: above 40.8 once in a thousand
    assert ((others - 250) ** 2 / 250).sum() < 40.8


def test_an_exclusion_window_is_kept():
    items = series(range(0, 120, 3))
    sampler = TripletSampler(items, Frames(exclude_hours=24))
    away = [
        abs(hours_between(items, t.anchor, t.negative))
        for epoch in range(20)
        for t in (sampler.draw(epoch, i) for i in range(len(sampler)))
    ]
    assert min(away) == 27
    with pytest.raises(ValueError, match="has no negative among 40 items"):
        TripletSampler(items, Frames(exclude_hours=200))


def test_negatives_may_be_kept_to_the_month_of_the_anchor():
    items = series(range(0, 24 * 400, 72))
    sampler = TripletSampler(items, Frames((72.0,), same_month=True))
    months = items.times.astype("datetime64[M]").astype(int) % 12
    drawn = [sampler.draw(epoch, i) for epoch in range(3) for i in range(len(sampler))]
    assert all(months[t.anchor] == months[t.negative] for t in drawn)
    years = items.times.astype("datetime64[Y]")
    assert any(years[t.anchor] != years[t.negative] for t in drawn)


def test_triplets_are_a_function_of_seed_epoch_and_index():
    items = series(range(0, 300, 3))
    first, again, other = (TripletSampler(items, Frames(), seed) for seed in (1, 1, 2))
    forwards = [first.draw(3, i) for i in range(len(first))]
    assert [again.draw(3, i) for i in reversed(range(len(again)))] == forwards[::-1]
    assert [other.draw(3, i) for i in range(len(other))] != forwards
    assert [first.draw(4, i) for i in range(len(first))] != forwards


def test_members_alone_are_drawn():
    items, members = series(range(0, 90, 3)), np.array([3, 4, 5, 11, 12, 20])
    sampler = TripletSampler(items, Frames(), members=members)
    drawn = [sampler.draw(epoch, i) for epoch in range(50) for i in range(len(sampler))]
    assert {(t.anchor, t.positive) for t in drawn} == {(3, 4), (4, 5), (11, 12)}
    assert {t.negative for t in drawn} == set(members.tolist())
    assert [sampler.pair(i) for i in range(len(sampler))] == [(3, 4), (4, 5), (11, 12)]


def test_places_meet_their_next_acquisition_and_another_place():
    days = [0, 5, 400, 0, 5, 900]  # two places, three dates each
    items = Items(np.array([7, 7, 7, 9, 9, 9]), (START + np.array(days).astype("timedelta64[D]")).astype("M8[s]"))
    sampler = TripletSampler(items, Places(max_days=395), seed=1)
    assert sampler.pairs.tolist() == [[0, 1], [1, 2], [3, 4]]
    for epoch in range(30):
        for i in range(3):
            drawn = sampler.draw(epoch, i)
            assert items.groups[drawn.anchor] == items.groups[drawn.positive] != items.groups[drawn.negative]
    assert len(TripletSampler(items, Places(max_days=1000)).pairs) == 4


def test_two_scenes_of_one_pass_are_no_pair():
    items = Items(np.array([1, 1, 1, 2]), (START + np.array([0, 0, 5, 0]).astype("timedelta64[D]")).astype("M8[s]"))
    assert TripletSampler(items, Places()).pairs.tolist() == [[0, 2], [1, 2]]
    items.times[1] += np.timedelta64(40, "s")
    assert TripletSampler(items, Places()).pairs.tolist() == [[0, 2], [1, 2]]
    assert TripletSampler(items, Places(min_days=0)).pairs.tolist() == [[0, 1], [1, 2]]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="name at least one distance"):
        Frames(())
    with pytest.raises(ValueError, match="none of them 0"):
        Frames((0.0,))
    with pytest.raises(ValueError, match="max_days"):
        Places(0)
    with pytest.raises(ValueError, match="a group and a time each"):
        Items(np.zeros(3, int), np.zeros(2, "M8[s]"))
    one_place = Items(np.zeros(3, int), START + np.arange(3).astype("timedelta64[D]").astype("timedelta64[s]"))
    with pytest.raises(ValueError, match="has no negative"):
        TripletSampler(one_place, Places())
