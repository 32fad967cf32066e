"""The promise: a rectangle drawn alone is the same rectangle of a larger one; two zones see one ground."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from tests.tiler.synthetic.worlds import CLEAR, MAY, country, estate, grid_at
from tiler.grids import Box
from tiler.synthetic import Acquisition, Country, render
from tiler.synthetic.acquisition import CLOUD

LAYERS = ("image", "valid", "truth", "label", "clouds")


@pytest.mark.parametrize("sensor", ["SN10", "LS30"])
@pytest.mark.parametrize("style", ["country", "chips"])
def test_a_rectangle_alone_equals_the_same_of_a_larger_one(sensor, style):
    side_m = 10.0 if sensor == "SN10" else 30.0
    grid = grid_at(estate(style), 150, 210, side_m=side_m)
    how = Acquisition(sensor, date(2024, 1, 20), clouds=0.3, missing=0.2, edge=0.1, snow=0.3)
    whole = render(country(style), grid, how, grid.box)
    for box in (Box(0, 0, 37, 61), Box(33, 50, 150, 123), Box(149, 0, 150, 210)):
        part = render(Country(1, style), grid, how, box)
        for name in LAYERS:
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[..., *box.slices], err_msg=name)


def test_seeds_and_days_differ():
    grid = grid_at(estate(), 60, 70)
    first = render(country(), grid, CLEAR, grid.box).image
    np.testing.assert_array_equal(first, render(Country(1), grid, CLEAR, grid.box).image)
    assert (first != render(Country(2), grid, CLEAR, grid.box).image).mean() > 0.9
    assert (first != render(country(), grid, replace(CLEAR, day=date(2024, 8, 1)), grid.box).image).mean() > 0.9


def test_two_zones_agree_on_the_ground():
    site = estate()
    west, east = (grid_at(site, 160, 180, crs) for crs in ("EPSG:32651", "EPSG:32652"))
    a, b = (render(country(), g, CLEAR, g.box) for g in (west, east))
    import pyproj

    rows, cols = np.meshgrid(np.arange(30, 130), np.arange(30, 150), indexing="ij")
    x, y = east.xy(rows + 0.5, cols + 0.5)
    x, y = pyproj.Transformer.from_crs(east.crs, west.crs, always_xy=True).transform(x, y)
    r, c = (np.floor(v).astype(int) for v in west.rowcol(x, y))
    assert (a.truth[r, c] == b.truth[rows, cols]).mean() > 0.96
    for band in range(4):
        pair = np.corrcoef(a.image[band][r, c].ravel(), b.image[band][rows, cols].ravel())
        assert pair[0, 1] > 0.7  # half a pixel apart in a texture of pixel-sized roofs


def test_the_estate_of_an_exact_outline():
    """The truth raster is the outline that the GeoJSON gives."""
    import shapely

    from tiler.synthetic.canvas import world_xy

    site = estate()
    grid = grid_at(site, 300, 310)
    drawn = render(country(), grid, CLEAR, grid.box)
    x, y = world_xy(grid, np.arange(300), np.arange(310))
    reach = (x.min(), y.min(), x.max(), y.max())
    outline = shapely.union_all([s.outline() for s in country().estates_within(reach)])
    inside = shapely.contains_xy(outline, x, y)
    assert inside.any()
    assert (inside != drawn.truth).mean() < 1e-4
    wrong = drawn.truth != drawn.label
    assert 0 < wrong.mean() < 0.05
    near_border = shapely.distance(shapely.points(x[wrong], y[wrong]), outline.boundary) < 30
    assert near_border.all()


def test_missing_pixels_are_missing_in_every_band():
    grid = grid_at(estate(), 200, 220)
    how = Acquisition("SN10", MAY, missing=0.3, edge=0.2)
    drawn = render(country(), grid, how, grid.box)
    assert 0.1 < 1 - drawn.valid.mean() < 0.8
    assert (drawn.image[:, ~drawn.valid] == 0).all()
    assert (drawn.image[:, drawn.valid] > 0).all()
    floating = render(country(), grid, how, grid.box, floating=True)
    np.testing.assert_array_equal(np.isnan(floating.image).all(axis=0), ~drawn.valid)
    difference = floating.image[:, drawn.valid] - drawn.image[:, drawn.valid]
    assert np.abs(difference).max() <= 1


def test_clouds_are_bright_and_their_shadows_are_not():
    grid = grid_at(estate(), 400, 400)
    clear = render(country(), grid, CLEAR, grid.box).image.astype(float)
    cloudy = render(country(), grid, replace(CLEAR, clouds=0.4), grid.box)
    kinds = [cloudy.clouds == k for k in range(3)]
    assert all(k.any() for k in kinds)
    change = [(cloudy.image - clear)[:, k].mean() for k in kinds]
    assert change[CLOUD] > 1_500
    assert change[2] < -200
    assert abs(change[0]) < 150


@pytest.mark.parametrize(("field", "value"), [("clouds", 1.5), ("missing", -0.1), ("sensor", "XX")])
def test_bad_weather_is_refused(field, value):
    with pytest.raises(ValueError, match=str(value)):
        replace(CLEAR, **{field: value})


def test_another_style_is_refused():
    with pytest.raises(ValueError, match=r"chips.*country"):
        Country(1, "desert")
