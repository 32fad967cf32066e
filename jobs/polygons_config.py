"""Configuration of polygons: which sites there are, how they are drawn, and in which files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.frozen import Frozen
from tiler.patches import PolygonRules

AUTO, NONE = "auto", "none"
"""Of `earlier`: what is no run."""
PolygonFormat = Literal["geoparquet", "flatgeobuf", "pmtiles"]


class PolygonsConfig(Frozen):
    """How a map becomes polygons (`outputs: [..., polygons]`)."""

    connectivity: Literal[4, 8] = 8
    """Whether pixels that meet at a corner only are of one site (8) or not (4)."""
    min_area_m2: float = Field(default=0.0, ge=0)
    """Smaller sites are left out."""
    min_hole_m2: float = Field(default=0.0, ge=0)
    """Smaller holes are filled, if there is nothing in them: no other site, and no pixel that nobody saw."""
    simplify_px: float = Field(default=0.0, ge=0, le=64)
    """How far an outline may move, in pixels; from about 1 on the stairs of pixels go. 0 keeps every corner."""
    earlier: str = Field(default=AUTO, min_length=1)
    """Whose sites these continue, for `first_seen`: the folder of a run, or its YAML; "auto": the map that was
    published before this one, in the same folder or by the same plan; "none": nobody's."""
    formats: tuple[PolygonFormat, ...] = Field(default=("geoparquet", "flatgeobuf"), min_length=1)

    @model_validator(mode="after")
    def _writable(self) -> PolygonsConfig:
        if "pmtiles" in self.formats:
            from pyogrio import list_drivers

            if "w" not in list_drivers().get("PMTiles", ""):
                raise ValueError(
                    "formats: the GDAL of this pyogrio writes no pmtiles; leave it out, or install its wheel"
                )
        return self

    @property
    def rules(self) -> PolygonRules:
        """What of it decides the polygons."""
        return PolygonRules(self.connectivity, self.min_area_m2, self.min_hole_m2, self.simplify_px)
