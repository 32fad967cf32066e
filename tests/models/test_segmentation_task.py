import pytest
import torch

from models.losses import batch_loss, label_counts
from models.networks import NetworkSpec, build
from models.ranks import Ranks
from models.segmentation_task import Segmentation
from models.train_spec import TrainSpec

torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["dice", "batch_dice"])
def test_deep_supervision_averages_the_losses_of_its_heads(name):
    torch.manual_seed(0)
    network = build(NetworkSpec(architecture="unet3plus", width=2, in_channels=2, deep_supervision=True)).train()
    task = Segmentation(network, TrainSpec(loss=name))
    labels = torch.randint(0, 2, (3, 40, 20), dtype=torch.uint8)
    logits = network(torch.randn(3, 2, 40, 20))
    loss = task.loss(logits, (labels,), label_counts(labels, 2), Ranks())
    expected = sum(batch_loss(name, logits[:, head], labels) for head in range(5)) / 5
    torch.testing.assert_close(loss, expected)
    last = task.loss(logits[:, 0], (labels,), label_counts(labels, 2), Ranks())
    torch.testing.assert_close(last, batch_loss(name, logits[:, 0], labels))


def test_the_dice_of_a_batch_is_not_accumulated():
    network = build(NetworkSpec(architecture="unet_classic", width=1, in_channels=1))
    spec = TrainSpec(loss="batch_dice", accumulate=2)
    with pytest.raises(ValueError, match=r"2 parts in turn cannot tell\. Set accumulate to 1"):
        Segmentation(network, spec).check(spec, Ranks())
