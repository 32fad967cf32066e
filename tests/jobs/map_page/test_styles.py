"""Colours: ends of ramps, unknown pixels, legends and what a page without a server reads them back by."""

import numpy as np
import pytest

from jobs.map_page.styles import MISSING, BandFacts, Classes, Ramp, rounded_up, style_of

RED, GREY = (200, 10, 20, 255), (228, 228, 224, 255)


def facts(**found):
    return BandFacts(**{"statistics": {}, "unit": "", "colors": {}, "names": {}} | found)


def test_a_ramp_runs_from_end_to_end_and_clips():
    ramp = Ramp("magma", -2.0, 6.0)
    places = ramp.places(np.array([[-9.0, -2.0, 2.0, 6.0, 1e9]]))
    np.testing.assert_array_equal(places, [[0, 0, 127, 254, 254]])
    assert ramp.palette[MISSING].tolist() == [0, 0, 0, 0]
    assert (ramp.palette[:MISSING, 3] == 255).all()
    assert len(np.unique(ramp.palette[:MISSING], axis=0)) > 240


def test_what_a_colour_stands_for_can_be_read_back():
    ramp = Ramp("viridis", 0.0, 2.0, "logit")
    lookup = ramp.lookup()
    assert len(lookup["table"]) == len(lookup["told"]) == MISSING
    value = 1.23
    place = int(ramp.places(np.array([[value]]))[0, 0])
    assert float(lookup["told"][place].split()[0]) == pytest.approx(value, abs=2 / 254)
    assert lookup["told"][place].endswith(" logit")


def test_classes_have_their_colours_and_background_is_faint():
    style = Classes({0: GREY, 3: RED}, {0: "background", 3: "port"})
    painted = style.palette[style.places(np.array([[0, 3, 7, MISSING]]))]
    assert painted[0, 1].tolist() == [*RED]
    assert 0 < painted[0, 0, 3] < 128
    assert painted[0, 2:, 3].tolist() == [0, 0]
    assert style.told(3) == "port"
    assert style.legend()["entries"][1] == {"color": "#c80a14", "name": "port"}


def test_dates_are_told_as_dates():
    style = style_of("latest", facts(statistics={"minimum": 19_000, "maximum": 19_366, "mean": 0, "stddev": 0}))
    assert style.told(19_001) == "2022-01-09"
    assert style.legend()["low"] == "2022-01-08"


def test_a_raster_that_nobody_knows_is_painted_all_the_same():
    ramp = style_of("change", facts(statistics={"minimum": 0, "maximum": 7, "mean": 1, "stddev": 0.5}, unit="m"))
    assert isinstance(ramp, Ramp)
    assert (ramp.low, ramp.high, ramp.unit) == (0, 5, "m")
    assert isinstance(style_of("change", facts(colors={1: RED}, names={1: "gained"})), Classes)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 1), (-3, 1), (0.11, 0.2), (1, 1), (2.1, 5), (51, 100)])
def test_legends_end_at_round_numbers(value, expected):
    assert rounded_up(value) == pytest.approx(expected)
