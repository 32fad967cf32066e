"""Ray's job server, asked over HTTP: with the cluster's token, with time limits, and never without anyone saying so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from cluster.submission import Attempt, Lost, Refused

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that name a job server, where their value is an address of HTTP."""
ASK_S = 20.0
"""Until a first answer; longer than that nobody is there."""
ANSWER_S = (10.0, 120.0)
"""To connect, and between bytes of an answer: Ray's own client waits for ever."""
LONGEST = 500
"""Characters of what the server says that is wrong."""
SILENCE_S = 60.0
"""Without a word of the log, after which a connection is not trusted: one that is cut off may look like one that is
silent, and a run tells how far it is every 10 s."""


@dataclass(frozen=True)
class JobServer:
    """Implements `cluster.submission.Jobs` by Ray's client."""

    client: Any
    """ray.job_submission.JobSubmissionClient."""
    work: Mapping[str, Any]
    """What an attempt is: `submit_job`'s entrypoint, runtime_env and metadata."""

    def attempts(self) -> list[Attempt]:
        """Return every job that was submitted to the cluster since its head started."""
        with _told():
            jobs = self.client.list_jobs()
        return [
            Attempt(
                job.submission_id,
                str(getattr(job.status, "value", job.status)),
                job.driver_exit_code,
                job.message or "",
                None if job.end_time is None else job.end_time / 1000,
            )
            for job in jobs
            if job.submission_id
        ]

    def submit(self, id: str) -> None:
        """Send the files, unless the cluster has them, and start the attempt."""
        with _told():
            self.client.submit_job(submission_id=id, **self.work)

    def stop(self, id: str) -> None:
        """Let Ray send SIGTERM, and SIGKILL after `RAY_JOB_STOP_WAIT_TIME_S`."""
        with _told():
            self.client.stop_job(id)

    def tail(self, id: str) -> Iterator[str]:
        """Yield the log, until its job ends; "" after `SILENCE_S` without a word."""
        loop = asyncio.new_event_loop()
        lines = self.client.tail_job_logs(id)
        waiting: asyncio.Future | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(lines), loop=loop)
                done, _ = loop.run_until_complete(asyncio.wait({waiting}, timeout=SILENCE_S))
                if not done:
                    yield ""
                    continue
                try:
                    with _told():
                        text = waiting.result()
                except StopAsyncIteration:
                    return
                waiting = None
                if text:
                    yield text
        finally:
            with contextlib.suppress(Exception):
                if waiting is not None:
                    waiting.cancel()
                    loop.run_until_complete(asyncio.wait({waiting}))
                    waiting.cancelled() or waiting.exception()  # seen: asyncio would print it
                loop.run_until_complete(lines.aclose())
            loop.close()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what Ray's client, requests and aiohttp raise into Lost and Refused."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # all that requests raises is an OSError
        _raise(error)
    except Exception as error:
        module = type(error).__module__.split(".")[0]
        if module not in ("aiohttp", "ray", "requests", "urllib3"):
            raise
        _raise(error)


def _raise(error: Exception) -> NoReturn:
    text = " ".join(str(error).split()) or type(error).__name__
    if type(error).__name__ == "AuthenticationError":
        raise Refused("the cluster does not take the token; name the file of its own by RAY_AUTH_TOKEN_PATH") from error
    text = text if len(text) <= LONGEST else f"... {text[-LONGEST:]}"  # of a traceback the end says it
    if isinstance(error, RuntimeError) and "status code 4" in str(error):
        raise Refused(text) from error
    raise Lost(text) from error


def server_address(given: str | None, environment: Mapping[str, str]) -> str:
    """Return the address of a job server: the given one, that of the environment, or this machine's.

    Raises:
        ValueError: it is none of HTTP, or holds a password.
    """
    named = [value for value in map(environment.get, ADDRESSES) if value and value.startswith(("http://", "https://"))]
    address = (given or (named or [DEFAULT_ADDRESS])[0]).rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"address {address!r} is none of a job server; it looks like http://HEAD:8265")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address holds a user or a password, which others would see; a cluster takes a token")
    return address


def token_file(environment: Mapping[str, str]) -> Path:
    """Return where Ray looks for the token of a cluster, whether it is there or not."""
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *request: Any) -> None:
        return None


def asks_for_token(address: str) -> bool:
    """Whether a cluster answers only to those who have its token; it is asked without one.

    Raises:
        Lost: nobody answers, or not yet.
        ValueError: who answers is no job server.
    """
    try:
        with urllib.request.build_opener(_NoRedirects).open(f"{address}/api/version", timeout=ASK_S):
            return False
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            return True
        if error.code >= 500:
            raise Lost(f"{address} answers with status {error.code}") from error
        raise ValueError(
            f"{address} answers with status {error.code}, as no job server of Ray does; give that of the cluster's "
            "dashboard, such as http://HEAD:8265"
        ) from error
    except OSError as error:
        raise Lost(f"no cluster answers at {address} ({getattr(error, 'reason', error)})") from error


def check_token(address: str, without_token: bool, environment: Mapping[str, str]) -> bool:
    """Ask whether a cluster wants a token, and return it, after making sure that there is one.

    Raises:
        ValueError: the cluster asks nobody for a token, and that was not expected; or it asks, and there is none; or
            there is no job server.
        Lost: nobody answers.
    """
    asks = asks_for_token(address)
    if not asks and not without_token:
        raise ValueError(
            f"the cluster at {address} asks for no token: whoever reaches it runs code on it, and so may have others; "
            "start its nodes with RAY_AUTH_MODE=token, or say --without-token"
        )
    place = token_file(environment)
    if asks and not environment.get("RAY_AUTH_TOKEN") and not (place.is_file() and place.stat().st_size):
        raise ValueError(
            f"the cluster at {address} asks for a token, and {place} holds none; "
            "name the file that does by RAY_AUTH_TOKEN_PATH"
        )
    return asks


def connect_jobs(address: str, with_token: bool, work: Mapping[str, Any]) -> JobServer:
    """Return a client of the job server at an address; a token goes only where one is asked for.

    Raises:
        Lost: nobody answers.
        Refused: the token is another one, or there is no job server of Ray.
    """
    # Ray reads these when it is imported, and an address of the environment before one that it is given.
    os.environ["RAY_AUTH_MODE"] = "token" if with_token else "disabled"
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        def _do_request(self, *words: Any, **options: Any) -> Any:
            return super()._do_request(*words, timeout=ANSWER_S, **options)

    for name in ("job.sdk", "dashboard_sdk"):  # they tell of every upload and every connection
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
    with _told():
        return JobServer(Client(address), work)
