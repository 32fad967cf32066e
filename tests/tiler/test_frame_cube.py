"""A series that is one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.real_data import needs, real
from tiler.frame_cube import Cube, cube_planes, cube_tags, is_cube, open_cube
from tiler.frame_index import index_frames
from tiler.frame_spec import FrameSpec

TIMES = np.array(["2019-07-01T00:00", "2019-07-01T03:00", "2019-07-01T09:00"], "datetime64[ns]")
NUMBERS = np.random.default_rng(3).integers(0, 256, (3, 2, 5, 7), np.uint8)


def written(path: Path, kind: str, dataset: xr.Dataset, chunks: tuple[int, ...] | None = None) -> str:
    if kind == "nc":
        dataset.to_netcdf(path.with_suffix(".nc"), engine="h5netcdf")
        return str(path.with_suffix(".nc"))
    encoding = {} if chunks is None else {"image": {"chunks": chunks}}
    zarr_format: dict = {"v2": {"zarr_format": 2}, "v3": {"zarr_format": 3}}[kind]
    dataset.to_zarr(path.with_suffix(".zarr"), consolidated=False, encoding=encoding, **zarr_format)
    return str(path.with_suffix(".zarr"))


def images(cube: Cube, band: str, places: list[int]) -> np.ndarray:
    found = dict(cube_planes(cube, [(band, place) for place in places]))
    planes = [found[i] for i in range(len(places))]
    assert not any(isinstance(plane, ValueError) for plane in planes), planes
    return np.stack([plane[0] for plane in planes])  # type: ignore[index]


@pytest.mark.parametrize("kind", ["v2", "v3", "nc"])
def test_time_band_y_x_with_names_in_an_attribute(tmp_path: Path, kind: str) -> None:
    dataset = xr.Dataset(
        {"image": (("time", "band", "y", "x"), NUMBERS)}, {"time": TIMES}, {"band_names": ["ir105", "wv069"]}
    )
    cube = open_cube(written(tmp_path / "gk2a", kind, dataset, (2, 1, 3, 7)))
    assert list(cube.bands) == ["ir", "wv"]
    assert cube.times.tolist() == TIMES.astype("datetime64[s]").tolist()
    assert (cube.header.height_px, cube.header.width_px, cube.header.dtype) == (5, 7, "uint8")
    np.testing.assert_array_equal(images(cube, "wv", [2, 0]), NUMBERS[[2, 0], 1])
    np.testing.assert_array_equal(images(cube, "ir", [0, 1, 2]), NUMBERS[:, 0])


def test_a_variable_for_each_band_in_any_order_of_axes(tmp_path: Path) -> None:
    bands = {f"b_{i}": (("y", "time", "x"), NUMBERS[:, i].transpose(1, 0, 2)) for i in range(2)}
    named = {"ir": bands["b_0"], "sw038": bands["b_1"]}
    cube = open_cube(written(tmp_path / "s", "v3", xr.Dataset(named, {"time": TIMES})))
    assert cube.bands == {"ir": ("ir", None), "swir": ("sw038", None)}
    np.testing.assert_array_equal(images(cube, "swir", [1]), NUMBERS[[1], 1])


def test_what_the_mask_beside_it_says_is_missing(tmp_path: Path) -> None:
    valid = np.random.default_rng(0).random(NUMBERS.shape) > 0.4
    dims = ("time", "band", "y", "x")
    dataset = xr.Dataset(
        {"image": (dims, NUMBERS), "valid": (dims, valid)}, {"time": TIMES}, {"band_names": ["ir", "wv"]}
    )
    cube = open_cube(written(tmp_path / "s", "v3", dataset))
    ((_, plane),) = cube_planes(cube, [("wv", 1)])
    np.testing.assert_array_equal(plane[1], valid[1, 1])  # type: ignore[index]
    np.testing.assert_array_equal(plane[0], np.where(valid, NUMBERS, 0)[1, 1])  # type: ignore[index]


def test_only_times_whose_objects_changed_have_another_tag(tmp_path: Path) -> None:
    dims = ("time", "band", "y", "x")
    dataset = xr.Dataset({"image": (dims, NUMBERS)}, {"time": TIMES}, {"band_names": ["ir", "wv"]})
    path = written(tmp_path / "s", "v3", dataset, (1, 2, 3, 7))
    cube = open_cube(path)
    tags = {"image/c/0/0/0/0": "a", "image/c/0/0/1/0": "b", "image/c/1/0/0/0": "c", "image/c/1/0/1/0": "d"}
    first = cube_tags(cube, tags)
    assert len(set(first)) == 3
    again = cube_tags(cube, tags | {"image/c/1/0/1/0": "e"})
    assert [a == b for a, b in zip(first, again, strict=True)] == [True, False, True]


def test_arrays_that_are_no_series_are_refused_in_words(tmp_path: Path) -> None:
    no_time = xr.Dataset({"image": (("time", "y", "x"), NUMBERS[:, 0])})
    with pytest.raises(ValueError, match="has no variables that are images over time"):
        open_cube(written(tmp_path / "a", "v3", no_time))
    unnamed = xr.Dataset({"image": (("time", "band", "y", "x"), NUMBERS)}, {"time": TIMES})
    with pytest.raises(ValueError, match="2 places on the axis 'band' have no names"):
        open_cube(written(tmp_path / "b", "v3", unnamed))
    (tmp_path / "c.nc").write_bytes(b"no netcdf")
    with pytest.raises(ValueError, match=r"c\.nc cannot be read as zarr or NetCDF"):
        open_cube(str(tmp_path / "c.nc"))
    with pytest.raises(ValueError, match=r"d\.zarr cannot be read"):
        open_cube(str(tmp_path / "d.zarr"))


def test_a_time_that_is_missing_is_no_time(tmp_path: Path) -> None:
    times = TIMES.copy()
    times[1] = np.datetime64("NaT")
    dataset = xr.Dataset({"ir": (("time", "y", "x"), NUMBERS[:, 0])}, {"time": times})
    with pytest.raises(ValueError, match=r"1 of 3 times of .* are missing"):
        open_cube(written(tmp_path / "s", "v3", dataset))


def test_which_addresses_are_arrays() -> None:
    assert is_cube("s3://bucket/gk2a.zarr/", [])
    assert is_cube("data/coms", [".zgroup"])
    assert not is_cube("data/coms", ["2011", "SOURCE.txt"])


@needs("weather_seviri_zarr")
def test_a_real_series_of_one_band_stored_east_to_west_and_south_up() -> None:
    path = str(real("weather_seviri_zarr/sat_data.zarr"))
    spec = FrameSpec(files=path, bands=("IR_016",), step_minutes=5, value_range=(0, 1023))
    index = index_frames(spec)
    assert (index.series, index.bands, len(index.slots), index.between) == ("sat_data", ("ir016",), 25, 0)
    assert index.cube is not None
    raw = xr.open_zarr(path, mask_and_scale=False, consolidated=False, chunks=None)["data"]
    assert raw.y.values[0] < raw.y.values[-1]
    assert raw.x.values[0] > raw.x.values[-1]
    ((_, plane),) = cube_planes(index.cube, [("ir016", 24)])
    np.testing.assert_array_equal(plane[0], raw[24, ::-1, ::-1, 0])  # type: ignore[index]
    three_hourly = index_frames(spec.model_copy(update={"step_minutes": 60.0}))
    assert (len(three_hourly.slots), three_hourly.between) == (3, 22)
