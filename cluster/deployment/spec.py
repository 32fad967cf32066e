"""What a cluster is made of, told once: every file that starts one is rendered from this."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

NODE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # One heap for all threads: large networks run a sixth slower where each thread has its own.
    "MALLOC_ARENA_MAX": "1",
    # Else whatever runs beside a worker on its node takes the core that it computes on.
    "RAY_worker_niceness": "0",
}
"""Environment of every node, beside its token."""
Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
"""What clouds and Kubernetes both accept as a name."""


class Part(BaseModel):
    """A part of a deployment: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Workers(Part):
    """A group of equal worker machines."""

    name: Name
    cpus: int = Field(ge=1)
    memory_gib: int = Field(ge=1)
    gpus: int = Field(0, ge=0)
    least: int = Field(0, ge=0, description="machines that are always there")
    most: int = Field(ge=1, description="machines at most; the autoscaler adds what pending workers need")
    spot: bool = Field(False, description="machines that are cheap because they may be taken away")
    aws_instance: str | None = Field(None, description="instance type; without one the group is left out on AWS")
    gcp_machine: str | None = Field(None, description="machine type; without one the group is left out on GCP")
    gcp_accelerator: str | None = Field(
        None, description="such as nvidia-l4, for machine types that do not bring theirs"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Workers:
        if self.least > self.most:
            raise ValueError(f"least ({self.least}) is more than most ({self.most}); lower it")
        return self


class Head(Part):
    """The head: drivers run here, workers never do, and it is never a machine that may be taken away."""

    cpus: int = Field(default=4, ge=1)
    memory_gib: int = Field(default=16, ge=1)
    aws_instance: str = "m7i.xlarge"
    gcp_machine: str = "n2-standard-4"


class Aws(Part):
    """Where on AWS."""

    region: str
    zones: tuple[str, ...] = Field(min_length=1)
    image_id: str = Field(pattern=r"^ami-[0-9a-f]{8,17}$", description="a machine image with docker and NVIDIA drivers")
    instance_profile: str = Field(description="gives access to the store of runs; no keys on machines")
    ssh_user: str = "ubuntu"
    disk_gb: int = Field(200, ge=30)


class Gcp(Part):
    """Where on Google Cloud."""

    project: str
    region: str
    zone: str
    source_image: str = Field(description="an image with docker and NVIDIA drivers: projects/P/global/images/family/F")
    service_account: str = Field(description="gives access to the store of runs")
    ssh_user: str = "ubuntu"
    disk_gb: int = Field(200, ge=30)


class OnPremises(Part):
    """Fixed machines of one's own, reached over ssh."""

    head: str = Field(description="address")
    workers: tuple[str, ...] = Field(min_length=1, description="addresses")
    ssh_user: str
    ssh_key: str = "~/.ssh/id_ed25519"
    ray: str = Field(
        "/opt/sandan/bin/ray", description="of the environment in which Sandan is installed on each machine"
    )
    plan: str = Field(
        "/etc/sandan/plan.yaml", pattern=r"^/[\w./-]+$", description="what the head's schedule maps, on the head"
    )
    schedule: str = Field("0 3 2 * *", description="when a tick begins, as cron says it")
    calendar: str = Field("*-*-02 03:00:00", description="the same, as systemd says it")


class Kubernetes(Part):
    """Where in Kubernetes, with the KubeRay operator."""

    namespace: Name = "sandan"
    gpu_resource: str = "nvidia.com/gpu"
    spot_label: dict[str, str] = Field(
        default_factory=dict, description="label, and taint, of nodes that may be taken away"
    )
    storage_class: str | None = Field(
        None, description="of a volume that all pods share; without one runs lie in s3://"
    )
    storage_gib: int = Field(500, ge=1)
    schedule: str = Field("0 3 2 * *", description="when a tick begins, as cron says it")


class Deployment(Part):
    """One cluster, wherever it is started."""

    name: Name = "sandan"
    image: str = Field(pattern=r"^[^:@\s]+(:[0-9]+/[^:@\s]+)?(:[\w][\w.-]*|@sha256:[0-9a-f]{64})$")
    """Container image with a tag: the same on every node."""
    token_file: str = "~/.sandan/token"
    """On the machine that starts the cluster: the secret that every node and every client needs."""
    idle_minutes: int = Field(5, ge=1)
    drain_s: int = Field(90, ge=10, le=110)
    """What a node that is to be taken away is given to finish its units; clouds tell two minutes ahead."""
    head: Head = Field(default_factory=Head)
    workers: tuple[Workers, ...] = Field(min_length=1)
    aws: Aws | None = None
    gcp: Gcp | None = None
    onprem: OnPremises | None = None
    kubernetes: Kubernetes | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Deployment:
        names = [group.name for group in self.workers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"groups of workers must have names of their own; found twice: {', '.join(twice)}")
        if self.image.endswith(":latest"):
            raise ValueError(
                f"image {self.image} may be another one tomorrow; give a version, or a digest (@sha256:...)"
            )
        return self

    @property
    def token_on_nodes(self) -> str:
        """Where the token lies on a node: a file of the user who runs Ray, readable by that user alone."""
        return str(PurePosixPath("~/.sandan") / "token")
