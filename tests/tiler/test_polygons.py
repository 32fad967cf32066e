"""Polygons: those of the whole raster, whatever cells it is read in; valid, apart from each other, and true in area."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import rasterize, shapes

from tiler.grids import Box, MapGrid
from tiler.patches import PolygonRules, SiteLayers
from tiler.polygons import PolygonJob
from tiler.sites import Sites

GRID = MapGrid("EPSG:5179", (12.0, 10.0))
CORNER = (-150_037, 98_011)
"""Absolute map pixel in the middle of Korea, on no border of cells."""
KINDS = arrays(
    np.uint8, st.tuples(st.integers(1, 23), st.integers(1, 37)), elements=st.sampled_from([0, 0, 1, 1, 2, 255])
)
RULES = st.builds(
    PolygonRules,
    connectivity=st.sampled_from([4, 8]),
    min_area_m2=st.sampled_from([0.0, 250.0, 1000.0]),
    min_hole_m2=st.sampled_from([0.0, 250.0, 1000.0]),
    simplify_px=st.sampled_from([0.0, 0.8, 1.5, 5.0]),
)


def extent_of(kind: np.ndarray) -> Box:
    return Box(CORNER[0], CORNER[1], CORNER[0] + kind.shape[0], CORNER[1] + kind.shape[1])


def polygons_of(
    kind: np.ndarray, rules: PolygonRules, cell_px: int, layers: Mapping[str, Any] | None = None
) -> tuple[Sites, np.ndarray]:
    """Return the sites of a raster that is read in cells, and their shapes in map coordinates, by number."""
    extent = extent_of(kind)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr("tiler.grids.CELL_PX", cell_px)
        job = PolygonJob(GRID, extent, rules, Path(folder))

        def read(box: Box) -> SiteLayers:
            part = box.shift(-extent.y0, -extent.x0).slices
            more = layers or {}
            return SiteLayers(
                kind[part],
                {name: layer[part] for name, layer in more.get("means", {}).items()},
                {name: (layer[part], missing) for name, (layer, missing) in more.get("bounds", {}).items()},
                {name: layer[part] for name, layer in more.get("lies_in", {}).items()},
            )

        sites = job.sites(read)
        drawn = list(job.draw(sites))
    found = np.full(len(sites), None, object)
    for batch in drawn:
        assert (np.diff(batch.numbers) > 0).all()
        assert not found[batch.numbers].astype(bool).any(), "a site is drawn once"
        found[batch.numbers] = batch.shapes
    assert found.astype(bool).all(), "every site is drawn"
    return sites, found


def place_of(kind: np.ndarray) -> Affine:
    return Affine(*GRID.grid_of(extent_of(kind)).transform)


def burnt(found: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Return int32 (y, x): number of the site + 1."""
    named = [(shape, number + 1) for number, shape in enumerate(found)]
    out = {"out_shape": kind.shape, "transform": place_of(kind), "dtype": "int32"}
    return np.asarray(rasterize(named, **out)) if named else np.zeros(kind.shape, np.int32)


def ground(shape: shapely.Geometry) -> float:
    """Return the area on the ellipsoid, with edges that are short enough to be geodesics."""
    to_degrees = pyproj.Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True).transform
    degrees = shapely.transform(shapely.segmentize(shape, 50), to_degrees, interleaved=False)
    return float(abs(pyproj.Geod(ellps="GRS80").geometry_area_perimeter(degrees)[0]))


@given(KINDS, st.sampled_from([4, 8]), st.sampled_from([3, 7, 16, 64]))
@settings(max_examples=20, deadline=None)
def test_polygons_are_those_of_the_whole_raster(kind, connectivity, cell_px):
    sites, found = polygons_of(kind, PolygonRules(connectivity), cell_px)
    mask = (kind > 0) & (kind < 255)
    whole = list(shapes(kind, mask=mask, connectivity=connectivity, transform=place_of(kind)))
    told = sorted((round(shapely.area(shapely.geometry.shape(s)), 3), int(value)) for s, value in whole)
    assert sorted(zip(np.round(shapely.area(found), 3).tolist(), sites.kind.tolist(), strict=True)) == told
    assert shapely.is_valid(found).all()
    assert (shapely.area(found) == sites.pixels * 120).all()
    inside = burnt(found, kind)
    np.testing.assert_array_equal(inside > 0, mask)
    np.testing.assert_array_equal(sites.kind[inside[mask] - 1], kind[mask])


