"""Warping: true to a hundredth of a pixel, the same bits whatever the cut, and holes that stay holes."""

from dataclasses import dataclass

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tests.tiler.rasters_for_tests import grid, moved, numbers
from tiler.grids import Box, MapGrid, PixelGrid
from tiler.warp import NODE_PX, TOLERANCE_PX, Mapping, nearest, warp

few = settings(max_examples=8, deadline=None)


@dataclass(frozen=True)
class Pair:
    """A scene around a place, and the map grid it is warped to."""

    lon: float
    lat: float
    source_crs: str
    source_px: tuple[float, float]
    target_crs: str
    target_px: tuple[float, float]
    height: int = 331
    width: int = 417

    @property
    def source(self) -> PixelGrid:
        x, y = to(self.source_crs, self.lon, self.lat)
        dy, dx = self.source_px
        transform = (dx, 0.0, x - self.width / 2 * dx, 0.0, -dy, y + self.height / 2 * dy)
        return PixelGrid(self.source_crs, transform, self.height, self.width)

    @property
    def target(self) -> PixelGrid:
        return MapGrid(self.target_crs, self.target_px, (0.3 * self.target_px[0], 0.0)).pixels

    @property
    def mapping(self) -> Mapping:
        return Mapping(self.target, self.source)

    def box(self, height: int, width: int) -> Box:
        """A box of absolute map pixels whose centre is the scene's."""
        row, col = self.target.rowcol(*to(self.target_crs, self.lon, self.lat))
        y0, x0 = int(row) - height // 2, int(col) - width // 2
        return Box(y0, x0, y0 + height, x0 + width)


def to(crs, lon, lat):
    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)


DEGREES = (0.0001, 0.00013)
PAIRS = {
    "korea": Pair(127.4, 36.9, "EPSG:32652", (10, 10), "EPSG:5179", (10, 10)),
    "korea, the far zone": Pair(126.6, 37.4, "EPSG:32651", (10, 12), "EPSG:5179", (11, 10)),
    "zone border": Pair(126.01, 35.2, "EPSG:32651", (10, 10), "EPSG:32652", (10, 10)),
    "zone border, back": Pair(126.01, 35.2, "EPSG:32652", (10, 10), "EPSG:32651", (10, 10)),
    "to degrees": Pair(127.4, 36.9, "EPSG:5179", (10, 10), "EPSG:4326", DEGREES),
    "west of the antimeridian": Pair(179.9, -17.2, "EPSG:32760", (10, 10), "EPSG:4326", DEGREES),
    "east of the antimeridian": Pair(-179.9, -17.2, "EPSG:32701", (10, 10), "EPSG:4326", DEGREES),
    "across the antimeridian": Pair(179.9999, 65.1, "EPSG:32660", (10, 10), "EPSG:32601", (10, 10)),
    "65 north, degrees": Pair(17.3, 65.0, "EPSG:4326", (0.0001, 0.0002), "EPSG:32633", (10, 10)),
    "65 north, to degrees": Pair(17.3, 65.0, "EPSG:32633", (10, 10), "EPSG:4326", (0.0001, 0.0002)),
    "65 north, coarse": Pair(18.1, 65.0, "EPSG:32633", (1000, 1000), "EPSG:32634", (1000, 1000)),
    "shrinking": Pair(127.4, 36.9, "EPSG:32652", (10, 10), "EPSG:5179", (30, 30)),
    "growing": Pair(127.4, 36.9, "EPSG:32652", (30, 30), "EPSG:5179", (10, 10), 91, 113),
    "shrinking a lot": Pair(17.3, 65.0, "EPSG:32633", (30, 30), "EPSG:32634", (200, 200), 601, 733),
}
each_pair = pytest.mark.parametrize("name", PAIRS)


def centres(box):
    return np.meshgrid(np.arange(box.y0, box.y1) + 0.5, np.arange(box.x0, box.x1) + 0.5, indexing="ij")


# ---- coordinates


