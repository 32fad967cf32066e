"""Gates as configuration: what a plan asks before it maps, and a recipe before and after it trains."""

from __future__ import annotations

from pydantic import Field

from jobs.drift_config import DriftConfig
from jobs.frozen import Frozen


class QualityGates(Frozen):
    """What pixels must be like; a bound that is not given is not asked."""

    max_missing: float | None = Field(default=None, ge=0, le=1)
    """Largest missing ratio of any scene; where a data set trains, of any tile."""
    max_odd: float | None = Field(default=None, gt=0)
    """Largest robust z of the mean of a band of a scene (or tile) among all of them: far off are another sensor,
    another scale, or haze over a whole scene. Needs five."""
    max_outliers: float | None = Field(default=None, ge=0, le=1)
    """Largest share of windows (or tiles) that are like no other: whose outlier score (`sandan curate report`) is
    above `outlier_z`."""
    outlier_z: float = Field(default=8.0, gt=0)

    @property
    def asks(self) -> bool:
        """Whether anything of this is asked."""
        return any(bound is not None for bound in (self.max_missing, self.max_odd, self.max_outliers))


class ReferenceDrift(DriftConfig):
    """How a run is compared with another one."""

    reference: str
    """Run YAML of scenes that were embedded by the same embedder, such as what the last network was trained on."""


class TrainingGates(QualityGates):
    """What data must pass before a network is trained on them; only what curation kept is asked."""

    drift: ReferenceDrift | None = None
    """Of scenes that are embedded: no region may drift from the reference."""


class NetworkGates(Frozen):
    """What a trained network must reach, by the scores in its card; a score that is not named is not asked."""

    least: dict[str, float] = Field(default={})
    """Score to its lowest value, such as mIoU: 0.2."""
    most: dict[str, float] = Field(default={})
    """Score to its highest value, where less is better, such as mse: 400."""
