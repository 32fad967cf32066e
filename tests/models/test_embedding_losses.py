import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.embedding_losses import cosine_distance, nt_xent_loss, triplet_loss, triplet_losses
from models.ranks import Ranks

ALONE = Ranks()


def at(*degrees: float) -> torch.Tensor:
    """Unit vectors of a plane, times unequal lengths, which must not matter."""
    angles = torch.tensor([math.radians(d) for d in degrees])
    return torch.stack([angles.cos(), angles.sin()], 1) * torch.arange(1, len(degrees) + 1)[:, None]


def test_the_distance_is_one_minus_the_cosine():
    found = cosine_distance(at(0, 0, 0, 0), at(0, 60, 90, 180))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.5, 1.0, 2.0]))
    assert cosine_distance(torch.zeros(1, 2), at(30)).item() == 1.0


@pytest.mark.parametrize(
    ("positive", "negative", "margin", "expected"),
    [
        (60, 90, 0.5, 0.0),  # 0.5 - 1 + 0.5: just separated
        (60, 180, 0.5, 0.0),
        (60, 90, 0.6, 0.1),
        (90, 60, 0.5, 1.0),
        (180, 0, 0.5, 2.5),
        (0, 0, 0.5, 0.5),
    ],
)
def test_the_triplet_loss_has_the_values_of_the_formula(positive, negative, margin, expected):
    found = triplet_losses(at(0), at(positive), at(negative), margin)
    torch.testing.assert_close(found, torch.tensor([expected]), atol=1e-6, rtol=0)


def test_a_separated_triplet_has_no_gradient_and_others_pull_and_push():
    views = torch.stack([torch.cat([at(0), at(20), at(120)]), torch.cat([at(0), at(80), at(90)])]).requires_grad_()
    triplet_loss(views, 0.5, torch.tensor(2)).backward()
    assert (views.grad[0] == 0).all()
    step = (views - 0.1 * views.grad).detach()
    near, far = cosine_distance(step[1, 0], step[1, 1]), cosine_distance(step[1, 0], step[1, 2])
    before = cosine_distance(views[1, 0], views[1, 1]), cosine_distance(views[1, 0], views[1, 2])
    assert near < before[0]
    assert far > before[1]


def test_parts_of_a_batch_add_up_to_its_mean():
    views = torch.randn(6, 3, 5)
    whole = triplet_loss(views, 2.0, torch.tensor(6))
    torch.testing.assert_close(whole, triplet_losses(*views.unbind(1), 2.0).mean())
    torch.testing.assert_close(whole, sum(triplet_loss(part, 2.0, torch.tensor(6)) for part in views.split([2, 3, 1])))


def nt_xent_by_loops(views: np.ndarray, temperature: float) -> float:
    flat = views.transpose(1, 0, 2).reshape(-1, views.shape[-1]).astype(np.float64)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    count, total = len(views), 0.0
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        others = [math.exp(flat[i] @ flat[k] / temperature) for k in range(2 * count) if k != i]
        total -= math.log(math.exp(flat[i] @ flat[partner] / temperature) / sum(others))
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_the_formula_of_the_paper(temperature):
    views = torch.randn(5, 2, 7, generator=torch.Generator().manual_seed(3))
    found = nt_xent_loss(views, temperature, torch.tensor(5), ALONE)
    assert found.item() == pytest.approx(nt_xent_by_loops(views.numpy(), temperature), rel=1e-5)


def test_nt_xent_is_least_where_views_agree_and_samples_differ():
    alike = F.one_hot(torch.arange(4), 8).float()[:, None].repeat(1, 2, 1)
    mixed = alike.clone()
    mixed[:, 1] = mixed[:, 1].roll(1, 0)
    losses = [nt_xent_loss(views, 0.1, torch.tensor(4), ALONE).item() for views in (alike, torch.ones(4, 2, 8), mixed)]
    assert losses[0] < 0.01
    assert losses[1] == pytest.approx(math.log(7), rel=1e-5)
    assert losses[2] > 5
