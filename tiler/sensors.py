"""Sensors: bands in order, valid range, nodata, resolution.

Add one to the table, or name a YAML file of the same fields.
"""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tiler.strict_yaml import read_yaml


class Sensor(BaseModel):
    """What the numbers of an acquisition mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    bands: tuple[str, ...] = Field(min_length=1)
    """Names in the order in which networks see them."""
    valid_min: float = Field(allow_inf_nan=False)
    """Smallest digital number that is a measurement."""
    valid_max: float = Field(allow_inf_nan=False)
    """Largest digital number that is a measurement."""
    nodata: float | None = None
    """Digital number that means "missing" where a file does not declare its own."""
    scale: float = Field(default=1.0, allow_inf_nan=False)
    """Physical value = digital number * scale (reflectance, column density)."""
    resolution_m: float = Field(gt=0, allow_inf_nan=False)
    """Nominal pixel size on the ground."""
    missing_limit: float = Field(default=0.3, ge=0, le=1)
    """Largest missing ratio of a tile that may train."""

    @model_validator(mode="after")
    def _consistent(self) -> Sensor:
        if len(set(self.bands)) != len(self.bands):
            raise ValueError(f"sensor {self.name}: band names repeat in {list(self.bands)}; name each band once")
        if not all(re.fullmatch(r"[\w .+-]{1,64}", name) for name in (self.name, *self.bands)):
            raise ValueError(
                f"names {[self.name, *self.bands]} are not all of 1 to 64 letters, digits, . + - _; rename"
            )
        if not self.valid_min < self.valid_max:
            raise ValueError(f"sensor {self.name}: valid_min {self.valid_min} is not below valid_max {self.valid_max}")
        return self

    def limits(self, dtype: np.dtype, nodata: float | None) -> tuple[np.generic, np.generic, np.generic | None]:
        """Return what measurements of a type lie between, both included, and the value there that is none.

        Args:
            dtype: integers or floats.
            nodata: the file's own missing value, or None where it declares none (the sensor's applies then).

        Returns:
            least, most and missing, all of `dtype`, so that pixels are compared without being converted. Least is above
            most where the type holds no measurement; missing is None where no value of the type is.
        """
        kind, least, most = np.dtype(dtype).type, self.valid_min, self.valid_max
        missing = self.nodata if nodata is None else nodata
        if missing is not None and np.isnan(missing):
            missing = None  # NaN is never between
        if np.issubdtype(dtype, np.integer):
            info = np.iinfo(dtype)
            least, most = max(math.ceil(least), info.min), min(math.floor(most), info.max)
            if missing is not None and not (float(missing).is_integer() and info.min <= missing <= info.max):
                missing = None
            if least > most:
                least, most = 1, 0
            missing = None if missing is None else int(missing)
        return kind(least), kind(most), None if missing is None else kind(missing)

    def valid(self, values: np.ndarray, nodata: float | None) -> np.ndarray:
        """Return which values are measurements: finite, not nodata, inside the valid range (closed at both ends).

        Args:
            values: any shape and numeric dtype, digital numbers.
            nodata: the file's own missing value, or None where it declares none (the sensor's applies then).

        Returns:
            bool, the shape of `values`.
        """
        least, most, missing = self.limits(values.dtype, nodata)
        good = (values >= least) & (values <= most)  # NaN and infinities compare as False
        if missing is not None:
            good &= values != missing
        return np.asarray(good)


SENSORS: dict[str, Sensor] = {
    # Sentinel-2 level 2A, 10 m. The source documents give no range: digital numbers are reflectance x 10,000 (some
    # products x 1,000); clouds and glint exceed 1.0, nothing real exceeds 2.0.
    "SN10": Sensor(
        name="SN10",
        bands=("red", "green", "blue", "nir"),
        valid_min=0,
        valid_max=20_000,
        nodata=0,
        scale=1e-4,
        resolution_m=10,
    ),
    # Landsat, 30 m; the whole uint16 range is allowed, so only nodata (0) excludes anything.
    "LS30": Sensor(
        name="LS30",
        bands=("red", "green", "blue", "nir"),
        valid_min=0,
        valid_max=65_535,
        nodata=0,
        scale=2.75e-5,
        resolution_m=30,
        missing_limit=0.8,
    ),
    # Photos and drawings, 8 bits; they have no place on Earth, so that the pixel size means nothing.
    "RGB": Sensor(
        name="RGB", bands=("red", "green", "blue"), valid_min=0, valid_max=255, resolution_m=1, missing_limit=1.0
    ),
    "GRAY": Sensor(name="GRAY", bands=("gray",), valid_min=0, valid_max=255, resolution_m=1, missing_limit=1.0),
    # GEMS, the geostationary spectrometer over Asia (about 7 x 8 km at Seoul). Ten bands whose species and units nobody
    # wrote down, so no range can be refused but that of the fill values of its level 2 products, which are about -1e30
    # and are not declared as nodata in every copy. Missing is NaN.
    "GEMS": Sensor(
        name="GEMS",
        bands=tuple(f"gems{index}" for index in range(10)),
        valid_min=-1e20,
        valid_max=1e20,
        resolution_m=7000,
        missing_limit=1.0,
    ),
    # Air quality near the ground: concentrations of six species, never negative; a million is beyond any of them in
    # ug/m3 or ppb. (Limits of 1: a coarse raster may be missing altogether, no tile is dropped for it.)
    "AIR": Sensor(
        name="AIR",
        bands=tuple(f"air{index}" for index in range(6)),
        valid_min=0,
        valid_max=1e6,
        nodata=-999,
        resolution_m=1000,
        missing_limit=1.0,
    ),
}


def load_sensor(name: str) -> Sensor:
    """Return a sensor of the table, or the one that a YAML file describes.

    Raises:
        ValueError: no such sensor (the nearest name is given), or the file does not describe one.
    """
    if name in SENSORS:
        return SENSORS[name]
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise ValueError(f"sensor file {name!r} does not exist; give a YAML file or one of {sorted(SENSORS)}")
        values = read_yaml(Path(name))
        try:
            return Sensor.model_validate(values)
        except ValidationError as error:
            places = [(".".join(map(str, e["loc"])), str(e["msg"])) for e in error.errors()[:5]]
            told = "; ".join(": ".join(filter(None, place)) for place in places)
            raise ValueError(f"sensor file {name} does not describe a sensor: {told}; correct it") from error
    near = difflib.get_close_matches(name, SENSORS, n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown sensor {name!r}: known are {sorted(SENSORS)}, or a YAML file{hint}")
