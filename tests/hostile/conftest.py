"""Pictures are not drawn: no test of this folder looks at one."""

from collections.abc import Iterator

import pytest

from tests.pictures import undrawn


@pytest.fixture(scope="package", autouse=True)
def pictures_left_out() -> Iterator[None]:
    """Leave every picture empty."""
    with undrawn():
        yield
