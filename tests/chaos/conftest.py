"""The table that the faults fill, one row each."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package")
def rows() -> Iterator[list[str]]:
    lines: list[str] = []
    yield lines
    heads = "| fault | ended with | units finished before | runs | units done twice | seconds, undisturbed = 1 |"
    print("\n" + "\n".join([heads, "| --- " * 6 + "|", *lines]))
