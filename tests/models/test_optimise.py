import math

import pytest
import torch
from torch import nn

from models.optimise import (
    OPTIMIZERS,
    OptimizerSpec,
    ScheduleSpec,
    make_optimizer,
    make_schedule,
    may_step,
    parameter_groups,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def test_weights_decay_biases_and_normalisation_do_not():
    made = network()
    decayed, plain = parameter_groups(made, 0.05)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    assert {id(p) for p in decayed["params"]} == {id(made[0].weight), id(made[3].weight)}
    others = (made[0].bias, made[1].weight, made[1].bias, made[3].bias)
    assert {id(p) for p in plain["params"]} == {id(p) for p in others}


def test_frozen_parameters_are_left_out():
    made = network()
    made[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in parameter_groups(made, 0.05)) == 4


def test_a_step_follows_the_equation_of_adamw():
    made, rate, decay = network(), 1e-2, 0.1
    optimizer = make_optimizer(made, rate, decay)
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    for parameter in made.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    for name, parameter in made.named_parameters():
        g, start = parameter.grad, before[name]
        first, second = 0.1 * g / (1 - 0.9), 0.001 * g**2 / (1 - 0.999)
        factor = 1 - rate * decay if start.ndim >= 2 else 1
        expected = start * factor - rate * first / (second.sqrt() + 1e-8)
        torch.testing.assert_close(parameter.detach(), expected)


def course(spec: ScheduleSpec, epochs: int, steps: int, rate: float = 4e-3) -> list[float]:
    """The rate of every optimizer step of a run, stepped as the trainer steps it."""
    optimizer = make_optimizer(network(), rate, 0.0)
    schedule = make_schedule(optimizer, spec, epochs, steps)
    rates = []
    for _ in range(epochs):
        for _ in range(steps):
            assert len({group["lr"] for group in optimizer.param_groups}) == 1
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if spec.counts == "step" and may_step(schedule):
                schedule.step()
        if spec.counts == "epoch" and may_step(schedule):
            schedule.step()
    return [*rates, optimizer.param_groups[0]["lr"]]


def cosine(t, period, low=0.0, high=4e-3):
    return low + (high - low) * (1 + math.cos(math.pi * t / period)) / 2


def one_cycle(t, total, high=4e-3, warmup=0.3):
    top = warmup * total - 1
    if t <= top:
        return cosine(top - t, top, high / 25, high)
    return cosine(t - top, total - 1 - top, high / 25e4, high)


def test_the_rate_falls_along_a_cosine_over_the_epochs():
    """IND-18: T_max = epochs, stepped once an epoch."""
    rates = course(ScheduleSpec(), epochs=10, steps=3)
    assert (rates[0], rates[15]) == (pytest.approx(4e-3), pytest.approx(2e-3))
    assert rates[-1] == pytest.approx(0, abs=1e-15)
    assert rates[:-1] == pytest.approx([cosine(t // 3, 10) for t in range(30)], abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "CosineAnnealingLR", "eta_min": 1e-4}, lambda e, t: cosine(e, 8, 1e-4)),
        ({"name": "CosineAnnealingLR", "interval": "step"}, lambda e, t: cosine(t, 40)),
        ({"name": "CosineAnnealingLR", "t_max": 4}, lambda e, t: cosine(e, 4)),
        ({"name": "CosineAnnealingWarmRestarts", "t_0": 3}, lambda e, t: cosine(e % 3, 3)),
        (
            {"name": "CosineAnnealingWarmRestarts", "t_0": 2, "t_mult": 2, "eta_min": 1e-5},
            lambda e, t: cosine(e if e < 2 else (e - 2 if e < 6 else e - 6), 2 if e < 2 else 4 if e < 6 else 8, 1e-5),
        ),
        ({"name": "LambdaLR", "rule": "exp:0.95"}, lambda e, t: 4e-3 * 0.95**e),
        ({"name": "LambdaLR", "rule": "inverse_time:1e-3"}, lambda e, t: 4e-3 / (1 + 1e-3 * t)),
        ({"name": "LambdaLR", "rule": "inverse_time:0.5", "interval": "epoch"}, lambda e, t: 4e-3 / (1 + 0.5 * e)),
        ({"name": "OneCycleLR"}, lambda e, t: one_cycle(t, 40)),
        ({"name": "OneCycleLR", "warmup": 0.5, "interval": "epoch"}, lambda e, t: one_cycle(e, 8, warmup=0.5)),
        ({"name": "none"}, lambda e, t: 4e-3),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_every_schedule_follows_its_closed_form(settings, expected):
    epochs, steps = 8, 5
    rates = course(ScheduleSpec(**settings), epochs, steps)
    assert rates[:-1] == pytest.approx([expected(t // steps, t) for t in range(epochs * steps)], rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "LambdaLR"}, "needs a rule"),
        ({"name": "LambdaLR", "rule": "exp:fast"}, "got 'exp:fast'"),
        ({"name": "LambdaLR", "rule": "exq:0.9"}, "Did you mean 'exp'"),
        ({"name": "CosineAnnealingWarmRestarts"}, "needs t_0"),
        ({"name": "StepLR"}, "CosineAnnealingLR"),
    ],
)
def test_incomplete_schedules_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ScheduleSpec(**settings)


RATE, DECAY = 1e-2, 0.1


def adam(w, grads, decay, betas=(0.9, 0.999)):
    first = second = torch.zeros_like(w)
    for t, g in enumerate(grads, start=1):
        g = g + decay * w
        first, second = betas[0] * first + (1 - betas[0]) * g, betas[1] * second + (1 - betas[1]) * g**2
        w = w - RATE * (first / (1 - betas[0] ** t)) / ((second / (1 - betas[1] ** t)).sqrt() + 1e-8)
    return w


def adamw(w, grads, decay):
    first = second = torch.zeros_like(w)
    for t, g in enumerate(grads, start=1):
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        w = w * (1 - RATE * decay) - RATE * (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
    return w


def rmsprop(w, grads, decay, smoothing=0.99, momentum=0.0):
    squares = buffer = torch.zeros_like(w)
    for g in grads:
        g = g + decay * w
        squares = smoothing * squares + (1 - smoothing) * g**2
        buffer = momentum * buffer + g / (squares.sqrt() + 1e-8)
        w = w - RATE * buffer
    return w


def sgd(w, grads, decay, momentum=0.0, nesterov=False):
    buffer = torch.zeros_like(w)
    for g in grads:
        g = g + decay * w
        buffer = momentum * buffer + g
        w = w - RATE * (g + momentum * buffer if nesterov else buffer)
    return w


@pytest.mark.parametrize(
    ("settings", "oracle"),
    [
        ({"name": "AdamW"}, adamw),
        ({"name": "Adam"}, adam),
        ({"name": "Adam", "betas": (0.8, 0.9)}, lambda w, g, d: adam(w, g, d, (0.8, 0.9))),
        ({"name": "RMSprop"}, rmsprop),
        ({"name": "RMSprop", "smoothing": 0.9, "momentum": 0.5}, lambda w, g, d: rmsprop(w, g, d, 0.9, 0.5)),
        ({"name": "SGD"}, sgd),
        ({"name": "SGD", "momentum": 0.9, "nesterov": True}, lambda w, g, d: sgd(w, g, d, 0.9, True)),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_three_steps_of_every_optimizer_follow_its_equation(settings, oracle):
    made = network()
    optimizer = make_optimizer(made, RATE, DECAY, OptimizerSpec(**settings))
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    given = {name: [torch.randn_like(p) for _ in range(3)] for name, p in before.items()}
    for t in range(3):
        for name, parameter in made.named_parameters():
            parameter.grad = given[name][t].clone()
        optimizer.step()
    for name, parameter in made.named_parameters():
        expected = oracle(before[name], given[name], DECAY if parameter.ndim >= 2 else 0.0)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)


def test_every_optimizer_has_an_oracle_and_refuses_the_settings_of_others():
    assert set(OPTIMIZERS) == {"AdamW", "Adam", "RMSprop", "SGD"}
    for settings, message in [
        ({"name": "RMSProp"}, "Did you mean 'RMSprop'"),
        ({"name": "Adam", "momentum": 0.9}, r"Adam does not know \['momentum'\], only \['betas', 'eps'\]"),
        ({"name": "SGD", "nesterov": True}, "needs a momentum"),
    ]:
        with pytest.raises(ValueError, match=message):
            OptimizerSpec(**settings)
