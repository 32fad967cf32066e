"""Workers that wait are what starts machines; machines that nobody uses go."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.runs import digest, small_country, start
from tests.lab.clusters import Cluster
from tests.lab.hosts import Lab, lacking
from tests.lab.seen import Table, ended

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking())]


@pytest.fixture
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, subprocess.Popen]]:
    with Lab(1) as lab:
        cluster = Cluster(lab, tmp_path_factory.mktemp("growing"))
        path = {"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}  # it calls `ray`
        environment = {key: value for key, value in cluster.environment.items() if key != "RAY_ADDRESS"} | path
        words = (sys.executable, "-m", "tests.lab.autoscaled")
        with (cluster.folder / "head.log").open("w") as said:
            head = lab.hosts[0].start(
                *words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
        try:
            assert next(counts(head), None) == 0, (cluster.folder / "head.log").read_text()
            yield cluster, head
        finally:
            head.communicate(timeout=60)


def counts(head: subprocess.Popen) -> Iterator[int]:
    """Yield the number of machines beside the head, each time that it changes."""
    assert head.stdout is not None
    for line in head.stdout:
        if told := re.fullmatch(r"(\d+) machines\n", line):
            yield int(told[1])


def test_two_machines_come_with_the_work_and_go_after_it(
    growing: tuple[Cluster, subprocess.Popen], table: Table, tmp_path: Path
) -> None:
    cluster, head = growing
    here = small_country(tmp_path)
    code, said = start(here, tmp_path / "alone", "engine.kind=serial").wait()
    assert code == 0, said
    began_s = time.monotonic()
    engine = "engine={kind: ray, workers: 2, gpus_per_worker: 0, threads_per_worker: 1, autoscaling: true}"
    code, said = ended(cluster.command("jobs.map", *here.command(f"out={tmp_path / 'out'}", engine)))
    assert code == 0, said
    table.add("two machines are started for a run, and end after it", tmp_path / "out", code, 1, began_s)
    assert digest(tmp_path / "out") == digest(tmp_path / "alone")
    there = []
    for count in counts(head):
        there.append(count)
        if count == 0:
            break
    assert max(there) == 2
    rising = there[: there.index(2) + 1]
    assert sorted(rising) == rising
