"""Coarse modalities in a scene store: kept on their own grid, read as channels of the scene by geography."""

from dataclasses import replace

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds `.rio`)
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal

from tests.tiler.rasters_for_tests import TRANSFORM, grid, numbers, write_tif
from tests.tiler.stores_for_tests import ingest, scene_from
from tiler.coarse import Coarse, open_coarse
from tiler.coarse_store import fill_coarse
from tiler.fusion import resample
from tiler.grids import Box
from tiler.scene_store import SceneStore, create_scene_store
from tiler.sensors import Sensor
from tiler.stores import open_dataset, open_group

NO2 = Sensor(name="NO2", bands=("no2", "error"), valid_min=-5, valid_max=500, scale=0.5, resolution_m=700)
DUST = Sensor(name="DUST", bands=("dust",), valid_min=0, valid_max=9, resolution_m=700)
PLACE = Affine(350.0, 0.0, TRANSFORM.c - 500.0, 0.0, -300.0, TRANSFORM.f + 400.0)
HEIGHT, WIDTH = 75, 120


def no2() -> np.ndarray:
    """Values over the left three quarters of the scene, with a hole in one band and one in both."""
    values = np.random.default_rng(3).uniform(0, 400, (2, 6, 4)).astype("float32")
    values[0, 2, 2] = np.nan
    values[:, 3, 1:3] = np.nan
    return values


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coarse")
    image = numbers(2, HEIGHT, WIDTH)
    image[:, 9:14, 100:] = 0
    found = scene_from(folder, "s_20240309", image)
    path = write_tif(folder / "no2.tif", no2(), transform=PLACE)
    return replace(found, coarse=(open_coarse(found.id, found.grid, NO2, [path]), Coarse(DUST)))


@pytest.fixture(scope="module")
def store(scene, tmp_path_factory):
    return ingest(str(tmp_path_factory.mktemp("store") / "s"), scene)


def test_a_modality_is_stored_as_it_was_read(scene, store):
    coarse = scene.coarse[0]
    assert_array_equal(store.group["no2"][...], coarse.read())
    assert store.group["no2"].dtype == np.float32
    assert store.group["no2"].metadata.dimension_names == ("no2_band", "no2_y", "no2_x")
    assert [m.grid for m in store.modalities] == [coarse.grid, None]
    assert [m.sensor for m in store.modalities] == [NO2, DUST]
    assert "dust" not in store.group


def test_what_may_be_asked_for_and_what_comes_by_itself(scene, store):
    assert store.channels == ("red", "nir", "mask")
    assert store.offered == ("red", "nir", "mask", "no2", "error", "dust", "no2_mask", "dust_mask")
    box = Box(3, 7, 40, 99)
    assert_array_equal(store.network_input(box), store.network_input(box, store.channels))
    with pytest.raises(ValueError, match=r"scene s_20240309: channels \['swir'\] .*'dust_mask'.*`modalities`"):
        store.network_input(box, ("red", "swir"))


@pytest.mark.parametrize("box", [Box(0, 0, HEIGHT, WIDTH), Box(11, 30, 52, 113), Box(-30, -25, 90, 140)])
def test_channels_are_the_bands_resampled_by_geography(store, box):
    """In whatever order they are asked for, even twice; beyond the scene's border the raster goes on."""
    asked = ("no2_mask", "error", "mask", "no2", "red", "dust", "no2", "dust_mask")
    found = dict(enumerate(store.network_input(box, asked)))
    expected = resample(no2(), grid(6, 4, PLACE), store.grid, box)
    assert np.isnan(expected).any()
    assert np.isfinite(expected).any()
    for place, band in ((3, 0), (6, 0), (1, 1)):
        assert_array_equal(np.isnan(found[place]), np.isnan(expected[band]))
        assert_allclose(found[place], expected[band], atol=2e-3)
    imagery = store.network_input(box)
    assert_array_equal(found[2], imagery[2])
    assert_array_equal(found[4], imagery[0])
    missing = np.isnan(expected).all(axis=0)
    assert_array_equal(found[0], missing)
    assert (missing != np.isnan(expected).any(axis=0)).any(), "one band's hole does not make the modality missing"
    assert np.isnan(found[5]).all()
    assert (found[7] == 1).all()


def test_coarse_values_go_on_beyond_the_scene(store):
    found = store.network_input(Box(-12, -20, 0, 0), ("no2", "no2_mask", "mask"))
    assert np.isfinite(found[0]).all()
    assert (found[1] == 0).all()
    assert (found[2] == 1).all()


def test_a_part_is_the_part_of_the_whole(store):
    part = Box(21, 33, 60, 101)
    whole = store.network_input(store.grid.box, store.offered)
    assert_array_equal(store.network_input(part, store.offered), whole[(slice(None), *part.slices)])


def test_moments_are_those_of_the_values_that_exist(store):
    for band, values in zip(("no2", "error"), np.asarray(store.group["no2"][...], float), strict=True):
        known = values[np.isfinite(values)]
        count, total, squares = store.coarse_moments[band]
        assert count == known.size < values.size
        assert total == pytest.approx(known.sum(), rel=1e-12)
        assert squares == pytest.approx((known**2).sum(), rel=1e-12)
    assert store.coarse_moments["dust"] == (0, 0.0, 0.0)
    assert list(store.coarse_moments) == ["no2", "error", "dust"]


def test_writing_again_changes_nothing(scene, store):
    before = np.asarray(store.group["no2"][...])
    assert fill_coarse(open_group(store.url), scene.coarse) == before.nbytes
    assert_array_equal(store.group["no2"][...], before)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_xarray_opens_scene_and_modality_each_in_its_place(scene, store):
    dataset = open_dataset(store.url)
    assert set(dataset.data_vars) == {"image", "valid", "no2"}
    assert dataset.rio.crs.to_epsg() == 32652
    assert_allclose(tuple(dataset.rio.transform())[:6], tuple(TRANSFORM)[:6])
    coarse = dataset["no2"].rio.set_spatial_dims("no2_x", "no2_y")
    assert coarse.rio.crs.to_epsg() == 32652
    assert_allclose(tuple(coarse.rio.transform())[:6], scene.coarse[0].grid.transform)
    assert dataset["no2"].attrs["long_name"] == ["no2", "error"]
    assert dataset["no2"].attrs["scale_to_physical"] == 0.5


def test_before_the_end_of_ingest_nothing_is_read(scene, tmp_path):
    """Else every coarse value would seem to be missing."""
    create_scene_store(f"{tmp_path}/s", scene, labelled=False)
    with pytest.raises(FileNotFoundError, match="not ingested to its end"):
        SceneStore(f"{tmp_path}/s").network_input(Box(0, 0, 5, 5), ("no2",))


def test_a_store_without_modalities_is_what_it_was(scene, tmp_path):
    bare = ingest(f"{tmp_path}/s", replace(scene, coarse=()))
    assert bare.modalities == ()
    assert bare.offered == bare.channels
    assert bare.coarse_moments == {}
    assert "coarse" not in bare.quality
