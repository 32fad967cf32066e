"""One cluster of three hosts for all tests of this folder, and the table of what happened to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.clusters import Cluster
from tests.lab.hosts import Lab
from tests.lab.seen import Table


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Lab(3) as lab:
        found = Cluster(lab, tmp_path_factory.mktemp("cluster"))
        found.heal()
        yield found


@pytest.fixture(scope="package")
def table() -> Iterator[Table]:
    found = Table()
    yield found
    print(f"\n{found}")
