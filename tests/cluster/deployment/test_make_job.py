"""What a CronJob does: one RayJob a tick, none while another works."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest

from cluster.deployment.make_job import Api, main, make_job
from tests.servers import serving

JOB = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "sandan", "labels": {"a": "b"}}, "spec": {}}
NOON = 1_795_435_200.0  # 2026-11-23 12:00 UTC


class Kubernetes(BaseHTTPRequestHandler):
    """As much of its interface as is asked for."""

    jobs: ClassVar[dict[str, dict[str, Any]]] = {}

    def _allowed(self) -> bool:
        wanted = "/apis/ray.io/v1/namespaces/maps/rayjobs"
        return self.path == wanted and self.headers["Authorization"] == "Bearer secret"

    def do_GET(self) -> None:
        self._answer(200 if self._allowed() else 403, {"items": list(Kubernetes.jobs.values())})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        if not self._allowed() or name in Kubernetes.jobs:
            self._answer(409 if self._allowed() else 403, {})
            return
        Kubernetes.jobs[name] = body
        self._answer(201, body)

    def _answer(self, code: int, body: Any) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    Kubernetes.jobs = {}
    with serving(Kubernetes) as address:
        yield Api(address, "maps", "secret")


def test_a_tick_makes_one_job_however_often_it_is_repeated(api: Api) -> None:
    assert make_job(api, JOB, NOON) == "sandan-202611231200 made"
    assert make_job(api, JOB, NOON + 59) == "sandan-202611231200 is there already"
    (made,) = Kubernetes.jobs.values()
    assert made == {**JOB, "metadata": {**JOB["metadata"], "name": "sandan-202611231200", "namespace": "maps"}}
    assert JOB["metadata"]["name"] == "sandan", "the template stays"


@pytest.mark.parametrize(
    ("state", "made"), [("Running", False), ("", False), ("Initializing", False), ("Complete", True), ("Failed", True)]
)
def test_while_one_works_no_other_is_made(api: Api, state: str, made: bool) -> None:
    make_job(api, JOB, NOON)
    Kubernetes.jobs["sandan-202611231200"]["status"] = {"jobDeploymentStatus": state}
    Kubernetes.jobs["other"] = {"metadata": {"name": "other"}, "status": {"jobDeploymentStatus": "Running"}}
    told = make_job(api, JOB, NOON + 3600)
    assert ("sandan-202611231300" in Kubernetes.jobs) is made
    assert told == (
        "sandan-202611231300 made" if made else f"sandan-202611231200 still works ({state or 'new'}): none made"
    )


def test_a_refusal_is_an_error(api: Api) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        make_job(Api(api.base, "maps", "wrong"), JOB, NOON)


def test_outside_of_a_pod_it_says_so(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps(JOB))
    assert main([str(file)]) == 1
    assert "KUBERNETES_SERVICE_HOST" in capsys.readouterr().err
    assert main([]) == 2
