"""The token's file is private before Ray touches it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cluster.token import private_token

WARNED = "could be read by others"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_fresh_home_gets_a_private_token_that_is_never_replaced(home: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        private_token(embedded=True)
    finally:
        os.umask(before)
    token = home / ".ray" / "auth_token"
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    first = token.read_text()
    assert len(first) == 64
    private_token(embedded=True)
    assert token.read_text() == first


@pytest.mark.parametrize("found", [0o644, 0o640, 0o604, 0o666])
@pytest.mark.parametrize("embedded", [True, False])
def test_one_that_others_can_read_is_made_private_and_told(
    home: Path, caplog: pytest.LogCaptureFixture, found: int, embedded: bool
) -> None:
    token = home / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.write_text("secret")
    token.chmod(found)
    private_token(embedded)
    assert (mode(token), token.read_text()) == (0o600, "secret")
    assert WARNED in caplog.text
    assert "secret" not in caplog.text
    caplog.clear()
    private_token(embedded)
    assert not caplog.text


@pytest.mark.parametrize(("found", "told"), [(0o600, False), (0o440, False), (0o644, True)])
def test_a_file_that_was_named_is_somebody_elses(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, found: int, told: bool
) -> None:
    named = home.parent / "mounted"
    named.write_text("secret")
    named.chmod(found)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    private_token(embedded=True)
    assert (mode(named), named.read_text()) == (found, "secret")
    assert (WARNED in caplog.text) == told
    assert not (home / ".ray").exists()


def test_a_named_file_that_is_absent_is_made_private_for_a_ray_of_our_own_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = home.parent / "deep" / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    private_token(embedded=False)
    assert not named.exists()
    private_token(embedded=True)
    assert mode(named) == 0o600


def test_a_token_in_the_environment_needs_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    private_token(embedded=True)
    assert not home.exists()


def test_a_home_that_takes_no_file_is_left_to_ray(home: Path) -> None:
    home.write_text("no folder")
    private_token(embedded=True)
