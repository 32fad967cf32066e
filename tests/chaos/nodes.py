"""A cluster of two nodes of one CPU each in this machine, apart from the tests: it leaves traces in its process.

python -m tests.chaos.nodes     prints its address and the process of its second raylet; lives as long as its input
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.chaos.runs import ROOT


@contextmanager
def two_nodes() -> Iterator[tuple[str, psutil.Process]]:
    """Yield the cluster's address and the raylet of its second node, whose workers are its children."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    words = [sys.executable, "-m", "tests.chaos.nodes"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=ROOT, env=environment, text=True, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        try:
            yield facts["address"], psutil.Process(facts["raylet"])
        finally:
            process.stdin.close()


def main() -> None:
    """Be the cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        raylet = second.all_processes["raylet"][0].process
        # Whoever killed it leaves a zombie unless somebody waits, and workers take a zombie for a living raylet.
        threading.Thread(target=raylet.wait, daemon=True).start()
        print(json.dumps({"address": cluster.address, "raylet": raylet.pid}), flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
