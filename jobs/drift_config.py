"""How drift is judged: by `sandan drift`, and by the gate of a plan."""

from __future__ import annotations

from pydantic import Field, model_validator

from jobs.config import RegionsConfig
from jobs.frozen import Frozen


class DriftConfig(Frozen):
    """Regions, blocks and bounds."""

    rate: float = Field(default=0.05, gt=0, lt=1)
    """False-alarm rate for the whole run, whatever the number of regions."""
    region_km: float | None = Field(default=None, gt=0)
    """Side of the squares of ground that are judged apart; default: all is one region."""
    regions: RegionsConfig | None = None
    """Polygons that are judged apart, instead of squares."""
    block_km: float | None = Field(default=None, gt=0)
    """Side of the pieces of ground that are drawn whole, larger than the reach of likeness; default: two windows."""
    max_lost: float = Field(default=0.25, ge=0, lt=1)
    """Share of the windows that the reference saw of which more may not be missing."""
    resamples: int = Field(default=400, ge=20)
    """Halvings of each region of the reference, at least."""
    seed: int = 0

    @model_validator(mode="after")
    def _one_kind(self) -> DriftConfig:
        if self.regions is not None and self.region_km is not None:
            raise ValueError("regions are polygons or squares, not both; take out regions or region_km")
        return self