@each_pair
@pytest.mark.parametrize("offset", [(0.5, 0.5), (0.0, 0.99)])
def test_coordinates_are_true_to_a_hundredth_of_a_pixel(name, offset):
    pair = PAIRS[name]
    box = pair.box(301, 377)
    rows, cols = pair.mapping.coordinates(box, offset)
    rr, cc = (v - 0.5 + o for v, o in zip(centres(box), offset, strict=True))
    exact_rows, exact_cols = pair.mapping.exact(rr, cc)
    assert np.abs(rows - exact_rows).max() <= TOLERANCE_PX
    assert np.abs(cols - exact_cols).max() <= TOLERANCE_PX


@pytest.mark.parametrize("size_m", [500, 1000, 2000])
def test_coordinates_between_conformal_grids_are_true_off_the_block_centres_too(size_m):
    # Both components are harmonic there: the error is a saddle, nought at a block's centre and largest at its sides.
    pair = Pair(24.0, 69.0, "EPSG:32633", (30, 30), "EPSG:32636", (size_m, size_m))
    box = pair.box(4 * NODE_PX + 5, 3 * NODE_PX)
    found = np.stack(pair.mapping.coordinates(box))
    assert np.abs(found - np.stack(pair.mapping.exact(*centres(box)))).max() <= TOLERANCE_PX


def test_coordinates_where_the_target_crs_ends():
    # The map square reaches beyond the pole's side of the world: no coordinate there, and no harm elsewhere.
    target = MapGrid("EPSG:4326", (0.5, 0.5)).pixels
    source = grid(90, 70, Affine(20_000, 0, 100_000, 0, -20_000, 9_000_000))
    box = Box(-200, 100, -100, 300)
    rows, cols = Mapping(target, source).coordinates(box)
    exact = np.stack(Mapping(target, source).exact(*centres(box)))
    good = np.isfinite(exact).all(0)
    assert 0 < good.sum() < good.size
    assert np.abs(np.stack([rows, cols]) - exact)[:, good].max() <= TOLERANCE_PX
    assert not np.isfinite(np.stack([rows, cols])[:, ~good]).all(0).any()


def test_shift_is_the_offset_of_grids_that_share_their_pixels():
    target = MapGrid.like(grid(5, 9)).pixels
    source = grid(41, 53, moved(3, -7))
    shift = Mapping(target, source).shift
    assert shift is not None
    row, col = target.offset_of(source)
    assert shift == (round(row), round(col))
    for other in (
        grid(41, 53, moved(3.01, -7)),
        grid(41, 53, crs="EPSG:32651"),
        grid(41, 53, Affine(20.0, 0.0, 321_450.0, 0.0, -24.0, 4_123_476.0)),
        grid(41, 53, Affine(10.0, 0.0, 321_450.0, 0.0, 12.0, 4_123_476.0)),
    ):
        assert Mapping(target, other).shift is None


# ---- the cut


