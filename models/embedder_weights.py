"""Where the weights of an embedder begin: file:, hub:, recipe: or random: (models/weight_sources.py).

A source must hold every tensor of the transformer; what else it holds (classifiers, poolers) is counted and left.
Two tensors may have another shape: the patch projection (other channels, as for any stem), and the position embeddings
(another side), which timm's own bicubic interpolation then resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from models.channels import ChannelMap
from models.embedder import Embedder, EmbedderSpec, build_embedder
from models.embedder_bundle import load_unmerged, read_embedder
from models.embedder_card import read_embedder_card
from models.fitting import STEMS, State
from models.lora import merge_lora
from models.names import lookup
from models.vit_names import timm_names
from models.weight_sources import LoadRecipe, Provenance, Source, digest, resolve, seed_of, split_spec
from models.weights import channel_map

STEM, POSITIONS = "patch_embed.proj.weight", "pos_embed"
BEGINNINGS = ("drawn", "sine-cosine")
"""How position embeddings may begin where weights are random."""
POSITION_AMPLITUDE = 2.5
"""Of sine-cosine positions. Patches behind random weights are vectors of about 0.6 in each number. Positions of 0.02,
as timm draws them, drown in that, and then [CLS] cannot tell where a patch lies, which adapters cannot mend."""


def embedder_with_weights(
    spec: EmbedderSpec,
    weights: str,
    *,
    offset: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    channels: Sequence[str] | None = None,
    stem: str = "auto",
    positions: str = "drawn",
    load_recipe: LoadRecipe | None = None,
) -> tuple[Embedder, Provenance]:
    """Build an embedder and give it the weights that `weights` names.

    channels, stem, load_recipe: as in `models.weights.initialise`; recipe:FOLDER is an embedder's bundle, merged.
    positions: one of `BEGINNINGS`, of random weights; others bring their own.
    torch's global random generator is left as it was.
    Raises ValueError: unknown scheme, positions for weights that are not random, or weights that do not fit;
    FileNotFoundError: nothing there.
    """
    scheme, what = split_spec(weights)
    lookup({**STEMS, "auto": None, "names": None}, stem, "stem rule")
    lookup(dict.fromkeys(BEGINNINGS), positions, "beginning of positions")
    if scheme != "random" and positions != "drawn":
        raise ValueError(f"Weights {weights!r} bring their own positions; {positions!r} is for random:SEED alone.")
    seed = seed_of(weights, what) if scheme == "random" else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embedder = build_embedder(spec, offset, scale)
    if positions == "sine-cosine":
        _set_positions(embedder.network)
    state = embedder.network.state_dict()
    if scheme == "random":
        return embedder, Provenance(weights, digest(state), len(state), 0, 0, "as built")
    source, sha256 = resolve(scheme, what, load_recipe or _load_bundle, read_embedder_card)
    by_name = channel_map(weights, source.card, channels, needed=stem == "names")
    rule = by_name if by_name is not None and stem in ("auto", "names") else "tile" if stem == "auto" else stem
    found = fit_transformer(embedder, source.state, rule, weights)
    embedder.network.load_state_dict(found.tensors)
    of_card = source.card.digest() if source.card is not None and source.card.weights_sha256 else ""
    provenance = Provenance(weights, sha256, len(state), 0, found.unexpected, found.stem, digest=of_card)
    return embedder, provenance


@dataclass(frozen=True)
class TransformerFit:
    """Saved tensors under the names and in the shapes of a transformer."""

    tensors: dict[str, Tensor]
    unexpected: int
    stem: str


def fit_transformer(embedder: Embedder, state: State, rule: str | ChannelMap, source: str) -> TransformerFit:
    """Match `state` to the transformer of an embedder, and check every shape.

    rule: a key of `STEMS`, or the channels of source and network by name; source: what to call the state in messages.
    Raises ValueError: tensors are missing, of another shape, or not finite.
    """
    target, saved = embedder.network.state_dict(), timm_names(state)
    missing = sorted(set(target) - set(saved))
    if missing:
        raise ValueError(
            f"{source} does not fit {embedder.spec.architecture}: {len(missing)} of {len(target)} tensors are missing "
            f"({', '.join(missing[:3])}); it holds {len(saved)}, for example {', '.join(sorted(saved)[:3])}. "
            "Give weights of the same architecture, of timm or of Hugging Face's ViT."
        )
    tensors, done = {}, []
    for name, wanted in target.items():
        tensor = saved[name].to(wanted.dtype) if saved[name].is_floating_point() else saved[name]
        if name == STEM and tensor.ndim == 4:
            tensor, told = _stem(tensor, wanted.shape[1], rule)
            done += told
        elif name == POSITIONS and tensor.ndim == 3 and tensor.shape[1] != wanted.shape[1]:
            before, tensor = tensor.shape[1], _resampled(tensor, embedder.network, source)
            done.append(f"positions {before} -> {wanted.shape[1]}")
        if tensor.shape != wanted.shape:
            raise ValueError(
                f"{source}: {name} has shape {tuple(tensor.shape)}, {embedder.spec.architecture} needs "
                f"{tuple(wanted.shape)}. Give weights of the same architecture."
            )
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{source} holds NaN or infinity in {name}. Fetch or train it again.")
        tensors[name] = tensor
    return TransformerFit(tensors, len(set(saved) - set(target)), "; ".join(done) or "as saved")


def _stem(tensor: Tensor, channels: int, rule: str | ChannelMap) -> tuple[Tensor, list[str]]:
    if isinstance(rule, ChannelMap):
        return rule.stem(tensor), [] if rule.is_identity else [str(rule)]
    if tensor.shape[1] == channels:
        return tensor, []
    return STEMS[rule](tensor, channels), [f"{rule} {tensor.shape[1]} -> {channels}"]


def _resampled(positions: Tensor, network: VisionTransformer, source: str) -> Tensor:
    prefix = 0 if network.no_embed_class else network.num_prefix_tokens
    side = round((positions.shape[1] - prefix) ** 0.5)
    if side * side != positions.shape[1] - prefix:
        raise ValueError(
            f"{source} has {positions.shape[1]} position embeddings: not {prefix} and a square. "
            "Give weights of a ViT with a [CLS] token."
        )
    made: Tensor = resample_abs_pos_embed(positions, list(network.patch_embed.grid_size), num_prefix_tokens=prefix)
    return made


def sine_cosine(rows: int, cols: int, dimension: int) -> Tensor:
    """Return fixed positions of patches, float32 (rows x cols, dimension), as MAE has them (arXiv 2111.06377).

    A quarter of the numbers each: sine and cosine of the row, sine and cosine of the column, in wavelengths that grow
    from 2 pi to nearly 10,000 times as much. Raises ValueError: the dimension is not to be divided by 4.
    """
    if dimension % 4:
        raise ValueError(f"Sine-cosine positions take a dimension that 4 divides, not {dimension}.")
    frequencies = 10_000.0 ** (-torch.arange(dimension // 4, dtype=torch.float64) / (dimension // 4))
    grid = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(cols, dtype=torch.float64), indexing="ij"
    )
    angles = [axis.reshape(-1, 1) * frequencies for axis in grid]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1).float()


@torch.no_grad()
def _set_positions(network: VisionTransformer) -> None:
    positions = network.pos_embed
    assert positions is not None
    prefix = 0 if network.no_embed_class else network.num_prefix_tokens
    rows, cols = network.patch_embed.grid_size
    positions[0, prefix:] = POSITION_AMPLITUDE * sine_cosine(rows, cols, positions.shape[2])


def _load_bundle(name: str) -> Source:
    card, embedder = load_unmerged(read_embedder(Path(name)))
    merge_lora(embedder)
    return Source(embedder.network.state_dict(), card)
