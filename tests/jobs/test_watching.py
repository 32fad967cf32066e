"""Watching a run: pictures and numbers appear, the run itself notices nothing, a failure costs a line."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from cluster.storage import Storage
from jobs import watching
from jobs.watching import LOOKED_AT, Watcher, choose
from models.networks import NetworkSpec, build
from models.train import TrainSpec, train
from tests.jobs.worlds import ARCHITECTURE, ENCODER

HEIGHT, WIDTH = 64, 96


class Samples:
    """Five channels (the last one the mask), lopsided; class 1 is in sight from sample `first` on."""

    def __init__(self, count: int = 7, first: int = 3, classes: int = 2) -> None:
        rng = np.random.default_rng(4)
        self.images = rng.integers(200, 9000, (count, 5, HEIGHT, WIDTH)).astype(np.float32)
        self.images[:, 4] = 0
        self.images[:, 4, :9, :30] = 1
        self.labels = np.zeros((count, HEIGHT, WIDTH), np.uint8)
        self.labels[first:, 20:50, 30:70] = classes - 1
        self.labels[:, :9, :30] = 255
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        self.read.append(index)
        return self.images[index], self.labels[index]

    def set_epoch(self, epoch: int) -> None:
        pass


def network(classes: int = 1):
    torch.manual_seed(3)
    spec = NetworkSpec(architecture=ARCHITECTURE, encoder=ENCODER, in_channels=5, classes=classes)
    return build(spec, offset=[4500.0] * 4 + [0.0], scale=[2500.0] * 4 + [1.0])


def rows(epochs: int) -> list[dict]:
    return [
        {"epoch": e, "training_loss": 0.5, "learning_rate": 1e-3, "mIoU": 0.4 + e / 10, "seconds": 1.0}
        for e in range(epochs)
    ]


@pytest.mark.usefixtures("drawn_pictures")
@pytest.mark.parametrize(("classes", "rgb"), [(("industrial",), (2, 1, 0)), (("background", "a", "b"), None)])
def test_curves_a_picture_and_events_after_each_epoch(tmp_path, capsys, classes, rgb):
    net = network(1 if len(classes) == 1 else 3)
    watcher = Watcher(str(tmp_path), net, Samples(classes=max(2, len(classes))), classes, rgb, count=3, mask=4)
    watcher.epoch(rows(1), 0)
    first = (tmp_path / "curves.png").read_bytes()
    watcher.epoch(rows(8), 7)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("tensorboard/")} == {
        "curves.png", "epochs/0000.png", "epochs/0007.png"
    }  # fmt: skip
    assert len([name for name in names if name.startswith("tensorboard/events.out.tfevents.")]) == 1
    assert (tmp_path / "curves.png").read_bytes() != first
    for path in tmp_path.rglob("*.png"):
        with Image.open(path) as picture:
            assert max(picture.size) < 2000
    assert capsys.readouterr().err == ""


def test_the_run_notices_nothing(tmp_path):
    net, reader = network(), Samples()
    net.train()
    net.network.encoder.eval()  # as with frozen normalisation: modules in unlike modes
    modes = [module.training for module in net.modules()]
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    generators = torch.random.get_rng_state(), random.getstate()
    Watcher(str(tmp_path), net, reader, ("industrial",), (0, 1, 2)).epoch(rows(1), 0)
    assert (tmp_path / "epochs" / "0000.png").exists()
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(torch.random.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]


@pytest.mark.usefixtures("drawn_pictures")
def test_a_watched_training_is_the_unwatched_one(tmp_path):
    spec = TrainSpec(epochs=2, batch=4, precision="fp32")
    plain, watched = network(), network()
    expected = train(plain, Samples(), Samples(), spec)
    watcher, history = Watcher(str(tmp_path), watched, Samples(), ("industrial",), (0, 1, 2)), []

    def on_epoch(report):
        row = {"epoch": report.epoch, "training_loss": report.training_loss, "learning_rate": report.learning_rate}
        history.append(row | report.validation)
        watcher.epoch(history, report.epoch)

    found = train(watched, Samples(), Samples(), spec, on_epoch=on_epoch)
    assert [(r.training_loss, r.validation) for r in found] == [(r.training_loss, r.validation) for r in expected]
    assert all(torch.equal(value, plain.state_dict()[key]) for key, value in watched.state_dict().items())
    pictures = [(tmp_path / "epochs" / f"000{e}.png").read_bytes() for e in (0, 1)]
    assert pictures[0] != pictures[1]


def test_what_is_drawn_is_what_the_network_says(tmp_path, monkeypatch):
    drawn = []

    def see(samples, classes, title):
        drawn.append((samples, title))
        return b"png"

    monkeypatch.setattr(watching, "prediction_panels", see)
    net, reader = network(), Samples()
    reader.images[4, 1, 60, 90] = np.nan
    Watcher(str(tmp_path), net, reader, ("industrial",), (2, 1, 0), count=7, mask=4).epoch(rows(3), 2)
    (samples, title), net = drawn[0], net.eval()
    assert title == "Epoch 2   mIoU 0.600"
    assert [s.caption for s in samples] == [f"sample {i}" for i in range(7)]
    for index, sample in enumerate(samples):
        image = reader.images[index]
        with torch.no_grad():
            expected = torch.sigmoid(net(torch.from_numpy(image)[None]))[0].numpy()
        np.testing.assert_allclose(sample.probability, expected, atol=1e-5)
        np.testing.assert_array_equal(sample.image, image[[2, 1, 0]])
        np.testing.assert_array_equal(sample.truth, reader.labels[index])
        np.testing.assert_array_equal(sample.missing, (image[4] > 0) | np.isnan(image[1]))
        assert sample.missing.sum() == 9 * 30 + (index == 4)


@pytest.mark.parametrize(
    ("broken", "said", "left"),
    [
        ("training_curves", "curves.png of epoch 1", {"epochs", "tensorboard"}),
        ("prediction_panels", "epochs/0001.png", {"curves.png", "tensorboard"}),
    ],
)
def test_a_picture_that_fails_costs_a_line_and_no_other_picture(tmp_path, capsys, monkeypatch, broken, said, left):
    def fail(*_):
        raise RuntimeError("no ink\nat line 7")

    monkeypatch.setattr(watching, broken, fail)
    net = network().train()
    Watcher(str(tmp_path), net, Samples(), ("industrial",), None).epoch(rows(2), 1)
    assert capsys.readouterr().err == f"watching: {said} could not be made: RuntimeError: no ink\n"
    assert {path.name for path in tmp_path.iterdir()} == left
    assert net.training


def test_a_network_that_fails_is_left_in_its_mode(tmp_path, capsys):
    net = network().train()
    net.register_forward_pre_hook(lambda *_: 1 / 0)
    Watcher(str(tmp_path), net, Samples(), ("industrial",), None).epoch(rows(1), 0)
    assert "epochs/0000.png could not be made: ZeroDivisionError" in capsys.readouterr().err
    assert all(module.training for module in net.modules())


def test_a_place_that_cannot_be_written_stops_nothing(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    Watcher(str(tmp_path / "file" / "out"), network(), Samples(), ("industrial",), None).epoch(rows(1), 0)
    assert capsys.readouterr().err.count("\n") == 3


def test_samples_that_cannot_be_read_leave_the_curves(tmp_path, capsys):
    class Broken(Samples):
        def __getitem__(self, index: int):
            raise OSError("tile is gone")

    Watcher(str(tmp_path), network(), Broken(), ("industrial",), None).epoch(rows(1), 0)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["watching: the choice of samples to show could not be made: OSError: tile is gone"]
    assert (tmp_path / "curves.png").exists()


def test_an_object_store_gets_the_same_keys(monkeypatch):
    put: list[str] = []
    monkeypatch.setattr(Storage, "put", lambda self, key, data: put.append(f"{self.url}/{key}"))
    Watcher("s3://bucket/run", network(), Samples(), ("industrial",), None).epoch(rows(1), 0)
    assert put[0] == "s3://bucket/run/curves.png"
    assert put[1].startswith("s3://bucket/run/tensorboard/events.out.tfevents.")
    assert put[2] == "s3://bucket/run/epochs/0000.png"


def labels(kinds: str):
    """One small label for each letter: b background, c class, m both, d a dot of the class, i ignored."""
    made = []
    for kind in kinds:
        label = np.full((10, 21), {"c": 1, "i": 255}.get(kind, 0), np.uint8)
        label[: 3 if kind == "m" else 0] = 1
        label[0, 0] = 1 if kind == "d" else label[0, 0]
        made.append(label)
    return made.__getitem__


@pytest.mark.parametrize(
    ("kinds", "count", "expected"),
    [
        ("mmmmmmm", 3, [0, 3, 6]),
        ("bmbbbmb", 2, [1, 5]),
        ("bmbbcbb", 3, [0, 1, 6]),
        ("iidibim", 3, [2, 4, 6]),
        ("iii", 2, [0, 2]),
        ("mb", 4, [0, 1]),
        ("", 4, []),
        ("mbm", 0, []),
    ],
)
def test_samples_are_chosen_for_what_they_show_and_spread(kinds, count, expected):
    assert choose(len(kinds), labels(kinds), count) == expected


def test_a_long_validation_is_not_read_through():
    asked = []

    def label_of(index):
        asked.append(index)
        return labels("b" * 1000)(index)

    assert choose(1000, label_of, 4) == choose(1000, label_of, 4)
    assert len(set(asked)) == LOOKED_AT
    assert (asked[0], asked[LOOKED_AT - 1]) == (0, 999)


def test_the_samples_are_chosen_once(tmp_path):
    reader = Samples(count=50, first=20)
    watcher = Watcher(str(tmp_path), network(), reader, ("industrial",), None)
    assert len(set(reader.read)) == LOOKED_AT
    before = len(reader.read)
    watcher.epoch(rows(1), 0)
    assert len(reader.read) == before
