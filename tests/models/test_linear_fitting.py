import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.embedding_task import Embedding
from models.linear_fitting import fit_linear, linear_map, principal_basis, slow_directions
from models.linear_spec import LinearSpec
from models.ranks import Ranks
from tests.models.vits import small_embedder

torch.set_num_threads(1)
SPEC = LinearSpec(numbers=3, components=6, pairs=100)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Views:
    """Samples of images 40 x 32 px: the second view is the first with noise."""

    def __init__(self, count: int, views: int = 2) -> None:
        self.images = noise(count, views, 3, 40, 32, seed=4).numpy()
        self.images[:, 1:] = self.images[:, :1] + 0.1 * self.images[:, 1:]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.images[index], np.ones_like(self.images[index], bool)


def fitted(reader: Views, seed: int = 0, spec: LinearSpec = SPEC):
    embedder = small_embedder(grid=2, linear=spec.numbers)
    told = fit_linear(embedder, reader, Embedding(), spec, Ranks(), "cpu", 8, seed)
    return embedder, told


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), width=st.integers(2, 9), numbers=st.integers(1, 9))
def test_pairs_differ_by_one_in_every_direction_and_directions_fall_in_spread(seed, width, numbers):
    first = noise(80, width, seed=seed).double() @ noise(width, width, seed=seed + 1).double()
    second = first + noise(80, width, seed=seed + 2).double()
    turn = slow_directions(first - first.mean(0), second - first.mean(0), min(numbers, width))
    parted = (first - second) @ turn
    torch.testing.assert_close(parted.T @ parted / 80, torch.eye(turn.shape[1]).double(), atol=2e-3, rtol=2e-3)
    spread = torch.cov((first @ turn).T, correction=0).reshape(turn.shape[1], -1)
    torch.testing.assert_close(spread, torch.diag(spread.diagonal()), atol=1e-6 * float(spread.max()), rtol=1e-6)
    assert (spread.diagonal().diff() <= 1e-9 * float(spread.max())).all()


def test_the_slow_direction_is_found_beneath_larger_ones_that_change():
    slow, fast = noise(400, 1), 30 * noise(400, 5, seed=1)
    mix = torch.linalg.qr(noise(6, 6, seed=2))[0]
    first = torch.cat([slow, fast], 1) @ mix
    second = torch.cat([slow + 0.01 * noise(400, 1, seed=3), 30 * noise(400, 5, seed=4)], 1) @ mix
    spec = LinearSpec(numbers=2, components=6, pairs=400)
    found = first @ linear_map(first, second, spec).weight.T
    assert abs(np.corrcoef(found[:, 0], slow[:, 0])[0, 1]) > 0.999
    principal = first @ linear_map(first, None, spec).weight.T
    assert abs(np.corrcoef(principal[:, 0], slow[:, 0])[0, 1]) < 0.3


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), paired=st.booleans())
def test_the_mean_goes_to_zero_and_the_mean_variance_is_one(seed, paired):
    first = noise(60, 20, seed=seed) * 7 + 300
    second = first + noise(60, 20, seed=seed + 1)
    made = linear_map(first, second if paired else None, SPEC)
    out = first @ made.weight.T + made.bias
    assert out.mean(0).abs().max() < 1e-3
    torch.testing.assert_close(out.var(0, correction=0).mean(), torch.tensor(1.0), atol=1e-3, rtol=1e-3)


def test_principal_components_are_those_of_the_exact_decomposition():
    images = noise(50, 40) * torch.linspace(3, 0.1, 40)
    centred = images - images.mean(0)
    basis = principal_basis(centred, 6, seed=0)
    torch.testing.assert_close(basis.T @ basis, torch.eye(6), atol=1e-5, rtol=1e-5)
    exact = torch.linalg.svd(centred, full_matrices=False)[2][:6].T
    assert torch.linalg.svdvals(exact.T @ basis).min() > 0.99
    made = linear_map(images, None, SPEC)
    assert made.explained == pytest.approx(float((centred @ basis).square().sum() / centred.square().sum()), rel=1e-5)


def test_pairs_of_equal_images_make_principal_directions_not_infinities():
    images = noise(60, 20)
    made = linear_map(images, images.clone(), SPEC)
    assert made.weight.isfinite().all()
    turned, plain = images @ made.weight.T, images @ linear_map(images, None, SPEC).weight.T
    torch.testing.assert_close(torch.cdist(turned, turned), torch.cdist(plain, plain), rtol=1e-3, atol=1e-3)


def test_an_embedder_is_fitted_in_place_to_the_pairs_of_a_reader_and_again_alike():
    reader = Views(60)
    state = torch.random.get_rng_state()
    embedder, told = fitted(reader)
    again, _ = fitted(reader)
    assert torch.equal(state, torch.random.get_rng_state())
    assert embedder.linear_weight.equal(again.linear_weight)
    assert 0 < told["linear_explained"] <= 1
    images = torch.from_numpy(reader.images)
    with torch.no_grad():
        embedder.eval()
        first, second = (embedder.pooled(embedder.prepared(images[:, view])) for view in (0, 1))
        expected = linear_map(first, second, SPEC)
        vectors = embedder(images[:, 0])
    torch.testing.assert_close(embedder.linear_weight, expected.weight, atol=1e-4, rtol=1e-3)
    assert vectors.mean(0).abs().max() < 1e-3


def test_other_workers_wait_for_the_first_one():
    embedder = small_embedder(grid=2, linear=3)
    asked = []

    class Second(Ranks):
        def start_alike(self, network):
            asked.append(network)

    assert fit_linear(embedder, Views(60), Embedding(), SPEC, Second(1, 2), "cpu", 8, 0) == {}
    assert asked == [embedder]
    assert not embedder.linear_weight.any()


def test_single_images_are_enough_for_principal_components():
    embedder, told = fitted(Views(60, views=1))
    assert embedder.linear_weight.any()
    assert told["linear_explained"] > 0


def test_too_few_samples_and_bad_features_are_refused():
    with pytest.raises(ValueError, match=r"11 samples are too few for 6 components.*to 5 or less"):
        fitted(Views(11))
    with pytest.raises(ValueError, match="makes the same of all"):
        linear_map(torch.ones(20, 8), None, SPEC)
    with pytest.raises(ValueError, match="NaN or infinity"):
        linear_map(noise(20, 8), torch.full((20, 8), torch.nan), SPEC)
    for values in ({"numbers": 9, "components": 8}, {"components": 64, "numbers": 64, "pairs": 100}):
        with pytest.raises(ValidationError):
            LinearSpec(**values)
