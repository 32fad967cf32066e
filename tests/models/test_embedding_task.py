"""Embedding under the trainer: alone, resumed, and on two workers against one."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from models.checkpoint import state_from_bytes, state_to_bytes
from models.embedding_task import SCORES, Embedding, EmbeddingNetwork, projection_head
from models.lora import add_lora, base_state, lora_state
from models.lora_spec import LoraSpec
from models.train import TrainSpec, train
from tests.models.vits import small_embedder
from tests.processes import forking

torch.set_num_threads(1)
SPEC = TrainSpec(epochs=2, batch=4, learning_rate=5e-3, precision="fp32", optimizer="SGD")


class Drifting:
    """Sequences of images that change slowly: views are neighbours of one sequence and an image of another one."""

    def __init__(self, count: int, views: int = 3, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        states = random.standard_normal((count, 1, 3, 4, 4)) + np.array([1.0, 2.0, 3.0])[:, None, None]
        noise = 0.7 * random.standard_normal((count, views, 3, 32, 32))
        self.views = states.repeat(8, 3).repeat(8, 4) + noise
        if views == 3:
            other = (np.arange(count) + 1) % count
            self.views[:, 2] = self.views[other, 0]
        self.views = self.views.astype(np.float32)
        self.valid = random.random(self.views.shape) > 0.1

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int):
        return self.views[index], self.valid[index]

    def set_epoch(self, epoch: int) -> None:
        pass


def network(lora: LoraSpec | None = None, head: bool = False) -> EmbeddingNetwork:
    embedder = small_embedder()
    if lora is not None:
        add_lora(embedder, lora, seed=3)
    return EmbeddingNetwork(embedder, projection_head(192, seed=4) if head else None)


def changed(**settings) -> TrainSpec:
    return TrainSpec(**(SPEC.model_dump() | settings))


def test_triplets_are_learnt_by_the_adapter_alone():
    trained = network(LoraSpec(rank=4))
    before = {name: value.clone() for name, value in base_state(trained).items()}
    spec = changed(epochs=5, optimizer="AdamW")
    reports = train(trained, Drifting(16), Drifting(8, seed=5), spec, task=Embedding())
    assert reports[-1].training_loss < 0.6 * reports[0].training_loss
    assert set(reports[-1].validation) == set(SCORES)
    assert reports[-1].validation["similarity_gap"] > reports[0].validation["similarity_gap"]
    assert all(torch.equal(value, before[name]) for name, value in base_state(trained).items())


def test_the_scores_are_the_formulas_over_all_triplets():
    validation, trained = Drifting(7, seed=5), network()
    report = train(trained, Drifting(4), validation, changed(epochs=1), task=Embedding(margin=0.2))[-1]
    with torch.no_grad():
        flat = [torch.from_numpy(a).flatten(0, 1) for a in (validation.views, validation.valid)]
        vectors = torch.nn.functional.normalize(trained.embedder(*flat), dim=1).reshape(7, 3, -1)
    near, far = ((vectors[:, 0] * vectors[:, i]).sum(1) for i in (1, 2))
    assert report.validation["triplet_loss"] == pytest.approx((far - near + 0.2).clamp(min=0).mean().item(), abs=1e-5)
    assert report.validation["triplet_accuracy"] == pytest.approx((near > far).float().mean().item())
    assert report.validation["similarity_gap"] == pytest.approx((near - far).mean().item(), abs=1e-5)


def test_nt_xent_is_learnt_and_judged_on_triplets():
    trained = network(head=True)
    spec = changed(epochs=3, optimizer="AdamW", learning_rate=1e-3)
    reports = train(trained, Drifting(12, views=2), Drifting(6, seed=5), spec, task=Embedding("nt_xent"))
    assert reports[-1].training_loss < 0.9 * reports[0].training_loss
    assert reports[-1].validation["triplet_accuracy"] == 1.0
    with pytest.raises(ValueError, match="Set accumulate to 1"):
        train(trained, Drifting(4, 2), None, changed(accumulate=2), task=Embedding("nt_xent"))


def test_accumulated_parts_are_the_large_batch():
    whole, parts = network(LoraSpec(dropout=0)), network(LoraSpec(dropout=0))
    train(whole, Drifting(8), None, SPEC, task=Embedding())
    train(parts, Drifting(8), None, changed(accumulate=4), task=Embedding())
    for name, value in lora_state(whole).items():
        torch.testing.assert_close(lora_state(parts)[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("lora", [LoraSpec(rank=2), None])
def test_a_run_killed_within_an_epoch_goes_on_bit_for_bit(lora):
    spec, saved = changed(epochs=2, checkpoint_steps=2, best={"metric": "triplet_loss", "mode": "min"}), []
    straight = network(lora)
    train(
        straight, Drifting(12), Drifting(3, seed=5), spec, task=Embedding(),
        on_checkpoint=lambda report: saved.append(state_to_bytes(report.state())),
    )  # fmt: skip
    resumed = network(lora)
    train(resumed, Drifting(12), Drifting(3, seed=5), spec, task=Embedding(), resume=state_from_bytes(saved[0]))
    one, two = straight.state_dict(), resumed.state_dict()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_checkpoints_hold_what_changes_and_not_the_frozen_base():
    states = []
    train(
        network(LoraSpec(rank=2)), Drifting(4), None, changed(epochs=1), task=Embedding(),
        on_epoch=lambda report: states.append(report.state()),
    )  # fmt: skip
    kept = set(states[0]["network"])
    assert {name.rpartition(".")[2] for name in kept} == {"lora_a", "lora_b", "offset", "scale"}


def test_views_of_unequal_shapes_are_refused():
    class Uneven(Drifting):
        def __getitem__(self, index: int):
            side = 32 if index else 16
            return self.views[index][..., :side, :], self.valid[index][..., :side, :]

    with pytest.raises(ValueError, match="Use images of one size"):
        train(network(), Uneven(4), None, SPEC, task=Embedding())


def gradients(kind: str) -> dict[str, torch.Tensor]:
    """What one step of gradient descent moves, divided by its rate: the gradient of the whole batch."""
    trained = network(LoraSpec(rank=2, dropout=0) if kind == "triplet" else None, head=kind == "nt_xent")
    before = {name: p.detach().clone() for name, p in trained.named_parameters()}
    spec = changed(epochs=1, weight_decay=0, learning_rate=1.0, schedule="none")
    reports = train(
        trained, Drifting(4, views=3 if kind == "triplet" else 2), Drifting(5, seed=5), spec, task=Embedding(kind)
    )
    moved = {name: before[name] - p.detach() for name, p in trained.named_parameters()}
    return moved | {"loss": torch.tensor(reports[0].training_loss), "scores": reports[0].validation}


def worker(rank: int, directory: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/meet", rank=rank, world_size=2)
    torch.save({kind: gradients(kind) for kind in ("triplet", "nt_xent")}, directory / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def on_two_workers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ranks")
    processes.start_processes(worker, (directory,), nprocs=2, start_method=forking().get_start_method())
    return [torch.load(directory / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("kind", ["triplet", "nt_xent"])
def test_two_workers_have_the_gradient_of_one_with_the_whole_batch(on_two_workers, kind):
    alone = gradients(kind)
    largest = max(value.abs().max() for name, value in alone.items() if name not in ("loss", "scores"))
    assert largest > 1e-3
    for found in on_two_workers:
        for name, value in alone.items():
            if name != "scores":
                torch.testing.assert_close(found[kind][name], value, rtol=1e-3, atol=1e-5 * float(largest))
    first, second = (found[kind]["scores"] for found in on_two_workers)
    assert first == second
    assert first == pytest.approx(alone["scores"], rel=1e-4)
