"""What tests of several jobs share."""

from collections.abc import Iterator

import pytest

from tests.pictures import drawn, undrawn
from tests.servers import object_store


@pytest.fixture
def bucket() -> Iterator[str]:
    """An S3 bucket on this machine's loopback."""
    with object_store("maps") as address:
        yield f"{address}/runs/june"


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
