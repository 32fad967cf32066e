"""Reports: values that can be compared, printed and kept; the state is neither, it is fetched when asked for."""

import dataclasses

import pytest

from models.train_reports import CheckpointReport, EpochReport, StepReport

STEP = StepReport(epoch=1, step=2, steps=5, loss=0.25, seconds=3.0)


def epoch(state=dict, **more) -> EpochReport:
    return EpochReport(1, 0.5, {"mIoU": 0.7}, 1e-3, 60.0, state, **more)


def checkpoint(state=dict) -> CheckpointReport:
    return CheckpointReport(1, 2, 5, state)


@pytest.mark.parametrize("report", [STEP, epoch(), checkpoint()])
def test_reports_do_not_change(report):
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.epoch = 2


def failing():
    raise AssertionError("a state was copied that nobody asked for")


@pytest.mark.parametrize("make", [epoch, checkpoint])
def test_a_state_is_copied_only_when_asked_for_and_has_no_part_in_what_a_report_is(make):
    assert make(failing) == make(dict)
    assert "state" not in repr(make(failing))
    assert make(lambda: {"epoch": 3}).state() == {"epoch": 3}
    with pytest.raises(AssertionError, match="nobody asked"):
        make(failing).state()


def test_an_epoch_is_neither_the_best_nor_the_last_unless_a_rule_says_so():
    plain = epoch()
    assert (plain.is_best, plain.stops) == (False, "")
    assert plain != epoch(is_best=True)
    assert plain != epoch(stops="patience")
