"""The best epoch and the end of patience: two rules over a list of numbers, checked against plain loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.selection import TRAINING_LOSS, Selection, check_rules
from models.train_spec import TrainSpec

VALUES = st.lists(
    st.one_of(st.sampled_from([0.1, 0.2, 0.5]), st.floats(0, 1), st.just(math.nan)), min_size=1, max_size=15
)


def spec(**rules) -> TrainSpec:
    return TrainSpec(**rules)


def weight(value: float) -> nn.Linear:
    """A network that can be recognised."""
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(value)
    return network


def run(selection: Selection, values, loss: float = 1.0, first: int = 0) -> list[tuple[bool, str]]:
    """Show epochs, whose networks carry their number, until the rule ends the run."""
    told = []
    for epoch, value in enumerate(values, first):
        told.append(selection.see(weight(epoch), loss, {"mIoU": value}))
        if selection.stopped:
            break
    return told


@settings(deadline=None)
@given(VALUES, st.sampled_from(["max", "min"]))
def test_the_best_network_is_that_of_the_first_best_epoch(values, mode):
    selection = Selection(spec(best={"mode": mode}))
    told = run(selection, values)
    seen = [value for value in values if not math.isnan(value)]
    assert not any(why for _, why in told)
    if not seen:
        assert selection.best_network is None
        return
    winner = values.index(max(seen) if mode == "max" else min(seen))  # of equals the first
    assert selection.best_network["weight"].item() == winner
    assert max(epoch for epoch, (is_best, _) in enumerate(told) if is_best) == winner
    assert not any(told[epoch][0] for epoch, value in enumerate(values) if math.isnan(value))


@settings(deadline=None)
@given(VALUES, st.integers(1, 4), st.sampled_from([0.0, 0.15]))
def test_a_run_ends_after_so_many_epochs_without_a_gain(values, patience, min_delta):
    selection = Selection(spec(early_stop={"patience": patience, "min_delta": min_delta}))
    told = run(selection, values)
    best, since, length = -math.inf, 0, 0
    for value in values:
        length += 1
        best, since = (value, 0) if value > best + min_delta else (best, since + 1)
        if since == patience:
            break
    assert len(told) == length
    assert [bool(why) for _, why in told] == [False] * (length - 1) + [since == patience]
    assert selection.best_network is None  # nobody asked for it


@settings(deadline=None)
@given(VALUES, st.integers(0, 14), st.sampled_from([{}, {"best": {}}, {"early_stop": {"patience": 3}}]))
def test_what_is_remembered_survives_a_checkpoint(values, cut, first):
    rules = first | {"early_stop": {"patience": 2, "min_delta": 0.1}}
    straight, before, after = (Selection(spec(**rules)) for _ in range(3))
    whole, part = run(straight, values), run(before, values[:cut])
    after.load(before.state())
    rest = [] if before.stopped else run(after, values[cut:], first=cut)
    assert part + rest == whole
    assert after.stopped == straight.stopped
    assert (after.best_network is None) == (straight.best_network is None)
    if straight.best_network is not None:
        assert torch.equal(after.best_network["weight"], straight.best_network["weight"])


def test_the_best_network_is_a_copy_that_further_training_does_not_move():
    selection, network = Selection(spec(best={})), weight(3.0)
    selection.see(network, 1.0, {"mIoU": 0.5})
    network.weight.data.fill_(9.0)
    assert selection.best_network["weight"].item() == 3.0
    state = selection.state()
    other = Selection(spec(best={}))
    other.load(state)
    state["best_network"]["weight"].fill_(7.0)
    assert other.best_network["weight"].item() == 3.0


def test_two_rules_may_look_at_two_numbers():
    loss_rule = {"metric": TRAINING_LOSS, "mode": "min", "patience": 1}
    selection = Selection(spec(best={"metric": "mIoU"}, early_stop=loss_rule))
    told = [selection.see(weight(e), loss, {"mIoU": m}) for e, (loss, m) in enumerate([(3, 0.9), (2, 0.1), (2.5, 0.2)])]
    assert [is_best for is_best, _ in told] == [True, False, False]
    assert told[:2] == [(True, ""), (False, "")]
    assert told[2][1] == "training_loss has not been better than 2 by more than 0 for 1 epochs (patience 1)"
    assert selection.stopped


def test_without_rules_nothing_is_remembered():
    selection = Selection(spec())
    assert selection.see(weight(1), 1.0, {}) == (False, "")
    assert (selection.state(), selection.best_network, selection.stopped) == (None, None, False)
    selection.load(None)
    assert not selection.stopped


def test_rules_name_numbers_that_will_be_there():
    check_rules(spec(), ())
    check_rules(spec(best={"metric": TRAINING_LOSS, "mode": "min"}), ())
    check_rules(spec(best={"metric": "iou_2"}, early_stop={"patience": 1}), ("mIoU", "iou_2"))
    with pytest.raises(ValueError, match=r"metric of early_stop.*mIuO.*Did you mean 'mIoU'") as caught:
        check_rules(spec(early_stop={"patience": 1, "metric": "mIuO"}), ("mIoU",))
    assert "no validation" not in str(caught.value)
    with pytest.raises(ValueError, match=r"metric of best.*This run has no validation"):
        check_rules(spec(best={}), ())
