"""Where and when a weather world is: a square of East Asia on a flat map, in steps of three hours.

The field that is computed is wider than the view by `MARGIN` on each side: sensors see a little beside the view, and
what enters it has a past.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np

Array = np.ndarray

VIEW_KM = 4_400.0
"""Width and height of the view."""
MARGIN = 0.125
"""Of the view's side, on each of its four sides."""
MIDDLE_LATITUDE, MIDDLE_LONGITUDE = 36.0, 127.0
KM_PER_LATITUDE = 111.2
KM_PER_LONGITUDE = KM_PER_LATITUDE * float(np.cos(np.radians(MIDDLE_LATITUDE)))
STEP_HOURS = 3
STEPS_PER_DAY = 24 // STEP_HOURS
DAYS_PER_YEAR = 365.2425


@dataclass(frozen=True)
class Scale:
    """How long and how large a world of a name is."""

    start: date
    days: int
    side_px: int
    pictures: bool
    """Whether frames are PNG files; otherwise one zarr group for each sensor."""
    handover: tuple[float, float]
    """Shares of the time: where the second sensor begins, and where the first one ends."""


SCALES = {
    "tiny": Scale(date(2018, 6, 25), 60, 48, True, (0.5, 0.75)),
    "small": Scale(date(2014, 1, 1), 2_191, 64, False, (0.5, 0.75)),
    # GK2A's service began on 2019-07-25: 3,095 days after the first frame
    "large": Scale(date(2011, 2, 1), 3_347, 224, False, (3_096 / 3_347, 1.0)),
}


@dataclass(frozen=True)
class WeatherWorld:
    """Which weather: everything else follows from these.

    Raises:
        ValueError: fewer than one day, a side outside 16 to 1024 px, or shares of the handover out of order.
    """

    seed: int = 1
    start: date = SCALES["tiny"].start
    days: int = SCALES["tiny"].days
    side_px: int = SCALES["tiny"].side_px
    handover: tuple[float, float] = SCALES["tiny"].handover

    def __post_init__(self) -> None:
        if self.days < 1:
            raise ValueError(f"days {self.days}: at least one day must be asked for")
        if not 16 <= self.side_px <= 1024:
            raise ValueError(f"side {self.side_px} px: a side of 16 to 1024 px must be asked for")
        if not 0 <= self.handover[0] <= self.handover[1] <= 1:
            raise ValueError(f"handover {self.handover}: wants 0 <= begin of the second <= end of the first <= 1")

    def __len__(self) -> int:
        return self.days * STEPS_PER_DAY

    def times(self) -> Array:
        """Return datetime64[s] (step,): the nominal time of each step, UTC."""
        hours = np.arange(len(self)) * STEP_HOURS
        return np.datetime64(self.start, "s") + hours.astype("timedelta64[h]").astype("timedelta64[s]")

    @property
    def plane(self) -> Plane:
        """The pixels that are computed."""
        return Plane(self.side_px)


@dataclass(frozen=True)
class Plane:
    """The square pixels of the view and its margin; the first row is the northernmost."""

    side_px: int
    """Of the view."""

    @property
    def margin_px(self) -> int:
        """Rows or columns beside the view, on each side."""
        return int(np.ceil(self.side_px * MARGIN))

    @property
    def whole_px(self) -> int:
        """Side of view and margins."""
        return self.side_px + 2 * self.margin_px

    @property
    def pixel_km(self) -> float:
        """Side of a pixel."""
        return VIEW_KM / self.side_px

    @property
    def view(self) -> tuple[slice, slice]:
        """Rows and columns of the view."""
        inner = slice(self.margin_px, self.margin_px + self.side_px)
        return inner, inner

    def x_km(self, beyond: int = 0) -> Array:
        """Return float32 (x,): kilometres east of the middle, at pixel centres, with `beyond` more on each side."""
        places = np.arange(-beyond, self.whole_px + beyond) + 0.5 - self.whole_px / 2
        return (places * self.pixel_km).astype(np.float32)

    def y_km(self, beyond: int = 0) -> Array:
        """Return float32 (y, 1): kilometres north of the middle, likewise."""
        return -self.x_km(beyond)[:, None]

    def latitudes(self) -> Array:
        """Return float32 (y, 1), degrees."""
        return latitude_of(self.y_km())

    def longitudes(self) -> Array:
        """Return float32 (x,), degrees."""
        return MIDDLE_LONGITUDE + self.x_km() / np.float32(KM_PER_LONGITUDE)


def latitude_of(y_km: Array) -> Array:
    """Return degrees north of kilometres north of the middle."""
    return np.asarray(MIDDLE_LATITUDE + y_km / np.float32(KM_PER_LATITUDE))


def y_of(latitude: float) -> float:
    """Return kilometres north of the middle."""
    return (latitude - MIDDLE_LATITUDE) * KM_PER_LATITUDE


def season_phase(times: Array) -> Array:
    """Return float64: the angle of the year in radians, 0 at its begin."""
    year = times.astype("datetime64[Y]")
    days = (times - year.astype("datetime64[s]")) / np.timedelta64(86_400, "s")
    return np.asarray(2 * np.pi * days / DAYS_PER_YEAR)


def blocks(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges that cover `count` things, `size` at a time."""
    for begin in range(0, count, size):
        yield begin, min(count, begin + size)
