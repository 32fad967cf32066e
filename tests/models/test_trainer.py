"""What the trainer can do beyond one plain epoch after another; each promise is an equation of two runs."""

import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as processes

from models.checkpoint import state_from_bytes, state_to_bytes
from models.confusion import confusion
from models.metrics import class_scores
from models.networks import NetworkSpec, build
from models.train import TrainSpec, train
from tests.models.test_train import FAST, Fields, small_network
from tests.processes import forking

torch.set_num_threads(1)

MIDWAY = FAST.model_copy(update={"epochs": 3, "checkpoint_steps": 2})


def changed(spec: TrainSpec, **settings) -> TrainSpec:
    return TrainSpec(**(spec.model_dump() | settings))


def same(first, second) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


class Uneven(Fields):
    """Sample i ignores its own share of pixels: parts of a batch have unequal denominators."""

    def __init__(self, count: int, seed: int = 0) -> None:
        super().__init__(count, seed)
        rng = np.random.default_rng(seed + 1)
        for i in range(count):
            self.labels[i][rng.random((32, 64)) < 0.95 * i / count] = 255
        self.labels[0] = 255


class Classes(Fields):
    """Three classes: stripes of brightness in three channels; class 2 is absent from the first half."""

    def __init__(self, count: int, seed: int = 0) -> None:
        super().__init__(count, seed)
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 3, (count, 4, 8)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
        self.labels[: count // 2][self.labels[: count // 2] == 2] = 0
        for c in range(3):
            self.images[:, c] += 2 * (self.labels == c)
        self.labels[:, :2] = 255


def undropped(seed: int = 1, classes: int = 1):
    """Without dropout, whose random numbers parts of a batch would draw differently."""
    network = small_network(seed, classes)
    network.network[3].p = 0.0
    return network


@pytest.mark.parametrize("loss", ["bce_dice", "lovasz", "focal"])
def test_accumulated_parts_are_the_large_batch(loss):
    spec = changed(FAST, loss=loss, freeze_normalisation=True, class_weights=(1.0, 2.5), optimizer="SGD", epochs=2)
    whole, parts = undropped(), undropped()
    expected = train(whole, Uneven(8), None, spec)
    found = train(parts, Uneven(8), None, changed(spec, accumulate=4))
    for one, other in zip(found, expected, strict=True):
        assert one.training_loss == pytest.approx(other.training_loss, rel=1e-5)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[key], value, rtol=1e-4, atol=1e-6)
    moved = small_network().state_dict()["network.0.weight"]
    assert (parts.state_dict()["network.0.weight"] - moved).abs().max() > 1e-4


def test_a_run_killed_within_an_epoch_goes_on_to_the_same_curve_bit_for_bit():
    straight, checkpoints, steps = small_network(), [], []
    whole = train(
        straight, Fields(22), Fields(3), MIDWAY,
        on_step=steps.append, on_checkpoint=lambda r: checkpoints.append((r, state_to_bytes(r.state()))),
    )  # fmt: skip
    assert [(r.epoch, r.step, r.steps) for r, _ in checkpoints] == [(e, s, 6) for e in range(3) for s in (2, 4)]
    for report, data in checkpoints[1:4]:
        resumed, rest = small_network(seed=99), []
        torch.manual_seed(1234)
        reports = train(resumed, Fields(22), Fields(3), MIDWAY, resume=state_from_bytes(data), on_step=rest.append)
        done = 6 * report.epoch + report.step
        assert [(s.epoch, s.step, s.loss) for s in rest] == [(s.epoch, s.step, s.loss) for s in steps[done:]]
        for found, expected in zip(reports, whole[report.epoch :], strict=True):
            assert found.epoch == expected.epoch
            assert found.training_loss == expected.training_loss
            assert found.validation == expected.validation
            assert found.learning_rate == expected.learning_rate
        assert same(resumed, straight)


def test_random_numbers_do_not_repeat_behind_a_checkpoint():
    network, drawn = small_network(), []
    network.register_forward_pre_hook(lambda module, x: drawn.append((torch.initial_seed(), torch.rand(()).item())))
    train(network, Fields(22), None, MIDWAY)
    assert len({value for _, value in drawn}) == len(drawn) == 18
    assert len({seed for seed, _ in drawn}) == 9  # three epochs of three stretches


def killed(_: int, directory: Path) -> None:
    """Train until the checkpoint of step 4 of epoch 1 is saved and one more step is done, then die."""

    def save(report) -> None:
        (directory / "state.pt").write_bytes(state_to_bytes(report.state()))

    def die(step) -> None:
        if (step.epoch, step.step) == (1, 4):
            os.kill(os.getpid(), signal.SIGKILL)

    train(small_network(), Fields(22), Fields(3), MIDWAY, on_step=die, on_checkpoint=save)


