"""Areas of interest: polygons from files, and every block of a scene that they touch."""

import json

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tests.real_data import needs, real
from tests.tiler.rasters_for_tests import grid
from tiler.area import area_digest, as_geojson, read_area, touched_blocks
from tiler.lattice import Lattice
from tiler.logit_store import wanted_windows

SCENE = grid(430, 610)


def in_degrees(shape, crs=SCENE.crs):
    transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return shapely.transform(shape, transformer.transform, interleaved=False)


def on_scene(rows_cols):
    """A polygon given in scene pixels, in the scene's CRS."""
    rows, cols = np.array(rows_cols, float).T
    return shapely.Polygon(np.stack(SCENE.xy(rows, cols), axis=1))


def write_geojson(path, *shapes, crs=None):
    features = [{"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(s))} for s in shapes]
    extra = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **extra}))
    return str(path)


def write_gpkg(path, shapes, crs):
    kind = shapes[0].geom_type
    pyogrio.raw.write(
        path, shapely.to_wkb(shapes), field_data=[], fields=[], geometry_type=kind, crs=crs, driver="GPKG"
    )
    return str(path)


def exact_blocks(pixels):
    """Brute force: the blocks whose inside the polygon (in pixels) shares."""
    out = np.zeros((14, 20), bool)
    for row in range(14):
        for col in range(20):
            block = shapely.box(col * 32, row * 32, min(610, col * 32 + 32), min(430, row * 32 + 32))
            out[row, col] = shapely.area(shapely.intersection(block, pixels)) > 1e-6
    return out


TRIANGLE = [(40, 70), (300, 200), (110, 415)]


def pixels_of(rows_cols):
    return shapely.Polygon([(c, r) for r, c in rows_cols])


def test_geojson_is_longitude_and_latitude(tmp_path):
    area, crs = read_area(write_geojson(tmp_path / "a.geojson", in_degrees(on_scene(TRIANGLE))))
    assert pyproj.CRS.from_user_input(crs).equals(pyproj.CRS.from_epsg(4326), ignore_axis_order=True)
    found = touched_blocks(SCENE, area, crs)
    exact = exact_blocks(pixels_of(TRIANGLE))
    assert (found >= exact).all()
    assert found.sum() <= exact.sum() + 8
    assert 0 < found.sum() < found.size / 2


def test_a_geopackage_in_metres_means_the_same(tmp_path):
    area, crs = read_area(write_gpkg(tmp_path / "a.gpkg", [on_scene(TRIANGLE)], "EPSG:32652"))
    assert pyproj.CRS.from_user_input(crs).to_epsg() == 32652
    degrees, crs84 = read_area(write_geojson(tmp_path / "a.geojson", in_degrees(on_scene(TRIANGLE))))
    assert_array_equal(touched_blocks(SCENE, area, crs), touched_blocks(SCENE, degrees, crs84))


triangles = st.lists(
    st.tuples(st.floats(-200, 600, width=16), st.floats(-200, 800, width=16)), min_size=3, max_size=3
).filter(lambda points: pixels_of(points).area > 1)


@settings(max_examples=60, deadline=None)
@given(triangles)
@example([(0.0, 227.0), (0.0, 250.0), (268.0, 185.0)])  # enters a block by a tenth of a pixel
@example([(0.0, 2.0), (0.001953125, 0.0), (-1.0, 0.0)])
def test_no_block_that_the_area_enters_is_left_out(points):
    exact = exact_blocks(pixels_of(points))
    assert (touched_blocks(SCENE, on_scene(points), SCENE.crs) >= exact).all()
    assert (
        touched_blocks(SCENE, in_degrees(on_scene(points)), "EPSG:4326")
        >= exact_blocks(pixels_of(points).buffer(-0.05))
    ).all()


def test_a_small_area_inside_one_block_counts():
    tiny = [(100.2, 200.3), (100.4, 200.3), (100.3, 200.6)]
    expected = np.zeros((14, 20), bool)
    expected[3, 6] = True
    assert_array_equal(touched_blocks(SCENE, on_scene(tiny), SCENE.crs), expected)


def test_several_polygons_and_holes(tmp_path):
    ring = on_scene([(0, 0), (0, 600), (420, 600), (420, 0)]).difference(
        on_scene([(64, 64), (64, 500), (350, 500), (350, 64)])
    )
    corner = on_scene([(200, 200), (200, 210), (210, 210), (210, 200)])
    area, crs = read_area(write_geojson(tmp_path / "a.geojson", in_degrees(ring), in_degrees(corner)))
    found = touched_blocks(SCENE, area, crs)
    assert found[6, 6]
    assert not found[4:9, 8:14].any()
    assert found[0, :19].all()
    assert not found[:, 19].any()


def test_wanted_windows_follow_the_area():
    lattice = Lattice(430, 610, 128, 32)
    blocks = touched_blocks(SCENE, on_scene(TRIANGLE), SCENE.crs)
    wanted = wanted_windows(lattice, blocks)
    pixels = pixels_of(TRIANGLE)
    for row in range(lattice.rows):
        for col in range(lattice.cols):
            w = lattice.window(row, col)
            if shapely.intersects(shapely.box(w.x0, w.y0, w.x1, w.y1), pixels):
                assert wanted[row, col]
    assert not wanted.all()


def test_an_area_elsewhere_touches_nothing():
    assert not touched_blocks(SCENE, on_scene([(900, 900), (950, 900), (950, 990)]), SCENE.crs).any()
    assert not touched_blocks(SCENE, shapely.box(2, 48, 3, 49), "EPSG:4326").any()


