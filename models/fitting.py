"""Fitting saved tensors onto a network: names matched, shapes checked, the first convolution adapted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.channels import ChannelMap

State = Mapping[str, Tensor]

# A counter of batch normalisation that older files do not hold and inference does not read.
OPTIONAL_SUFFIX = "num_batches_tracked"


def tile_stem(weight: Tensor, channels: int) -> Tensor:
    """Repeat the saved channels: new[:, i] = old[:, i mod c] * c / channels (the rule of smp).

    weight: (out, c, kh, kw); returns (out, channels, kh, kw). Inputs whose channels are all equal get the
    same response as before, where `channels` is a multiple of c.
    """
    saved = weight.shape[1]
    return weight[:, torch.arange(channels) % saved] * (saved / channels)


def zero_stem(weight: Tensor, channels: int) -> Tensor:
    """Keep the saved channels and append zeros: at first the network does not see the new ones.

    weight: (out, c, kh, kw); returns (out, channels, kh, kw).
    Raises ValueError: there are fewer channels than the weights have.
    """
    extra = channels - weight.shape[1]
    if extra < 0:
        raise ValueError(f"Cannot append to {weight.shape[1]} channels to get {channels}. Use stem='tile'.")
    return torch.cat([weight, weight.new_zeros(weight.shape[0], extra, *weight.shape[2:])], dim=1)


STEMS: dict[str, Callable[[Tensor, int], Tensor]] = {"tile": tile_stem, "zero": zero_stem}


@dataclass(frozen=True)
class Fit:
    """Saved tensors under the names and in the shapes of a network."""

    tensors: dict[str, Tensor]
    whole: bool
    """True: the source held encoder and decoder; False: an encoder only."""
    unexpected: int
    """Tensors of the source without a place in the network."""
    stem: str
    """What happened to the first convolution: "as saved", or "tile 3 -> 5", or "names 5 -> 6; new (zero): gems"."""


def fit(network: nn.Module, state: State, rule: str | ChannelMap, source: str) -> Fit:
    """Match `state` to the network (an encoder-decoder of smp, or one without an encoder) and check every shape.

    state: a whole network (keys encoder.*, decoder.*, with or without the `network.` of
    `SegmentationNetwork`), or an encoder alone (keys of smp, timm or torchvision; dots and underscores in
    names are the same, because timm's feature extractors write stages_0 for stages.0).
    rule: a key of `STEMS`, or the channels of source and network by name; source: what to call the state in messages.
    Raises ValueError: tensors are missing, superfluous (whole networks only) or of another shape.
    """
    saved = _without_wrapper(state)
    target = network.state_dict()
    has_encoder = any(key.startswith("encoder.") for key in target)
    whole = not has_encoder or any(key.startswith(("decoder.", "segmentation_head.")) for key in saved)
    pairs = _same_names(saved, target) if whole else _encoder_names(saved, target)
    required = {key for key in target if (whole or key.startswith("encoder.")) and OPTIONAL_SUFFIX not in key}
    missing = sorted(required - set(pairs))
    unexpected = sorted(set(saved) - set(pairs.values()))
    if missing or (whole and unexpected):
        raise ValueError(
            f"{source} does not fit the network: {len(missing)} tensors are missing ({_some(missing)}), "
            f"{len(unexpected)} have no place in it ({_some(unexpected)}). "
            f"Give weights of the same architecture{' and encoder' if has_encoder else ' and options'}."
        )
    stem_key = _stem_key(network)
    tensors, stem = {}, "as saved"
    for key, saved_key in pairs.items():
        tensor, shape = saved[saved_key], target[key].shape
        if key == stem_key and _differ_in_channels_only(tensor, target[key]):
            if isinstance(rule, ChannelMap):
                tensor, stem = rule.stem(tensor), str(rule)
            elif tensor.shape != shape:
                stem = f"{rule} {tensor.shape[1]} -> {shape[1]}"
                tensor = STEMS[rule](tensor, shape[1])
        if tensor.shape != shape:
            raise ValueError(
                f"{source}: {saved_key} has shape {tuple(tensor.shape)}, the network needs {tuple(shape)}. "
                "Give weights of the same architecture, encoder and number of classes."
            )
        tensors[key] = tensor
    return Fit(tensors, whole, len(unexpected), stem)


def _without_wrapper(state: State) -> dict[str, Tensor]:
    if any(key.startswith("network.") for key in state):
        return {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
    return dict(state)


def _same_names(saved: State, target: State) -> dict[str, str]:
    return {key: key for key in target if key in saved}


def _encoder_names(saved: State, target: State) -> dict[str, str]:
    by_name = {_plain(key): key for key in saved}
    return {key: by_name[_plain(key)] for key in target if key.startswith("encoder.") and _plain(key) in by_name}


def _plain(key: str) -> str:
    # smp wraps a timm encoder once more, in `model.`
    return key.removeprefix("encoder.").removeprefix("model.").replace(".", "_")


def _stem_key(network: nn.Module) -> str | None:
    modules = dict(network.named_modules())
    for name, module in modules.items():
        if (name.startswith("encoder.") or "encoder" not in modules) and isinstance(module, nn.Conv2d):
            return f"{name}.weight"
    return None


def _differ_in_channels_only(saved: Tensor, wanted: Tensor) -> bool:
    return saved.ndim == wanted.ndim == 4 and saved[:, 0].shape == wanted[:, 0].shape


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "") or "none"
