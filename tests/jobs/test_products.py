"""Products: each layer is a plain function of the map store, block by block."""

import math

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jobs.products import (
    LAYERS,
    PROBABILITY_BINS,
    class_layer,
    map_numbers,
    positive_probability,
    probability_layer,
    products_of,
    sha256_of,
    sigmoid,
    softmax,
    spread_layer,
    written_parts,
)
from tests.jobs.published_maps import rasters_of_map
from tests.jobs.worlds import small_cells
from tiler.classes import class_colors
from tiler.cog import BLOCK_PX
from tiler.fuse import NO_DATE, Fused
from tiler.grids import Box, MapGrid
from tiler.map_store import MapStore, create_map_store
from tiler.product_specs import PRODUCTS

GRID = MapGrid("EPSG:32652", (12.0, 10.0))
EXTENT = Box(-700, 13, 333, 601)


def filled(folder, logit: np.ndarray, grid: MapGrid = GRID, classes: tuple[str, ...] = ("industrial",)) -> MapStore:
    """A map of cells of 512 px over `EXTENT` with these logits (y, x) or (class, y, x), NaN where nothing was seen."""
    logits = logit.reshape(len(classes), EXTENT.height, EXTENT.width)
    with small_cells():
        cells = list(MapGrid.cells_of(EXTENT))
        create_map_store(str(folder / "m.zarr"), grid, cells, EXTENT, classes)
        store = MapStore(str(folder / "m.zarr"))
        for cell in cells:
            whole = np.full((len(classes), 512, 512), np.nan, np.float32)
            part = grid.box_of(cell).clip(EXTENT)
            inside = part.shift(-cell.row * 512, -cell.col * 512).slices
            whole[(slice(None), *inside)] = logits[(slice(None), *part.shift(-EXTENT.y0, -EXTENT.x0).slices)]
            count = (~np.isnan(whole[0])).astype(np.uint16) * 3
            store.write(cell, Fused(whole, np.abs(whole), count, np.where(count > 0, 5, NO_DATE).astype(np.int32)))
    return store


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    random = np.random.default_rng(8)
    values = random.normal(0, 4, (EXTENT.height, EXTENT.width)).astype(np.float32)
    values[100:300, :77] = np.nan
    values[600, 300:] = 0.0
    return values


@pytest.fixture(scope="module")
def store(tmp_path_factory, logits) -> MapStore:
    return filled(tmp_path_factory.mktemp("products"), logits)


@given(st.floats(-1e4, 1e4, width=32))
def test_sigmoid_is_the_sigmoid(value):
    found = sigmoid(np.array([value, -value], np.float32))
    exact = 1 / (1 + math.exp(-value)) if value > -700 else 0.0
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(exact, abs=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-6)


def test_sigmoid_of_nothing_is_nothing():
    found = sigmoid(np.array([np.nan, np.inf, -np.inf, 0], np.float16))
    np.testing.assert_array_equal(found, np.array([np.nan, 1, 0, 0.5], np.float32))


@given(st.tuples(*[st.integers(-6000, 6000)] * 2), st.tuples(*[st.integers(1, 7000)] * 2))
@settings(max_examples=30)
def test_parts_cover_a_raster_once_and_those_of_a_block_follow_each_other(corner, size):
    raster = Box(*corner, corner[0] + size[0], corner[1] + size[1])
    parts = list(written_parts(raster))
    assert sum(p.height * p.width for p in parts) == size[0] * size[1]
    assert all(len(list(MapGrid.cells_of(p))) == 1 and p.clip(raster) == p for p in parts)
    for y in range(raster.y0, raster.y1, BLOCK_PX):
        for x in range(raster.x0, raster.x1, BLOCK_PX):
            block = Box(y, x, y + BLOCK_PX, x + BLOCK_PX).clip(raster)
            touched = [i for i, part in enumerate(parts) if not part.clip(block).empty]
            assert touched[-1] - touched[0] <= 3  # at most two cells above each other, and those beside them
            assert (
                sum(parts[i].clip(block).height * parts[i].clip(block).width for i in touched)
                == block.height * block.width
            )


