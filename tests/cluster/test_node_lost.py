"""An actor that went with its node is told from one whose process died: units of the first are not blamed."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from cluster.pool import NODE_LOST, node_lost

DIED = "The actor died because its node has died. Node Id: 3f2a\n\tthe actor's node was terminated "
CRASHED = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "


@pytest.mark.parametrize(
    ("said", "preempted", "lost"),
    [
        (DIED + "unexpectedly: health check failed due to missing too many heartbeats", False, True),
        (DIED + "expectedly: received SIGTERM", False, True),
        (CRASHED + "Worker unexpectedly exits with a connection error code 2.", False, False),
        (CRASHED + "the spot instance was taken", True, True),
    ],
)
def test_what_ray_says_of_the_death_of_an_actor(said: str, preempted: bool, lost: bool):
    from ray.exceptions import RayActorError

    assert node_lost(RayActorError("3f2a", said, False, preempted)) is lost


def test_this_version_of_ray_says_so():
    """It has no field for it: if another version says it in other words, this fails and not a run."""
    import ray

    server = Path(ray.__file__).parent / "core" / "src" / "ray" / "gcs" / "gcs_server"
    with server.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as binary:
        assert [s for s in NODE_LOST if binary.find(s.encode()) < 0] == []
