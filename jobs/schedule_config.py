"""A plan: a run that is made again and again, as the scenes of its search come, change and go."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from jobs.config import RunConfig
from jobs.drift_config import DriftConfig
from jobs.frozen import Frozen
from jobs.gates_config import QualityGates
from tiler.sources import Sources, check_address

Event = Literal["published", "refused", "failed", "held", "nothing new", "rolled back"]


class GatesConfig(QualityGates):
    """What a map must pass before it is published, and its scenes before a network runs over them (`QualityGates`)."""

    min_scenes: int = Field(default=1, ge=1)
    """Fewest scenes in the map."""
    max_lacking: float = Field(default=0.0, ge=0, le=1)
    """Largest share of the scenes found that the map lacks, whole or in part: unreadable, quarantined, with quarantined
    windows."""
    min_seen: float | None = Field(default=None, ge=0, le=1)
    """Least share of the pixels of `area` that a scene saw."""
    max_gained: float | None = Field(default=None, ge=0)
    """Of ground that this map and the published one both saw: largest area that is of a class now and was not, as a
    share of the area that was."""
    max_lost: float | None = Field(default=None, ge=0, le=1)
    """As `max_gained`: largest share of what was of a class and is not any more."""
    min_miou: float | None = Field(default=None, ge=0, le=1)
    """Least mean IoU against `labels`, as `evaluate` says to measure it."""
    drift: DriftConfig | None = None
    """How the embeddings of new scenes are compared with those of the published run; no region may drift."""


class NotifyConfig(Frozen):
    """A webhook that is told how a tick ended: one POST of JSON."""

    url: str = ""
    url_env: str = ""
    """Variable of the environment that holds the address, where that is a secret itself."""
    hosts: tuple[str, ...] = ()
    """Hosts that may be told: exactly these."""
    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    on: tuple[Event, ...] = ("published", "refused", "failed", "rolled back")
    token_env: str = ""
    """Variable of the environment that holds a bearer token."""
    timeout_s: float = Field(default=10.0, gt=0, le=60)

    @model_validator(mode="after")
    def _one_address(self) -> NotifyConfig:
        if bool(self.url) == bool(self.url_env):
            raise ValueError("give one of url and url_env (a variable of the environment that holds the address)")
        if self.url:
            self.check(self.url)
        elif not self.hosts:
            raise ValueError("hosts: name the host that may be told")
        return self

    def check(self, url: str) -> None:
        """Refuse an address that may not be told.

        Raises:
            ValueError: its scheme or host is not named, or it holds a password. The address itself is not in it.
        """
        try:
            check_address(url, Sources(schemes=self.schemes, hosts=self.hosts))
        except ValueError:
            host = urlsplit(url).hostname
            raise ValueError(
                f"the address (host {host!r}) may not be told: it needs a scheme of {list(self.schemes)}, a host of "
                f"{list(self.hosts)}, and no user or password; name its host in notify.hosts"
            ) from None


class PlanConfig(RunConfig):
    """A run without `out`, and where its product goes."""

    out: str = ""
    """Of no use here."""
    product: str
    """Folder of all runs, and of the pointer to the published one: a local path, s3:// or gs://."""
    gates: GatesConfig = GatesConfig()
    keep: int = Field(default=3, ge=1, le=100)
    """Published runs that are kept, the present one included."""
    notify: NotifyConfig | None = None

    @model_validator(mode="after")
    def _fits(self) -> PlanConfig:
        if self.out:
            raise ValueError(
                f"out: {self.out!r}: the runs of a plan lie in PRODUCT/runs; take it out (where it comes by `extends`, "
                "write out: '')"
            )
        if self.dataset is not None:
            raise ValueError("dataset: a plan maps `scenes`; use `sandan ingest` for data sets")
        if self.frames is not None:
            raise ValueError("frames: a plan maps `scenes`; use `sandan ingest` for frame series")
        if not self.models:
            raise ValueError("models: the plan names no bundle; add the folder of one")
        if self.grid == "auto":
            raise ValueError(
                "grid: auto is the grid of the first scene, and scenes come and go; give crs and resolution"
            )
        if self.gates.min_seen is not None and self.area is None:
            raise ValueError("gates.min_seen is a share of `area`, which the plan does not give; add area: FILE")
        if self.gates.drift is not None and self.embed is None:
            raise ValueError(
                "gates.drift compares embeddings, and the plan names no embedder; add embed: {model: FOLDER}"
            )
        if self.gates.min_miou is not None and self.labels is None:
            raise ValueError("gates.min_miou compares with `labels`, which the plan does not give; add them")
        return self

    def run_at(self, out: str) -> RunConfig:
        """Return the configuration of a run of the plan."""
        values = {name: getattr(self, name) for name in RunConfig.model_fields}
        return RunConfig.model_validate(values | {"out": out})
