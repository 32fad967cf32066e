"""Several workers on this machine; what they do is checked against one worker with the whole batch."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import nn

from models.networks import NetworkSpec, SegmentationNetwork, build
from models.ranks import Ranks, current_ranks
from models.train import TrainSpec, train
from tests.processes import forking

SPEC = TrainSpec(epochs=2, batch=4, learning_rate=1e-2, seed=5, precision="fp32", freeze_normalisation=True)


class Fields:
    """Lopsided images with a learnable label; sample i ignores its own share of pixels."""

    def __init__(self, count: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.images = rng.standard_normal((count, 3, 32, 64)).astype(np.float32)
        self.labels = (self.images[:, 0] > 0.2).astype(np.uint8)
        for i in range(count):
            self.labels[i][rng.random((32, 64)) < 0.95 * i / count] = 255
        self.labels[0] = 255

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.images[index], self.labels[index]

    def set_epoch(self, epoch: int) -> None:
        pass


def small_network(seed: int = 1) -> SegmentationNetwork:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 1, 3, padding=1)]
    layers[1].running_var.uniform_(0.5, 2)
    spec = NetworkSpec(architecture="unet", encoder="resnet18", in_channels=3)
    return SegmentationNetwork(spec, nn.Sequential(*layers), torch.zeros(3), torch.ones(3))


def gradients(network: SegmentationNetwork, spec: TrainSpec) -> dict[str, torch.Tensor]:
    """The gradients of the first step, taken out of the optimizer: its first moment is 0.1 of them."""
    states = []
    train(network, Fields(4), None, spec, on_epoch=lambda report: states.append(report.state()))
    moments = states[0]["optimizer"]["state"]
    return {str(key): value["exp_avg"] for key, value in moments.items()}


def efficientnet(seed: int) -> SegmentationNetwork:
    torch.manual_seed(seed)
    return build(NetworkSpec(architecture="unet", encoder="efficientnet-b0", in_channels=3))


def resumed_alike(rank: int, accumulate: int) -> bool:
    """A run resumed within an epoch from what the *first* worker saved, against the uninterrupted one, to the bit."""
    spec = SPEC.model_dump() | {
        "freeze_normalisation": False,
        "checkpoint_steps": 2,
        "best": {},
        "accumulate": accumulate,
    }
    straight, states = small_network(), []
    dropout(straight)
    whole = train(straight, Fields(22), Fields(5), TrainSpec(**spec), on_checkpoint=lambda r: states.append(r.state()))
    shared = [states[2]]
    if dist.is_initialized():
        dist.broadcast_object_list(shared, src=0)
    again = small_network(7 + rank)
    dropout(again)
    rest = train(again, Fields(22), Fields(5), TrainSpec(**spec), resume=shared[0])
    return (
        all(torch.equal(value, straight.state_dict()[key]) for key, value in again.state_dict().items())
        and [(r.training_loss, r.validation) for r in rest] == [(r.training_loss, r.validation) for r in whole[1:]]
        and len(rest) == 1
    )


def dropout(network: SegmentationNetwork) -> None:
    network.network.insert(3, nn.Dropout2d(0.2))  # every worker draws its own random numbers


def everything(directory: Path, rank: int) -> dict:
    """What one worker finds; run on one worker and on two."""
    found: dict = {}
    found["gradients"] = gradients(small_network(), SPEC.model_copy(update={"epochs": 1}))
    network = small_network(1 + rank)  # workers begin unlike: worker 0's weights count
    reports = train(network, Fields(10), Fields(7, seed=1), SPEC)
    found["state"] = network.state_dict()
    found["losses"] = [report.training_loss for report in reports]
    found["scores"] = [report.validation for report in reports]
    melting = small_network()
    train(melting, Fields(8), None, SPEC.model_copy(update={"freeze_normalisation": False, "epochs": 1}))
    found["statistics"] = melting.network[1].running_mean
    # the losses and the accumulation whose denominators are global too
    found["exact"] = {}
    for loss in ("lovasz", "focal", "bce_dice", "batch_dice"):
        for accumulate in (1, 2) if loss != "batch_dice" else (1,):
            spec = TrainSpec(
                **SPEC.model_dump()
                | {"loss": loss, "class_weights": (1.0, 2.5), "accumulate": accumulate}
                | {"optimizer": "SGD", "learning_rate": 0.1}  # the steps of Adam do not depend on the gradient's size
            )
            other = small_network(1 + rank)
            train(other, Fields(8), None, spec)
            found["exact"][f"{loss}, {accumulate}"] = other.network[0].weight.detach()
    # the same weights have the same scores to the last bit: nothing here moves
    still = TrainSpec(**SPEC.model_dump() | {"learning_rate": 1e-30, "epochs": 1, "weight_decay": 0.0})
    found["still"] = [r.validation for r in train(small_network(), Fields(8), Fields(7, seed=1), still)]
    found["resumed"] = [resumed_alike(rank, accumulate) for accumulate in (1, 2)]
    # an encoder with weights that no forward pass uses
    large = efficientnet(2)
    unused = next(name for name, _ in large.named_parameters() if "_conv_head" in name)
    before = large.get_parameter(unused).detach().clone()
    train(large, Fields(8), None, SPEC.model_copy(update={"epochs": 1}))  # DDP notices in the second step
    found["unused_moved"] = not torch.equal(large.get_parameter(unused), before)
    return found


def worker(rank: int, directory: Path) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/meet", rank=rank, world_size=2)
    try:
        assert current_ranks() == Ranks(rank, 2)
        found = everything(directory, rank)
        with pytest.raises(ValueError, match=r"batch of 5 cannot be divided among 2 workers. Set batch to 4 or 6"):
            train(small_network(), Fields(4), None, SPEC.model_copy(update={"batch": 5}))
        torch.save(found, directory / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ranks")
    processes.start_processes(worker, (directory,), nprocs=2, start_method=forking().get_start_method())
    torch.set_num_threads(1)
    two = [torch.load(directory / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return everything(directory, 0), two


def test_two_workers_with_half_batches_have_the_gradient_of_one(results):
    one, two = results
    assert len(one["gradients"]) == 6
    expected = torch.cat([g.ravel() for g in one["gradients"].values()]).double()
    for rank in range(2):
        found = torch.cat([two[rank]["gradients"][key].ravel() for key in one["gradients"]]).double()
        assert (found - expected).norm() < 1e-6 * expected.norm()


def test_two_workers_train_the_network_of_one(results):
    one, two = results
    for rank in range(2):
        for key, expected in one["state"].items():
            torch.testing.assert_close(two[rank]["state"][key], expected, rtol=1e-4, atol=1e-5)
        assert two[rank]["losses"] == pytest.approx(one["losses"], rel=1e-5)


def test_workers_agree_to_the_bit_and_on_the_scores_of_one(results):
    one, two = results
    for key, value in two[0]["state"].items():
        assert torch.equal(value, two[1]["state"][key])
    assert two[0]["losses"] == two[1]["losses"]
    assert two[0]["scores"] == two[1]["scores"]
    for found, expected in zip(two[0]["scores"], one["scores"], strict=True):
        assert found == pytest.approx(expected, abs=2e-3)  # a few pixels lie on the threshold


def test_every_loss_and_accumulation_trains_on_two_workers_what_it_trains_on_one(results):
    one, two = results
    for what, expected in one["exact"].items():
        for rank in range(2):
            torch.testing.assert_close(two[rank]["exact"][what], expected, rtol=1e-4, atol=1e-6, msg=what)


def test_the_same_weights_have_the_same_scores_to_the_last_bit(results):
    one, two = results
    assert one["still"] == two[0]["still"] == two[1]["still"]


def test_two_workers_resume_within_an_epoch_bit_for_bit(results):
    one, two = results
    assert [found["resumed"] for found in (one, *two)] == [[True, True]] * 3


def test_running_statistics_are_averaged(results):
    one, two = results
    assert torch.equal(two[0]["statistics"], two[1]["statistics"])
    # equal parts of every batch: the mean of their means is the mean of the batch
    torch.testing.assert_close(two[0]["statistics"], one["statistics"], rtol=0.05, atol=2e-3)


def test_weights_that_are_never_used_stay_as_they_were(results):
    one, two = results
    assert [found["unused_moved"] for found in (one, *two)] == [False, False, False]


def test_alone_every_sum_is_its_own():
    alone, value = current_ranks(), torch.tensor([1, 2])
    assert alone == Ranks(0, 1)
    assert torch.equal(alone.sum(value), value)
    network = nn.Linear(2, 2)
    assert alone.parallel(network, torch.device("cpu")) is network
