import pytest
import torch

from models.tta import VIEWS


@pytest.mark.parametrize("name", VIEWS)
def test_invert_undoes_apply(name):
    x = torch.randn(2, 3, 5, 7)
    for view in VIEWS[name]:
        assert torch.equal(view.invert(view.apply(x)), x)


@pytest.mark.parametrize("name", VIEWS)
def test_each_entry_is_a_group(name):
    x = torch.arange(2 * 3.0).reshape(2, 3)
    seen = [view.apply(x).tolist() for view in VIEWS[name]]
    for first in VIEWS[name]:
        for second in VIEWS[name]:
            assert second.apply(first.apply(x)).tolist() in seen


def test_flips4_are_the_four_views_in_order():
    x = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert [view.apply(x).tolist() for view in VIEWS["flips4"]] == [
        [[1, 2, 3], [4, 5, 6]],
        [[3, 2, 1], [6, 5, 4]],
        [[4, 5, 6], [1, 2, 3]],
        [[6, 5, 4], [3, 2, 1]],
    ]
    assert [view.name for view in VIEWS["flips4"]] == ["identity", "left-right", "up-down", "both"]
    assert [view.name for view in VIEWS["none"]] == ["identity"]


def test_an_equivariant_network_says_the_same_in_every_view():
    def network(x):  # symmetric box sum: commutes with flips
        return torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)

    x = torch.randn(1, 2, 6, 9)
    for view in VIEWS["flips4"]:
        torch.testing.assert_close(view.invert(network(view.apply(x))), network(x))


def test_the_mask_channel_moves_with_the_image():
    image = torch.randn(1, 4, 5, 8)
    mask = (image[:, :1] > 0).float()  # a function of the pixel: must hold in every view
    for view in VIEWS["flips4"]:
        seen = view.apply(torch.cat([image, mask], dim=1))
        assert torch.equal(seen[:, 4:], (seen[:, :1] > 0).float())
