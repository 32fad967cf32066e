"""Pictures are drawn only for the tests that look at them."""

from collections.abc import Iterator

import pytest

from tests.pictures import drawn, undrawn


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
