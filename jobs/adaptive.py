"""Which rule of adaptive inference a run names, and whether it is one for this run."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.storage import Storage
from jobs.config import RunConfig
from models.adaptive_rule import Rule, read_rule
from models.card import Card


def rule_of(config: RunConfig, cards: Sequence[Card]) -> Rule:
    """Read the rule at `infer.adaptive`.

    Args:
        config: of the run.
        cards: of its networks, in order.

    Raises:
        ValueError: it is missing, or was learnt for other networks or settings.
    """
    infer, path = config.infer, str(config.infer.adaptive)
    folder, _, name = path.rpartition("/")
    storage = Storage(folder or ".")
    if not storage.exists(name):
        raise ValueError(f"infer.adaptive: no rule at {path}; make one: sandan adapt VALIDATION.yaml")
    rule = read_rule(storage.get(name))
    other = rule.differences(
        networks=tuple(card.digest() for card in cards),
        tta=infer.tta,
        average=infer.average,
        tile_px=infer.tile_px,
        threshold=config.fuse.threshold,
    )
    if other:
        raise ValueError(f"infer.adaptive: {path} was learnt for another run: {'; '.join(other)}; learn it anew")
    return rule
