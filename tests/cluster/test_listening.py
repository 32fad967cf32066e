"""What listens while work is done on one machine, and what of it answers somebody without a token."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.cluster.conftest import ROOT
from tests.listening import answers, family, listening

HEALTH = "/grpc.health.v1.Health/Check"
METRICS = "/metrics"
EMBEDDED = {
    # process and reach: how many, and what they say without a token
    ("gcs", "all"): (1, {HEALTH}),
    ("raylet", "all"): (2, {HEALTH}),
    ("driver", "all"): (1, {HEALTH}),
    ("worker", "all"): (1, {HEALTH}),
    ("agent", "all"): (2, {METRICS}),
    ("agent", "some"): (2, {"/api/healthz", "/api/local_raylet_healthz"}),
    ("runtime environments", "some"): (1, set()),
    ("autoscaler", "all"): (1, {METRICS}),
    ("dashboard", "all"): (1, {METRICS}),
}
"""An embedded Ray has no dashboard; the process of this name only serves metrics."""
COME_AND_GO = (("worker", "all"), ("autoscaler", "all"), ("dashboard", "all"))
"""Workers are started and stopped; the two others have fixed ports, which another Ray of this machine may hold."""
DOCS = ROOT / "docs" / "security.md"


SERIAL = """
from cluster.engine import SerialEngine
from tests.listening import family, listening

look = lambda: lambda key: sorted(socket.port for socket in listening(family()))
print([result.record for result in SerialEngine(1, concurrency=2).run(look, range(5))])
"""


def test_with_the_serial_engine_nothing_listens() -> None:
    done = subprocess.run([sys.executable, "-c", SERIAL], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str([[]] * 5), done.stderr


def test_an_embedded_ray_listens_where_it_is_said_to(ray_here: dict[str, Any]) -> None:
    found: dict[tuple[str, str], list[set[str]]] = {}
    for socket in listening(family()):
        reach = "all" if socket.is_open_to_all else "some"
        said = {METRICS} if METRICS in (heard := answers(socket)) else heard  # such a port tells them at any address
        found.setdefault((socket.process, reach), []).append(said)
    for place in COME_AND_GO:
        for said in found.pop(place, []):
            assert said == EMBEDDED[place][1], place
    expected = {place: told for place, told in EMBEDDED.items() if place not in COME_AND_GO}
    assert {place: (len(heard), set().union(*heard)) for place, heard in found.items()} == expected


def test_all_that_listens_is_documented() -> None:
    told = DOCS.read_text()
    for process, _ in EMBEDDED:
        assert any(line.startswith(f"| {process}") for line in told.splitlines()), process
