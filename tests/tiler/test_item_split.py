import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.item_split import GUARDS, TRAINS, VALIDATES, ItemSplit, in_spans, spans_of

START = np.datetime64("2018-03-05T03", "s")


def clock(hours) -> np.ndarray:
    return START + np.asarray(hours).astype("timedelta64[h]").astype("timedelta64[s]")


def divided(times, groups=None, **values) -> np.ndarray:
    return ItemSplit(**values).parts(times, np.zeros(len(times), int) if groups is None else groups)


YEAR = clock(np.arange(0, 24 * 365, 3))


def test_time_holds_back_the_last_part_behind_a_guard():
    parts = divided(YEAR, kind="time", validation=0.2, guard_hours=72)
    held = YEAR[parts == VALIDATES]
    assert len(held) == round(0.2 * len(YEAR))
    assert held.min() > YEAR[parts != VALIDATES].max()
    assert held.min() - YEAR[parts == TRAINS].max() == np.timedelta64(75, "h")
    assert (parts == GUARDS).sum() == 24


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(["time", "blocks"]),
    guard=st.sampled_from([0, 3, 12, 48]),
    gaps=st.lists(st.sampled_from([3, 3, 6, 24, 200]), min_size=30, max_size=200),
    seed=st.integers(0, 5),
)
def test_nothing_trains_within_the_guard_and_order_does_not_matter(kind, guard, gaps, seed):
    times = clock(np.cumsum(gaps))
    split = {"kind": kind, "validation": 0.25, "guard_hours": guard, "days": 6, "seed": seed}
    parts = divided(times, **split)
    held, trains = times[parts == VALIDATES], times[parts == TRAINS]
    if len(held) and len(trains):
        assert np.abs(held[:, None] - trains).min() > np.timedelta64(guard, "h") or guard == 0
    if guard == 0:
        assert not (parts == GUARDS).any()
    order = np.random.default_rng(seed).permutation(len(times))
    np.testing.assert_array_equal(divided(times[order], **split), parts[order])


def test_blocks_are_whole_and_of_every_season_as_many():
    times = clock(np.arange(0, 24 * 365 * 3, 3))
    parts = divided(times, kind="blocks", days=10, validation=0.2, guard_hours=0)
    assert (parts == VALIDATES).mean() == pytest.approx(0.2, abs=0.01)
    months = times.astype("datetime64[M]").astype(int) % 12
    shares = [(parts[months == month] == VALIDATES).mean() for month in range(12)]
    assert min(shares) > 0.08
    assert max(shares) < 0.35
    runs = np.diff(np.flatnonzero(np.diff((parts == VALIDATES).astype(int))))
    assert set((runs % 80).tolist()) == {0}
    held = [divided(times, kind="blocks", seed=seed) == VALIDATES for seed in range(4)]
    assert len({h.tobytes() for h in held}) > 1


def test_random_holds_back_times_of_all_series_together():
    times, series = np.concatenate([YEAR, YEAR]), np.repeat([0, 1], len(YEAR))
    parts = divided(times, series, kind="random", validation=0.2)
    assert (parts == VALIDATES).mean() == pytest.approx(0.2, abs=1e-3)
    np.testing.assert_array_equal(parts[: len(YEAR)], parts[len(YEAR) :])
    assert set(np.diff(np.flatnonzero(parts[: len(YEAR)] == VALIDATES))) >= {1, 2, 5}


def test_places_are_whole():
    places = np.random.default_rng(0).integers(0, 40, 500)
    parts = divided(clock(np.arange(500)), places, kind="places", validation=0.25)
    held = set(places[parts == VALIDATES].tolist())
    assert len(held) == round(0.25 * len(np.unique(places)))
    assert not held & set(places[parts == TRAINS].tolist())


def test_nothing_is_held_back_where_nothing_was_asked_for():
    assert not divided(YEAR, kind="blocks", validation=0).any()


def test_guards_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="lengthen the blocks"):
        ItemSplit(kind="blocks", days=1, guard_hours=72)


@settings(deadline=None)
@given(chosen=st.lists(st.booleans(), min_size=1, max_size=30), seed=st.integers(0, 9))
def test_spans_tell_which_times_were_chosen(chosen, seed):
    order = np.random.default_rng(seed).permutation(len(chosen))
    times, held = clock(np.arange(len(chosen)) * 3)[order], np.array(chosen)[order]
    spans = spans_of(times, held)
    np.testing.assert_array_equal(in_spans(times, spans), held)
    assert len(spans) == (np.diff(np.array([0, *chosen], int)) == 1).sum()
