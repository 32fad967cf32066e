"""The experiments of the weather document: at which scale, which recipes, with how many seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

METHODS = ("frozen", "simclr-as-written", "simclr-ntxent", "timely")
"""In the order in which they are trained: what costs nothing first."""
SPLITS = ("blocks", "time", "random")


@dataclass(frozen=True)
class Scale:
    """How large the experiments are."""

    world: str
    """Scale of the synthetic weather, where no data are given."""
    summary: str
    network: Mapping[str, Any]
    train: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    validation: float = 0.2
    """Share of the frames that validate: gallery and queries."""
    metric_px: int | None = None
    """To which images are reduced before PSNR, SSIM and LPIPS."""


LORA = {"rank": 8, "alpha": 16, "dropout": 0.1}
SMALL = {"architecture": "vit_tiny_patch16_224", "patch_px": 8, "positions": "sine-cosine", "lora": LORA}
SCALES = {
    "tiny": Scale(
        "tiny",
        "some minutes on 2 cores: 60 days at 48 px, a ViT of 3 blocks; shows that all of it works, not how well",
        network={**SMALL, "side_px": 48, "depth": 3, "grid": 6, "linear": {"numbers": 64, "components": 64}},
        train={"epochs": 2, "batch": 32, "learning_rate": 1e-3},
        data={"validation_samples": 64},
    ),
    "small": Scale(
        "small",
        "about 30 minutes on 2 cores, minutes on a GPU: six years at 64 px, a ViT-Tiny of 4 blocks, 125 steps of 32",
        network={**SMALL, "side_px": 64, "depth": 4, "grid": 8, "linear": {"numbers": 128, "components": 128}},
        train={"epochs": 1, "batch": 32, "learning_rate": 3e-4},
        data={"samples_per_epoch": 4000, "validation_samples": 500},
        validation=0.3,
    ),
    "small-token": Scale(
        "small",
        "the same world with vectors of the [CLS] token, as the document has them, and 250 steps; about 40 minutes",
        network={**SMALL, "side_px": 64, "depth": 4},
        train={"epochs": 2, "batch": 32, "learning_rate": 1e-3},
        data={"samples_per_epoch": 4000, "validation_samples": 500},
        validation=0.3,
    ),
    "paper": Scale(
        "large",
        "days on one GPU: nine years at 224 px, ViT-B/16, LoRA of rank 8, 10 epochs of batches of 96, as documented",
        network={"architecture": "vit_base_patch16_224", "side_px": 224, "lora": LORA},
        train={"epochs": 10, "batch": 96, "learning_rate": 3e-4},
        metric_px=112,
    ),
}


def recipe_values(
    method: str,
    seed: int,
    out: Path,
    runs: Sequence[str],
    scale: Scale,
    weights: str | None,
    split: str,
    engine: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the recipe of a method with a seed.

    Args:
        method: one of `METHODS`.
        seed: of the training, and of the weights where they are random.
        out: folder of the reproduction.
        runs: run YAMLs with `frames`.
        scale: how large.
        weights: where all networks begin; None: at random, each seed otherwise.
        split: one of `SPLITS`.
        engine: who trains.
    """
    begin = weights or f"random:{seed + 1}"
    network = {**scale.network, "weights": begin}
    if not begin.startswith("random:"):
        network.pop("positions", None)  # weights bring their own
    if method == "frozen":
        network["lora"] = None
    return {
        "task": "embed",
        "out": str(model_folder(out, method, seed)),
        "network": network,
        "data": {"run": list(runs), "split": {"kind": split, "validation": scale.validation}, **scale.data},
        "method": method,
        "margin": 0.5,
        "train": {**scale.train, "seed": seed},
        "engine": dict(engine),
    }


def model_folder(out: Path, method: str, seed: int) -> Path:
    """Return where a method's bundle lies."""
    return out / "models" / f"{method}-{seed}"


def seeds_of(method: str, seeds: int, weights: str | None) -> range:
    """Return the seeds of a method: a frozen network that does not begin at random is the same with every seed."""
    return range(1 if method == "frozen" and weights is not None and not weights.startswith("random:") else seeds)


def write_yaml(path: Path, values: Mapping[str, Any]) -> Path:
    """Write a file that can be run again by itself; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
    return path
