"""Webhooks are told, and a tick never fails because one is not."""

import json
from http.server import BaseHTTPRequestHandler

import pytest

from jobs.notify import notify
from jobs.schedule_config import NotifyConfig
from tests.servers import serving


class Hook(BaseHTTPRequestHandler):
    """Keeps what it is told."""

    heard: list[tuple[str, dict, dict]]
    answer = 204

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.answer)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def hook():
    kind = type("Hook", (Hook,), {"heard": []})
    with serving(kind) as address:
        yield kind, address


def config(url: str = "", **more) -> NotifyConfig:
    return NotifyConfig(url=url, hosts=("127.0.0.1",), schemes=("http",), timeout_s=5, **more)


def test_what_happened_is_posted_without_secrets(hook, monkeypatch):
    kind, address = hook
    monkeypatch.setenv("SANDAN_HOOK_TOKEN", "abcdef123456")
    told = {"text": "failed: s3 said https://me:pw@x/?token=abcdef123456", "tick": 7}
    assert notify(config(f"{address}/T0/B1", token_env="SANDAN_HOOK_TOKEN"), told) == "told"
    ((path, headers, body),) = kind.heard
    assert (path, headers["Authorization"], body["tick"]) == ("/T0/B1", "Bearer abcdef123456", 7)
    assert "abcdef123456" not in body["text"]
    assert "pw" not in body["text"]


@pytest.mark.parametrize(("answer", "said"), [(500, "answered 500"), (302, "answered 302")])
def test_a_refusal_is_said_and_no_redirection_is_followed(hook, answer, said):
    kind, address = hook
    kind.answer = answer
    assert notify(config(f"{address}/secret"), {}) == f"not told: the webhook {said}"
    assert len(kind.heard) == 1


def test_an_address_from_the_environment_is_held_to_the_hosts(hook, monkeypatch):
    kind, address = hook
    assert notify(config(url_env="HOOK_ADDRESS"), {}) == "not told: the environment has no HOOK_ADDRESS"
    monkeypatch.setenv("HOOK_ADDRESS", "http://127.0.0.2:80/secret")
    said = notify(config(url_env="HOOK_ADDRESS"), {})
    assert said.startswith("not told: the address (host '127.0.0.2') may not be told")
    assert "/secret" not in said
    monkeypatch.setenv("HOOK_ADDRESS", f"{address}/right")
    assert notify(config(url_env="HOOK_ADDRESS"), {}) == "told"
    assert len(kind.heard) == 1


def test_nobody_there_is_said():
    said = notify(config("http://127.0.0.1:9/secret"), {})
    assert said.startswith("not told: ")
    assert "secret" not in said