@pytest.mark.parametrize("threshold", [0.5, 0.05, 0.9])
def test_class_is_probability_reaching_the_threshold(store, logits, threshold):
    found = class_layer(store, EXTENT, threshold)
    known = ~np.isnan(logits)
    probability = 1 / (1 + np.exp(-logits[known].astype(np.float64)))
    sure = np.abs(probability - threshold) > 1e-6
    np.testing.assert_array_equal(found[known][sure], (probability >= threshold)[sure])
    assert (found[~known] == 255).all()
    if threshold == 0.5:
        assert (found[600, 300:] == 1).all()  # exactly there: "from a probability of 0.5 on"


def test_probability_of_the_logit(store, logits):
    found = probability_layer(store, EXTENT, 0.1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(logits))
    known = ~np.isnan(logits)
    np.testing.assert_allclose(found[known], 1 / (1 + np.exp(-logits[known].astype(float))), atol=1e-6)


def test_numbers_are_counted_over_the_whole_map(store, logits):
    with small_cells():
        numbers = map_numbers(store, 0.3)
    known = logits[~np.isnan(logits)].astype(float)
    probability = 1 / (1 + np.exp(-known))
    assert numbers.seen_px == known.size
    assert numbers.positive_px == (known >= math.log(0.3 / 0.7)).sum()
    assert numbers.pixel_area_m2 == 120
    assert numbers.class_px == {"background": known.size - numbers.positive_px, "industrial": numbers.positive_px}
    assert numbers.class_area_m2 == {name: px * 120 for name, px in numbers.class_px.items()}
    assert len(numbers.probability_counts) == PROBABILITY_BINS
    assert sum(numbers.probability_counts) == known.size
    expected = np.histogram(probability, PROBABILITY_BINS, (0, 1))[0]
    assert np.abs(np.array(numbers.probability_counts) - expected).max() <= 3  # float32 beside a bin's edge


def test_a_pixel_has_no_fixed_area_in_degrees_and_another_one_in_feet(tmp_path, logits):
    degrees = filled(tmp_path / "d", logits, MapGrid("EPSG:4326", (1e-4, 1e-4)))
    feet = filled(tmp_path / "f", logits, MapGrid("EPSG:2225", (30.0, 20.0)))
    with small_cells():
        assert map_numbers(degrees, 0.5).pixel_area_m2 is None
        assert map_numbers(degrees, 0.5).class_area_m2 is None
        assert map_numbers(feet, 0.5).pixel_area_m2 == pytest.approx(600 * (1200 / 3937) ** 2)


def test_every_layer_is_written_where_it_lies(tmp_path, store, logits):
    with small_cells():
        files = rasters_of_map(store, tmp_path / "map", 0.4, {"SANDAN_MAP": "abc"}).products
    assert list(files) == products_of(uncertainty=False) == list(PRODUCTS)
    for name, file in files.items():
        with rasterio.open(tmp_path / "map" / file.href) as data:
            assert data.transform == GRID.grid_of(EXTENT).affine
            assert data.crs.to_epsg() == 32652
            assert data.tags()["SANDAN_MAP"] == "abc"
            np.testing.assert_array_equal(data.read(1), LAYERS[name](store, EXTENT, 0.4))


# ---- several classes -----------------------------------------------------------


NAMES = ("background", "industrial", "quarry")


class Planes:
    """As much of a map store as a layer needs."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits

    def read(self, name: str, box: Box) -> np.ndarray:
        assert name in ("logit", "spread")
        return self.logits[(slice(None), *box.slices)]


def softmax_of(logits: np.ndarray) -> np.ndarray:
    """The textbook's formula in float64, with shifted logits."""
    powers = np.exp(logits.astype(float) - logits.astype(float).max(axis=0))
    return powers / powers.sum(axis=0)


@st.composite
def planes(draw) -> np.ndarray:
    """Logits (class, y, x) of 2 to 6 classes, some pixels unseen, some with equal logits."""
    shape = draw(st.tuples(st.integers(2, 6), st.integers(1, 5), st.integers(6, 9)))
    values = draw(arrays(np.float32, shape, elements=st.floats(-60_000, 60_000, width=32) | st.sampled_from([0, 1.5])))
    return np.where(draw(arrays(bool, shape[1:])), np.float32("nan"), values)


