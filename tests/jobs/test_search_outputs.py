"""Outlines of results on both sides of the antimeridian."""

import numpy as np
import shapely

from jobs.search_outputs import polygons


def test_an_outline_is_its_polygon():
    corners = np.array([[10.0, 1], [12, 1], [12, 2], [10, 2]])
    (found,) = polygons(corners)
    assert found.equals(shapely.box(10, 1, 12, 2))


def test_an_outline_across_the_antimeridian_is_cut_there():
    corners = np.array([[179.0, 1], [-178.0, 1], [-178.0, 2], [179.0, 2]])
    east, west = polygons(corners)
    assert east.equals(shapely.box(179, 1, 180, 2))
    assert west.equals(shapely.box(-180, 1, -178, 2))
