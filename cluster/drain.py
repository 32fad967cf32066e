"""`python -m cluster.drain`: this node will be taken away. Tell the cluster, and wait until its work is finished.

python -m cluster.drain --seconds 90               now: systemd and Kubernetes call it before they stop a node
python -m cluster.drain --seconds 90 --watch aws   when the cloud gives notice that it takes a spot machine back

A node that drains gets no new units; those that it works on are finished, as long as there is time. Open-source Ray
does not look for notices of clouds itself. This ends with 0 when nothing runs on the node any more, with 3 when the
time was up before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

IDLE, BUSY = 0, 3
POLL_S = 1.0
NOTICE_POLL_S = 5.0
TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Cloud:
    """Where a machine learns that it will be taken away."""

    base: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    token_path: str = ""
    """Where a token for the question is had first; empty where none is needed."""

    def gives_notice(self) -> bool:
        """Ask once. Whoever does not answer gives none."""
        try:
            headers = dict(self.headers)
            if self.token_path:
                lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
                headers["X-aws-ec2-metadata-token"] = self._ask("PUT", self.token_path, lifetime)
            told = self._ask("GET", self.path, headers)
        except (urllib.error.URLError, OSError):  # 404 until there is a notice
            return False
        return told.strip().upper() not in ("", "FALSE", "NONE")

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        request = urllib.request.Request(self.base + path, method=method, headers=dict(headers))
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return str(answer.read(4096).decode("utf-8", "replace"))


CLOUDS = {
    "aws": Cloud("http://169.254.169.254", "/latest/meta-data/spot/instance-action", token_path="/latest/api/token"),
    "gcp": Cloud(
        "http://metadata.google.internal", "/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"}
    ),
}
"""From the clouds' references: "Spot Instance interruption notices" of EC2, "Preempted" of Compute Engine."""


def wait_for_notice(cloud: Cloud, sleep: Callable[[float], object] = time.sleep) -> None:
    """Return when the cloud says that it takes this machine back."""
    while not cloud.gives_notice():
        sleep(NOTICE_POLL_S)


def drain(seconds: float, address: str | None = None, why: str = "the machine is taken away") -> bool:
    """Drain the node that this process runs on; return whether nothing runs on it any more.

    Args:
        seconds: until the machine is gone.
        address: of the cluster; None: `RAY_ADDRESS`, else that of the node on this machine.
        why: for the cluster's log.

    Raises:
        ConnectionError: there is no node of a cluster here.
        RuntimeError: the cluster did not accept it.
    """
    import ray

    from cluster.connect import connect, disconnect

    until_s = time.monotonic() + seconds
    facts = connect(address or "auto")
    try:
        node = str(ray.get_runtime_context().get_node_id())
        _tell(facts["address"], node, seconds, why)
        while busy(node):
            if time.monotonic() > until_s:
                return False
            time.sleep(POLL_S)
        return True
    finally:
        disconnect()


def _tell(address: str, node: str, seconds: float, why: str) -> None:
    # A hidden command, but what Ray's own autoscaler and its documentation of Kubernetes call.
    words = ["drain-node", f"--address={address}", "--node-id", node, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    words += ["--reason-message", why, "--deadline-remaining-seconds", str(max(1, int(seconds)))]
    done = subprocess.run([sys.executable, "-m", "ray.scripts.scripts", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"asked to drain node {node}; the cluster did not accept it: {done.stderr.strip()[-2000:]}")


def busy(node: str) -> bool:
    """Whether anything that holds CPUs or GPUs runs on a node."""
    from cluster.ray_state import free_resources, node_resources

    total, free = node_resources().get(node, {}), free_resources().get(node, {})
    return any(free.get(kind, 0.0) < total.get(kind, 0.0) for kind in ("CPU", "GPU"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m cluster.drain", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, required=True, help="until the machine is gone")
    parser.add_argument("--watch", choices=sorted(CLOUDS), help="first wait for the notice of this cloud")
    parser.add_argument("--address", help="of the cluster; default: that of the node on this machine")
    arguments: Any = parser.parse_args(argv)
    if arguments.watch:
        wait_for_notice(CLOUDS[arguments.watch])
    try:
        return IDLE if drain(arguments.seconds, arguments.address) else BUSY
    except (ConnectionError, RuntimeError) as error:
        print(f"drain: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
