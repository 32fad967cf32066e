"""The pool on a cluster of several nodes in one machine, one of which is killed, or stopped, while it works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT

SCRIPT = """
import json, signal, sys
import psutil, ray
from ray.cluster_utils import Cluster
from cluster.connect import connect
from cluster.decisions import Policy
from cluster.engine import Done, ResolvedResources
from cluster.pool import Pool
from tests.cluster.stages import Faulty

folder, how = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
cluster.wait_for_nodes()
raylet = psutil.Process(nodes[0].all_processes["raylet"][0].process.pid)
stopped = []
try:
    connect(cluster.address)
    policy = Policy(2, quiet_floor_s=1.0, quiet_limit_s=1.0, probe_s=3.0, copies=1)  # no copies: only probes can help
    pool = Pool(Faulty(folder, {n: ("sleep:0.3",) for n in range(40)}), ResolvedResources(2, 0.0, 1, 2, 1.0), policy)
    results = []
    for result in pool.run(range(40)):
        results.append(result)
        if len(results) == 6 and how == "killed":
            cluster.remove_node(nodes[0], allow_graceful=False)
        if len(results) == 6 and how == "stopped":
            stopped = [raylet, *raylet.children(recursive=True)]
            for process in stopped:
                process.send_signal(signal.SIGSTOP)
    with open(folder + "/done.json", "w") as file:
        json.dump(sorted(r.key for r in results if isinstance(r, Done)), file)
finally:
    for process in stopped:
        process.kill()
    ray.shutdown()
    cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_node_that_goes_takes_no_unit_along(tmp_path: Path, how: str) -> None:
    """Run apart: a cluster leaves traces in the process and in Ray's temporary folder, which other tests would find."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads((tmp_path / "done.json").read_text()) == list(range(40))
    assert len(list(tmp_path.glob("factory.*"))) >= 2, "both nodes had a worker"
