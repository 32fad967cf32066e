"""The linear map behind an embedder, fitted in closed form: what pairs have in common is large, what parts them small.

Of two images of a pair (a frame and the one three hours later, an image and itself blurred) the map keeps the
directions in which pairs differ least beside the spread of all images. For pairs in time these are linear slow
features (Wiskott and Sejnowski 2002, Neural Computation 14:715); for any pairs, the whitening within classes of
relevant component analysis (Bar-Hillel et al. 2005, JMLR 6:937). No step size, no negatives, one optimum.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.embedder import Embedder
from models.embedding_task import Embedding, ViewReader
from models.linear_spec import LinearSpec
from models.ranks import Ranks

RIDGE = 1e-4
"""Of the mean variance within pairs, added to all: what all pairs happen to share is not infinitely good."""
OVERSAMPLING, ITERATIONS = 12, 4
"""Of the randomised decomposition (Halko et al. 2011): components more than asked for, and power iterations."""


@dataclass(frozen=True)
class LinearMap:
    """x -> weight x + bias."""

    weight: Tensor
    """float32 (numbers, features)."""
    bias: Tensor
    """float32 (numbers,): the mean image goes to 0."""
    explained: float
    """Share of the spread of the features that the principal components hold."""


def fit_linear(
    embedder: Embedder,
    reader: ViewReader,
    task: Embedding,
    spec: LinearSpec,
    ranks: Ranks,
    device: str,
    batch: int,
    seed: int,
) -> dict[str, float]:
    """Fit the map of `embedder` to the first two views of samples, or to one, in place; the same on all workers.

    The first worker computes it, and the others receive it, so that it is the same for any number of them.
    Returns on the first worker what scores say of it; elsewhere nothing.
    Raises ValueError: fewer samples than twice the components, or vectors that are not finite.
    """
    found: dict[str, float] = {}
    count = min(len(reader), spec.pairs)
    if count < 2 * spec.components:
        raise ValueError(
            f"network.linear: {count} samples are too few for {spec.components} components, which take twice as many. "
            f"Set components (and numbers) to {count // 2} or less, or train on more."
        )
    if ranks.rank == 0:
        chosen = np.sort(np.random.default_rng([seed, 20]).permutation(len(reader))[:count])
        views = _pooled_views(embedder, reader, task, chosen, device, batch)
        made = linear_map(views[0], views[1] if len(views) > 1 else None, spec, seed)
        embedder.linear_weight.copy_(made.weight)
        embedder.linear_bias.copy_(made.bias)
        found["linear_explained"] = made.explained
    if ranks.world_size > 1:
        embedder.to(torch.device(device))  # where workers can talk
        ranks.start_alike(embedder)
        embedder.to("cpu")
    return found


def linear_map(first: Tensor, second: Tensor | None, spec: LinearSpec, seed: int = 0) -> LinearMap:
    """Return the map of features to numbers whose mean variance over `first` is 1.

    first, second: float32 (n, features), the two images of each pair; without `second`: principal components.
    Where all images are alike in a component, it is left out of what pairs decide (a ridge), and nothing is infinite.
    torch's global random generator is left as it was.
    Raises ValueError: features that are not finite, or all the same.
    """
    mean = first.mean(0)
    centred = first - mean
    spread = float(centred.square().sum())
    if not np.isfinite(spread) or (second is not None and not bool(second.isfinite().all())):
        raise ValueError("The network makes NaN or infinity of these images. Look at its weights and the scaling.")
    if spread == 0:
        raise ValueError("The network makes the same of all these images: no direction is better than another.")
    basis = principal_basis(centred, min(spec.components, *first.shape), seed)
    inside = (centred @ basis).double()
    if second is None:
        turn = torch.eye(basis.shape[1], dtype=torch.float64)[:, : spec.numbers]
    else:
        turn = slow_directions(inside, ((second - mean) @ basis).double(), spec.numbers)
    turned = inside @ turn
    turn = turn / turned.var(0, correction=0).mean().sqrt()
    weight = (basis.double() @ turn).T.float().contiguous()
    return LinearMap(weight, -(weight.double() @ mean.double()).float(), float(inside.square().sum()) / spread)


def principal_basis(centred: Tensor, components: int, seed: int) -> Tensor:
    """Return orthonormal columns (features, components) along which `centred` (n, features) spreads most."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        more = min(components + OVERSAMPLING, *centred.shape)
        _, _, directions = torch.svd_lowrank(centred, q=more, niter=ITERATIONS)
    return directions[:, :components].contiguous()


def slow_directions(first: Tensor, second: Tensor, numbers: int) -> Tensor:
    """Return float64 (k, numbers): directions by falling spread of images over spread within pairs.

    first, second: float64 (n, k), centred alike. In each direction the mean square of what parts the images of a pair
    is 1 (but for the ridge), so that a direction counts the more, the more of its spread pairs have in common.
    """
    parted = first - second
    within = parted.T @ parted / len(parted)
    within += RIDGE * within.trace() / len(within) * torch.eye(len(within), dtype=torch.float64)
    # a pair that never differs (equal images) leaves nothing to divide by
    if float(within.trace()) == 0:
        within = torch.eye(len(within), dtype=torch.float64)
    lower = torch.linalg.cholesky(within)
    half = torch.linalg.solve_triangular(lower, torch.cov(first.T, correction=0), upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.T, upper=False)
    _, vectors = torch.linalg.eigh((whitened + whitened.T) / 2)
    found: Tensor = torch.linalg.solve_triangular(lower.T, vectors.flip(1)[:, :numbers], upper=True)
    return found


@torch.no_grad()
def _pooled_views(
    embedder: Embedder, reader: ViewReader, task: Embedding, chosen: np.ndarray, device: str, batch: int
) -> list[Tensor]:
    """Return float32 (n, features) of the first view of each sample, and of the second where there is one."""
    training, place = embedder.training, torch.device(device)
    embedder.to(place).eval()
    parts: list[Tensor] = []
    for start in range(0, len(chosen), batch):
        views, valid = task.load(reader, chosen[start : start + batch]).inputs
        views, valid = views[:, :2].to(place), valid[:, :2].to(place)
        pooled = embedder.pooled(embedder.prepared(views.flatten(0, 1), valid.flatten(0, 1)))
        parts.append(pooled.reshape(*views.shape[:2], -1).cpu())
    embedder.to("cpu").train(training)
    return list(torch.cat(parts).unbind(1))
