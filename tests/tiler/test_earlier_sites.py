"""Sites of an earlier map beside a new one: which pixels they hold, and which new sites are as old as they are."""

import re
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.tiler.test_polygons import GRID, KINDS, burnt, extent_of, polygons_of
from tiler.earlier_sites import FIRST_SEEN, NEEDED, SEEN, SHARED, EarlierSites, check_sites, first_seen
from tiler.fuse import NO_DATE
from tiler.grids import Box, MapGrid
from tiler.patch_kernels import fill_polygons
from tiler.patches import PolygonRules
from tiler.polygon_files import batches_of, schema_of, write_polygons

CLASSES = ("background", "industrial", "port")


def written(
    folder: Path,
    shapes: np.ndarray,
    kinds: np.ndarray,
    days: np.ndarray,
    crs: str = GRID.crs,
    form: str = "flatgeobuf",
    column: str = FIRST_SEEN,
    names: tuple[str, ...] = CLASSES,
) -> Path:
    """Write sites, whose ids are those from 1 on, in another order than that of the ids."""
    undated = days == NO_DATE
    dates = pa.array(np.where(undated, 0, days).astype(np.int32), mask=undated).cast(pa.date32())
    attributes = {
        "id": pa.array(np.arange(1, len(shapes) + 1)),
        "class": pa.array(np.array(names, object)[kinds], pa.string()),
        SEEN: dates if column == SEEN else pa.nulls(len(shapes), pa.date32()),
    }
    attributes |= {} if column == SEEN else {column: dates}
    order = np.arange(len(shapes))[::-1]
    tables = batches_of([(order, shapes[order])], attributes) if len(shapes) else ()
    known = pyproj.CRS.from_user_input(crs)
    found = write_polygons(folder, "sites", [form], tables, schema_of(attributes), known, "MultiPolygon")
    return found[form]


def as_multi(shapes: np.ndarray) -> np.ndarray:
    return np.array([shapely.multipolygons(shapely.get_parts(shape)) for shape in shapes], object)


def read_in_cells(earlier: EarlierSites, extent: Box, cell_px: int) -> np.ndarray:
    """Return which site holds each pixel of an extent, read in parts."""
    whole = np.full((extent.height, extent.width), -7, np.int32)
    for y in range(extent.y0, extent.y1, cell_px):
        for x in range(extent.x0, extent.x1, cell_px):
            box = Box(y, x, y + cell_px, x + cell_px).clip(extent)
            found = earlier.at(box)
            whole[box.shift(-extent.y0, -extent.x0).slices] = -1 if found is None else found
    return whole


@given(KINDS, st.data(), st.sampled_from([4, 8]), st.sampled_from([3, 7, 64]), st.sampled_from(["", "geoparquet"]))
@settings(max_examples=15, deadline=None)
def test_a_site_is_as_old_as_the_oldest_that_it_shares_enough_with(kind, data, connectivity, cell_px, form):
    """Told by the whole rasters, as rasterio draws the sites of both maps."""
    before = data.draw(arrays(np.uint8, kind.shape, elements=st.sampled_from([0, 1, 1, 2, 255])))
    some_days = st.sampled_from([int(NO_DATE), 5, 11_000, 19_000])
    old_sites, old_shapes = polygons_of(before, PolygonRules(connectivity), 64)
    old_days = data.draw(arrays(np.int32, len(old_sites), elements=some_days))
    new_sites, new_shapes = polygons_of(kind, PolygonRules(connectivity), 64)
    own_days = data.draw(arrays(np.int64, len(new_sites), elements=some_days))
    extent = extent_of(kind)
    with tempfile.TemporaryDirectory() as folder:
        file = written(
            Path(folder), as_multi(old_shapes), old_sites.kind, old_days, form=form or "flatgeobuf", names=CLASSES
        )
        earlier = EarlierSites(file, CLASSES, GRID, Path(folder))
        inside = read_in_cells(earlier, extent, cell_px)
    old_inside, new_inside = burnt(old_shapes, before), burnt(new_shapes, kind)
    np.testing.assert_array_equal(inside, np.where(old_inside > 0, old_inside, -1))
    np.testing.assert_array_equal(earlier.pixels[1:], np.bincount(old_inside.ravel(), minlength=len(old_sites) + 1)[1:])

    sites, _ = polygons_of(kind, PolygonRules(connectivity), cell_px, {"lies_in": {"before": inside}})
    found = first_seen(sites, own_days, "before", earlier)
    for number in range(len(new_sites)):
        here = new_inside == number + 1
        days = [own_days[number]]
        for place in range(len(old_sites)):
            there = old_inside == place + 1
            enough = (here & there).sum() >= SHARED * min(here.sum(), there.sum())
            if new_sites.kind[number] == old_sites.kind[place] and (here & there).any() and enough:
                days.append(old_days[place])
        known = [day for day in days if day != NO_DATE]
        assert found[number] == (min(known) if known else NO_DATE)


