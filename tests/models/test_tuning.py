"""The search for the fastest setting, on machines whose speed is a formula; the timer, on a real network."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import tuning
from models.precision import supports
from models.tuning import PASSES, Choice, Setting, Timing, search, timer
from tests.models.test_predict import member

torch.set_num_threads(1)
TILE_PX = 512


class Machine:
    """A pass takes `overhead_s`, and each window of it seconds by number format and by area."""

    def __init__(self, overhead_s: float, formats: dict[str, float], largest: int = 99, crowding: float = 0.0):
        self.overhead_s, self.formats, self.largest, self.crowding = overhead_s, formats, largest, crowding
        self.asked: list[tuple[Setting, int]] = []
        self.spent_s = 0.0

    def window_s(self, setting: Setting, side_px: int = TILE_PX) -> float:
        if setting.batch > self.largest:
            return math.inf
        work_s = self.formats[setting.precision] * (side_px / TILE_PX) ** 2 * (1 + self.crowding * (setting.batch - 1))
        return work_s + self.overhead_s / setting.batch

    def __call__(self, setting: Setting, side_px: int) -> Timing:
        self.asked.append((setting, side_px))
        window_s = self.window_s(setting, side_px)
        spent_s = PASSES * setting.batch * window_s if math.isfinite(window_s) else 0.1
        self.spent_s += spent_s
        return Timing(window_s, spent_s)


def found(machine: Machine, formats=("bf16", "fp32"), batches=(1, 2, 4, 8), limit_s=10.0) -> Choice:
    return search(machine, formats, batches, TILE_PX, limit_s)


def test_the_fastest_is_found_and_tried_on_whole_tiles():
    machine = Machine(0.05, {"bf16": 0.02, "fp32": 0.04})
    assert found(machine).setting == Setting("bf16", 8)
    assert [side for _, side in machine.asked] == [TILE_PX // 4] + [TILE_PX] * 6
    machine = Machine(0.05, {"bf16": 0.06, "fp32": 0.04}, crowding=0.5)  # bfloat16 emulated, caches too small
    assert found(machine).setting == Setting("fp32", 2)
    assert Setting("fp32", 8) not in [s for s, _ in machine.asked]


def test_a_larger_batch_must_be_clearly_faster():
    assert found(Machine(0.001, {"bf16": 0.1, "fp32": 0.2})).setting.batch == 1


def test_a_format_that_a_neighbour_slowed_down_gets_a_second_chance():
    class Disturbed(Machine):
        def window_s(self, setting, side_px=TILE_PX):
            return super().window_s(setting, side_px) * (9 if len(self.asked) == 2 else 1)

    assert found(Disturbed(0.05, {"bf16": 0.02, "fp32": 0.04})).setting == Setting("bf16", 8)


def test_who_was_alone_needs_no_second_chance():
    class Alone(Machine):
        def __call__(self, setting, side_px):
            return replace(super().__call__(setting, side_px), alone=setting.precision == "fp32")

    machine = Alone(0.001, {"bf16": 0.1, "fp32": 0.2})
    assert found(machine, batches=(1,)).setting == Setting("bf16", 1)
    assert [setting.precision for setting, _ in machine.asked[1:]] == ["bf16", "fp32"]
    machine = Alone(0.001, {"bf16": 0.2, "fp32": 0.1})
    found(machine, batches=(1,))
    assert [setting.precision for setting, _ in machine.asked[1:]] == ["bf16", "fp32", "bf16"]


def test_memory_ends_the_batches():
    choice = found(Machine(0.05, {"bf16": 0.02, "fp32": 0.04}, largest=3))
    assert choice.setting == Setting("bf16", 2)
    assert [trial.window_s for trial in choice.trials][-1] == math.inf


def test_a_number_format_that_fails_is_left_out():
    machine = Machine(0.05, {"bf16": math.inf, "fp32": 0.04})  # nothing predicts how long passes are: small tiles
    assert found(machine).setting == Setting("fp32", 1)
    assert {side for _, side in machine.asked} == {TILE_PX // 4}
    with pytest.raises(RuntimeError, match=r"\['bf16', 'fp32'\].*1 windows a pass"):
        found(Machine(0.05, {"bf16": math.inf, "fp32": math.inf}))


def test_long_passes_are_compared_on_smaller_tiles_and_batches_are_not_tried():
    machine = Machine(0.0, {"bf16": 2.5, "fp32": 1.5})
    assert found(machine).setting == Setting("fp32", 1)
    assert machine.asked == [(Setting("bf16", 1), 128), *((Setting(name, 1), 256) for name in ("bf16", "fp32", "bf16"))]


def test_where_there_is_no_time_the_first_is_taken():
    machine = Machine(0.0, {"bf16": 60.0, "fp32": 1.0})
    assert found(machine) == Choice(Setting("bf16", 1), ())
    assert len(machine.asked) == 1


def test_nothing_to_choose_is_not_measured():
    machine = Machine(0.0, {"fp32": 0.1})
    assert found(machine, ("fp32",), (3,)) == Choice(Setting("fp32", 3), ())
    assert machine.asked == []


@given(
    overhead_s=st.floats(0, 0.2),
    seconds=st.tuples(st.floats(0.001, 3), st.floats(0.001, 3)),
    crowding=st.floats(0, 1),
    limit_s=st.floats(1, 20),
)
def test_nothing_that_was_tried_is_much_faster_and_the_limit_holds(overhead_s, seconds, crowding, limit_s):
    machine = Machine(overhead_s, dict(zip(("bf16", "fp32"), seconds, strict=True)), crowding=crowding)
    choice = found(machine, limit_s=limit_s)
    by_setting = {trial.setting: trial.window_s for trial in choice.trials}
    if choice.trials:
        assert by_setting[choice.setting] <= min(by_setting.values()) * tuning.CLEARLY
    # the scout, and formats that take as long as the scout's predicts; another format may take as much longer
    slower = max(1.0, machine.window_s(Setting("fp32", 1)) / machine.window_s(Setting("bf16", 1)))
    scout_s = PASSES * machine.window_s(Setting("bf16", 1), TILE_PX // 4)
    assert machine.spent_s <= scout_s + limit_s * 2 * slower + 1e-9  # 2: windows that crowd the caches


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_real_networks_are_timed_in_their_own_channels(precision):
    if not supports("cpu", precision):
        pytest.skip("no native bfloat16")
    members = [member("five", ("red", "green", "mask"), 1), member("four", ("gems", "red"), 2)]
    timing = timer(members, "flips4")(Setting(precision, 2), 64)
    assert 0 < 2 * timing.window_s < timing.spent_s


def test_networks_that_overflow_cannot_be_used():
    card, network = member("five", ("red", "mask"), 1)
    with torch.no_grad():
        network.network.segmentation_head[0].bias.fill_(np.inf)
    assert timer([(card, network)], "none")(Setting("fp32", 1), 64).window_s == math.inf
