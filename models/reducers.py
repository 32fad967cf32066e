"""Reducers: from pixels of many images to a few numbers each, which k-means can tell apart.

Each takes matrices and gives a matrix; codes of an autoencoder and embeddings come from outside and are only checked.
"""

from __future__ import annotations

import numpy as np

DIMENSION = 50
"""Numbers of an image after a projection."""
POOL_SIDE = 4
"""Means along a side of an image after `mean_pool`."""
FIT_ROWS = 4_000
"""Rows beyond which the common space is that of a sample."""
BLOCK_ROWS = 2_048
COMMON = "pca of standardised pixels"
"""Name of the space in which the clusterings of all reducers are compared."""


def random_projection(pixels: np.ndarray, dimension: int = DIMENSION, seed: int = 0) -> np.ndarray:
    """Project onto Gaussian random directions (Bingham and Mannila 2001): distances are kept but for noise.

    Args:
        pixels: float (n, d).
        dimension: of what comes back, at most d.
        seed: of the directions.

    Returns:
        float64 (n, dimension).

    Raises:
        ValueError: no rows, or a value that is not finite.
    """
    from sklearn.random_projection import GaussianRandomProjection

    rows = checked_rows(pixels, "pixels")
    projection = GaussianRandomProjection(min(dimension, rows.shape[1]), random_state=seed)
    return np.asarray(projection.fit_transform(rows))


def pca(pixels: np.ndarray, dimension: int = DIMENSION, seed: int = 0) -> np.ndarray:
    """Project onto the directions of largest variance.

    Args:
        pixels: float (n, d).
        dimension: of what comes back, at most d and n.
        seed: of the approximate solver, which large matrices get.

    Returns:
        float64 (n, dimension).

    Raises:
        ValueError: no rows, or a value that is not finite.
    """
    from sklearn.decomposition import PCA

    rows = checked_rows(pixels, "pixels")
    if not np.any(rows != rows[0]):  # no variance: no direction is larger than another
        return np.zeros((len(rows), 1))
    kept = min(dimension, *rows.shape)
    return np.asarray(PCA(kept, random_state=seed).fit_transform(rows))


def mean_pool(images: np.ndarray, side: int = POOL_SIDE) -> np.ndarray:
    """Return means over squares of an image, float64 (n, band * side * side).

    Args:
        images: (n, band, y, x), at least `side` along both sides.
        side: squares along a side.

    Raises:
        ValueError: the images are too small.
    """
    n, bands, height, width = images.shape
    if min(height, width) < side:
        raise ValueError(f"images of {height} x {width} px have no {side} x {side} means; ask for fewer")
    edges = [np.linspace(0, length, side + 1).round().astype(int) for length in (height, width)]
    sums = np.add.reduceat(np.asarray(images, np.float64), edges[0][:-1], axis=2)
    sums = np.add.reduceat(sums, edges[1][:-1], axis=3)
    pixels = np.outer(np.diff(edges[0]), np.diff(edges[1]))
    return np.asarray((sums / pixels).reshape(n, bands * side * side))


def standardised(pixels: np.ndarray) -> np.ndarray:
    """Return columns of mean 0 and deviation 1, float64; columns that do not vary are 0."""
    rows = checked_rows(pixels, "pixels")
    return _scaled(rows, *_levels(rows))


def common_space(
    pixels: np.ndarray, dimension: int = DIMENSION, seed: int = 0, chosen: np.ndarray | None = None
) -> np.ndarray:
    """Return the space in which clusterings of different reducers are compared: PCA of standardised pixels.

    Beyond `FIT_ROWS` rows, levels and directions are those of a random sample, and the rows go through in blocks: what
    is held is the result, so `pixels` may lie in a file.

    Args:
        pixels: float (n, d).
        dimension: of what comes back.
        seed: of the sample, and of the approximate solver.
        chosen: int (k,): rows that are wanted; None: all.

    Returns:
        float64 (k, at most `dimension`).

    Raises:
        ValueError: no rows, or a value that is not finite.
    """
    wanted = np.arange(len(pixels)) if chosen is None else chosen
    if len(wanted) <= FIT_ROWS:
        return pca(standardised(pixels[wanted]), dimension, seed)
    from sklearn.decomposition import PCA

    some = np.sort(np.random.default_rng(seed).permutation(wanted)[:FIT_ROWS])
    sample = checked_rows(pixels[some], "pixels")
    levels = _levels(sample)
    model = PCA(min(dimension, *sample.shape), random_state=seed).fit(_scaled(sample, *levels))
    blocks = np.split(wanted, range(BLOCK_ROWS, len(wanted), BLOCK_ROWS))
    return np.concatenate([model.transform(_scaled(checked_rows(pixels[b], "pixels"), *levels)) for b in blocks])


def _levels(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each column; infinity for columns that do not vary."""
    deviation = rows.std(axis=0)
    varied = deviation > 1e-12 * np.maximum(1.0, np.abs(rows).max(axis=0))
    return rows.mean(axis=0), np.where(varied, deviation, np.inf)


def _scaled(rows: np.ndarray, level: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    return np.asarray((rows - level) / deviation)


def checked_rows(rows: np.ndarray, name: str) -> np.ndarray:
    """Return a matrix as float64.

    Raises:
        ValueError: it is no matrix, has no rows, or holds values that are not finite.
    """
    found = np.asarray(rows, np.float64)
    if found.ndim != 2 or not found.size:
        raise ValueError(f"{name}: a matrix of (images, numbers) is needed, found shape {found.shape}")
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{name}: {bad.size} of {len(found)} rows hold NaN or infinity, the first is row {bad[0]}; leave them out"
        )
    return found
