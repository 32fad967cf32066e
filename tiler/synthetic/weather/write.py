"""A weather world on disk: frames as imagers delivered them, the clean pictures, the states, all in flat memory.

OUT/frames/*.png          one picture for each band and time, with KMA's names; or OUT/frames/coms.zarr, gk2a.zarr
OUT/clean.zarr            `image (time, band, y, x)` uint8: the same weather without a sensor
OUT/states.csv            one row a step
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from PIL import Image

from tiler.stores import add_array, finish_group, zarr_store
from tiler.synthetic.weather.domain import STEP_HOURS, VIEW_KM, WeatherWorld
from tiler.synthetic.weather.observe import Sensor, sensors_of
from tiler.synthetic.weather.radiance import BANDS, encoded
from tiler.synthetic.weather.sequence import latent_of, moments
from tiler.synthetic.weather.state_table import States, states_of, write_states

Array = np.ndarray

CHUNK_FRAMES = 32
"""That lie in one chunk, and are held in memory for each array that is written."""


@dataclass(frozen=True)
class WeatherFiles:
    """What was written."""

    frames: dict[str, tuple[str, int]]
    """Name of each sensor to the address of its frames and their number."""
    clean: Path
    states_file: Path
    states: States


def write_weather(
    world: WeatherWorld, out: Path, *, pictures: bool, on_frame: Callable[[], None] = lambda: None
) -> WeatherFiles:
    """Write a world.

    Args:
        world: which.
        out: the folder; what an earlier call wrote there is replaced, file by file.
        pictures: frames as PNG files; otherwise as one zarr group for each sensor.
        on_frame: called after each step.
    """
    folder = out / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    latent = latent_of(world)
    states = states_of(world, latent)
    states_file = out / "states.csv"
    write_states(states, states_file)
    sensors, times = sensors_of(world), world.times()
    clean = _Cube(out / "clean.zarr", times, world, "clean")
    # created before the first frame: a folder that cannot be written to is found at once
    cubes = {
        s.imager.name: _Cube(folder / f"{s.imager.name}.zarr", times[s.delivered], world, s.imager.name)
        for s in sensors
        if not pictures
    }
    view = world.plane.view
    for moment in moments(world, latent):
        clean.add(encoded(moment.values[:, view[0], view[1]]))
        for sensor in sensors:
            if sensor.delivered[moment.step]:
                frame = sensor.observe(moment.values, moment.step)
                if pictures:
                    _write_pictures(folder, sensor, moment.time, frame)
                else:
                    cubes[sensor.imager.name].add(frame)
        on_frame()
    for cube in (clean, *cubes.values()):
        cube.close()
    places = {
        s.imager.name: (str(folder if pictures else folder / f"{s.imager.name}.zarr"), int(s.delivered.sum()))
        for s in sensors
    }
    return WeatherFiles(places, out / "clean.zarr", states_file, states)


def _write_pictures(folder: Path, sensor: Sensor, time: np.datetime64, frame: Array) -> None:
    for band, image in enumerate(frame):
        # level 1: half the time of the default for a few percent more bytes, noise being what it is
        Image.fromarray(image).save(folder / sensor.imager.file_name(band, time), compress_level=1)


class _Cube:
    """A zarr group that is filled from its begin to its end, a chunk at once. It reads as CF in xarray."""

    def __init__(self, path: Path, times: Array, world: WeatherWorld, name: str) -> None:
        side = world.side_px
        self._group = zarr.create_group(zarr_store(str(path)), overwrite=True, zarr_format=3)
        chunk = min(CHUNK_FRAMES, max(1, len(times)))
        self._image: Any = add_array(
            self._group,
            "image",
            ("time", "band", "y", "x"),
            (len(times), len(BANDS), side, side),
            (chunk, len(BANDS), side, side),
            None,
            "uint8",
            0,
            {"missing_value": 0, "band_names": list(BANDS), "long_name": "grey value, cold is bright"},
        )
        seconds = times.astype("datetime64[s]").astype(np.int64)
        attributes = {"units": "seconds since 1970-01-01 00:00:00", "calendar": "proleptic_gregorian", "axis": "T"}
        size = (max(1, len(times)),)
        add_array(self._group, "time", ("time",), (len(times),), size, None, "int64", 0, attributes)[:] = seconds
        pixel_km = VIEW_KM / side
        middles_km = (np.arange(side) + 0.5 - side / 2) * pixel_km
        for axis, values in (("y", -middles_km), ("x", middles_km)):
            add_array(self._group, axis, (axis,), (side,), (side,), None, "float64", 0.0, {"units": "km"})[:] = values
        self._facts = {"band_names": list(BANDS), "step_s": STEP_HOURS * 3600, "sensor": name, "seed": world.seed}
        self._held: list[Array] = []
        self._written, self._chunk = 0, chunk

    def add(self, frame: Array) -> None:
        """Take one more frame."""
        self._held.append(frame)
        if len(self._held) == self._chunk:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            end = self._written + len(self._held)
            self._image[self._written : end] = np.stack(self._held)
            self._written, self._held = end, []

    def close(self) -> None:
        """Write what is held, and the sign that all is there."""
        self._flush()
        finish_group(self._group, self._facts)
