"""How scenes become one map: in which order, where a pixel does not take all that saw it; and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tiler.scene_store import SceneStore

if TYPE_CHECKING:
    from jobs.config import RunConfig
    from jobs.plan import LogitPlan, Run


def rule_of_fusion(config: RunConfig) -> dict[str, object]:
    """Return what tells maps of other rules apart; nothing for the mean, which had no name once."""
    return {} if config.fuse.rule == "mean" else {"fusion": (config.fuse.rule, config.fuse.most)}


def further_layers(config: RunConfig) -> dict[str, object]:
    """Return what tells logits and maps with uncertainty from those without; nothing for those without."""
    return {"uncertainty": True} if config.infer.uncertainty else {}


def in_order(run: Run, plans: Sequence[LogitPlan]) -> list[LogitPlan]:
    """Return scenes in the order in which they are fused, by `fuse.rule`; of equal ones the first by id comes first.

    Args:
        run: with the rule, and the folder that tells what is missing in a scene.
        plans: in order of scene ids.
    """
    return sorted(plans, key=partial(KEYS[run.config.fuse.rule], run))


def _as_they_are(run: Run, plan: LogitPlan) -> float:
    return 0.0


def _age(run: Run, plan: LogitPlan) -> float:
    """The newest first, those without a date last."""
    acquired = plan.source.scene.acquired
    return float("inf") if acquired is None else -acquired.timestamp()


def _useless_share(run: Run, plan: LogitPlan) -> float:
    """The cloud cover where that is told, else what is missing of the scene's pixels; 1 before that is known."""
    scene = plan.source.scene
    if scene.cloud_cover is not None:
        return scene.cloud_cover / 100
    try:
        return float(SceneStore(run.url("ingest", plan.source.name)).quality["missing_ratio"])
    except FileNotFoundError:  # it is not ingested to its end
        return 1.0


KEYS: dict[str, Callable[[Run, LogitPlan], float]] = {
    "mean": _as_they_are,
    "latest": _age,
    "clearest": _useless_share,
    "best_n": _useless_share,
}
"""Name of a rule to what scenes are sorted by, the smallest first."""