@given(KINDS, RULES, st.sampled_from([3, 7, 16]))
@settings(max_examples=20, deadline=None)
def test_the_cut_leaves_no_trace(kind, rules, cell_px):
    (one, whole), (other, parts) = polygons_of(kind, rules, 64), polygons_of(kind, rules, cell_px)
    assert shapely.equals_exact(whole, parts, 1e-6).all()
    for name in ("kind", "pixels", "last_row"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.area_m2, other.area_m2, rtol=1e-9)


@given(KINDS, RULES, st.sampled_from([5, 64]))
@settings(max_examples=30, deadline=None)
def test_whatever_the_rules_polygons_are_valid_and_do_not_overlap(kind, rules, cell_px):
    _, found = polygons_of(kind, rules, cell_px)
    assert shapely.is_valid(found).all()
    assert (shapely.area(found) > 0).all()
    one, other = shapely.STRtree(found).query(found, predicate="intersects")
    shared = shapely.area(shapely.intersection(found[one[one < other]], found[other[one < other]]))
    assert (shared < 1e-6).all()


@given(KINDS, st.sampled_from([4, 8]), st.sampled_from([250.0, 1000.0]), st.sampled_from([250.0, 1000.0]))
@settings(max_examples=20, deadline=None)
def test_small_sites_go_and_small_empty_holes_are_filled(kind, connectivity, area_m2, hole_m2):
    """Told by components of the whole raster, as scikit-image finds them."""
    from skimage.measure import label

    rules = PolygonRules(connectivity, area_m2, hole_m2)
    _, found = polygons_of(kind, rules, 7)
    pixel_m2 = 120.0  # within a tenth of a percent: no limit lies so close to a number of pixels
    classes = np.where(kind == 255, 0, kind).astype(int)
    components = label(classes, background=0, connectivity=1 if connectivity == 4 else 2)
    sizes = np.bincount(components.ravel()) * pixel_m2
    expected = np.where((components > 0) & (sizes[components] >= area_m2), components, 0)
    outside = label(expected == 0, background=0, connectivity=1)
    for number in range(1, outside.max() + 1):
        here = outside == number
        padded = np.pad(here, 1)
        rim = np.zeros_like(padded)
        for axis in (0, 1):
            for step in (-1, 1):
                rim |= np.roll(padded, step, axis)
        around = np.unique(np.pad(expected, 1, constant_values=-1)[rim & ~padded])
        if len(around) == 1 and around[0] > 0 and here.sum() * pixel_m2 < hole_m2 and not (kind[here] == 255).any():
            expected = np.where(here, around[0], expected)
    inside = burnt(found, kind)
    np.testing.assert_array_equal(inside > 0, expected > 0)
    pairs = np.unique(np.stack([inside[inside > 0], expected[inside > 0]]), axis=1)
    assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]


def test_a_site_of_four_cells_has_one_polygon_with_its_hole():
    kind = np.zeros((20, 26), np.uint8)
    kind[3:17, 2:24] = 1
    kind[9:12, 8:19] = 0
    for cell_px in (5, 8, 13, 64):
        _, found = polygons_of(kind, PolygonRules(4), cell_px)
        assert len(found) == 1
        assert shapely.get_num_interior_rings(found).tolist() == [1]
        assert shapely.get_num_coordinates(found).tolist() == [10]  # corners only, none where cells meet


def test_corners_join_sites_only_when_asked():
    kind = np.zeros((6, 9), np.uint8)
    kind[1:3, 2:5], kind[3:5, 5:8] = 1, 1
    assert len(polygons_of(kind, PolygonRules(4), 3)[1]) == 2
    together = polygons_of(kind, PolygonRules(8), 3)[1]
    assert len(together) == 1
    assert shapely.get_num_geometries(together).tolist() == [2]


def test_what_nobody_saw_is_no_hole_to_fill():
    kind = np.ones((9, 11), np.uint8)
    kind[3, 3], kind[5, 7] = 0, 255
    found = polygons_of(kind, PolygonRules(4, min_hole_m2=1e6), 4)[1]
    assert shapely.area(found).tolist() == [(9 * 11 - 1) * 120]


