"""The throughput ledger: how fast each stage went, where its time went, and what it cost.

Everything is computed from what a stage wrote down when it last had work to do: the same numbers are in `run.json`,
on the report page and in a budget for next year.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEPS = ("read", "wait", "forward", "blend", "warp", "fuse", "write")
"""What units of work measure: reading files or stores, waiting for the networks to be free, running them, blending
windows (with reading them), warping, fusing scenes, and writing."""


def ledger_of(facts: Mapping[str, Any], price_per_worker_hour: float | None = None) -> dict[str, Any]:
    """Return the ledger of one stage.

    Args:
        facts: what `jobs.runner.run_stage` kept of it.
        price_per_worker_hour: in any currency.

    Returns:
        `seconds`; `units_per_s`; `windows_per_s` and `km2_per_s`, where they were counted; `refined_share`, of the
        windows, those that all networks saw in all views; `share_of_steps`, which adds up to 1; `busy_share`, of the
        time of all workers, that in which any unit was worked on (units that overlap count each for itself, up to
        all); `worker_hours`; `gpu_seconds` that were held; `cost`, if there is a price.
    """
    seconds, engine = float(facts["seconds"]), facts["engine"]
    held = seconds * engine["workers"]
    out: dict[str, Any] = {"seconds": seconds, "worker_hours": held / 3600}
    out["gpu_seconds"] = held * engine.get("gpus_per_worker", 0.0)
    done = facts["units"] - facts["failed"]
    rates = {"units_per_s": done, "windows_per_s": facts.get("windows"), "km2_per_s": facts.get("ground_km2")}
    out |= {name: count / seconds for name, count in rates.items() if count is not None and seconds > 0}
    steps = {name: float(facts[f"{name}_s"]) for name in STEPS if f"{name}_s" in facts}
    total = sum(steps.values())
    if facts.get("windows") and "refined" in facts:
        out["refined_share"] = facts["refined"] / facts["windows"]
    out["share_of_steps"] = {name: value / total for name, value in steps.items()} if total > 0 else {}
    if held > 0 and "busy_s" in facts:
        out["busy_share"] = min(1.0, float(facts["busy_s"]) / (held * max(1, engine["concurrency"])))
    if price_per_worker_hour is not None:
        out["cost"] = held / 3600 * price_per_worker_hour
    return out


def ledger(stages: Mapping[str, Mapping[str, Any]], price_per_worker_hour: float | None = None) -> dict[str, Any]:
    """Return the ledger of every stage that engines ran, and under "all" what they cost together."""
    out = {name: ledger_of(facts, price_per_worker_hour) for name, facts in stages.items() if "engine" in facts}
    whole = {key: sum(one[key] for one in out.values()) for key in ("seconds", "worker_hours", "gpu_seconds")}
    if price_per_worker_hour is not None:
        whole["cost"] = sum(one["cost"] for one in out.values())
    return {**out, "all": whole}
