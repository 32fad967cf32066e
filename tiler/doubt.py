"""What a map does not know, from what it keeps: entropies in nats, in plain numpy.

    total      = H(p)                 p = mean probability over networks, views, windows and scenes
    aleatoric  = mean entropy         of each answer alone: the pixel is ambiguous
    epistemic  = total - aleatoric    mutual information of answer and member: members contradict each other

(Houlsby et al. 2011, equation 2; Depeweg et al. 2018, equation 4.) H is concave, so the difference is at least 0, but
for rounding: windows are kept as float16.
"""

from __future__ import annotations

import numpy as np


def entropy_of(probability: np.ndarray) -> np.ndarray:
    """Return H = -sum p log p in nats, float32 (y, x), of probabilities (class, y, x); NaN stays NaN.

    One class beside background: of p and 1 - p. Several: of their distribution, scaled to a sum of 1.
    """
    values = probability.astype(np.float32)
    values = np.concatenate([values, 1 - values]) if len(values) == 1 else values / values.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(values > 0, -values * np.log(values), np.where(np.isnan(values), np.nan, np.float32(0)))
    return np.asarray(terms.sum(axis=0), np.float32)


def doubts_of(probability: np.ndarray, entropy: np.ndarray, disagreement: np.ndarray) -> np.ndarray:
    """Return total entropy, mutual information and disagreement, float32 (3, y, x), NaN where no scene saw the pixel.

    Args:
        probability: float32 (class, y, x): the mean.
        entropy: float32 (y, x), nats: the mean.
        disagreement: float32 (class, y, x), of logits; the largest of the classes is taken.
    """
    total = entropy_of(probability)
    return np.stack([total, np.maximum(total - entropy, np.float32(0)), disagreement.max(axis=0)])
