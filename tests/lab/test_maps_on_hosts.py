"""A map of three hosts is the map of one process, whatever happens to the hosts.

pytest tests/lab -m slow -s          all faults, and the table; needs root, takes some minutes
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.runs import digest, small_country, start
from tests.jobs.worlds import World
from tests.lab.clusters import Cluster
from tests.lab.hosts import Lab, lacking
from tests.lab.seen import Table, done_twice, ended, markers, seen, wait_for_files

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking())]


@dataclass
class Place:
    """A cluster of three hosts, scenes, and the map that one process makes of them."""

    cluster: Cluster
    table: Table
    here: World
    digest: dict[str, str]
    units: set[str]

    def start(self, out: Path, *changes: str, options: tuple[str, ...] = ()) -> subprocess.Popen:
        """Start a map on the head."""
        return self.cluster.command("jobs.map", *self.here.command(f"out={out}", "engine.kind=ray", *changes), *options)

    def check(
        self, out: Path, name: str, code: int, commands: int, began_s: float, harmed: datetime | None = None
    ) -> None:
        """The map is that of one process, and each unit has its marker."""
        found = digest(out)
        assert {key for key in self.digest if found.get(key) != self.digest[key]} == set()
        assert found.keys() == self.digest.keys()
        assert markers(out).keys() == self.units
        self.table.add(name, out, code, commands, began_s, harmed)


@pytest.fixture(scope="module")
def place(cluster: Cluster, table: Table, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    here = small_country(tmp_path_factory.mktemp("country"))
    alone = here.folder / "alone"
    code, said = start(here, alone, "engine.kind=serial").wait()
    assert code == 0, said
    return Place(cluster, table, here, digest(alone), set(markers(alone)))


def work_begun(out: Path, units: int, process: subprocess.Popen) -> None:
    """Wait until so many units are done."""
    wait_for_files(out, "markers/*/**/*.json", units, process)


def test_three_hosts_make_the_map_of_one_process(place: Place, tmp_path: Path) -> None:
    place.cluster.heal()
    began_s = time.monotonic()
    code, said = ended(place.start(tmp_path / "out", "engine.workers=2"))
    assert code == 0, said
    place.check(tmp_path / "out", "nothing", code, 1, began_s)
    assert seen(tmp_path / "out") == Counter()
    assert done_twice(tmp_path / "out") == 0
    assert hosts_of(tmp_path / "out", "infer") == {"host1", "host2"}


def hosts_of(out: Path, stage: str) -> set[str]:
    """Return where units were done."""
    return {marker["host"] for unit, marker in markers(out).items() if unit.startswith(f"{stage}/")}


def test_workers_go_to_nodes_of_a_label(place: Place, tmp_path: Path) -> None:
    place.cluster.heal()
    code, said = ended(place.start(tmp_path / "out", "engine.labels={zone: '!one'}"))
    assert code == 0, said
    assert {hosts for stage in ("ingest", "infer", "mosaic") for hosts in hosts_of(tmp_path / "out", stage)} == {
        "host2"
    }
    code, said = ended(place.start(tmp_path / "none", "engine.labels={zone: nowhere}"))
    assert code == 1
    assert "asked for workers on nodes with zone=nowhere; the cluster at" in said


def switch_off(cluster: Cluster) -> None:
    """A host is gone from one moment to the next."""
    cluster.lab.hosts[1].off()


def cut_cable(cluster: Cluster) -> None:
    """A host is cut off, and works on for itself."""
    cluster.lab.hosts[2].unplug()


def drain(cluster: Cluster) -> None:
    """A host is told that it will be taken away, finishes what it works on, and is."""
    cluster.drain(1, 30)


HARM: dict[str, Callable[[Cluster], None]] = {
    "a host is switched off": switch_off,
    "a cable is cut": cut_cable,
    "a host drains, then is taken away": drain,
}


@pytest.mark.parametrize("name", HARM)
def test_a_run_outlives_a_host(place: Place, tmp_path: Path, name: str) -> None:
    place.cluster.heal()
    began_s = time.monotonic()
    process = place.start(tmp_path / "out", "engine.workers=2")
    work_begun(tmp_path / "out", len(place.units) // 4, process)
    harmed = datetime.now(UTC)
    HARM[name](place.cluster)
    code, said = ended(process)
    assert code == 0, said
    place.check(tmp_path / "out", name, code, 1, began_s, harmed)
    if HARM[name] is drain:
        assert done_twice(tmp_path / "out") == 0
        assert "retry" not in seen(tmp_path / "out")


def test_a_run_that_lost_the_head_is_done_by_the_same_command(place: Place, tmp_path: Path) -> None:
    place.cluster.heal()
    began_s = time.monotonic()
    process = place.start(tmp_path / "out", "engine.workers=2")
    work_begun(tmp_path / "out", len(place.units) // 3, process)
    place.cluster.lab.hosts[0].off()
    code, _ = ended(process)
    assert code != 0
    assert markers(tmp_path / "out").keys() < place.units
    place.cluster.heal()
    again, said = ended(place.start(tmp_path / "out", "engine.workers=2"))
    assert again == 0, said
    place.check(tmp_path / "out", "the head is lost, and the cluster made anew", again, 2, began_s)


def test_of_two_runs_at_once_the_second_is_refused_or_helps(place: Place, tmp_path: Path) -> None:
    place.cluster.heal()
    began_s = time.monotonic()
    first = place.start(tmp_path / "out", "engine.workers=1")
    work_begun(tmp_path / "out", 1, first)
    refused, said = ended(place.start(tmp_path / "out", "engine.workers=1"))
    assert refused == 4, said
    assert "host0" in said
    helped, said = ended(place.start(tmp_path / "out", "engine.workers=1", options=("--join",)))
    assert helped == 0, said
    code, said = ended(first)
    assert code == 0, said
    place.check(tmp_path / "out", "the command is started twice, then helped by a third", code, 3, began_s)


def test_two_runs_share_a_cluster(place: Place, tmp_path: Path) -> None:
    place.cluster.heal()
    began_s = time.monotonic()
    both = [place.start(tmp_path / name, "engine.workers=1") for name in ("left", "right")]
    for name, process in zip(("left", "right"), both, strict=True):
        code, said = ended(process)
        assert code == 0, said
        place.check(tmp_path / name, f"two runs share the cluster: the {name} one", code, 1, began_s)


def test_the_lab_leaves_nothing_behind() -> None:
    with Lab(1, prefix=f"sx{os.getpid() % 10_000}") as lab:
        assert lab.hosts[0].run("hostname") == (0, "host0\n")
        first = lab.hosts[0].first_process
    assert not Path(f"/proc/{first}").exists()
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert lab.prefix not in left