def test_a_process_killed_by_the_system_leaves_what_another_goes_on_with(tmp_path):
    with pytest.raises(processes.ProcessExitedException, match="SIGKILL"):
        processes.start_processes(killed, (tmp_path,), nprocs=1, start_method=forking().get_start_method())
    state = state_from_bytes((tmp_path / "state.pt").read_bytes())
    assert (state["epoch"], state["within"]["step"]) == (0, 4)
    straight, resumed = small_network(), small_network(seed=99)
    whole = train(straight, Fields(22), Fields(3), MIDWAY)
    rest = train(resumed, Fields(22), Fields(3), MIDWAY, resume=state)
    assert [r.training_loss for r in rest] == [r.training_loss for r in whole[1:]]
    assert same(resumed, straight)


def test_schedules_that_count_steps_resume_in_their_place():
    spec = changed(MIDWAY, schedule="OneCycleLR", optimizer={"name": "SGD", "momentum": 0.9})
    straight, checkpoints = small_network(), []
    whole = train(straight, Fields(22), None, spec, on_checkpoint=lambda r: checkpoints.append(r.state()))
    assert whole[0].learning_rate == pytest.approx(1e-2 / 25)
    resumed = small_network(seed=5)
    rest = train(resumed, Fields(22), None, spec, resume=checkpoints[3])
    assert [r.learning_rate for r in rest] == [r.learning_rate for r in whole[1:]]
    assert same(resumed, straight)


def test_a_state_of_the_first_format_is_taken_on():
    straight, states = small_network(), []
    train(straight, Fields(10), None, FAST, on_epoch=lambda r: states.append(r.state()))
    old = {key: value for key, value in states[1].items() if key not in ("within", "selection")} | {"format": 1}
    resumed = small_network(seed=9)
    train(resumed, Fields(10), None, FAST, resume=old)
    assert same(resumed, straight)


def test_a_state_within_an_epoch_is_given_only_while_it_is_current():
    reports = []
    train(small_network(), Fields(22), None, MIDWAY, on_checkpoint=reports.append)
    with pytest.raises(
        ValueError, match="state after 2 steps of epoch 0, but the run has gone on to step 0 of epoch 3"
    ):
        reports[0].state()


class Fading(Fields):
    """A validation whose labels turn against the network after the given epoch: the score can only fall."""

    def __init__(self, count: int, turns: int) -> None:
        super().__init__(count, seed=9)
        self.turns, self.right = turns, self.labels.copy()

    def set_epoch(self, epoch: int) -> None:
        wrong = np.where(self.right == 255, 255, 1 - self.right)
        self.labels = (self.right if epoch <= self.turns else wrong).astype(np.uint8)


LONG = FAST.model_copy(update={"epochs": 9})


def test_the_network_of_the_best_epoch_is_returned_when_asked_for():
    states = []
    last, best = small_network(), small_network()
    train(last, Fields(8), Fading(4, turns=2), LONG, on_epoch=lambda r: states.append(r.state()["network"]))
    reports = train(best, Fields(8), Fading(4, turns=2), changed(LONG, best={}))
    scores = [r.validation["mIoU"] for r in reports]
    winner = int(np.argmax(scores))
    assert winner <= 2
    assert max(r.epoch for r in reports if r.is_best) == winner
    assert all(torch.equal(value, states[winner][key]) for key, value in best.state_dict().items())
    assert not same(best, last)
    lowest = small_network()
    rule = {"metric": "training_loss", "mode": "min"}
    reports = train(lowest, Fields(8), None, changed(LONG, best=rule))
    assert reports[int(np.argmin([r.training_loss for r in reports]))].is_best


def test_a_run_ends_when_its_patience_does_and_a_resumed_one_too():
    spec = changed(LONG, early_stop={"patience": 2}, best={})
    states = []
    network = small_network()
    reports = train(network, Fields(8), Fading(4, turns=2), spec, on_epoch=lambda r: states.append(r.state()))
    scores = [r.validation["mIoU"] for r in reports]
    winner = int(np.argmax(scores))
    assert len(reports) == winner + 3 < 9
    assert [bool(r.stops) for r in reports] == [False] * (winner + 2) + [True]
    assert "mIoU has not been better than" in reports[-1].stops
    for place in (winner, winner + 1, winner + 2):
        again = small_network(seed=7)
        data = state_to_bytes(states[place])
        rest = train(again, Fields(8), Fading(4, turns=2), spec, resume=state_from_bytes(data))
        assert len(rest) == len(reports) - place - 1
        assert same(again, network)


def test_a_gain_below_min_delta_does_not_count():
    spec = changed(LONG, early_stop={"patience": 1, "min_delta": 10.0, "metric": "training_loss", "mode": "min"})
    assert len(train(small_network(), Fields(8), None, spec)) == 2


def test_rules_about_numbers_that_will_not_exist_are_refused_before_the_start():
    for validation, rule, message in [
        (Fields(2), {"metric": "miou"}, "Did you mean 'mIoU'"),
        (None, {}, "has no validation"),
        (Fields(2), {"metric": "iou_2"}, "Known: .*iou_bg"),
    ]:
        with pytest.raises(ValueError, match=message):
            train(small_network(), Fields(4), validation, changed(FAST, best=rule))
    with pytest.raises(ValueError, match=r"3 numbers for 2 label values\. Give one each, background first"):
        train(small_network(), Fields(4), None, changed(FAST, class_weights=(1, 2, 3)))
    with pytest.raises(ValueError, match=r"among 1 workers, each in 3 parts\. Set batch to 3 or 6"):
        train(small_network(), Fields(4), None, changed(FAST, accumulate=3))


