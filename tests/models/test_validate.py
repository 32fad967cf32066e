"""Scoring: counts over all pixels of all batches, the same however they were cut, filled up or shared out."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.confusion import confusion
from models.metrics import class_scores, scores
from models.ranks import Ranks
from models.validate import filled, predicted, score, score_names

torch.set_num_threads(1)

CPU = torch.device("cpu")


class Says(nn.Module):
    """Answers with the first channels of its input; notes how many images came, and dropout would spoil it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.sizes, self.dropout = classes, [], nn.Dropout(0.9)

    def forward(self, x):
        self.sizes.append(len(x))
        assert x.is_contiguous(memory_format=torch.channels_last) or len(x) == 1
        return self.dropout(x[:, : self.classes])


def images(count: int, classes: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((count, classes + 1, 6, 11), generator=generator).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, max(classes, 2), (count, 6, 11), generator=generator, dtype=torch.uint8)
    labels[:, 0] = 255
    return x, labels


def cut(x, labels, places):
    edges = [0, *sorted(places), len(x)]
    return [(x[a:b], labels[a:b]) for a, b in pairwise(edges) if b > a]


@pytest.mark.parametrize("classes", [1, 3])
@settings(deadline=None, max_examples=20)
@given(places=st.sets(st.integers(1, 8), max_size=6), count=st.integers(1, 9))
def test_scores_are_those_of_all_pixels_together_however_they_are_cut(classes, places, count):
    x, labels = images(count, classes)
    network = Says(classes).train()
    parts = [p for p in cut(x, labels, [p for p in places if p < count])]
    found = score(network, iter(parts), Ranks(), CPU, classes, images_per_pass=9)
    answer = (x[:, 0] > 0).long() if classes == 1 else x[:, :classes].argmax(1)
    counts = confusion(labels, answer, max(classes, 2))
    assert found == pytest.approx(scores(counts) if classes == 1 else class_scores(counts), nan_ok=True)
    assert network.sizes == [9] * len(parts)
    assert not network.training


def test_the_mean_of_batches_is_not_the_score():
    labels = torch.tensor([[[1, 1, 1, 1]], [[1, 0, 0, 0]]], dtype=torch.uint8)
    x = torch.tensor([[[[1.0, 1, 1, 1]]], [[[-1.0, -1, -1, -1]]]])
    batches = [(x[:1], labels[:1]), (x[1:], labels[1:])]
    found = score(Says(1), batches, Ranks(), CPU, 1, images_per_pass=1)
    assert found["iou_fg"] == pytest.approx(4 / 5)  # not (1 + 0) / 2


def test_workers_add_up_integers_and_one_of_them_may_have_nothing():
    x, labels = images(5, 1)
    messages = []

    class Told(Ranks):
        def sum(self, tensor):
            messages.append(tensor.clone())
            return tensor

    batches = [(x[:2], labels[:2]), (x[2:], labels[2:])]
    whole = score(Says(1), batches, Told(), CPU, 1, 3)
    for part in ([batches[0]], [batches[1]], []):
        score(Says(1), part, Told(), CPU, 1, 3)
    assert [m.dtype for m in messages] == [torch.int64] * 4
    assert torch.equal(messages[1] + messages[2] + messages[3], messages[0])
    assert scores(messages[1] + messages[2]) == pytest.approx(whole)


def test_what_the_sum_of_the_workers_says_is_scored():
    class Many(Ranks):
        def sum(self, tensor):
            return torch.tensor([[5, 1], [2, 3]])

    assert score(Says(1), [], Many(), CPU, 1, 4) == pytest.approx(scores(np.array([[5, 1], [2, 3]])))


def test_no_gradient_is_kept():
    network = nn.Conv2d(2, 1, 1)
    x, labels = images(2, 1)
    seen = []
    network.register_forward_hook(lambda module, given, logits: seen.append(logits.requires_grad))
    score(network, [(x, labels)], Ranks(), CPU, 1, 2)
    assert seen == [False]


def test_labels_outside_the_classes_are_refused():
    x, labels = images(2, 1)
    labels[1, 3, 3] = 2
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\), found 0 to 2"):
        score(Says(1), [(x, labels)], Ranks(), CPU, 1, 2)


def test_a_batch_is_filled_up_with_its_last_image():
    x, _ = images(3, 1)
    more = filled(x, 5)
    assert torch.equal(more, torch.cat([x, x[-1:], x[-1:]]))
    assert more.is_contiguous(memory_format=torch.channels_last)
    assert filled(x, 3) is x


def test_one_channel_is_a_threshold_and_several_are_a_choice():
    binary = torch.tensor([[[[-1.0, 0.0, 1e-6]]]])
    assert predicted(binary).tolist() == [[[0, 0, 1]]]
    several = torch.tensor([[[[0.0, 5.0]], [[1.0, 4.0]], [[-1.0, 6.0]]]])
    assert predicted(several).tolist() == [[[1, 2]]]
    assert predicted(binary).dtype == predicted(several).dtype == torch.int64


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_the_names_are_the_keys_of_a_score(classes):
    x, labels = images(2, classes)
    assert score_names(classes) == tuple(score(Says(classes), [(x, labels)], Ranks(), CPU, classes, 2))
    assert ("iou_fg" in score_names(classes)) == (classes < 3)
