"""A very small vision transformer, for the tests of embedders."""

import torch

from models.embedder import Embedder, EmbedderSpec, build_embedder
from models.embedder_card import EmbedderCard

SPEC = EmbedderSpec(architecture="vit_tiny_patch16_224", in_channels=3, side_px=32, depth=2)
OFFSET, SCALE = (1.0, 2.0, 3.0), (2.0, 4.0, 0.5)


def small_embedder(seed: int = 1, **changes) -> Embedder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_embedder(SPEC.model_copy(update=changes), OFFSET, SCALE)


def small_card(**changes) -> EmbedderCard:
    values = {
        "kind": "embedder",
        "name": "small",
        "architecture": SPEC.architecture,
        "side_px": SPEC.side_px,
        "depth": SPEC.depth,
        "dimension": 192,
        "width": 192,
        "channels": ("ir", "swir", "wv"),
        "sensor": "coms",
        "offset": OFFSET,
        "scale": SCALE,
        "method": "timely",
        "training_data": "k",
        "weights": "random:1",
    }
    return EmbedderCard(**values | changes)


def trained_adapter(embedder: Embedder, seed: int = 5) -> None:
    """Give the adapters matrices B that are not zero, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in embedder.named_parameters():
            if name.endswith("lora_b"):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