@pytest.mark.parametrize("loss", ["bce", "bce_dice", "lovasz", "focal"])
def test_several_classes_are_learnt_by_the_same_trainer(loss):
    network, validation = small_network(classes=3), Classes(4, seed=3)
    spec = changed(FAST, epochs=6, loss=loss, best={}, class_weights=(1, 1, 2))
    reports = train(network, Classes(16), validation, spec)
    assert reports[-1].validation["mIoU"] > 0.6
    assert reports[-1].training_loss < 0.7 * reports[0].training_loss
    with torch.inference_mode():
        named = network(torch.from_numpy(validation.images)).argmax(1).numpy()
    expected = class_scores(confusion(validation.labels, named, 3))
    best = max(reports, key=lambda r: r.validation["mIoU"])
    assert best.validation == pytest.approx(expected, abs=2e-3)
    assert set(best.validation) >= {"iou_0", "iou_1", "iou_2", "macro_f1"}


def test_labels_that_no_channel_stands_for_are_refused():
    with pytest.raises(ValueError, match=r"hold the labels \[2\]; only 0 to 1 and 255"):
        train(small_network(), Classes(4), None, FAST)


@pytest.mark.parametrize("count", [5, 8])
def test_the_last_pass_of_a_validation_is_filled_up_and_the_filling_not_counted(count):
    network, shapes, validation = small_network(), [], Fields(count, seed=9)
    network.register_forward_hook(lambda module, x, y: None if module.training else shapes.append(x[0].shape[0]))
    report = train(network, Fields(4), validation, changed(FAST, epochs=1, batch=2, validation_batch=4))[-1]
    assert shapes == [4, 4]
    network.eval()
    with torch.inference_mode():
        positive = network(torch.from_numpy(validation.images))[:, 0] > 0
    counts = confusion(torch.from_numpy(validation.labels), positive, 2)
    assert report.validation["accuracy"] == pytest.approx(int(counts.trace()) / int(counts.sum()), abs=2e-3)


def test_a_compiled_run_is_the_plain_one_or_warns_and_goes_on(monkeypatch):
    spec = changed(FAST, epochs=2)
    plain, other = undropped(), undropped()
    expected = train(plain, Fields(8), None, spec)
    asked = []

    def through(module):  # a compiler that compiles nothing
        asked.append(module)
        return torch.nn.Sequential(module)

    monkeypatch.setattr(torch, "compile", through)
    found = train(other, Fields(8), None, changed(spec, compile=True))
    assert asked == [other]
    assert [r.training_loss for r in found] == [r.training_loss for r in expected]
    assert same(plain, other)

    def broken(module):
        raise RuntimeError("no C++ compiler\nlong trace")

    monkeypatch.setattr(torch, "compile", broken)
    third = undropped()
    with pytest.warns(RuntimeWarning, match=r"torch\.compile failed here: RuntimeError: no C\+\+ compiler\. Training"):
        again = train(third, Fields(8), None, changed(spec, compile=True))
    assert [r.training_loss for r in again] == [r.training_loss for r in expected]
    assert same(plain, third)


def test_synchronised_normalisation_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match="SyncBatchNorm on CUDA devices only"):
        train(small_network(), Fields(4), None, changed(FAST, sync_normalisation=True))


@pytest.mark.gpu
def test_on_a_gpu_float16_scales_its_loss_and_the_scale_is_resumed():
    spec = changed(MIDWAY, precision="fp16", sync_normalisation=True, gradient_clip=1.0)
    network, states = small_network(), []
    train(network, Fields(22), Fields(3), spec, device="cuda", on_checkpoint=lambda r: states.append(r.state()))
    assert states[-1]["scaler"]["scale"] > 1
    assert isinstance(network.network[1], torch.nn.BatchNorm2d)
    resumed = small_network(seed=9)
    train(resumed, Fields(22), Fields(3), spec, device="cuda", resume=states[2])
    for key, value in network.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_the_compiler_of_this_machine_gives_the_losses_of_the_plain_run():
    import warnings

    torch.manual_seed(0)
    spec = NetworkSpec(architecture="unet", encoder="resnet18", in_channels=3)
    networks = [build(spec), build(spec)]
    networks[1].load_state_dict(networks[0].state_dict())
    plain = changed(FAST, epochs=1, learning_rate=1e-4)
    expected = train(networks[0], Fields(8), None, plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own parts
        warnings.filterwarnings("error", "compile was asked for")
        found = train(networks[1], Fields(8), None, changed(plain, compile=True))
    assert math.isclose(found[0].training_loss, expected[0].training_loss, rel_tol=1e-3)
