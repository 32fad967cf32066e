import torch

from models.losses import batch_loss, label_counts
from models.networks import NetworkSpec, build
from models.ranks import Ranks
from models.segmentation_task import Segmentation
from models.train_spec import TrainSpec

torch.set_num_threads(1)


def test_deep_supervision_averages_the_losses_of_its_heads():
    torch.manual_seed(0)
    network = build(NetworkSpec(architecture="unet3plus", width=2, in_channels=2, deep_supervision=True)).train()
    task = Segmentation(network, TrainSpec(loss="dice"))
    labels = torch.randint(0, 2, (3, 40, 20), dtype=torch.uint8)
    logits = network(torch.randn(3, 2, 40, 20))
    loss = task.loss(logits, (labels,), label_counts(labels, 2), Ranks())
    expected = sum(batch_loss("dice", logits[:, head], labels) for head in range(5)) / 5
    torch.testing.assert_close(loss, expected)
    last = task.loss(logits[:, 0], (labels,), label_counts(labels, 2), Ranks())
    torch.testing.assert_close(last, batch_loss("dice", logits[:, 0], labels))
