"""What a run may say of a frame series."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tiler.frame_names import band_name


class BurnedIn(BaseModel):
    """What is drawn over every frame, and is no measurement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top_px: int = Field(default=0, ge=0)
    """Rows of a title line, in pixels of the files."""
    bottom_px: int = Field(default=0, ge=0)
    lines: bool = False
    """Whether coast lines, borders, graticules and texts are looked for: what is thin and stands still."""


class FrameSpec(BaseModel):
    """A frame series: all bands of one view at equal steps of time, as files or as one array."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    files: str
    """Folder (with what is below it) or glob of files of one band and one time; or one zarr or NetCDF with a time
    axis."""
    series: str | None = None
    """Name of the series; where a folder holds several sensors, the one that is meant. Default: the sensor."""
    bands: tuple[str, ...] = ()
    """In the order of the store; default: all there are, ir, swir and wv first."""
    variable: str | None = None
    """Of a NetCDF or zarr with several."""
    step_minutes: float = Field(default=180.0, gt=0)
    """Nominal time from frame to frame; what lies between the steps is left out, and counted."""
    phase_minutes: float = Field(default=0.0, ge=0)
    """Nominal time of the first step after midnight of 1970-01-01 (UTC)."""
    tolerance_minutes: float = Field(default=0.0, ge=0)
    """How far from its nominal time a frame may be."""
    side_px: int = Field(default=224, ge=1, le=4096)
    """The shorter side is brought to this size, then the middle is cut out."""
    burned_in: BurnedIn = BurnedIn()
    missing_band: Literal["keep", "drop"] = "keep"
    """A frame that lacks a band: kept with that band missing, or left out."""
    value_range: tuple[float, float] | dict[str, tuple[float, float]] | None = None
    """Smallest and largest number of all bands, or of each; default: what the files say (8 bits: 0 to 255)."""

    nodata: float | None = None
    """A number that is no measurement, besides what the files say: 0 beside the disc, or where nothing was scanned."""

    @field_validator("series")
    @classmethod
    def _safe(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
            raise ValueError(f"series {name!r}: use at most 64 letters, digits, '_' and '-', the first no sign")
        return name

    @field_validator("bands")
    @classmethod
    def _distinct(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(band_name(band) for band in bands)
        if len(set(names)) < len(names) or "" in names:
            raise ValueError(f"bands {list(bands)} must differ, they stand for {list(names)}; name each once")
        return names

    @model_validator(mode="after")
    def _times(self) -> FrameSpec:
        if self.step_s != self.step_minutes * 60 or self.phase_s != self.phase_minutes * 60:
            raise ValueError("step_minutes and phase_minutes must be whole seconds")
        if self.phase_s >= self.step_s or 2 * self.tolerance_minutes >= self.step_minutes:
            raise ValueError(
                f"phase_minutes {self.phase_minutes:g} must be below step_minutes {self.step_minutes:g}, and "
                f"tolerance_minutes {self.tolerance_minutes:g} below half of it"
            )
        return self

    @model_validator(mode="after")
    def _ranges(self) -> FrameSpec:
        given = self.value_range
        for low, high in given.values() if isinstance(given, dict) else [given] if given else []:
            if low >= high:
                raise ValueError(f"value_range: {low:g} to {high:g} is empty; give the smallest, then the largest")
        return self

    @property
    def step_s(self) -> int:
        """Length of a step."""
        return round(self.step_minutes * 60)

    @property
    def phase_s(self) -> int:
        """Nominal time of the first step of 1970."""
        return round(self.phase_minutes * 60)

    def range_of(self, band: str) -> tuple[float, float] | None:
        """Return smallest and largest number of a band, where they are given."""
        if isinstance(self.value_range, dict):
            return next((span for name, span in self.value_range.items() if band_name(name) == band), None)
        return self.value_range