def random_scene(source, layers=2, seed=1):
    rng = np.random.default_rng(seed)
    valid = rng.random((source.height, source.width)) > 0.05
    valid[source.height // 3 : source.height // 2, source.width // 4 : source.width // 3] = False
    return rng.normal(size=(layers, *valid.shape)).astype(np.float32), valid


def warp_box(mapping, box, values, valid):
    """Warp as Mosaic does: only the source pixels that the box asks for are read."""
    at = mapping.source_box(box)
    return warp(mapping, box, values[(slice(None), *at.slices)], valid[at.slices], at)


@each_pair
@few
@given(data=st.data())
def test_a_box_warped_alone_is_the_same_bit_for_bit(name, data):
    pair = PAIRS[name]
    values, valid = random_scene(pair.source)
    small = pair.mapping.shrink > 1
    whole = pair.box(*((60, 90) if small else (283, 211)))  # more than a strip, and not whole node blocks
    full, full_seen = warp_box(pair.mapping, whole, values, valid)
    y0, x0 = data.draw(st.integers(0, whole.height - 1)), data.draw(st.integers(0, whole.width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, whole.height)), data.draw(st.integers(x0 + 1, whole.width))
    part, seen = warp_box(pair.mapping, Box(y0, x0, y1, x1).shift(whole.y0, whole.x0), values, valid)
    assert_array_equal(part, full[:, y0:y1, x0:x1])
    assert_array_equal(seen, full_seen[y0:y1, x0:x1])


@each_pair
def test_what_a_box_asks_for_is_all_it_needs(name):
    pair = PAIRS[name]
    values, valid = random_scene(pair.source)
    box = pair.box(*((31, 40) if pair.mapping.shrink > 1 else (97, 143)))
    part, seen = warp_box(pair.mapping, box, values, valid)
    full, full_seen = warp(pair.mapping, box, values, valid, pair.source.box)
    assert seen.any()
    assert_array_equal(part, full)
    assert_array_equal(seen, full_seen)


# ---- places


@each_pair
def test_a_known_pattern_ends_where_it_belongs(name):
    """Longitude and latitude, in source pixels, written into a scene and read off the map."""
    pair = PAIRS[name]
    place = pyproj.Transformer.from_crs("EPSG:4326", pair.source.crs, always_xy=True)
    back = pyproj.Transformer.from_crs(pair.source.crs, "EPSG:4326", always_xy=True)
    lon0, lat0 = back.transform(*place.transform(pair.lon, pair.lat))
    ux, uy = place.transform(lon0, lat0)
    dy, dx = pair.source_px
    per_lon = 1 / abs(back.transform(ux + dx, uy)[0] - lon0)  # units: source pixels
    per_lat = 1 / abs(back.transform(ux, uy + dy)[1] - lat0)

    def pattern(lon, lat):
        east = (lon - lon0 + 540.0) % 360.0 - 180.0
        return np.stack([east * per_lon, (lat - lat0) * per_lat])

    rr, cc = centres(pair.source.box)
    scene = pattern(*back.transform(*pair.source.xy(rr, cc))).astype(np.float32)
    box = pair.box(*((20, 24) if name == "shrinking a lot" else (90, 100)))
    found, seen = warp_box(pair.mapping, box, scene, np.ones(scene.shape[1:], bool))
    assert seen.all()
    truth = pattern(
        *pyproj.Transformer.from_crs(pair.target_crs, "EPSG:4326", always_xy=True).transform(
            *pair.target.xy(*centres(box))
        )
    )
    assert np.abs(found - truth).max() < 0.1, "half a pixel of the scene would be 0.5"


def test_the_map_sees_a_pixel_where_its_centre_lies_in_the_scene():
    pair = PAIRS["korea"]
    box = pair.box(500, 600)
    values, valid = np.ones((1, 331, 417), np.float32), np.ones((331, 417), bool)
    out, seen = warp_box(pair.mapping, box, values, valid)
    rows, cols = pair.mapping.exact(*centres(box))
    inside = np.minimum(np.minimum(rows, 331 - rows), np.minimum(cols, 417 - cols))
    corner = (np.minimum(abs(rows), abs(331 - rows)) < 1) & (np.minimum(abs(cols), abs(417 - cols)) < 1)
    sure = (np.abs(inside) > 0.02) & ~corner
    assert_array_equal(seen[sure], inside[sure] > 0)
    assert 100_000 < seen.sum() < seen.size
    assert_array_equal(out[:, ~seen], 0)
    assert_allclose(out[:, seen], 1, atol=1e-5)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10.0, 0.0, 321_450.0, 0.0, 12.0, 4_123_476.0),
        Affine(10.0, 0.0, 321_450.0, 0.0, -12.0, 4_123_476.0) @ Affine.rotation(30),
        Affine(-10.0, 0.0, 321_450.0, 0.0, -12.0, 4_123_476.0),
    ],
    ids=["south-up", "rotated", "west-left"],
)
def test_source_grids_of_any_direction(transform):
    source = grid(80, 110, transform)
    x, y = source.xy(*centres(source.box))
    x0, y0 = source.xy(np.array(40.0), np.array(55.0))
    values = np.stack([x - x0, y - y0]).astype(np.float32)
    target = MapGrid(source.crs, (7.0, 8.0)).pixels
    row, col = target.rowcol(x0, y0)
    box = Box(int(row) - 30, int(col) - 25, int(row) + 30, int(col) + 31)
    out, seen = warp_box(Mapping(target, source), box, values, np.ones((80, 110), bool))
    assert seen.all()
    tx, ty = target.xy(*centres(box))
    assert_allclose(out, [tx - x0, ty - y0], atol=0.01)


