"""Faults: what is done to a run while it works. Each takes a `Scene` and leaves a run that can be repeated."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.nodes import two_nodes
from tests.chaos.runs import Command, events, orphans, start, title
from tests.jobs.worlds import World

SERIAL, RAY = ("engine.kind=serial",), ("engine.kind=ray", "engine.workers=2")
DISK = "2200m"
"""As much as the run is expected to write at most: of a file system in memory only what is written takes any."""


@dataclass
class Scene:
    """Where a fault takes place."""

    here: World
    out: Path
    random: random.Random
    units: int
    """Of the run."""

    def start(self, *changes: str, options: tuple[str, ...] = (), path: Path | None = None) -> Command:
        """Start the run."""
        return start(self.here, self.out, *changes, options=options, path=path)

    def first_marker(self, command: Command) -> None:
        """Wait until the run has begun to work, or ended."""
        while not list(self.out.glob("markers/*/**/*.json")) and command.process.poll() is None:
            time.sleep(0.005)

    def sometime(self, command: Command, first: int = 1, last: int | None = None) -> None:
        """Wait for a random moment of the run: a unit's end, or soon after; of the first to the last unit."""
        wanted = self.random.randrange(first, self.units if last is None else last)
        while len(list(self.out.glob("markers/*/**/*.json"))) < wanted and command.process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.2 * self.random.random())


Ended = tuple[int, str]


def kill_driver(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """SIGKILL of the process that the user started, and of all that it started: the power of a laptop goes."""
    command = scene.start(*changes)
    scene.sometime(command)
    for process in command.family():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return command.wait()


def terminate_driver(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """SIGTERM: what a scheduler sends before it takes the machine away."""
    command = scene.start(*changes)
    scene.sometime(command)
    command.process.send_signal(signal.SIGTERM)
    return command.wait()


def kill_worker(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """SIGKILL of one worker of Ray: the kernel was out of memory."""
    return _strike(scene, changes, lambda process: process.kill())


def hang_worker(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """SIGSTOP of one worker of Ray: it no longer answers, and holds its units."""
    return _strike(scene, changes, lambda process: process.suspend())


def _strike(scene: Scene, changes: tuple[str, ...], blow: Callable[[psutil.Process], None]) -> Ended:
    command = scene.start(*changes)
    while not (workers := command.workers()) and command.process.poll() is None:
        time.sleep(0.05)
    scene.sometime(command)
    workers = command.workers() or workers
    if workers:
        with suppress(psutil.NoSuchProcess):
            blow(scene.random.choice(workers))
    return command.wait()


def kill_raylet(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """SIGKILL of the raylet of the second of two nodes while a worker is at work there: the machine is gone."""
    with two_nodes() as (address, raylet):
        command = scene.start(*changes, f"engine.address={address}")
        scene.sometime(command, 10, scene.units - 20)  # while windows are inferred: all workers have some
        workers = [p for p in raylet.children() if title(p).startswith("ray::Worker")]
        assert workers, "nobody was at work there"
        raylet.kill()
        ended = command.wait()
        assert orphans(workers) == []
    kinds = {e["kind"] for e in events(scene.out) if e.get("event") == "worker_lost"}
    assert kinds <= {"taken"}, "its units are not to blame"  # or none: the others may be done before it is missed
    return ended


def fill_disk(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """Somebody else fills the disk while the run works, and makes room afterwards."""
    _small_disk(scene.out)
    command = scene.start(*changes)
    scene.sometime(command)
    ballast = scene.out / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while command.process.poll() is None:
            file.write(bytes(1 << 20))
            file.flush()
    ended = command.wait()
    ballast.unlink()
    return ended


def _small_disk(place: Path) -> None:
    place.mkdir(parents=True)
    _mount("mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place))


def freeze_disk(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """The disk of the run is read-only when the command is repeated."""
    _small_disk(scene.out)
    kill_driver(scene, changes)
    _mount("mount", "-o", "remount,ro", str(scene.out))
    ended = scene.start(*changes).wait()
    _mount("mount", "-o", "remount,rw", str(scene.out))
    return ended


CLOCK = """
import time
_time, _began = time.time, time.monotonic()
time.time = lambda: _time() + ({jump} if time.monotonic() - _began > {after} else 0.0)
"""


def jump_clock(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """The clock of the machine jumps by a day, back or ahead, while the run works; it is killed, too."""
    jump, after_s = scene.random.choice((-86400.0, 86400.0)), 1.0 + 9.0 * scene.random.random()
    place = scene.out.parent / f"{scene.out.name}-clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(CLOCK.format(jump=jump, after=after_s))
    command = scene.start(*changes, path=place)
    scene.sometime(command)
    command.process.kill()
    command.wait()
    return scene.start(*changes, path=place).wait()


def start_twice(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """The same command a second time while the first is at work: it is refused, and the first does not notice."""
    first = scene.start(*changes)
    scene.first_marker(first)
    refused, told = scene.start(*changes).wait()
    assert refused == 4, told
    return first.wait()


def join(scene: Scene, changes: tuple[str, ...]) -> Ended:
    """A second command helps the first."""
    first = scene.start(*changes)
    scene.first_marker(first)  # else the second may be the first
    second = scene.start(*changes, options=("--join",))
    helped, told = second.wait()
    assert helped in (0, 3), told
    return first.wait()


def _mount(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    name: str
    do: Callable[[Scene, tuple[str, ...]], Ended]
    changes: tuple[str, ...]
    codes: tuple[int, ...]
    """How the disturbed run may end; 0 where it may also have been done already."""
    needs_root: bool = False
    quick: bool = False


FAULTS = (
    Fault("driver killed", kill_driver, SERIAL, (-9, 0), quick=True),
    Fault("driver and cluster killed", kill_driver, RAY, (-9, 0)),
    Fault("driver terminated", terminate_driver, SERIAL, (143, 0), quick=True),
    Fault("driver of a cluster terminated", terminate_driver, RAY, (143, 0)),
    Fault("worker killed", kill_worker, RAY, (0,), quick=True),
    Fault("worker hung", hang_worker, RAY, (0,)),
    Fault("node of a cluster killed", kill_raylet, RAY, (0,)),
    Fault("disk full", fill_disk, SERIAL, (1, 0), needs_root=True),
    Fault("disk full under a cluster", fill_disk, RAY, (1, 0), needs_root=True),
    Fault("disk read-only", freeze_disk, SERIAL, (2,), needs_root=True),
    Fault("clock jumps a day, and killed", jump_clock, SERIAL, (0,)),
    Fault("started twice", start_twice, SERIAL, (0,)),
    Fault("joined", join, SERIAL, (0,)),
)
