"""Servers on this machine's loopback that tests talk to."""

from __future__ import annotations

import importlib.util
import logging
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP by a handler; yields the address."""
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def object_store(bucket: str) -> Iterator[str]:
    """Serve an empty bucket of S3, to which the environment points; yields `s3://` and its name."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        pytest.skip("moto[server] is not installed: no object store to test against")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with pytest.MonkeyPatch.context() as patch:
            # The server answers in this process: it would log into the log of the run that waits for its answer.
            patch.setattr(logging.getLogger("werkzeug"), "disabled", True)
            for name, value in settings.items():
                patch.setenv(name, value)
            # What servers of this process hold outlives them.
            for method, path in (("POST", "moto-api/reset"), ("PUT", bucket)):
                request = urllib.request.Request(f"http://{host}:{port}/{path}", method=method)
                urllib.request.urlopen(request, timeout=10).close()
            yield f"s3://{bucket}"
    finally:
        server.stop()
