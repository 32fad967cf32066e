"""What a search may find: masks over the items of one store."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.search_filters import (
    Allowed,
    Examples,
    Filters,
    Places,
    allowed,
    distance_km,
    parse_bbox,
    parse_dates,
    told,
)
from tests.tiler.embeddings_for_tests import scene_grid, unit_vectors, write_frame_embeddings, write_scene_embeddings

TIMES = np.datetime64("2019-02-12T00:00", "s") + np.arange(30) * np.timedelta64(3, "h")


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Places:
    seen = np.arange(30) != 4
    folder = tmp_path_factory.mktemp("series")
    return Places(write_frame_embeddings(folder, unit_vectors(30), TIMES, missing=np.linspace(0, 0.5, 30), seen=seen))


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Places:
    grid = scene_grid(700, 1200)
    when = datetime(2019, 8, 3)
    return Places(
        write_scene_embeddings(tmp_path_factory.mktemp("scene"), unit_vectors(30), grid, quadrants=True, acquired=when)
    )


NOBODY = Examples()


def mask(places: Places, filters: Filters, examples: Examples = NOBODY, span=(0, 30), base=0) -> Allowed:
    _, norm, missing = places.store.read(*span)
    return allowed(places, span, base, norm, missing, filters, examples)


@given(first=st.integers(0, 29), size=st.integers(0, 30), hours=st.floats(0, 60), at=st.integers(0, 29))
def test_a_span_says_what_the_whole_says_there(series, first, size, hours, at):
    """Whatever the blocks: which items may be found does not depend on them."""
    filters = Filters(missing_limit=0.4, first=TIMES[2], exclude_hours=hours)
    examples = Examples(frozenset([7]), (TIMES[at],))
    last = min(30, first + size)
    whole, part = mask(series, filters, examples), mask(series, filters, examples, (first, last))
    np.testing.assert_array_equal(part.mask, whole.mask[first:last])


def test_every_item_that_is_taken_away_is_counted_once(series):
    filters = Filters(missing_limit=0.3, last=TIMES[20], exclude_hours=3, sensors=("COMS",))
    found = mask(series, filters, Examples(frozenset([100]), (TIMES[10],)), base=95)
    assert sum(found.removed.values()) == 30 - found.mask.sum()
    assert found.removed["no vector (saw too little)"] == 1
    assert not found.mask[5]  # id 100
    assert "--dates: 9" in told(found.removed, 30)
    assert mask(series, Filters(sensors=("GK2A",))).mask.sum() == 0


def test_hours_are_a_closed_ball(series):
    found = mask(series, Filters(exclude_hours=6), Examples(times=(TIMES[10],)))
    assert np.flatnonzero(~found.mask).tolist() == [4, 8, 9, 10, 11, 12]
    assert mask(series, Filters(), Examples(times=(TIMES[10],))).mask.sum() == 29


def test_parts_and_places_of_windows(scene):
    assert mask(scene, Filters(parts="whole")).mask.sum() == 6
    assert mask(scene, Filters(parts="quadrants")).mask.sum() == 24
    lon, lat = scene.centres[0]
    near = mask(scene, Filters(exclude_km=3.0), Examples(places=((lon, lat),)))
    away = distance_km(*scene.centres.T, lon, lat) > 3.0
    np.testing.assert_array_equal(near.mask, away)
    west, south = scene.centres.min(0) - 1e-6
    box = mask(scene, Filters(bbox=(west, south, lon, 90)))
    np.testing.assert_array_equal(box.mask, scene.centres[:, 0] <= lon)
    across = mask(scene, Filters(bbox=(lon + 1e-9, -90, west, 90)))  # all but what lies between, round the back
    np.testing.assert_array_equal(across.mask, scene.centres[:, 0] > lon)


def test_distances():
    assert distance_km(np.array([0.0]), np.array([0.0]), 0, 90)[0] == pytest.approx(10007.5, abs=0.1)
    assert distance_km(np.array([179.9]), np.array([0.0]), -179.9, 0)[0] == pytest.approx(22.24, abs=0.01)


def test_dates_include_their_last_day():
    first, last = parse_dates("2019-06-01:2019-08-31")
    assert first == np.datetime64("2019-06-01T00:00:00")
    assert last == np.datetime64("2019-08-31T23:59:59")
    assert parse_dates("/2019-06-02T21:00") == (None, np.datetime64("2019-06-02T21:00:00"))
    for text in ("2019", ":", "2019-13-01:", "NaT:", "2019-06-02:2019-06-01"):
        with pytest.raises(ValueError, match="--dates"):
            parse_dates(text)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,10,1,5", "-200,0,0,1", "0,-91,0,1"])
def test_boxes_that_are_none(text):
    with pytest.raises(ValueError, match="--bbox"):
        parse_bbox(text)
