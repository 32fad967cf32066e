import pytest
import torch

from models.unet3plus import UNet3Plus

torch.set_num_threads(1)


def made(**options) -> UNet3Plus:
    torch.manual_seed(0)
    return UNet3Plus(2, 1, width=2, **options)


def test_every_step_of_the_way_up_sees_every_scale():
    network = made().eval()
    x = torch.randn(1, 2, 32, 48)
    features = []
    for block in network.down:
        block.register_forward_hook(lambda module, given, answer: features.append(answer))
    logits = network(x)
    gradients = torch.autograd.grad(logits.sum(), features)
    assert len(gradients) == 5
    assert all((gradient != 0).any() for gradient in gradients)
    # from the way down above and beside a step, from the way up (5 x 2 channels) below it, and from the deepest
    assert [[skip[0].in_channels for skip in skips] for skips in network.skips] == [
        [2, 10, 10, 10, 32],
        [2, 4, 10, 10, 32],
        [2, 4, 8, 10, 32],
        [2, 4, 8, 16, 32],
    ]


def test_heads_of_deep_supervision_are_enlarged_to_the_image():
    network = made(deep_supervision=True).train()
    answers = network(torch.randn(2, 2, 32, 48))
    assert answers.shape == (2, 5, 1, 32, 48)
    answers.square().mean().backward()
    assert all(head.weight.grad is not None for head in (network.head, *network.deeper_heads))


def test_the_last_head_is_the_same_with_and_without_deep_supervision():
    plain, supervised = made().eval(), made(deep_supervision=True).eval()
    supervised.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 2, 16, 32)
    assert torch.equal(plain(x), supervised(x))
    assert torch.allclose(supervised.train()(x)[:, 0], plain.train()(x))


@pytest.mark.parametrize(("deep", "more"), [(False, 0), (True, 17_860)])
def test_deep_supervision_costs_four_heads(deep, more):
    with torch.device("meta"):
        network = UNet3Plus(3, 1, deep_supervision=deep)
    assert sum(p.numel() for p in network.parameters()) == 26_971_777 + more
