import math

import pytest
import torch
from torch import nn

from models.optimise import optimizer_and_schedule, parameter_groups


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
    optimizer, _ = optimizer_and_schedule(made, rate, decay, epochs=5)
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


def test_the_rate_falls_along_a_cosine():
    optimizer, schedule = optimizer_and_schedule(network(), 4e-3, 0.0, epochs=10)
    for epoch in range(11):
        expected = 4e-3 * (1 + math.cos(math.pi * epoch / 10)) / 2
        assert all(group["lr"] == pytest.approx(expected, abs=1e-12) for group in optimizer.param_groups)
        optimizer.step()
        schedule.step()
