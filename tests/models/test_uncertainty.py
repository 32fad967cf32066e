"""Mean probability and mean entropy: the formulas, member by member, and nothing else changes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.averages import AVERAGES
from models.imagery import Imagery
from models.predict import Ensemble
from models.uncertainty import probability_and_entropy, with_uncertainty
from tests.models.test_predict import CHANNELS, member

LOGITS = st.floats(-60_000, 60_000, width=32) | st.floats(-30, 30, width=32)


def entropy(p: np.ndarray) -> np.ndarray:
    """-sum p log p over the first axis, float64, where 0 log 0 = 0."""
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=0)


@settings(deadline=None)
@given(st.lists(LOGITS, min_size=1, max_size=30))
def test_one_class_has_the_entropy_of_yes_and_no(numbers):
    values = np.array(numbers, np.float32)
    probability, found = probability_and_entropy(torch.from_numpy(values)[:, None, None, None])
    with np.errstate(over="ignore"):
        yes, no = 1 / (1 + np.exp(-values.astype(float))), 1 / (1 + np.exp(values.astype(float)))
    np.testing.assert_allclose(probability.numpy().ravel(), yes, atol=1e-6)
    np.testing.assert_allclose(found.numpy().ravel(), entropy(np.stack([yes, no])), atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(LOGITS, LOGITS, LOGITS), min_size=1, max_size=30))
def test_several_classes_have_the_entropy_of_their_softmax(numbers):
    values = np.array(numbers, np.float32).T
    powers = np.exp(values.astype(float) - values.astype(float).max(axis=0))
    expected = powers / powers.sum(axis=0)
    probability, found = probability_and_entropy(torch.from_numpy(values)[None, :, None])
    np.testing.assert_allclose(probability.numpy()[0, :, 0], expected, atol=1e-6)
    np.testing.assert_allclose(found.numpy()[0, 0, 0], entropy(expected), atol=2e-6)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("classes", [1, 3])
def test_means_are_taken_over_members_and_the_average_is_as_it_was(average, classes):
    members = [torch.from_numpy(m) for m in np.random.default_rng(3).normal(0, 3, (5, 2, classes, 4, 7)).astype("f4")]
    plain, more = AVERAGES[average](members), with_uncertainty(AVERAGES[average])(iter(members))
    for one, other in zip(plain, more, strict=False):
        assert torch.equal(one, other)
    each = [probability_and_entropy(one) for one in members]
    for place, found in enumerate(more[2:]):
        expected = np.mean([answer[place].numpy().astype(float) for answer in each], axis=0)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert len(more) == 4


@pytest.mark.parametrize("classes", [1, 3])
def test_an_ensemble_stores_its_further_layers_behind_the_others(classes):
    names = ("a",) if classes == 1 else ("background", "a", "b")
    members = [member(str(seed), CHANNELS[:5], seed, classes=names) for seed in (1, 2)]
    random = np.random.default_rng(1)
    bands, valid = random.normal(0, 3, (4, 70, 90)).astype(np.float32), random.random((70, 90)) > 0.1
    imagery = Imagery.of(bands, valid, np.zeros(4, np.float32), np.zeros((0, 70, 90), np.float32), "cpu")
    corners = [(0, 0), (6, 26), (3, 11)]
    plain, more = (
        Ensemble(members, CHANNELS[:5], precision="fp32", batch=2, uncertainty=flag).predict_windows(
            imagery, corners, 64
        )
        for flag in (False, True)
    )
    assert plain.shape[1] == 2 * classes
    assert more.shape[1] == 3 * classes + 1
    np.testing.assert_array_equal(more[:, : 2 * classes], plain)
    probability, mean_entropy = more[:, 2 * classes : -1].astype(float), more[:, -1].astype(float)
    whole = [probability[:, 0], 1 - probability[:, 0]] if classes == 1 else list(probability.swapaxes(0, 1))
    total = entropy(np.stack(whole) / np.sum(whole, axis=0))
    assert (total - mean_entropy > -2e-3).all()  # concave; float16 rounds a probability by up to 2.4e-4
    assert (total - mean_entropy).max() > 0.02, "the networks contradict each other somewhere"
    assert mean_entropy.min() >= 0
    assert total.max() <= np.log(max(2, classes)) + 1e-3


def test_a_network_that_answers_infinity_is_broken_and_not_a_number_of_doubt():
    probability, found = probability_and_entropy(torch.tensor([[[[np.inf, -np.inf]]]]))
    assert probability.tolist() == [[[[1.0, 0.0]]]]
    assert found.tolist() == [[[[0.0, 0.0]]]]
