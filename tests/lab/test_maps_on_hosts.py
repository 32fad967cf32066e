"""A map of three hosts is the map of one process, whatever happens to the hosts.

pytest tests/lab -m slow -s          all faults, and the table; needs root, takes some minutes
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.logs import entries, runs
from cluster.storage import Storage
from tests.chaos.runs import digest, small_country, start, units_done
from tests.jobs.worlds import World
from tests.lab.clusters import Cluster
from tests.lab.hosts import Lab, lacking

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking())]

SEEN = ("worker_lost", "worker_silent", "probe", "retry", "hedge", "worker_respawn", "stopping", "stopped", "takeover")
"""Events of a run's log that say what the driver saw of a fault."""


@dataclass
class Place:
    """A cluster of three hosts, scenes, and the map that one process makes of them."""

    cluster: Cluster
    here: World
    digest: dict[str, str]
    units: set[str]
    rows: list[str] = field(default_factory=list)

    def start(self, out: Path, *changes: str) -> subprocess.Popen:
        """Start a map on the head."""
        words = [sys.executable, "-m", "jobs.map", *self.here.command(f"out={out}", "engine.kind=ray", *changes)]
        return self.cluster.lab.hosts[0].start(
            *words,
            env=self.cluster.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    here = small_country(tmp_path_factory.mktemp("country"))
    alone = here.folder / "alone"
    code, told = start(here, alone, "engine.kind=serial").wait()
    assert code == 0, told
    with Lab(3) as lab:
        cluster = Cluster(lab, tmp_path_factory.mktemp("cluster"))
        cluster.heal()
        found = Place(cluster, here, digest(alone), set(units_done(alone)))
        yield found
    heads = "| fault | what the driver saw | ended with | runs | units done twice | seconds |"
    print("\n" + "\n".join([heads, "| --- " * 6 + "|", *found.rows]))


def ended(process: subprocess.Popen) -> tuple[int, str]:
    _, told = process.communicate(timeout=400)
    return process.returncode, told


def work_begun(out: Path, units: int, process: subprocess.Popen) -> None:
    """Wait until so many units are done."""
    while len(list(out.glob("markers/*/**/*.json"))) < units and process.poll() is None:
        time.sleep(0.02)


def seen(out: Path) -> Counter[str]:
    """What the logs of all runs say that happened."""
    storage = Storage(str(out))
    told = (line.get("event") for run in runs(storage) for line in entries(storage, run))
    return Counter(event for event in told if event in SEEN)


def check(place: Place, out: Path, name: str, code: int, count: int, began_s: float) -> None:
    found = digest(out)
    assert {key for key in place.digest if found.get(key) != place.digest[key]} == set()
    assert found.keys() == place.digest.keys()
    done = Counter(units_done(out))
    assert set(done) == place.units
    twice = sum(count - 1 for count in done.values())
    events = ", ".join(f"{count} {event}" for event, count in sorted(seen(out).items())) or "nothing"
    place.rows.append(f"| {name} | {events} | {code} | {count} | {twice} | {time.monotonic() - began_s:.0f} |")


def test_three_hosts_make_the_map_of_one_process(place: Place, tmp_path: Path) -> None:
    place.cluster.heal()
    began_s = time.monotonic()
    process = place.start(tmp_path / "out", "engine.workers=2")
    code, told = ended(process)
    assert code == 0, told
    check(place, tmp_path / "out", "none", code, 1, began_s)
    storage = Storage(str(tmp_path / "out"))
    workers = {line.get("worker") for run in runs(storage) for line in entries(storage, run)} - {None}
    assert seen(tmp_path / "out") == Counter()
    assert len(workers) in (0, 2)


def switch_off(cluster: Cluster) -> None:
    """A host is gone from one moment to the next."""
    cluster.lab.hosts[1].off()


HARM: dict[str, Callable[[Cluster], None]] = {
    "host switched off": switch_off,
}


@pytest.mark.parametrize("name", HARM)
def test_a_run_outlives_a_host(place: Place, tmp_path: Path, name: str) -> None:
    place.cluster.heal()
    began_s = time.monotonic()
    process = place.start(tmp_path / "out", "engine.workers=2")
    work_begun(tmp_path / "out", len(place.units) // 4, process)
    HARM[name](place.cluster)
    code, told = ended(process)
    assert code == 0, told
    check(place, tmp_path / "out", name, code, 1, began_s)


def test_the_lab_leaves_nothing_behind() -> None:
    with Lab(1, prefix=f"sx{os.getpid() % 10_000}") as lab:
        assert lab.hosts[0].run("hostname") == (0, "host0\n")
        first = lab.hosts[0].first_process
    assert not Path(f"/proc/{first}").exists()
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert lab.prefix not in left
