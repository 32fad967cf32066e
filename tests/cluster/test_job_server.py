"""Where a job server is asked, with which token, and what its answers and failures become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster import job_server
from cluster.job_server import DEFAULT_ADDRESS, JobServer, check_token, server_address
from cluster.submission import Attempt, Lost, Refused
from tests.servers import serving


class Answers(BaseHTTPRequestHandler):
    """Answers every question in one way."""

    status = 200
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self.seen.append(dict(self.headers))
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def head(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A head that answers with the status that a test names."""
    seen: list[dict[str, str]] = []
    with serving(type("Head", (Answers,), {"status": request.param, "seen": seen})) as address:
        yield address, seen


@pytest.fixture
def token(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "token").write_text("verysecret")
    return {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}


@pytest.mark.parametrize("head", [200], indirect=True)
def test_a_cluster_that_asks_nobody_is_refused(head: tuple[str, list], token: dict[str, str]) -> None:
    address, seen = head
    with pytest.raises(ValueError, match="asks for no token: whoever reaches it runs code on it"):
        check_token(address, False, token)
    assert check_token(address, True, token) is False
    assert "verysecret" not in str(seen)
    assert not [name for asked in seen for name in asked if "authorization" in name.lower()]


@pytest.mark.parametrize(("head", "kind"), [(404, ValueError), (302, ValueError), (503, Lost)], indirect=["head"])
def test_who_is_no_job_server_is_told_apart(head: tuple[str, list], kind: type[Exception]) -> None:
    for without_token in (False, True):
        with pytest.raises(kind, match=rf"{head[0]} answers with status"):
            check_token(head[0], without_token, {})


