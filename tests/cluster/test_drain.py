"""A node that will be taken away says so, and ends when its work is done."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import pytest

from cluster import drain as job
from cluster.drain import BUSY, IDLE, Cloud, wait_for_notice
from tests.servers import serving


class Metadata(BaseHTTPRequestHandler):
    """A metadata service; what it says of notices is set by the test."""

    notice: str | None = None
    asked: ClassVar[list[tuple[str, str, str]]] = []

    def do_PUT(self) -> None:
        self._answer("secret" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else None)

    def do_GET(self) -> None:
        known = self.headers["X-aws-ec2-metadata-token"] == "secret" or self.headers["Metadata-Flavor"] == "Google"
        self._answer(Metadata.notice if known else None)

    def _answer(self, text: str | None) -> None:
        Metadata.asked.append((self.command, self.path, str(text)))
        self.send_response(404 if text is None else 200)
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    Metadata.notice, Metadata.asked = None, []
    with serving(Metadata) as address:
        yield address


@pytest.mark.parametrize(
    ("name", "before", "notice"),
    [
        ("aws", None, '{"action": "terminate", "time": "2026-11-22T08:22:00Z"}'),
        ("gcp", "FALSE\n", "TRUE\n"),
    ],
)
def test_a_cloud_is_asked_until_it_gives_notice(service: str, name: str, before: str | None, notice: str) -> None:
    cloud = Cloud(service, job.CLOUDS[name].path, job.CLOUDS[name].headers, job.CLOUDS[name].token_path)
    Metadata.notice = before
    assert not cloud.gives_notice()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        Metadata.notice = notice if len(waits) == 3 else before

    wait_for_notice(cloud, sleep)
    assert waits == [job.NOTICE_POLL_S] * 3
    assert {path for _, path, _ in Metadata.asked} == {cloud.path, *([cloud.token_path] if cloud.token_path else [])}


def test_a_service_that_does_not_answer_gives_no_notice() -> None:
    assert not Cloud("http://127.0.0.1:9", "/x").gives_notice()


@pytest.mark.parametrize(
    ("free", "is_busy"),
    [({"CPU": 2.0, "GPU": 1.0}, False), ({"CPU": 1.0, "GPU": 1.0}, True), ({"CPU": 2.0}, True), ({}, True)],
)
def test_a_node_is_busy_while_anything_holds_its_resources(
    free: dict[str, float], is_busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.ray_state.node_resources", lambda: {"n": {"CPU": 2.0, "GPU": 1.0, "memory": 9.0}})
    monkeypatch.setattr("cluster.ray_state.free_resources", lambda: {"n": free, "other": {"CPU": 0.0}})
    assert job.busy("n") is is_busy


@pytest.mark.parametrize(("idle", "code"), [(True, IDLE), (False, BUSY)])
def test_the_exit_code_says_whether_the_work_was_finished(
    idle: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "drain", lambda seconds, address: idle)
    assert job.main(["--seconds", "5"]) == code


def test_where_there_is_no_node_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def nobody(seconds: float, address: str | None) -> bool:
        raise ConnectionError("asked for the Ray cluster at 'auto'; found none")

    monkeypatch.setattr(job, "drain", nobody)
    assert job.main(["--seconds", "5"]) == 1
    assert "found none" in capsys.readouterr().err
