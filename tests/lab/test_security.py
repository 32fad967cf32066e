"""What a cluster lets in: every port of a head and of a worker, asked by somebody who has no token.

pytest tests/lab/test_security.py -m slow -s         needs root, takes a minute or two
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.clusters import ROOT, Cluster
from tests.lab.hosts import Lab, lacking

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking())]

LOOK = """
import json, psutil
from tests.listening import answers, listening

found = [(s.process, s.is_open_to_all, s.port, sorted(answers(s))) for s in sorted(listening(psutil.process_iter()))]
print(json.dumps(found))
"""
HEALTH, METRICS = "/grpc.health.v1.Health/Check", "/metrics"
AGENT = {"/api/healthz", "/api/local_raylet_healthz"}
EVERY_NODE = {
    ("raylet", True): (2, {HEALTH}),
    ("agent", True): (2, {METRICS}),
    ("agent", False): (2, AGENT),
    ("runtime environments", False): (1, set()),
}
HEAD = {
    ("gcs", True): (1, {HEALTH}),
    ("autoscaler", True): (1, {METRICS}),
    ("dashboard", True): (1, {METRICS}),
    ("dashboard", False): (1, {"/"}),
    ("client server", False): (2, set()),
}
"""Process, and whether all networks reach it: how many ports, and what answers without a token."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Lab(2) as lab:
        cluster = Cluster(lab, tmp_path_factory.mktemp("cluster"))
        cluster.heal(workers=1)
        yield cluster


def looked(cluster: Cluster, host: int) -> dict[tuple[str, bool], tuple[int, set[str]]]:
    """What there is on a host; processes of units are left out, which come and go."""
    code, told = cluster.lab.hosts[host].run(sys.executable, "-c", LOOK, env={"PYTHONPATH": str(ROOT)}, timeout_s=200)
    assert code == 0, told
    found: dict[tuple[str, bool], tuple[int, set[str]]] = {}
    for process, everywhere, port, said in json.loads(told.strip().splitlines()[-1]):
        print(f"host {host}: {process}, {'all networks' if everywhere else 'own address'}, {port}: {' '.join(said)}")
        if process == "worker":
            assert set(said) <= {HEALTH}
            continue
        count, heard = found.get((process, everywhere), (0, set()))
        # A port that serves metrics tells them at any address.
        found[process, everywhere] = (count + 1, heard | ({METRICS} if METRICS in said else set(said)))
    return found


def test_what_listens_on_a_head_and_on_a_worker_is_what_is_documented(cluster: Cluster) -> None:
    assert looked(cluster, 1) == EVERY_NODE
    assert looked(cluster, 0) == EVERY_NODE | HEAD


def test_a_neighbour_without_a_token_runs_nothing(cluster: Cluster) -> None:
    code = "import ray; ray.init(log_to_driver=False); print(len(ray.nodes()))"
    outside = cluster.environment | {"RAY_AUTH_TOKEN_PATH": "/dev/null", "HOME": str(cluster.folder)}
    for environment in (outside, outside | {"RAY_AUTH_TOKEN": "f" * 64}, outside | {"RAY_AUTH_MODE": "disabled"}):
        done, told = cluster.lab.hosts[1].run(sys.executable, "-c", code, env=environment, timeout_s=200)
        assert done != 0, told
    done, told = cluster.lab.hosts[1].run(sys.executable, "-c", code, env=cluster.environment, timeout_s=200)
    assert (done, told.strip().splitlines()[-1]) == (0, "2")
    assert Path(cluster.token).stat().st_mode & 0o777 == 0o600