def test_a_box_far_away_sees_nothing():
    pair = PAIRS["korea"]
    far = pair.box(40, 50).shift(0, 5000)
    assert pair.mapping.source_box(far).empty
    values, valid = random_scene(pair.source)
    out, seen = warp_box(pair.mapping, far, values, valid)
    assert out.shape == (2, 40, 50)
    assert not seen.any()
    assert not out.any()


# ---- values


@pytest.mark.parametrize("offset", [(0, 0), (3, -7)])
def test_shared_pixels_are_copied_not_sampled(offset):
    source = grid(40, 53, moved(*offset))
    target = MapGrid.like(grid(1, 1)).pixels
    mapping = Mapping(target, source)
    values, valid = random_scene(source)
    shift = mapping.shift
    assert shift is not None
    box = Box(5, 8, 33, 50).shift(*shift)
    out, seen = warp_box(mapping, box, values, valid)
    assert_array_equal(seen, valid[5:33, 8:50])
    assert_array_equal(out, values[:, 5:33, 8:50] * seen)
    # A box that hangs over the scene: what is outside is missing.
    out, seen = warp_box(mapping, Box(-4, -6, 9, 60).shift(*shift), values, valid)
    expected = np.zeros((13, 66), bool)
    expected[4:, 6:59] = valid[:9]
    assert_array_equal(seen, expected)


@pytest.mark.parametrize("name", ["korea", "shrinking", "growing"])
def test_what_lies_under_missing_pixels_leaves_no_halo(name):
    pair = PAIRS[name]
    _, valid = random_scene(pair.source)
    values = np.where(valid, np.float32(-3.5), np.float32(1e6))[None]
    box = pair.box(100, 110)
    out, seen = warp_box(pair.mapping, box, values, valid)
    assert 0 < seen.sum() < seen.size
    assert_allclose(out[0][seen], -3.5, rtol=1e-5)
    assert_array_equal(out[0][~seen], 0)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.integers(0, 99))
def test_bilinear_weights_and_the_rule_of_one_half(down, right, seed):
    """`warp(l * valid) / warp(valid)`, written out for a target that lies `(down, right)` px off the source."""
    source = grid(24, 31)
    target = grid(1, 1, moved(down, right))
    rng = np.random.default_rng(seed)
    values, valid = rng.normal(size=(2, 24, 31)).astype(np.float32), rng.random((24, 31)) > 0.3
    out, seen = warp(Mapping(target, source), Box(0, 0, 23, 30), values, valid, source.box)

    def bilinear(a):
        return (
            a[..., :-1, :-1] * (1 - down) * (1 - right)
            + a[..., :-1, 1:] * (1 - down) * right
            + a[..., 1:, :-1] * down * (1 - right)
            + a[..., 1:, 1:] * down * right
        )

    weight = bilinear(valid.astype(float))
    sure = np.abs(weight - 0.5) > 1e-5
    assert_array_equal(seen[sure], weight[sure] > 0.5)
    expected = bilinear(values * valid.astype(float)) / np.where(weight > 0, weight, 1)
    assert_allclose(out[:, seen], expected[:, seen], atol=2e-5)


