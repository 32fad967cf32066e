"""The rule of adaptive inference: which windows one network in one view may settle, and which all networks must see.

A first pass (one network, the window as it is) gives each pixel a margin: how far its logit lies from where the class
would change. On validation windows, which all networks saw in all views, pixels are counted by margin:

    change(bin) = pixels whose class differs between first pass and full ensemble / pixels, in this bin of margins
    s(window)   = sum over its valid pixels of change(bin)            the changes that are expected
    refine the window if s > s0, else keep the first pass

`models.adaptive_choice` finds s0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

STEP, BINS = 0.25, 64
"""Width of the bins of margins in logits, and their number; the last has no upper limit."""


@dataclass(frozen=True)
class Rule:
    """What was learnt, and for what."""

    first: str
    """Name of the network of the first pass."""
    networks: tuple[str, ...]
    """Digests of the cards of all networks, in order."""
    tta: str
    average: str
    tile_px: int
    threshold: float
    """Probability from which a pixel is of the class; plays no part with several classes."""
    change: tuple[float, ...]
    """Share of pixels that change, by bin of margins."""
    spread: tuple[float, ...]
    """Mean spread of the full ensemble, by bin of margins: what stands for it where only the first pass was run."""
    refine_above: float
    """Expected changes, in pixels, above which a window is refined."""
    bound: float
    """What was asked: the largest Jaccard distance to the full map."""
    found: Mapping[str, Any]
    """How it did on the windows it was learnt from: `Choice` without its tables."""

    def to_json(self) -> bytes:
        """Return the rule as a file."""
        return json.dumps(asdict(self), indent=1, allow_nan=False).encode()

    def digest(self) -> str:
        """Return what identifies everything that maps depend on."""
        decides = {k: v for k, v in asdict(self).items() if k not in ("found", "bound")}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def differences(self, **settings: Any) -> list[str]:
        """Return what of `networks`, `tta`, `average`, `tile_px` and `threshold` a run has otherwise, as text."""
        return [
            f"{name} was {getattr(self, name)!r}, is {value!r}"
            for name, value in settings.items()
            if getattr(self, name) != value
        ]


def read_rule(data: bytes) -> Rule:
    """Read a rule from a file.

    Raises ValueError: it is no rule.
    """
    try:
        values = json.loads(data)
        lists = {name: tuple(values[name]) for name in ("networks", "change", "spread")}
        rule = Rule(**{**values, **lists})
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"this is no rule of adaptive inference ({error}); make one with `sandan adapt`") from error
    if len(rule.change) != BINS or len(rule.spread) != BINS:
        raise ValueError(f"the rule has {len(rule.change)} bins, this version has {BINS}; make it anew: sandan adapt")
    return rule


def bins_of(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Return the bin of every pixel's margin, int (y, x), of logits (K, y, x).

    One class: the distance from the logit of the threshold. Several: the lead of the best over the second.
    """
    wide = logits.astype(np.float32)
    if len(wide) == 1:
        margin = np.abs(wide[0] - logit_of(threshold))
    else:
        second, best = np.partition(wide, -2, axis=0)[-2:]
        margin = best - second
    return np.minimum(margin / np.float32(STEP), BINS - 1).astype(np.intp)


def logit_of(probability: float) -> np.float32:
    """Return log(p / (1 - p))."""
    return np.float32(np.log(probability / (1 - probability)))


def classes_in(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Return where each class but background is found, bool (class, y, x), in logits (K, y, x)."""
    if len(logits) == 1:
        return np.asarray(logits >= logit_of(threshold))
    return np.asarray(logits.argmax(axis=0) == np.arange(1, len(logits))[:, None, None])
