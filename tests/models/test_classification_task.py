"""Classification and autoencoding under the trainer: alone, resumed, permuted, and on two workers against one."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from models.autoencoder import AutoencoderSpec, build_autoencoder
from models.autoencoding_task import Autoencoding
from models.checkpoint import state_from_bytes, state_to_bytes
from models.classification_scores import classification_scores
from models.classification_task import Classification, balanced_weights
from models.classifier import Classifier, ClassifierSpec, build_classifier
from models.ranks import Ranks
from models.train import TrainSpec, train
from tests.processes import forking

torch.set_num_threads(1)
SPEC = TrainSpec(epochs=2, batch=4, learning_rate=1e-2, precision="fp32", optimizer="SGD", best={"metric": "accuracy"})
CLASSES = 3


class Stripes:
    """Images whose class is the channel that is bright; beside them, which pixels are there."""

    def __init__(
        self, count: int, seed: int = 0, order: np.ndarray | None = None, masks: bool = False, noise: float = 4
    ) -> None:
        random = np.random.default_rng(seed)
        self.labels = random.choice(CLASSES, count, p=[0.6, 0.3, 0.1])
        self.images = random.normal(20, noise, (count, CLASSES, 16, 20)).astype(np.float32)
        self.images[np.arange(count), self.labels] += 6
        self.valid = random.random((count, 1, 16, 20)) > 0.2
        self.order, self.masks = np.arange(count) if order is None else order, masks

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        place = self.order[index]
        return self.images[place], (self.valid[place] if self.masks else int(self.labels[place]))

    def set_epoch(self, epoch: int) -> None:
        pass


def classifier() -> Classifier:
    torch.manual_seed(0)
    spec = ClassifierSpec(in_channels=CLASSES, classes=CLASSES, side_px=16, widths=(4, 6), hidden=8)
    return build_classifier(spec, [20.0] * CLASSES, [5.0] * CLASSES)


def autoencoder():
    torch.manual_seed(0)
    spec = AutoencoderSpec(in_channels=CLASSES, side_px=16, width=4, bottleneck=8)
    return build_autoencoder(spec, [22.0] * CLASSES, [5.0] * CLASSES)


def changed(**settings) -> TrainSpec:
    return TrainSpec(**(SPEC.model_dump() | settings))


def test_classes_are_learnt():
    network = classifier()
    spec = changed(epochs=6, optimizer="AdamW")
    reports = train(network, Stripes(40), Stripes(20, seed=5), spec, task=Classification(CLASSES))
    assert reports[-1].training_loss < 0.7 * reports[0].training_loss
    assert set(reports[-1].validation) == set(Classification(CLASSES).scores)
    assert max(report.validation["accuracy"] for report in reports) > 0.8


def test_scores_are_those_of_the_plain_loop_and_blind_to_the_order():
    network, task, validation = classifier(), Classification(CLASSES), Stripes(11, seed=5)
    trained = train(network, Stripes(8), validation, changed(epochs=1, best=None), task=task)[-1].validation
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    nats = 0.0
    with torch.no_grad():
        for image, label in (validation[i] for i in range(11)):
            logits = network(torch.from_numpy(image)[None])[0]
            matrix[label, int(logits.argmax())] += 1
            nats -= float(logits.log_softmax(0)[label])
    expected = classification_scores(matrix) | {"cross_entropy": nats / 11}
    assert trained == pytest.approx(expected, rel=1e-5, nan_ok=True)
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(11)
        permuted = Stripes(11, seed=5, order=order)
        batches = (task.load(permuted, part) for part in np.array_split(np.arange(11), 3))
        assert task.validate(network, batches, Ranks(), 4) == trained


def test_class_weights_count_each_class_as_it_is_told():
    task, labels = Classification(CLASSES, (1.0, 2.0, 0.0)), torch.tensor([0, 1, 1, 2])
    logits = torch.randn(4, CLASSES)
    counts = torch.bincount(labels, minlength=CLASSES)
    weights = torch.tensor([1.0, 2.0, 0.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weights)
    halves = [task.loss(logits[part], (labels[part],), counts, Ranks()) for part in (slice(2), slice(2, 4))]
    torch.testing.assert_close(sum(halves), expected)
    with pytest.raises(ValueError, match="2 numbers for 3 classes"):
        train(classifier(), Stripes(4), None, changed(best=None), task=Classification(CLASSES, (1.0, 2.0)))


def test_balanced_weights_give_each_class_the_same_part():
    counts = np.array([60, 30, 10])
    assert np.array(balanced_weights(counts)) * counts == pytest.approx([100 / 3] * 3)
    with pytest.raises(ValueError, match=r"Classes \[1\] have no image"):
        balanced_weights(np.array([3, 0]))


@pytest.mark.parametrize("label", [-1, CLASSES])
def test_labels_without_a_class_are_refused(label):
    reader = Stripes(4)
    reader.labels[2] = label
    with pytest.raises(ValueError, match="only 0 to 2 have a meaning"):
        train(classifier(), reader, None, changed(best=None), task=Classification(CLASSES))


def test_images_come_back_through_few_numbers():
    network = autoencoder()
    spec = changed(epochs=8, optimizer="Adam", learning_rate=3e-3, best={"metric": "mse", "mode": "min"})
    training, validation = (Stripes(n, seed, masks=True, noise=0.5) for n, seed in ((64, 0), (9, 5)))
    reports = train(network, training, validation, spec, task=Autoencoding())
    assert reports[-1].training_loss < 0.5 * reports[0].training_loss
    assert max(r.validation["explained"] for r in reports) > 0.7


def test_autoencoding_is_scored_over_valid_pixels_alone():
    network, validation = autoencoder(), Stripes(7, seed=5, masks=True)
    spec = changed(epochs=1, best=None)
    found = train(network, Stripes(8, masks=True), validation, spec, task=Autoencoding())[-1].validation
    with torch.no_grad():
        x, valid = torch.from_numpy(validation.images), torch.from_numpy(validation.valid).expand(-1, CLASSES, -1, -1)
        target, share = network.prepared(x, valid)
        made = network.network(target)
    assert found["mse"] == pytest.approx(float((share * (made - target) ** 2).sum() / share.sum()), rel=1e-4)
    plain = float((share * target**2).sum() / share.sum())
    assert found["explained"] == pytest.approx(1 - found["mse"] / plain, abs=1e-4)
    dark = Stripes(2, masks=True)
    dark.valid[:] = False
    assert np.isnan(
        Autoencoding().validate(network, iter([Autoencoding().load(dark, np.arange(2))]), Ranks(), 2)["mse"]
    )


def test_accumulated_parts_of_images_are_the_large_batch():
    whole, parts = autoencoder(), autoencoder()
    for network, accumulate in ((whole, 1), (parts, 4)):
        train(network, Stripes(8, masks=True), None, changed(accumulate=accumulate, best=None), task=Autoencoding())
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_a_run_killed_within_an_epoch_goes_on_bit_for_bit():
    spec, saved = changed(checkpoint_steps=2), []
    runs = []
    for resume in (None, 0):
        network = classifier()
        train(
            network, Stripes(12), Stripes(3, seed=5), spec, task=Classification(CLASSES),
            on_checkpoint=lambda report: saved.append(state_to_bytes(report.state())),
            resume=None if resume is None else state_from_bytes(saved[resume]),
        )  # fmt: skip
        runs.append(network.state_dict())
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def gradients(kind: str) -> dict[str, torch.Tensor]:
    """What one step of gradient descent moves, divided by its rate: the gradient of the whole batch."""
    masks = kind == "autoencode"
    network = autoencoder() if masks else classifier()
    task = Autoencoding() if masks else Classification(CLASSES, (1.0, 3.0, 2.0))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    # batch normalisation sees one worker's images: its statistics are held still to compare
    spec = changed(epochs=1, weight_decay=0, learning_rate=1.0, schedule="none", freeze_normalisation=True, best=None)
    reports = train(network, Stripes(4, masks=masks), Stripes(5, 5, masks=masks), spec, task=task)
    moved = {name: before[name] - p.detach() for name, p in network.named_parameters()}
    return moved | {"loss": torch.tensor(reports[0].training_loss), "scores": reports[0].validation}


def worker(rank: int, directory: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/meet", rank=rank, world_size=2)
    torch.save({kind: gradients(kind) for kind in ("classify", "autoencode")}, directory / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def on_two_workers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ranks")
    processes.start_processes(worker, (directory,), nprocs=2, start_method=forking().get_start_method())
    return [torch.load(directory / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("kind", ["classify", "autoencode"])
def test_two_workers_have_the_gradient_of_one_with_the_whole_batch(on_two_workers, kind):
    alone = gradients(kind)
    largest = max(value.abs().max() for name, value in alone.items() if name not in ("loss", "scores"))
    assert largest > 1e-3
    for found in on_two_workers:
        for name, value in alone.items():
            if name != "scores":
                torch.testing.assert_close(found[kind][name], value, rtol=1e-3, atol=1e-5 * float(largest))
    first, second = (found[kind]["scores"] for found in on_two_workers)
    assert first == pytest.approx(second, nan_ok=True)
    assert first == pytest.approx(alone["scores"], rel=1e-4, nan_ok=True)
