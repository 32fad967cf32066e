"""After any fault the same command makes the network of an undisturbed training on Ray, bit for bit, and its curve.

pytest tests/chaos/test_training.py -m slow -s        all faults, and their rows of the table
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.chaos.lessons import STRETCHES, Lesson, learnt, small_recipe
from tests.chaos.runs import SEED, SHORT, Command, litter, orphans
from tests.jobs.recipes import Recipe
from tests.jobs.worlds import files_below

Ended = tuple[int, str]


def kill_driver_thrice(lesson: Lesson) -> Ended:
    """SIGKILL of the driver alone, three times, and the command again at once: what Ray runs has to go by itself."""
    ended = 0, "the training was over before it was disturbed"
    for wanted in sorted(lesson.random.sample(range(1, STRETCHES - 1), 3)):
        command = lesson.start()
        lesson.sometime_after(command, wanted)
        lesson.left_behind += command.family()[1:]
        command.process.kill()
        ended = command.wait()
    return ended


def kill_all(lesson: Lesson) -> Ended:
    """SIGKILL of the driver and of all that it started: the power goes."""
    command = lesson.start()
    lesson.sometime_after(command, lesson.random.randrange(1, STRETCHES - 1))
    return _killed(lesson, command)


def kill_worker(lesson: Lesson) -> Ended:
    """SIGKILL of one of the two workers: the kernel was out of memory."""
    command = lesson.start()
    lesson.sometime_after(command, lesson.random.randrange(1, STRETCHES - 3))
    workers = command.workers()
    assert len(workers) == 2, "the training was over before it was disturbed"
    lesson.random.choice(workers).kill()
    return lesson.end(command)


def kill_and_damage(lesson: Lesson) -> Ended:
    """The power goes, and the disk has lost a part of what was written last."""
    command = lesson.start()
    lesson.reached(command, lesson.random.randrange(2, STRETCHES - 3))
    ended = _killed(lesson, command)
    last = lesson.checkpoints()[-1].with_suffix("") / "state.pt"
    data = last.read_bytes()
    middle = lesson.random.randrange(len(data))
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    last.write_bytes(lesson.random.choice((b"", data[:middle], flipped, bytes(len(data)))))
    lesson.to_be_said = f"{last.parent.name}/{last.name}; found "
    return ended


def _killed(lesson: Lesson, command: Command) -> Ended:
    family = command.family()
    lesson.left_behind += family[1:]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return command.wait()


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    name: str
    do: Callable[[Lesson], Ended]
    code: int
    """With which the disturbed command ends."""
    twice: int = 0
    """Checkpoints that are written again."""
    quick: bool = False


FAULTS = (
    Fault("training: driver killed, three times", kill_driver_thrice, -9),
    Fault("training: driver and cluster killed", kill_all, -9),
    Fault("training: worker killed", kill_worker, 0),
    Fault("training: killed, and the last checkpoint damaged", kill_and_damage, -9, twice=1, quick=True),
)


@dataclass
class Undisturbed:
    """The training that all are compared with."""

    recipe: Recipe
    seconds: float
    learnt: dict[str, str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    recipe = small_recipe(tmp_path_factory.mktemp("lessons"))
    first = Lesson(recipe, recipe.folder / "first" / "net", random.Random(0))
    code, told = first.end(first.start())  # ingests, which the others need not
    assert code == 0, told
    assert first.written == STRETCHES
    began_s, again = time.monotonic(), Lesson(recipe, recipe.folder / "undisturbed" / "net", random.Random(0))
    code, told = again.end(again.start())
    assert code == 0, told
    assert learnt(again.out) == learnt(first.out)
    return Undisturbed(recipe, time.monotonic() - began_s, learnt(again.out))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", [f for f in FAULTS if f.quick or not SHORT], ids=lambda fault: fault.name)
def test_a_training_survives(fault: Fault, undisturbed: Undisturbed, tmp_path: Path, rows: list[str]) -> None:
    lesson = Lesson(undisturbed.recipe, tmp_path / "net", random.Random(f"{fault.name} {SEED}"))
    began_s = time.monotonic()
    code, told = fault.do(lesson)
    assert code == fault.code, f"seed {SEED}: ended with {code}\n{told}"
    lesson.checkpoints()  # the last ones are of after the fault was decided on
    before = lesson.written if code else STRETCHES
    if code != 0:
        again, told = lesson.end(lesson.start())
        assert again == 0, f"seed {SEED}: repeated, it ended with {again}\n{told}"
        assert lesson.to_be_said in told, f"seed {SEED}: a damaged checkpoint was passed over without a word\n{told}"
    took_s, runs = time.monotonic() - began_s, lesson.started
    found = learnt(lesson.out)
    assert found.keys() == undisturbed.learnt.keys()
    assert {name for name in found if found[name] != undisturbed.learnt[name]} == set(), f"seed {SEED}"
    twice = lesson.written - STRETCHES
    assert twice == fault.twice, f"seed {SEED}: all {lesson.written} checkpoints of {STRETCHES}"
    assert len(litter(lesson.out)) <= 4, f"seed {SEED}: {litter(lesson.out)}"  # too young to be removed
    assert orphans(lesson.left_behind) == []
    facts = (fault.name, code, f"{before} of {STRETCHES}", runs, twice)
    rows.append(f"| {' | '.join(map(str, facts))} | {took_s / undisturbed.seconds:.1f} |")
    files = files_below(lesson.out)
    assert lesson.start().wait()[0] == 0
    assert files_below(lesson.out) == files, "a training that is done does nothing"
