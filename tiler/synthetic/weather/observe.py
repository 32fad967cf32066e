"""Two imagers that look at the same weather: where they point, how they respond, and what they lose.

COMS and GK2A hang over the same meridian (128.2 degrees east) but cut their pictures differently and respond
differently. Each has a calibration that drifts over weeks and jumps a little from frame to frame, navigation that
jitters, stripes of its detectors, and noise; lines and whole frames go missing. `Imager.clean` has none of these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tiler.synthetic.noise import bell, hash_cells
from tiler.synthetic.weather.advection import sample
from tiler.synthetic.weather.chance import normals, stream, units, wandering
from tiler.synthetic.weather.domain import STEPS_PER_DAY, Plane, WeatherWorld
from tiler.synthetic.weather.radiance import BANDS, encoded

Array = np.ndarray

MERIDIAN = 128.2
"""Degrees east of the place under both satellites."""
DRIFT_MEMORY_DAYS = 25.0
OUTAGE_DAYS = 2.5
"""Length of an outage in the mean."""


@dataclass(frozen=True)
class Imager:
    """How one imager sees. Shares are of the view's side, grey values of [0, 1]."""

    name: str
    instrument: str
    words: tuple[str, str, str]
    """Of each band, in file names."""
    area: str
    """In file names."""
    number: int
    """Sets its chance apart from that of others."""
    zoom: float = 1.0
    """Of the view; above 1 it shows less."""
    shift: tuple[float, float] = (0.0, 0.0)
    """To the south and east."""
    turn_deg: float = 0.0
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Response of each band about a grey value of 0.5."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    blur: float = 0.0
    """Share of each pixel that comes from its four neighbours."""
    jitter: float = 0.0
    """Standard deviation of navigation; never beyond three times as much."""
    drift_gain: float = 0.0
    drift_offset: float = 0.0
    frame_gain: float = 0.0
    frame_offset: float = 0.0
    stripes: float = 0.0
    """Standard deviation of detector offsets, drawn anew for each row and frame and half of it standing."""
    noise: float = 0.0
    limb: float = 0.0
    """Grey value that is added at a zenith angle of 60 degrees, as if the air were colder (limb darkening)."""
    lost_lines: float = 0.0
    """Share of frames with a block of lost lines."""
    lost_frames: float = 0.0
    """Share of single frames that never came."""
    outages_per_year: float = 0.0

    def clean(self) -> Imager:
        """Return an imager of the same files without any fault, view or response of its own."""
        return Imager(self.name, self.instrument, self.words, self.area, self.number)

    def file_name(self, band: int, time: np.datetime64) -> str:
        """Return the name of a picture, as the Korea Meteorological Administration writes it."""
        digits = str(time.astype("datetime64[m]")).translate(str.maketrans("", "", "-T:"))
        return f"{self.name}_{self.instrument}_le1b_{self.words[band]}_{self.area}_{digits}.png"


COMS = Imager(
    name="coms",
    instrument="mi",
    words=("ir1", "swir", "wv"),
    area="ea",
    number=1,
    blur=0.25,
    jitter=0.010,
    drift_gain=0.03,
    drift_offset=0.015,
    frame_gain=0.02,
    frame_offset=0.012,
    stripes=0.012,
    noise=0.012,
    limb=0.05,
    lost_lines=0.03,
    lost_frames=0.015,
    outages_per_year=4.0,
)
GK2A = replace(
    COMS,
    name="gk2a",
    instrument="ami",
    words=("ir105", "sw038", "wv069"),
    area="ea020lc",
    number=2,
    zoom=1.07,
    shift=(0.02, -0.03),
    turn_deg=1.5,
    gain=(1.08, 0.92, 1.15),
    offset=(-0.02, 0.03, 0.05),
    blur=0.0,
    jitter=0.005,
    drift_gain=0.015,
    drift_offset=0.01,
    stripes=0.005,
    noise=0.006,
    limb=0.03,
    lost_lines=0.01,
    lost_frames=0.006,
    outages_per_year=2.0,
)
IMAGERS = (COMS, GK2A)


