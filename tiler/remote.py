"""Asking object stores and hosts: what does not answer is an error that says so, within a minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

RETRIES = 3
PATIENCE = timedelta(seconds=30)
"""For all retries of one question together."""


def remote(url: str) -> ObjectStore:
    """Return the client of a bucket (`s3://`, `gs://`) or of a host (`https://`, `http://`)."""
    from obstore.store import from_url

    # None leaves the decision to the environment (AWS_ALLOW_HTTP ...); an empty mapping would overrule it
    client: ClientConfig | None = {"allow_http": True} if url.startswith("http://") else None
    retry: RetryConfig = {"max_retries": RETRIES, "retry_timeout": PATIENCE}
    return from_url(url, client_options=client, retry_config=retry)


@contextmanager
def reached(address: str) -> Iterator[None]:
    """Turn what a client raises into a sentence.

    Raises:
        ValueError: nothing is there, nobody answers, or the credentials do not fit.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)  # a debug dump of many lines follows
        raise ValueError(
            f"{address} cannot be reached: {told}; check the address, and the credentials in the environment"
        ) from error