@given(KINDS, st.sampled_from([0.0, 0.8, 1.5, 5.0]), st.floats(-3, 3), st.floats(0.2, 3.1))
@settings(max_examples=15, deadline=None)
def test_pixels_are_of_the_polygon_that_holds_their_centre(kind, simplify_px, shift, scale):
    _, shapes = polygons_of(kind, PolygonRules(4, simplify_px=simplify_px), 64)
    place = GRID.grid_of(extent_of(kind))
    moved = shapely.transform(shapes, lambda x, y: place.rowcol(x, y)[::-1], interleaved=False)
    moved = shapely.transform(moved, lambda points: points * scale + shift)
    rings, owner = shapely.get_rings(moved, return_index=True) if len(moved) else (moved, np.zeros(0, int))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    joined = ring[1:] == ring[:-1]
    edges = np.concatenate([points[:-1], points[1:]], axis=1)[joined]
    names = (owner[ring[1:][joined]] + 1).astype(np.int32)
    filled, pixels = np.zeros((19, 33), np.int32), np.zeros(len(shapes) + 1, np.int64)
    fill_polygons(edges, names, filled, pixels)
    rows, cols = np.mgrid[0:19, 0:33] + 0.5
    centres = shapely.points(cols.ravel(), rows.ravel())
    for number, shape in enumerate(moved):
        inside = shapely.contains_properly(shape, centres).reshape(filled.shape)
        near = shapely.dwithin(shapely.boundary(shape), centres, 1e-9).reshape(filled.shape)
        np.testing.assert_array_equal((filled == number + 1)[~near], inside[~near])
    np.testing.assert_array_equal(pixels[1:], np.bincount(filled.ravel(), minlength=len(shapes) + 1)[1:])
    assert filled.max(initial=0) <= len(shapes)  # a pixel on a shared edge is of one of them, not of both


def box_of(x: float, y: float, width: float, height: float) -> shapely.Geometry:
    return shapely.multipolygons([shapely.box(x, y, x + width, y + height)])


@pytest.mark.parametrize(
    ("crs", "resolution", "centre"),
    [
        ("EPSG:32652", (7.0, 9.0), (127.4, 36.2)),
        ("EPSG:4326", (0.0001, 0.00008), (180.0, -17.0)),
        ("EPSG:3832", (8.0, 8.0), (-179.999, 51.0)),
    ],
)
def test_the_earlier_map_may_lie_on_another_grid(tmp_path, crs, resolution, centre):
    """From a grid of metres around the place, across 180 degrees, too."""
    source = pyproj.CRS.from_user_input(
        f"+proj=laea +lon_0={centre[0]} +lat_0={centre[1]} +x_0=4000 +y_0=7000 +ellps=GRS80 +units=m"
    ).to_wkt()
    shapes = np.array([box_of(3700, 6800, 250, 330), box_of(3951, 6700, 120, 610), box_of(99_000, 7000, 50, 50)])
    earlier_file = written(tmp_path, shapes, np.array([1, 2, 1]), np.array([10, 20, 30]), crs=source)
    grid = MapGrid(crs, resolution)
    to_map = pyproj.Transformer.from_crs(source, crs, always_xy=True)
    middle = to_map.transform(4000, 7000)
    if middle[0] < 0 and "4326" in crs:
        middle = middle[0] + 360, middle[1]  # the map goes on to the east of 180 degrees
    rows, cols = (int(v) for v in grid.pixels.rowcol(*(np.array(v) for v in middle)))
    extent = Box(rows - 61, cols - 57, rows + 62, cols + 75)
    earlier = EarlierSites(earlier_file, CLASSES, grid, tmp_path)
    found = read_in_cells(earlier, extent, 40)
    rr, cc = np.mgrid[extent.y0 : extent.y1, extent.x0 : extent.x1] + 0.5
    x, y = pyproj.Transformer.from_crs(crs, source, always_xy=True).transform(*grid.pixels.xy(rr, cc))
    expected = np.full(found.shape, -1)
    for number, shape in enumerate(shapes):
        expected[shapely.contains_xy(shape, x, y)] = number + 1
    assert (found != expected).mean() < 0.001  # edges are straight in either CRS
    assert {-1, 1, 2} == set(np.unique(found))
    assert earlier.pixels.tolist() == [0, (found == 1).sum(), (found == 2).sum(), 0]


