"""What an ensemble does not know: mean probability and mean entropy over its networks and views, beside its mean logit.

    total      = H(mean over members of p)           entropy of the mean probability
    aleatoric  = mean over members of H(p)           each member alone is unsure: the pixel is ambiguous
    epistemic  = total - aleatoric >= 0              mutual information: members are sure, of different things

(Houlsby et al. 2011, equation 2; Depeweg et al. 2018, equation 4), in nats. Means are what adds up over windows and
scenes, so these are kept, and the difference is taken once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

Average = Callable[[Iterable[Tensor]], tuple[Tensor, ...]]
"""Takes logits (n, K, h, w) one by one, returns layers (n, any number, h, w) each."""


def probability_and_entropy(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities (n, K, h, w) and their entropy in nats (n, 1, h, w), of logits float32 (n, K, h, w).

    One class beside background: sigmoid, and the entropy of yes and no. Several: softmax.
    """
    if logits.shape[1] > 1:
        # softmax and its entropy in one go: log z - sum of p * l, from which the largest logit cancels out first
        below = logits - logits.amax(dim=1, keepdim=True)
        powers = below.exp()
        total = powers.sum(dim=1, keepdim=True)
        entropy = total.log() - below.mul_(powers).sum(dim=1, keepdim=True) / total
        return powers.div_(total), entropy
    unlikely = torch.sigmoid(-logits.abs())  # of the less likely answer: 1 - p would lose it where p is near 1
    return logits.sigmoid(), torch.special.entr(unlikely) + torch.special.entr(1 - unlikely)


def with_uncertainty(average: Average) -> Average:
    """Return an average that gives mean probability (n, K, h, w) and mean entropy (n, 1, h, w) after its own layers.

    Members are still taken one by one, and none is kept for it.
    """

    def averaged(logits: Iterable[Tensor]) -> tuple[Tensor, ...]:
        sums: list[Tensor] = []
        count = 0

        def seen() -> Iterator[Tensor]:
            nonlocal count
            for one in logits:
                found = probability_and_entropy(one)
                if sums:
                    for total, values in zip(sums, found, strict=True):
                        total.add_(values)
                else:
                    sums.extend(found)
                count += 1
                yield one

        layers = average(seen())
        return *layers, *(total.div_(count) for total in sums)

    return averaged
