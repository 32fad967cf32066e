"""Fusion over time: what a place was at each of several dates, told by all of them together.

A place is of the class or it is not (z = 1 or 0), and changes between two dates with small probabilities: a Markov
chain that nobody sees. What is seen are the logits of a map at each date. A date where the network wavered is outvoted
by those around it; a change that stays is believed.

    P(z_1 = 1) = prior          P(z_t+1 = 1 | z_t = 0) = gain          P(z_t+1 = 0 | z_t = 1) = loss
    P(x_t | z_t = 1) / P(x_t | z_t = 0) = exp(l_t - logit(prior))      since sigmoid(l_t) is P(z_t = 1 | x_t) by itself

The answer is P(z_t = 1 | x_1 ... x_T) by the forward-backward algorithm (Rabiner 1989, A tutorial on hidden Markov
models, equations 19 to 27), in log-odds. It takes dates for independent given the state; the errors of one network are
not, so it is too sure rather than too careful.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST = 60.0
"""Log-odds beyond which nothing changes any more in float64."""


@dataclass(frozen=True)
class Chain:
    """How places change between two dates."""

    gain: float = 0.02
    """Probability that what was background is of the class at the next date."""
    loss: float = 0.005
    """Probability that what was of the class is background at the next date."""
    prior: float = 0.5
    """Probability of the class at the first date, and among what networks were trained on."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < 1:
                raise ValueError(f"{name} {value}: a probability between 0 and 1 is needed, neither of them")


def smoothed(logits: np.ndarray, chain: Chain) -> np.ndarray:
    """Return the log-odds of the class at each date, given all dates.

    Args:
        logits: float (date, y, x), in the order of time; NaN where a date saw nothing, which then says nothing.
        chain: how places change.

    Returns:
        float64 (date, y, x), finite.
    """
    odds = np.log(chain.prior / (1 - chain.prior))
    evidence = np.clip(np.where(np.isnan(logits), 0.0, logits.astype(np.float64) - odds), -LARGEST, LARGEST)
    forward = np.empty_like(evidence)
    forward[0] = odds + evidence[0]
    for date in range(1, len(evidence)):
        p = 1 / (1 + np.exp(-np.clip(forward[date - 1], -LARGEST, LARGEST)))
        becomes = p * (1 - chain.loss) + (1 - p) * chain.gain
        forward[date] = np.log(becomes) - np.log1p(-becomes) + evidence[date]
    backward = np.zeros_like(evidence[0])
    for date in range(len(evidence) - 2, -1, -1):
        ratio = np.exp(np.clip(backward + evidence[date + 1], -LARGEST, LARGEST))
        backward = np.log((chain.loss + (1 - chain.loss) * ratio) / (1 - chain.gain + chain.gain * ratio))
        forward[date] += backward
    return forward