@pytest.mark.parametrize("head", [401, 403], indirect=True)
def test_a_cluster_that_asks_gets_the_token_of_its_file(
    head: tuple[str, list], token: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = head
    assert check_token(address, False, token) is True
    assert check_token(address, True, token) is True
    assert check_token(address, False, {"RAY_AUTH_TOKEN": "verysecret", "RAY_AUTH_TOKEN_PATH": "nowhere"}) is True
    with pytest.raises(ValueError, match="nowhere holds none; name the file that does by RAY_AUTH_TOKEN_PATH"):
        check_token(address, False, {"RAY_AUTH_TOKEN_PATH": "nowhere"})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(ValueError, match=r"home/.ray/auth_token holds none"):
        check_token(address, False, {})


def test_nobody_there_is_lost() -> None:
    with serving(Answers) as address:
        pass
    with pytest.raises(Lost, match=rf"no cluster answers at {address}"):
        check_token(address, False, {})


@pytest.mark.parametrize(
    ("given", "environment", "address"),
    [
        (None, {}, DEFAULT_ADDRESS),
        ("http://h:8265/", {"RAY_API_SERVER_ADDRESS": "http://other:1"}, "http://h:8265"),
        (None, {"RAY_API_SERVER_ADDRESS": "https://h", "RAY_ADDRESS": "http://other:1"}, "https://h"),
        (None, {"RAY_ADDRESS": "http://h:8265"}, "http://h:8265"),
        (None, {"RAY_ADDRESS": "10.0.0.1:6379"}, DEFAULT_ADDRESS),
    ],
)
def test_the_address(given: str | None, environment: dict[str, str], address: str) -> None:
    assert server_address(given, environment) == address


@pytest.mark.parametrize("given", ["10.0.0.1:6379", "ray://h:10001", "http://", "h:8265", "http://me:pw@h:8265"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"looks like http://HEAD:8265|a cluster takes a token") as refused:
        server_address(given, {})
    assert "pw" not in str(refused.value)


@dataclass
class Client:
    """Stands in for Ray's; says and raises what a test names."""

    jobs: list[Any] = field(default_factory=list)
    lines: list[Any] = field(default_factory=list)
    """Of the log; an exception breaks it, a number of seconds is silence."""
    error: Exception | None = None
    asked: list[Any] = field(default_factory=list)
    closed: int = 0

    def list_jobs(self) -> list[Any]:
        if self.error:
            raise self.error
        return self.jobs

    def submit_job(self, **work: Any) -> None:
        self.asked.append(work)

    def stop_job(self, id: str) -> None:
        self.asked.append(id)

    async def tail_job_logs(self, id: str) -> AsyncIterator[str]:
        try:
            for line in self.lines:
                if isinstance(line, Exception):
                    raise line
                if isinstance(line, float):
                    await asyncio.sleep(line)
                else:
                    yield line
        finally:
            self.closed += 1


def test_jobs_become_attempts() -> None:
    facts = {"message": None, "driver_exit_code": None, "end_time": None}
    driver = SimpleNamespace(submission_id=None, status="RUNNING", **facts)
    running = SimpleNamespace(submission_id="a", status=SimpleNamespace(value="RUNNING"), **facts)
    failed = SimpleNamespace(submission_id="b", status="FAILED", message="m", driver_exit_code=3, end_time=1500)
    server = JobServer(Client([driver, running, failed]), {})
    assert server.attempts() == [Attempt("a", "RUNNING"), Attempt("b", "FAILED", 3, "m", 1.5)]


def test_work_is_submitted_by_its_id() -> None:
    client = Client()
    server = JobServer(client, {"entrypoint": "python -m jobs.map x.yaml"})
    server.submit("a")
    server.stop("a")
    assert client.asked == [{"submission_id": "a", "entrypoint": "python -m jobs.map x.yaml"}, "a"]


def errors() -> Iterator[tuple[Exception, type[Exception]]]:
    """What Ray's client was seen to raise."""
    import aiohttp
    import requests

    authentication = type("AuthenticationError", (Exception,), {"__module__": "ray.exceptions"})
    yield authentication("Authentication failed: Forbidden"), Refused
    yield RuntimeError("Request failed with status code 400: no"), Refused
    yield RuntimeError("Request failed with status code 404: Job x does not exist"), Refused
    yield RuntimeError("Request failed with status code 500: Traceback ..."), Lost
    yield RuntimeError("WebSocket connection closed unexpectedly with close code 1006"), Lost
    yield requests.exceptions.ReadTimeout("read timed out"), Lost
    yield ConnectionError("Failed to connect to Ray"), Lost
    yield aiohttp.ClientPayloadError("half"), Lost
    yield TypeError("a fault of ours"), TypeError


@pytest.mark.parametrize(("error", "kind"), [*errors()], ids=lambda value: getattr(value, "__name__", str(value)))
def test_failures_are_lost_or_refused(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        JobServer(Client(error=error), {}).attempts()
    client = Client(lines=["one\n", error])
    told: list[str] = []
    with pytest.raises(kind):
        told.extend(JobServer(client, {}).tail("x"))
    assert (told, client.closed) == (["one\n"], 1)


def test_a_long_traceback_is_told_by_its_end() -> None:
    error = RuntimeError("Request failed with status code 500: " + "frame " * 1000 + "ValueError: the reason")
    with pytest.raises(Lost) as lost:
        JobServer(Client(error=error), {}).attempts()
    assert str(lost.value).endswith("ValueError: the reason")
    assert len(str(lost.value)) < 600


def test_a_log_ends_with_its_last_line() -> None:
    client = Client(lines=["one\n", 0.01, "two\n"])
    assert list(JobServer(client, {}).tail("x")) == ["one\n", "two\n"]
    assert client.closed == 1


def test_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_server, "SILENCE_S", 0.05)
    client = Client(lines=["one\n", 0.12, "two\n", 60.0])
    log = JobServer(client, {}).tail("x")
    heard = [next(log) for _ in range(6)]
    log.close()  # type: ignore[attr-defined]
    assert "".join(heard) == "one\ntwo\n"
    assert heard[1] == heard[-1] == ""
    assert client.closed == 1


def test_whoever_stops_reading_closes_the_log() -> None:
    client = Client(lines=["one\n", "two\n"])
    log = JobServer(client, {}).tail("x")
    assert next(log) == "one\n"
    log.close()  # type: ignore[attr-defined]
    assert client.closed == 1
