"""What is asked of a catalogue, and whether an item is that."""

from datetime import date

import pytest
from pydantic import ValidationError

from tests.tiler.stac_for_tests import item, search


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({}, True),
        ({"collection": "s2"}, True),
        ({"collection": ["ls", "s2"]}, True),
        ({"collection": "ls"}, False),
        ({"bbox": [126.9, 36, 128, 37]}, True),  # they touch
        ({"bbox": [127.1, 36, 128, 38]}, False),
        ({"bbox": [120, 38, 130, 39]}, False),
        ({"bbox": [170, -80, 126.5, 80]}, True),  # over the antimeridian, to Korea
        ({"bbox": [170, -80, 125, 80]}, False),
        ({"datetime": "2024-06-01"}, True),
        ({"datetime": "2024-06"}, True),
        ({"datetime": 2024}, True),
        ({"datetime": date(2024, 6, 1)}, True),
        ({"datetime": "2024-06-01T02:11:00Z"}, True),
        ({"datetime": "2024-05-01/2024-06-01"}, True),  # an end is its last moment
        ({"datetime": "2024-06-01/.."}, True),
        ({"datetime": "../2024-05-31"}, False),
        ({"datetime": "2024-06-02/.."}, False),
        ({"datetime": "2024-06-01T02:12:00Z"}, False),
        ({"max_cloud": 5}, True),
        ({"max_cloud": 4.9}, False),
    ],
)
def test_an_item_fits_or_does_not(asked, fits):
    assert search("x", **asked).fits(item("a")) is fits


def test_items_that_do_not_say_fit_no_question():
    bare = item("a") | {"bbox": None, "properties": {}, "collection": None}
    assert search("x").fits(bare)
    for asked in ({"bbox": [-180, -90, 180, 90]}, {"max_cloud": 100}, {"datetime": "2024"}, {"collection": "s2"}):
        assert not search("x", **asked).fits(bare)
    for box in ([1], ["a"] * 4, {"a": 1}, [0, 0, 0, 0, 0], [float("nan")] * 4):
        assert not search("x", bbox=[-180, -90, 180, 90]).fits(item("a") | {"bbox": box})
    assert search("x", bbox=[126, 37, 127, 38]).fits(item("a") | {"bbox": [126, 37, -5, 127, 37.5, 900]}), (
        "with heights"
    )
    assert search("x", bbox=[-179.9, 0, -179, 1]).fits(item("a") | {"bbox": [179, 0, -179.5, 1]}), "over 180 degrees"


def test_intervals_of_items():
    june = {"datetime": None, "start_datetime": "2024-06-01T00:00:00Z", "end_datetime": "2024-06-30T00:00:00Z"}
    composite = item("a") | {"properties": june}
    assert search("x", datetime="2024-06-15").fits(composite)
    assert not search("x", datetime="2024-07-01/..").fits(composite)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"bbox": [127, 38, 128, 37]}, "west, south"),
        ({"bbox": [127, 38, 190, 39]}, "west, south"),
        ({"max_cloud": 101}, "less than or equal to 100"),
        ({"bands": {"red": 3}}, "give `asset`"),
        ({"bands": {"red": "B04"}, "asset": "image"}, "numbers of bands"),
        ({"stac": "https://h/api?token=x"}, "has a query"),
        ({"stac": ""}, "at least 1"),
        ({"cloud": 3}, "not permitted"),
    ],
)
def test_searches_that_cannot_be(wrong, told):
    with pytest.raises(ValidationError, match=told):
        search(**{"stac": "x", **wrong})


def test_a_time_that_is_none():
    with pytest.raises(ValueError, match="is no time; write 2024"):
        _ = search("x", datetime="last summer").interval