@pytest.mark.parametrize("factor", [2, 3])
def test_shrinking_is_the_mean_of_the_block(factor):
    source = grid(12 * factor, 17 * factor)
    t = source.transform
    target = PixelGrid(source.crs, (t[0] * factor, 0.0, t[2], 0.0, t[4] * factor, t[5]), 12, 17)
    values, valid = random_scene(source, seed=factor)
    mapping = Mapping(target, source)
    assert mapping.shrink == factor
    out, seen = warp(mapping, Box(0, 0, 12, 17), values, valid, source.box)

    def blocks(a):
        return a.reshape(*a.shape[:-2], 12, factor, 17, factor).astype(float).sum((-3, -1))

    count = blocks(valid)
    sure = np.abs(count / factor**2 - 0.5) > 1e-5
    assert_array_equal(seen[sure], (count / factor**2 > 0.5)[sure])
    assert seen.any()
    assert not seen.all()
    expected = blocks(values * valid) / np.maximum(count, 1)
    assert_allclose(out[:, seen], expected[:, seen], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shrink"), [("korea", 1), ("shrinking", 3), ("growing", 1), ("zone border", 1), ("shrinking a lot", 7)]
)
def test_how_many_source_pixels_a_map_pixel_holds(name, shrink):
    # 200 m are 6.67 px of 30 m.
    assert PAIRS[name].mapping.shrink == shrink


# ---- nearest


@each_pair
def test_nearest_takes_the_pixel_that_holds_the_centre(name):
    pair = PAIRS[name]
    codes = numbers(pair.source.height, pair.source.width, high=200, dtype="uint8")
    box = pair.box(401, 380) if pair.mapping.shrink == 1 else pair.box(110, 130)
    at = pair.mapping.source_box(box)
    found = nearest(pair.mapping, box, codes[at.slices], at, 255)
    rows, cols = pair.mapping.exact(*centres(box))
    inside = (rows >= 0) & (rows < pair.source.height) & (cols >= 0) & (cols < pair.source.width)
    expected = np.full(found.shape, 255, np.uint8)
    expected[inside] = codes[rows[inside].astype(int), cols[inside].astype(int)]
    border = np.minimum(np.abs(rows - np.round(rows)), np.abs(cols - np.round(cols)))
    sure = border > 2 * TOLERANCE_PX
    assert sure.mean() > 0.8
    assert_array_equal(found[sure], expected[sure])
    assert found.dtype == np.uint8


def test_nearest_on_shared_pixels_is_a_slice():
    codes = numbers(20, 30, high=200, dtype="uint8")
    found = nearest(Mapping(grid(9, 9), grid(20, 30, moved(2, -3))), Box(0, 0, 40, 30), codes, Box(0, 0, 20, 30), 255)
    expected = np.full((40, 30), 255, np.uint8)
    expected[2:22, :27] = codes[:, 3:]
    assert_array_equal(found, expected)


@each_pair
def test_nearest_takes_layers_as_it_takes_each_of_them(name):
    pair = PAIRS[name]
    layers = numbers(6, pair.source.height, pair.source.width).reshape(2, 3, pair.source.height, pair.source.width)
    box = pair.box(61, 80)
    at = pair.mapping.source_box(box)
    found = nearest(pair.mapping, box, layers[..., *at.slices], at, 7)
    assert found.shape == (2, 3, box.height, box.width)
    for place in np.ndindex(2, 3):
        assert_array_equal(found[place], nearest(pair.mapping, box, layers[place][at.slices], at, 7))


@each_pair
def test_far_around_the_scene_there_is_nothing(name):
    pair = PAIRS[name]
    values = np.random.default_rng(4).normal(size=(2, pair.height, pair.width)).astype(np.float32)
    valid = np.ones((pair.height, pair.width), bool)
    near, wide = pair.box(901, 1103), pair.box(1500, 1900)
    layers, seen = warp(pair.mapping, near, values, valid, pair.source.box)
    around, seen_around = warp(pair.mapping, wide, values, valid, pair.source.box)
    rows, cols = near.shift(-wide.y0, -wide.x0).slices
    assert_array_equal(around[:, rows, cols], layers)
    assert_array_equal(seen_around[rows, cols], seen)
    assert seen.any()
    assert seen_around.sum() == seen.sum()
    assert not around[:, ~seen_around].any()
