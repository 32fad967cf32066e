"""Adaptive inference: one network in one view looks at every window, the whole ensemble only where that is unsure.

Which windows those are is the `Rule`'s to say (`models.adaptive_rule`). A refined window is what the ensemble says of
it, bit for bit; any other holds the first pass's logits, and the spread that such logits had on validation data.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from models.adaptive_choice import Evidence
from models.adaptive_rule import Rule, bins_of
from models.bundle import load_files
from models.imagery import Imagery
from models.launched import Answer, not_finite
from models.predict import Ensemble


class Adaptive:
    """A first pass and an ensemble, on one device; on a CPU several threads may ask at once."""

    def __init__(self, first: Ensemble, full: Ensemble, rule: Rule) -> None:
        self._first, self._full, self._rule = first, full, rule
        self._change, self._spread = np.array(rule.change), np.array(rule.spread, np.float16)

    def answer(self, imagery: Imagery, corners: Sequence[tuple[int, int]], side_px: int) -> tuple[Answer, int]:
        """Return an answer as `Ensemble.launch` gives it, and how many windows were refined.

        A window that the first pass cannot answer is refined as well: it is the ensemble's to say that nobody can.
        """
        first = self._first.launch(imagery, corners, side_px).result()
        classes = len(self._first.classes)
        unsure = []
        for place, ((row, col), window) in enumerate(zip(corners, first.windows, strict=True)):
            if first.broken[place]:
                unsure.append(place)
                continue
            bins = bins_of(window[:classes], self._rule.threshold)
            valid = imagery.valid[row : row + side_px, col : col + side_px].cpu().numpy()
            if np.bincount(bins[valid], minlength=len(self._change)) @ self._change > self._rule.refine_above:
                unsure.append(place)
            else:
                window[classes:] = self._spread[bins]
        if not unsure:
            return first, 0
        full = self._full.launch(imagery, [corners[place] for place in unsure], side_px).result()
        return first.replaced(unsure, full), len(unsure)


def load_adaptive(
    bundles: Sequence[Mapping[str, bytes]], full: Ensemble, rule: Rule, compile: str = "none"
) -> Adaptive:
    """Make it of bundles given as files by name, and their ensemble.

    The first pass runs on the ensemble's device, in its number format, and takes as many windows at once as the
    ensemble has tiles at once. compile: as the ensemble's.
    Raises ValueError: the network of the first pass is not among the bundles.
    """
    members = [member for member in map(load_files, bundles) if member[0].name == rule.first]
    if len(members) != 1:
        raise ValueError(f"the rule begins with the network {rule.first!r}, the run has {list(full.names)}")
    batch = full.batch * len(full.views)
    device = str(full.device)
    first = Ensemble(members, full.channels, "none", full.precision, device, batch, compile=compile)
    return Adaptive(first, full, rule)


class Compared(Ensemble):
    """An ensemble that also tells what each network says in the first view: what a rule is learnt from."""

    @torch.inference_mode()
    def compare(self, imagery: Imagery, corner: tuple[int, int], side_px: int, threshold: float) -> dict[str, Evidence]:
        """Return the evidence of one window, by name of the network that is the first pass.

        Raises FloatingPointError: a network answered NaN or infinity.
        """
        tiles = imagery.tiles([corner] * self.batch, side_px)
        logits = list(self._logits(tiles))
        mean, spread = (_array(values) for values in self._average(iter(logits)))
        if not np.isfinite(mean).all():
            raise FloatingPointError(not_finite(0, self.precision, bool(tiles.isinf().any())))
        row, col = corner
        valid = imagery.valid[row : row + side_px, col : col + side_px].cpu().numpy()
        firsts = logits[:: len(self.views)]  # by network, then by view; the first view is the window as it is
        return {
            name: Evidence.of(_array(first), mean, spread, valid, threshold)
            for name, first in zip(self.names, firsts, strict=True)
        }


def _array(logits: Tensor) -> np.ndarray:
    # As stored, so that evidence is of the numbers that the rule will be asked about
    return logits[0].to(torch.float16).float().cpu().numpy()