class Sensor:
    """One imager over the whole time of a world: what is true for all frames is drawn at once."""

    def __init__(self, imager: Imager, world: WeatherWorld, limits: tuple[int, int] | None = None) -> None:
        self.imager, self._plane = imager, world.plane
        self._seed, self._steps = stream(world.seed, 70, imager.number), np.arange(len(world))
        first, last = limits if limits is not None else (0, len(world))
        self.delivered = _delivered(imager, self._seed, self._steps)
        """bool (step,): whether there is a frame."""
        self.delivered &= (self._steps >= first) & (self._steps < last)
        memory = np.full(2 * len(BANDS), DRIFT_MEMORY_DAYS * STEPS_PER_DAY)
        drift = wandering(normals(stream(self._seed, 1), self._steps, len(memory)), memory)
        jump = normals(stream(self._seed, 2), self._steps, 2 * len(BANDS))
        bands = len(BANDS)
        gain = 1 + imager.drift_gain * drift[:, :bands] + imager.frame_gain * jump[:, :bands]
        self._gain = (gain * np.array(imager.gain)).astype(np.float32)
        offset = imager.drift_offset * drift[:, bands:] + imager.frame_offset * jump[:, bands:]
        self._offset = (offset + np.array(imager.offset)).astype(np.float32)
        self._pointing = imager.jitter * normals(stream(self._seed, 3), self._steps, 2)
        self._limb = _limb(self._plane) * np.float32(imager.limb)

    def observe(self, values: Array, step: int) -> Array:
        """Return a frame, uint8 (band, y, x); 0 is what was not measured.

        Args:
            values: float32 (band, y, x) of view and margin, as `Moment.values`.
            step: of the frame, one that is delivered.
        """
        imager, side = self.imager, self._plane.side_px
        seen = sample(values, *self._look(step))
        if imager.blur > 0:
            seen = _blurred(seen, imager.blur)
        seen = (seen - np.float32(0.5)) * self._gain[step][:, None, None] + np.float32(0.5)
        seen = seen + self._offset[step][:, None, None] + self._limb
        key = stream(self._seed, 4, step)
        bands, rows, cols = np.ogrid[: len(BANDS), :side, :side]
        if imager.noise > 0:
            seen = seen + np.float32(imager.noise) * bell(hash_cells(key, bands * side + rows, cols + 0 * rows), 1)
        if imager.stripes > 0:
            fresh, standing = (bell(hash_cells(k, bands[..., 0], rows[..., 0]), 2) for k in (key, self._seed))
            seen = seen + np.float32(imager.stripes) * (0.87 * fresh + 0.5 * standing).astype(np.float32)[..., None]
        found = encoded(seen)
        found[:, self._lost(step), :] = 0
        return found

    def _look(self, step: int) -> tuple[Array, Array]:
        """Return float32 (y, x) rows and columns of the plane that each pixel looks at."""
        imager, side = self.imager, self._plane.side_px
        middle = (self._plane.whole_px - 1) / 2
        places = np.arange(side) - (side - 1) / 2
        angle = np.radians(imager.turn_deg)
        down, right = places[:, None] / imager.zoom, places[None, :] / imager.zoom
        rows = down * np.cos(angle) - right * np.sin(angle) + middle
        cols = down * np.sin(angle) + right * np.cos(angle) + middle
        off = self._pointing[step] + np.array(imager.shift)
        return (rows + off[0] * side).astype(np.float32), (cols + off[1] * side).astype(np.float32)

    def _lost(self, step: int) -> slice:
        """Return the rows that are missing."""
        draws = units(stream(self._seed, 5), np.array([step]), 3)[0]
        if draws[0] >= self.imager.lost_lines:
            return slice(0, 0)
        side = self._plane.side_px
        first, count = int(draws[1] * side), max(1, round((0.02 + 0.1 * float(draws[2])) * side))
        return slice(first, first + count)


def sensors_of(world: WeatherWorld) -> tuple[Sensor, ...]:
    """Return COMS over the first part of a world and GK2A over the last; both see the part between."""
    begin, end = (round(share * len(world)) for share in world.handover)
    return Sensor(COMS, world, (0, end)), Sensor(GK2A, world, (begin, len(world)))


def _delivered(imager: Imager, seed: int, steps: Array) -> Array:
    """Return bool (step,): not lost alone, and not within an outage."""
    alone = units(stream(seed, 6), steps, 1)[:, 0] >= imager.lost_frames
    draws = units(stream(seed, 7), steps, 2)
    begins = np.flatnonzero(draws[:, 0] < imager.outages_per_year / 365.25 / STEPS_PER_DAY)
    for begin in begins:
        length = 1 + int(-np.log1p(-draws[begin, 1]) * OUTAGE_DAYS * STEPS_PER_DAY)
        alone[begin : begin + length] = False
    return alone


def _blurred(values: Array, share: float) -> Array:
    """Return each pixel mixed with its four neighbours; edges are repeated."""
    wide = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    return np.asarray(np.float32(1 - share) * values + np.float32(share / 4) * around)


def _limb(plane: Plane) -> Array:
    """Return float32 (y, x) of the view: how much longer the way through air is; 1 at a zenith angle of 60 degrees."""
    lat = np.radians(plane.latitudes())
    lon = np.radians(plane.longitudes() - np.float32(MERIDIAN))
    cosine = np.cos(lat) * np.cos(lon)
    # from the middle of the earth to that of the satellite: 42,164 km; to the ground: 6,371 km
    ratio = 6_371.0 / 42_164.0
    zenith = (cosine - ratio) / np.sqrt(1 - 2 * ratio * cosine + ratio**2)
    longer = 1 / np.clip(zenith, 0.1, 1) - 1
    return np.asarray(longer[plane.view], np.float32)