def test_areas_are_those_on_the_ellipsoid():
    kind = np.zeros((40, 51), np.uint8)
    kind[2:37, 3:11], kind[5:30, 20:49] = 1, 2
    kind[10:14, 25:29] = 0
    for hole_m2 in (0.0, 1e5):
        sites, found = polygons_of(kind, PolygonRules(4, min_hole_m2=hole_m2), 16)
        np.testing.assert_allclose(sites.area_m2, [ground(shape) for shape in found], rtol=1e-7)
        assert abs(sites.area_m2 / shapely.area(found) - 1).max() > 1e-4  # the plane says otherwise


@given(KINDS, st.sampled_from([4, 8]), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_sites_say_what_their_pixels_say(kind, connectivity, seed):
    random = np.random.default_rng(seed)
    value = random.normal(size=kind.shape).astype(np.float32)
    value[random.random(kind.shape) < 0.2] = np.nan
    day = random.integers(10, 99, kind.shape).astype(np.int32)
    day[random.random(kind.shape) < 0.3] = -1
    region = random.integers(-1, 3, kind.shape).astype(np.int32)
    layers = {"means": {"value": value}, "bounds": {"day": (day, -1)}, "lies_in": {"region": region}}
    sites, found = polygons_of(kind, PolygonRules(connectivity), 7, layers)
    inside = burnt(found, kind)
    for number in range(len(sites)):
        here = inside == number + 1
        numbers, days, regions = value[here], day[here], region[here]
        numbers, days = numbers[~np.isnan(numbers)].astype(float), days[days >= 0]
        mean = sites.means["value"][number]
        assert mean == pytest.approx(numbers.mean(), abs=1e-9) if len(numbers) else np.isnan(mean)
        least, most = (limit[number] for limit in sites.bounds["day"])
        assert (least, most) == (days.min(), days.max()) if len(days) else least > most
        shares = np.bincount(regions[regions >= 0], minlength=3)
        assert sites.lies_most_in("region")[number] == (shares.argmax() if shares.any() else -1)
        lies_in = sites.lies_in["region"]
        assert lies_in[lies_in[:, 0] == number, 1:].tolist() == [[k, n] for k, n in enumerate(shares) if n]


@given(KINDS, st.sampled_from([0.8, 1.5, 5.0]))
@settings(max_examples=20, deadline=None)
def test_simplified_outlines_stay_near_and_shared_ones_stay_shared(kind, tolerance_px):
    rough, fine = (polygons_of(kind, PolygonRules(4, simplify_px=px), 8)[1] for px in (0.0, tolerance_px))
    limit = tolerance_px * 12 * 2**0.5 + 1e-6  # metres: pixels are 12 by 10
    near = shapely.hausdorff_distance(shapely.boundary(rough), shapely.boundary(fine))
    assert (near <= limit).all()
    assert (shapely.get_num_coordinates(fine) <= shapely.get_num_coordinates(rough)).all()
    for one, other in zip(*shapely.STRtree(rough).query(rough, predicate="touches"), strict=True):
        edge = shapely.length(shapely.intersection(rough[one], rough[other]))
        if edge > 0:  # neighbours still share an edge: no gap has opened between them
            assert shapely.length(shapely.intersection(fine[one], fine[other])) > 0
    everything = shapely.union_all(fine)
    assert shapely.area(everything) == pytest.approx(shapely.area(fine).sum(), rel=1e-9)


def test_stairs_become_a_line():
    rows, cols = np.mgrid[0:60, 0:80]
    kind = ((rows > 3) & (cols > 5) & (rows + cols < 70)).astype(np.uint8)
    rough, fine = (polygons_of(kind, PolygonRules(4, simplify_px=px), 16)[1] for px in (0.0, 1.0))
    assert shapely.get_num_coordinates(rough)[0] > 100
    assert shapely.get_num_coordinates(fine)[0] <= 6
    assert shapely.area(fine)[0] == pytest.approx(shapely.area(rough)[0], rel=0.03)


def test_nothing_to_draw():
    for kind in (np.zeros((5, 7), np.uint8), np.full((5, 7), 255, np.uint8)):
        for rules in (PolygonRules(), PolygonRules(4, 100.0, 100.0, 1.0)):
            sites, found = polygons_of(kind, rules, 3)
            assert len(sites) == len(found) == 0
