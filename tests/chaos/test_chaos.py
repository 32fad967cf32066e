"""After any fault the same command makes the map of an undisturbed run, bit for bit, and does no unit twice for it.

pytest tests/chaos -m slow -s        all faults, and the table
"""

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.differences import kept
from cluster.storage import Storage
from tests.chaos.faults import FAULTS, Fault, Scene
from tests.chaos.runs import SEED, SHORT, digest, litter, small_country, start, units_done
from tests.jobs.worlds import World


@dataclass
class Undisturbed:
    """The run that all are compared with."""

    here: World
    seconds: float
    digest: dict[str, str]
    units: set[str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    here = small_country(tmp_path_factory.mktemp("country"))
    began_s, out = time.monotonic(), here.folder / "undisturbed"
    code, told = start(here, out, "engine.kind=serial").wait()
    assert code == 0, told
    done = Counter(units_done(out))
    assert set(done.values()) == {1}
    return Undisturbed(here, time.monotonic() - began_s, digest(out), set(done))


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "out"
    yield place
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", str(place)], check=True)


def survive(fault: Fault, undisturbed: Undisturbed, out: Path, rows: list[str]) -> None:
    """Do harm, repeat the command, compare."""
    scene = Scene(undisturbed.here, out, random.Random(f"{fault.name} {SEED}"), len(undisturbed.units))
    began_s = time.monotonic()
    code, told = fault.do(scene, fault.changes)
    assert code in fault.codes, f"seed {SEED}: ended with {code}\n{told}"
    ended, before, runs = code, len(set(units_done(out))), 1
    while code != 0:
        runs += 1
        code, told = start(undisturbed.here, out, *fault.changes).wait()
        assert runs < 4, f"seed {SEED}: run {runs} ended with {code}\n{told}"
    took_s = time.monotonic() - began_s
    found = digest(out)
    assert found.keys() == undisturbed.digest.keys()
    assert {name for name in found if found[name] != undisturbed.digest[name]} == set(), f"seed {SEED}"
    assert kept(Storage(str(out))) == {}, f"seed {SEED}: a unit had two answers"
    done = Counter(units_done(out))
    assert set(done) <= undisturbed.units
    twice = sum(count - 1 for count in done.values())
    young = [name for name in litter(out) if not name.startswith("1.jsonl")]
    assert len(young) <= 4, f"seed {SEED}: {young}"  # of the moment of the kill; the next that succeeds removes it
    facts = (fault.name, ended, f"{before} of {len(undisturbed.units)}", runs, twice)
    rows.append(f"| {' | '.join(map(str, facts))} | {took_s / undisturbed.seconds:.1f} |")
    assert start(undisturbed.here, out, *fault.changes).wait()[0] == 0
    assert Counter(units_done(out)) == done, "a run that is done does nothing"


def needed(fault: Fault) -> pytest.MarkDecorator | tuple[()]:
    return pytest.mark.skipif(fault.needs_root and os.geteuid() != 0, reason="to mount takes root")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", [pytest.param(f, id=f.name, marks=needed(f)) for f in FAULTS if f.quick or not SHORT])
def test_a_run_survives(fault: Fault, undisturbed: Undisturbed, out: Path, rows: list[str]) -> None:
    survive(fault, undisturbed, out, rows)
