"""A head that starts nodes when workers wait for them, and ends those that nobody uses: run on a host of the lab.

python -m tests.lab.autoscaled

Ray's own cluster for such tests lacks a file in its wheel, so the whole configuration stands here. It says how many
nodes there are whenever that changes, until its standard input is closed.
"""

from __future__ import annotations

import select
import sys
from typing import Any

import ray
from ray.cluster_utils import AutoscalingCluster

NODES = 2


class Autoscaled(AutoscalingCluster):
    """A head without CPUs, and up to two nodes of one CPU."""

    def _generate_config(self, head_resources: dict, worker_node_types: dict, **rest: Any) -> dict:
        head = {"resources": head_resources, "node_config": {}, "max_workers": 0}
        return {
            "cluster_name": "lab",
            "max_workers": NODES,
            "idle_timeout_minutes": 0.2,
            "upscaling_speed": 10.0,
            "provider": {
                "type": "fake_multinode",
                "use_node_id_as_ip": True,  # all nodes are processes of one host
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
                "head_node_id": "fffffffffffffffffffffffffffffffffffffffffffffffffff00000",
            },
            "auth": {},
            "available_node_types": {**worker_node_types, "ray.head.default": head},
            "head_node_type": "ray.head.default",
            "file_mounts": {},
            "cluster_synced_files": [],
            "initialization_commands": [],
            "setup_commands": [],
            "head_setup_commands": [],
            "worker_setup_commands": [],
            "head_start_ray_commands": [],
            "worker_start_ray_commands": [],
        }


def main() -> None:
    """Start the head, tell the number of nodes, stop."""
    node = {"resources": {"CPU": 1, "object_store_memory": 80_000_000}, "node_config": {}, "max_workers": NODES}
    head = {"CPU": 0, "object_store_memory": 80_000_000}
    cluster = Autoscaled(head, {"worker": {**node, "min_workers": 0}})
    cluster.start(override_env={"RAY_enable_autoscaler_v2": "0"})
    ray.init("auto", log_to_driver=False, logging_level="ERROR")
    before = -1
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        nodes: Any = ray.nodes
        found = sum(node["Alive"] for node in nodes()) - 1
        if found != before:
            print(f"{found} machines", flush=True)
        before = found
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