@given(planes(), st.floats(0.01, 0.99))
def test_layers_of_several_classes_are_softmax_and_argmax(logits, threshold):
    store, box = Planes(logits), Box(0, 0, *logits.shape[1:])
    unseen = np.isnan(logits[0])
    probability = probability_layer(store, box, threshold)
    assert probability.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(probability), np.broadcast_to(unseen, logits.shape))
    np.testing.assert_allclose(probability[:, ~unseen], softmax_of(logits[:, ~unseen]), atol=1e-6)
    np.testing.assert_allclose(probability[:, ~unseen].sum(axis=0), 1, atol=1e-6)
    found = class_layer(store, box, threshold)
    assert found.dtype == np.uint8
    for place in np.ndindex(*unseen.shape):  # the first of the largest, by plain Python
        pixel = logits[(slice(None), *place)].tolist()
        assert found[place] == (255 if unseen[place] else pixel.index(max(pixel)))
    plane = positive_probability(probability)
    np.testing.assert_array_equal(plane[~unseen], probability[1:, ~unseen].max(axis=0))
    assert np.isnan(plane[unseen]).all()
    np.testing.assert_array_equal(spread_layer(store, box, threshold), logits)


@given(arrays(np.float32, (3, 4), elements=st.floats(-40, 40, width=32)), st.integers(-50, 50))
def test_softmax_does_not_see_what_all_classes_share(logits, shift):
    np.testing.assert_allclose(softmax(logits + np.float32(shift)), softmax(logits), atol=1e-4)


def test_softmax_of_two_classes_is_the_sigmoid_of_their_difference():
    logits = np.random.default_rng(2).normal(0, 6, (2, 50)).astype(np.float32)
    np.testing.assert_allclose(softmax(logits)[1], sigmoid(logits[1] - logits[0]), atol=1e-6)


@pytest.fixture(scope="module")
def several(tmp_path_factory, logits) -> tuple[MapStore, np.ndarray]:
    values = np.random.default_rng(3).normal([[[1.0]], [[0.0]], [[-1.0]]], 3, (3, *logits.shape)).astype(np.float32)
    values[:, np.isnan(logits)] = np.nan
    return filled(tmp_path_factory.mktemp("several"), values, classes=NAMES), values


def test_products_of_several_classes_have_a_band_for_each(tmp_path, several):
    store, logits = several
    with small_cells():
        files = rasters_of_map(store, tmp_path / "map", 0.5, {"SANDAN_MAP": "abc"}).products
    found = {}
    for name, file in files.items():
        with rasterio.open(tmp_path / "map" / file.href) as data:
            assert data.transform == GRID.grid_of(EXTENT).affine
            assert data.descriptions == NAMES if name in ("probability", "spread") else data.count == 1
            if name == "class":
                assert {k: v for k, v in data.tags().items() if k.startswith("CLASS_")} == {
                    f"CLASS_{value}": title for value, title in enumerate(NAMES)
                }
                assert {data.colormap(1)[value] for value in range(3)} == set(class_colors(3).values())
                assert data.nodata == 255
            found[name] = data.read()
    unseen = np.isnan(logits[0])
    assert 0.01 < unseen.mean() < 0.5
    np.testing.assert_allclose(found["probability"], np.where(unseen, np.nan, softmax_of(logits)), atol=1e-6)
    np.testing.assert_array_equal(found["class"][0], np.where(unseen, 255, logits.argmax(axis=0)))
    np.testing.assert_array_equal(found["spread"], np.abs(logits))
    np.testing.assert_array_equal(found["count"][0], np.where(unseen, 0, 3))


def test_numbers_of_several_classes(several):
    store, logits = several
    with small_cells():
        numbers = map_numbers(store, 0.5)
    known = logits[:, ~np.isnan(logits[0])]
    counted = np.bincount(known.argmax(axis=0), minlength=3).tolist()
    assert numbers.class_px == dict(zip(NAMES, counted, strict=True))
    assert numbers.seen_px == known.shape[1] == sum(counted)
    assert numbers.positive_px == counted[1] + counted[2]
    assert numbers.class_area_m2 == {name: px * 120.0 for name, px in numbers.class_px.items()}
    assert sum(numbers.probability_counts) == numbers.seen_px
    expected = np.histogram(softmax_of(known)[1:].max(axis=0), PROBABILITY_BINS, (0, 1))[0]
    assert np.abs(np.array(numbers.probability_counts) - expected).max() <= 3


def test_sha256_of_a_file(tmp_path):
    import hashlib

    content = b"sandan" * 400_000
    (tmp_path / "x").write_bytes(content)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()
