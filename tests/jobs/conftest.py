"""What tests of several jobs share."""

import contextlib
import importlib.util
import logging
from collections.abc import Iterator

import pytest

from tests.pictures import drawn, undrawn


@pytest.fixture
def bucket() -> Iterator[str]:
    """An S3 bucket on this machine's loopback."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        pytest.skip("moto[server] is not installed: no object store to test against")
    import obstore
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
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        # The server answers in this process: it would log into the log of the run that waits for its answer.
        patch.setattr(logging.getLogger("werkzeug"), "disabled", True)
        for name, value in settings.items():
            patch.setenv(name, value)
        import urllib.request

        # What servers of this process hold outlives them.
        for method, path in (("POST", "moto-api/reset"), ("PUT", "maps")):
            request = urllib.request.Request(f"http://{host}:{port}/{path}", method=method)
            urllib.request.urlopen(request, timeout=10).close()
        assert obstore is not None
        yield "s3://maps/runs/june"


@pytest.fixture(scope="package", autouse=True)
def pictures_left_out() -> Iterator[None]:
    """Leave every picture of this folder's tests empty."""
    with undrawn():
        yield


@pytest.fixture
def drawn_pictures() -> Iterator[None]:
    """Draw them all the same."""
    with drawn():
        yield
