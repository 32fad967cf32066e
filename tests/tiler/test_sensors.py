"""Sensors: the contract that every entry of the table owes, and sensors of the user's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tests.tiler.rasters_for_tests import write_tif
from tiler.scene_store import SceneStore, create_scene_store, fill_shard
from tiler.scenes import DTYPES, SceneSpec, open_scene
from tiler.sensors import SENSORS, Sensor, load_sensor
from tiler.shards import shards_of
from tiler.stores import open_group

OWN = """
name: EDGE
bands: [red edge, swir]
valid_min: -100
valid_max: 3000.5
nodata: -9999
scale: 0.001
resolution_m: 20
"""


def holds(dtype: str, value: float) -> bool:
    if dtype == "float32":
        return True
    return np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


@pytest.mark.parametrize("name", SENSORS)
def test_an_entry_of_the_table_keeps_its_contract(name, tmp_path):
    sensor = SENSORS[name]
    assert sensor.name == name
    assert len(set(sensor.bands)) == len(sensor.bands)
    assert "mask" not in sensor.bands, "the store adds a channel of that name"
    fitting = [d for d in DTYPES if holds(d, sensor.valid_max) and holds(d, sensor.valid_min)]
    dtype = fitting[0]
    assert sensor.nodata is None or holds(dtype, sensor.nodata)

    # A synthetic scene, ingested and read back.
    low, high = int(max(sensor.valid_min, 1)), int(min(sensor.valid_max, 30_000))
    image = np.random.default_rng(4).integers(low, high, (len(sensor.bands), 45, 71)).astype(dtype)
    if sensor.nodata is not None:
        image[:, 5:9, 60:] = sensor.nodata
    scene = open_scene(SceneSpec(id="synthetic", files=write_tif(tmp_path / "a.tif", image)), sensor)
    create_scene_store(f"{tmp_path}/store", scene, labelled=False)
    for shard in shards_of(scene.id, scene.grid):
        fill_shard(open_group(f"{tmp_path}/store"), scene, None, shard)
    store = SceneStore(f"{tmp_path}/store")
    assert_array_equal(store.read("image", scene.grid.box, 0), image)
    valid = np.ones((45, 71), bool)
    valid[5:9, 60:] = sensor.nodata is None
    assert_array_equal(store.read("valid", scene.grid.box, False), valid)
    assert store.sensor == sensor
    assert store.channels == (*sensor.bands, "mask")
    assert store.summarise()["valid"] == valid.sum()


def test_a_sensor_of_the_users_own(tmp_path):
    path = tmp_path / "edge.yaml"
    path.write_text(OWN)
    sensor = load_sensor(str(path))
    assert sensor == Sensor(
        name="EDGE",
        bands=("red edge", "swir"),
        valid_min=-100,
        valid_max=3000.5,
        nodata=-9999,
        scale=0.001,
        resolution_m=20,
    )


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"'SN1': known are \['AIR', 'GEMS', 'GRAY', 'LS30', 'RGB', 'SN10'\].*mean 'SN10'\?"
    ):
        load_sensor("SN1")
    with pytest.raises(ValueError, match=r"unknown sensor 'xyz'.*or a YAML file$"):
        load_sensor("xyz")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("bands: [red edge, swir]", "bands: [swir, swir]"), "band names repeat"),
        (("bands: [red edge, swir]", "bands: []"), "bands"),
        (("valid_max: 3000.5", "valid_max: -100"), "valid_min -100.0 is not below valid_max -100.0"),
        (("resolution_m: 20", "resolution_m: 0"), "resolution_m"),
        (("scale: 0.001", "scael: 0.001"), "scael"),
        (("name: EDGE", ""), "name"),
    ],
)
def test_a_wrong_sensor_file_says_what_is_wrong(change, says, tmp_path):
    path = tmp_path / "edge.yaml"
    path.write_text(OWN.replace(*change))
    with pytest.raises(ValueError, match=rf"edge\.yaml does not describe a sensor: .*{says}.*; correct it"):
        load_sensor(str(path))


def test_an_absent_or_empty_sensor_file_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"sensor file .*none\.yaml' does not exist; give"):
        load_sensor(f"{tmp_path}/none.yaml")
    (tmp_path / "empty.yml").write_text("")
    with pytest.raises(ValueError, match=r"empty\.yml does not describe a sensor"):
        load_sensor(f"{tmp_path}/empty.yml")


@pytest.mark.parametrize(
    ("own", "declared", "expected"),
    [
        (None, None, [False, True, True, True, False]),
        (0, None, [False, False, True, True, False]),
        (0, 7, [False, True, False, True, False]),  # the file's own missing value replaces the sensor's
        (0, float("nan"), [False, True, True, True, False]),
    ],
)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_which_values_are_measurements(own, declared, expected, dtype):
    sensor = Sensor(name="S", bands=("a",), valid_min=0, valid_max=100, nodata=own, resolution_m=1)
    assert_array_equal(sensor.valid(np.array([-1, 0, 7, 100, 101], dtype), declared), expected)
    assert not sensor.valid(np.array([np.nan, np.inf, -np.inf], "float32"), declared).any()


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["uint8", "int16", "uint16"]),
    st.floats(-7e4, 7e4),
    st.floats(0.5, 1e5),
    st.sampled_from([None, -1.0, 0.0, 3.5, 255.0, 65_535.0, 1e9, float("nan")]),
)
def test_limits_of_a_type_say_what_the_range_says_of_each_of_its_values(dtype, low, width, nodata):
    sensor = Sensor(name="S", bands=("a",), valid_min=low, valid_max=low + width, resolution_m=1)
    info = np.iinfo(dtype)
    values = np.arange(info.min, info.max + 1)
    expected = (values >= low) & (values <= low + width)
    expected &= True if nodata is None else values != nodata
    assert_array_equal(sensor.valid(values.astype(dtype), nodata), expected)
    least, most, missing = sensor.limits(np.dtype(dtype), nodata)
    assert {least.dtype, most.dtype} == {np.dtype(dtype)}
    assert missing is None or missing.dtype == np.dtype(dtype)
