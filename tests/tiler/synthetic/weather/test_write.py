from datetime import date

import numpy as np
import pytest
import xarray as xr
import zarr
from PIL import Image

from tests.tiler.synthetic.weather.worlds import clean_frames, states
from tiler.synthetic.weather import COMS, GK2A, WeatherWorld, read_states, sensors_of, write_weather

# more steps than a chunk holds, and no whole number of chunks
WORLD = WeatherWorld(seed=3, start=date(2018, 8, 1), days=5, side_px=20, handover=(0.4, 0.7))


@pytest.mark.parametrize("pictures", [True, False], ids=["png", "zarr"])
def test_files_hold_what_the_generator_yields(tmp_path, pictures):
    steps: list[int] = []
    files = write_weather(WORLD, tmp_path, pictures=pictures, on_frame=lambda: steps.append(1))
    assert len(steps) == len(WORLD) == 40
    clean = xr.open_zarr(files.clean, consolidated=False)
    np.testing.assert_array_equal(clean["time"].values.astype("datetime64[s]"), WORLD.times())
    np.testing.assert_array_equal(zarr.open_group(files.clean, mode="r")["image"], clean_frames(WORLD))
    table = states(WORLD)
    np.testing.assert_allclose(read_states(files.states_file).columns["jet_m_s"], table.columns["jet_m_s"], rtol=1e-5)
    for sensor, imager in zip(sensors_of(WORLD), (COMS, GK2A), strict=True):
        times = WORLD.times()[sensor.delivered]
        where, count = files.frames[imager.name]
        assert count == len(times) > 0
        if pictures:
            names = {imager.file_name(band, time) for time in times for band in range(3)}
            assert {p.name for p in (tmp_path / "frames").glob(f"{imager.name}_*.png")} == names
            with Image.open(tmp_path / "frames" / imager.file_name(0, times[-1])) as image:
                assert (image.size, image.mode) == ((20, 20), "L")
        else:
            data = xr.open_zarr(where, consolidated=False, mask_and_scale=False)
            np.testing.assert_array_equal(data["time"].values.astype("datetime64[s]"), times)
            assert data["image"].dims == ("time", "band", "y", "x")
            assert data.attrs["band_names"] == ["ir", "swir", "wv"]
            assert (data["image"].values.max((1, 2, 3)) > 0).all()


def test_pictures_and_arrays_have_the_same_content(tmp_path):
    for name, pictures in (("png", True), ("zarr", False)):
        write_weather(WORLD, tmp_path / name, pictures=pictures)
    frames = np.asarray(zarr.open_group(tmp_path / "zarr" / "frames" / "gk2a.zarr", mode="r")["image"])
    sensor = sensors_of(WORLD)[1]
    for frame, time in zip(frames, WORLD.times()[sensor.delivered], strict=True):
        for band in range(3):
            with Image.open(tmp_path / "png" / "frames" / GK2A.file_name(band, time)) as image:
                np.testing.assert_array_equal(np.asarray(image), frame[band])


def test_writing_again_gives_the_same_files(tmp_path):
    first, second = (write_weather(WORLD, tmp_path, pictures=False) for _ in range(2))
    assert first.frames == second.frames
    image = zarr.open_group(second.clean, mode="r")["image"]
    np.testing.assert_array_equal(image, clean_frames(WORLD))