def test_an_area_around_everything_touches_all():
    x, y = SCENE.xy(np.array(215.0), np.array(305.0))
    lon, lat = pyproj.Transformer.from_crs(SCENE.crs, "EPSG:4326", always_xy=True).transform(x, y)
    for half in (1, 5, 20):
        country = shapely.box(lon - half, lat - half, lon + half, lat + half)
        assert touched_blocks(SCENE, country, "EPSG:4326").all(), half


@pytest.mark.parametrize(
    "box", [(-180, -90, 180, 90), (0, 0, 180, 90), (-180, -60, 180, 85)], ids=["world", "quarter", "land"]
)
def test_an_area_as_large_as_the_world_touches_all(box):
    assert touched_blocks(SCENE, shapely.box(*box), "EPSG:4326").all()


@pytest.mark.parametrize("south", np.arange(36.0, 36.4, 0.05).round(2))
def test_long_edges_are_followed_along_their_parallel(south):
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32652", always_xy=True).transform(129.0, 37.0)
    scene = grid(430, 610, Affine(1000.0, 0, x - 305e3, 0, -1000.0, y + 215e3))  # 610 km: the edge bends by five pixels
    rows, cols = np.mgrid[0:430, 0:610] + 0.5
    _, lat = pyproj.Transformer.from_crs(scene.crs, "EPSG:4326", always_xy=True).transform(*scene.xy(rows, cols))
    found = touched_blocks(scene, shapely.box(100, south, 150, 60), "EPSG:4326").repeat(32, 0).repeat(32, 1)
    assert (found[:430, :610] >= (lat > south + 0.002)).all()
    assert not found.all()


def test_an_area_across_the_antimeridian():
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(179.999, -17.2)
    scene = grid(430, 610, Affine(10.0, 0, x - 3050, 0, -10.0, y + 2150), "EPSG:32760")
    both = shapely.union(shapely.box(179.5, -18, 180, -17), shapely.box(-180, -18, -179.99, -17))
    rows, cols = np.mgrid[0:430, 0:610] + 0.5
    lon, _ = pyproj.Transformer.from_crs("EPSG:32760", "EPSG:4326", always_xy=True).transform(*scene.xy(rows, cols))
    inside = (lon > 0) | (lon < -179.99)
    found = touched_blocks(scene, both, "EPSG:4326").repeat(32, 0).repeat(32, 1)[:430, :610]
    assert (found >= inside).all()
    assert (found & ~inside).sum() < 430 * 64
    assert 0 < (lon < 0).sum() < lon.size
    assert not found.all()


def test_an_area_of_degrees_for_a_scene_in_degrees():
    scene = grid(100, 200, Affine(0.01, 0, 126, 0, -0.02, 38), "EPSG:4326")
    found = touched_blocks(scene, shapely.box(126.4, 37.0, 126.5, 37.1), "EPSG:4326")
    expected = np.zeros((4, 7), bool)
    expected[1, 1] = True  # rows 45 to 50, columns 40 to 50
    assert_array_equal(found, expected)


@needs("korea_admin")
def test_a_district_of_korea_touches_a_scene_of_korea():
    paths = sorted(real("korea_admin").rglob("*.geojson")) or sorted(real("korea_admin").rglob("*.json"))
    area, crs = read_area(str(paths[-1]))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32652", always_xy=True).transform(127.4, 36.9)
    inland = grid(300, 400, Affine(10.0, 0, x, 0, -10.0, y))
    assert touched_blocks(inland, area, crs).all()


# ---- refusals


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"area: .*none\.geojson does not exist; give"):
        read_area(f"{tmp_path}/none.geojson")
    (tmp_path / "bad.geojson").write_text("{nothing")
    with pytest.raises(ValueError, match=r"area: .*bad\.geojson cannot be read: .*; give"):
        read_area(f"{tmp_path}/bad.geojson")
    with pytest.raises(ValueError, match=r"line\.geojson holds no polygon; give polygons"):
        read_area(write_geojson(tmp_path / "line.geojson", shapely.LineString([(1, 2), (3, 4)])))
    with pytest.raises(ValueError, match=r"void\.geojson (holds no polygon|cannot be read)"):
        read_area(write_geojson(tmp_path / "void.geojson"))


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
def test_a_geopackage_must_declare_its_crs(tmp_path):
    path = write_gpkg(tmp_path / "a.gpkg", [on_scene(TRIANGLE)], None)
    with pytest.raises(ValueError, match=r"a\.gpkg does not declare its CRS; write it with one"):
        read_area(path)


def test_a_bow_tie_is_made_valid(tmp_path):
    bow = shapely.Polygon([(127, 37), (127.1, 37.1), (127.1, 37), (127, 37.1)])
    area, _ = read_area(write_geojson(tmp_path / "bow.geojson", bow))
    assert area.is_valid
    assert shapely.area(area) == pytest.approx(0.005)


def test_geojson_and_digest(tmp_path):
    shape = shapely.box(126, 37, 127, 38)
    assert shapely.equals(shapely.geometry.shape(as_geojson(shape)), shape)
    path = write_geojson(tmp_path / "a.geojson", shape)
    before = area_digest(path)
    assert area_digest(write_geojson(tmp_path / "b.geojson", shape)) == before
    assert area_digest(write_geojson(tmp_path / "b.geojson", shape.buffer(0.1))) != before