def test_classes_are_compared_by_name_and_older_files_count_by_what_they_have(tmp_path):
    shapes = np.array([box_of(0, 0, 10, 10), box_of(20, 0, 10, 10), box_of(40, 0, 10, 10)])
    names = ("background", "port", "quarry")
    days = np.array([10, 20, int(NO_DATE)])
    file = written(tmp_path, shapes, np.array([1, 2, 1]), days, column=SEEN, names=names)
    earlier = EarlierSites(file, CLASSES, GRID, tmp_path)
    assert earlier.kind.tolist() == [0, 2, 0, 2]
    assert earlier.days.tolist() == [NO_DATE, 10, 20, NO_DATE]
    assert earlier.at(Box(500, 500, 520, 530)) is None
    empty = written(tmp_path, np.zeros(0, object), np.zeros(0, int), np.zeros(0, np.int32))
    assert len(EarlierSites(empty, CLASSES, GRID, tmp_path).days) == 1
    assert check_sites(empty)[1] is None


@pytest.mark.parametrize("form", ["flatgeobuf", "geoparquet"])
def test_a_header_tells_where_sites_lie(tmp_path, form):
    shapes = np.array([box_of(0, 5, 10, 10), box_of(20, 0, 10, 20)])
    file = written(tmp_path, shapes, np.array([1, 1]), np.array([1, 2]), form=form)
    crs, bounds = check_sites(file)
    assert (crs.to_epsg(), bounds) == (5179, (0, 0, 30, 20))


def test_what_is_no_file_of_sites_is_told(tmp_path):
    shapes = np.array([box_of(0, 0, 10, 10), box_of(20, 0, 10, 10)])
    file = written(tmp_path, shapes, np.array([1, 1]), np.array([1, 2]))
    for name, text, told in (
        ("a.fgb", b"<OGRVRTDataSource/>", "neither FlatGeobuf nor GeoParquet"),
        ("b.parquet", b"PAR1 and no more", "cannot be read as sites of a map"),
        ("c.geojson", b"{}", "neither FlatGeobuf nor GeoParquet"),
        ("d.fgb", file.read_bytes()[:60], "cannot be read as sites of a map"),
    ):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(ValueError, match=f"{name} .*{told}"):
            check_sites(tmp_path / name)
    with pytest.raises(ValueError, match="does not exist"):
        check_sites(tmp_path / "none.fgb")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "e.parquet")
    with pytest.raises(ValueError, match=re.escape(f"it has no {[*NEEDED[1:]]}: Sandan did not write it")):
        check_sites(tmp_path / "e.parquet")
    ids, kinds, days = np.array([4, 4]), np.array(["industrial"] * 2, object), np.array([date(2024, 1, 1)] * 2, "M8[D]")
    pyogrio.raw.write(
        tmp_path / "f.fgb",
        np.array(shapely.to_wkb(shapes), object),
        [ids, kinds, days],
        list(NEEDED),
        geometry_type="MultiPolygon",
        crs="EPSG:5179",
        driver="FlatGeobuf",
    )
    with pytest.raises(ValueError, match=r"f\.fgb .*the ids of its 2 sites are not those from 1 on"):
        EarlierSites(tmp_path / "f.fgb", CLASSES, GRID, tmp_path)
    half = file.read_bytes()
    (tmp_path / "g.fgb").write_bytes(half[:-40])
    with pytest.raises(ValueError, match=r"g\.fgb cannot be read"):
        EarlierSites(tmp_path / "g.fgb", CLASSES, GRID, tmp_path).at(Box(-2, -1, 3, 4))
