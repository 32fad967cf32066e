"""What a run says of a data set, in one of the layouts that are known."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from tiler.image_spec import ImagesSpec


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModalityConfig(_Frozen):
    """A coarse raster that comes with every tile of a data set."""

    sensor: str
    """GEMS, AIR, or a sensor YAML of one of these names."""
    side_px: int = Field(default=64, ge=1)


class AihubDataset(_Frozen):
    """A data set of equal tiles, in the layout of AI-Hub 71805."""

    layout: str = "aihub"
    root: str
    """Folder that holds Training/ and Validation/, with zips or extracted folders."""
    tile_px: int = Field(default=512, ge=1)
    codes: dict[int, int] = {10: 1, 90: 0}
    """Label code to class index; other codes are not labelled."""
    modalities: tuple[ModalityConfig, ...] = ()
    missing_limit: float | None = Field(default=None, ge=0, le=1)
    """Largest missing ratio of a tile that is kept; default: the sensor's."""
    preprocess: tuple[str | dict[str, dict[str, Any] | None], ...] = ()
    """Operations of `tiler.imagery_preparation` on every tile, in order."""

    @field_validator("layout")
    @classmethod
    def _known(cls, layout: str) -> str:
        if layout != "aihub":
            near = difflib.get_close_matches(layout, LAYOUTS, n=1, cutoff=0.0)[0]
            raise ValueError(f"layout {layout!r} is unknown: known are {list(LAYOUTS)}; did you mean {near!r}?")
        return layout


LAYOUTS = ("aihub", "images")
"""Of data sets; aihub, if none is named."""


def _layout(values: Any) -> str:
    """Return which model of a data set is meant; errors name it, and `jobs.parsing` leaves it out of them."""
    layout = values.get("layout") if isinstance(values, dict) else getattr(values, "layout", None)
    return ImagesSpec.__name__ if layout == "images" else AihubDataset.__name__


Dataset = Annotated[
    Annotated[AihubDataset, Tag("AihubDataset")] | Annotated[ImagesSpec, Tag("ImagesSpec")], Discriminator(_layout)
]
