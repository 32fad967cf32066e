"""Vision transformers as their authors publish them (arrays of Flax in an .npz), under the names and axes of timm.

Flax keeps inputs before outputs, heads as an axis of their own, and a convolution as (rows, columns, in, out).
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_BLOCK = re.compile(r"Transformer/encoderblock_(\d+)/(.+)/(kernel|bias|scale)")
_PLACES = {
    "LayerNorm_0": "norm1",
    "LayerNorm_2": "norm2",
    "MultiHeadDotProductAttention_1/out": "attn.proj",
    "MlpBlock_3/Dense_0": "mlp.fc1",
    "MlpBlock_3/Dense_1": "mlp.fc2",
}
_OUTER = {
    "cls": "cls_token",
    "Transformer/posembed_input/pos_embedding": "pos_embed",
    "Transformer/encoder_norm/scale": "norm.weight",
    "Transformer/encoder_norm/bias": "norm.bias",
}
_ATTENTION = "MultiHeadDotProductAttention_1"
_PARTS = ("query", "key", "value")


def is_flax(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors have the names of the published .npz files."""
    return "embedding/kernel" in state and any(name.startswith("Transformer/encoderblock_0/") for name in state)


def from_flax(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the names of timm; those without a counterpart (heads) keep their names."""
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block = _BLOCK.fullmatch(name)
        if name == "embedding/kernel":
            made["patch_embed.proj.weight"] = tensor.permute(3, 2, 0, 1)
        elif name == "embedding/bias":
            made["patch_embed.proj.bias"] = tensor
        elif block is not None and block.group(2) in _PLACES:
            number, place, kind = block.groups()
            if kind == "kernel":
                tensor = tensor.flatten(0, -2).T  # (heads, head, out) of the attention's, (in, out) of the others
            made[f"blocks.{number}.{_PLACES[place]}.{'bias' if kind == 'bias' else 'weight'}"] = tensor
        elif block is None or not block.group(2).startswith(_ATTENTION):
            made[_OUTER.get(name, name)] = tensor
    numbers = {block.group(1) for block in map(_BLOCK.fullmatch, state) if block is not None}
    for number in numbers:
        parts = [f"Transformer/encoderblock_{number}/{_ATTENTION}/{part}" for part in _PARTS]
        if all(f"{part}/kernel" in state for part in parts):
            made[f"blocks.{number}.attn.qkv.weight"] = torch.cat([state[f"{p}/kernel"].flatten(1).T for p in parts])
        if all(f"{part}/bias" in state for part in parts):
            made[f"blocks.{number}.attn.qkv.bias"] = torch.cat([state[f"{part}/bias"].flatten() for part in parts])
    return {name: tensor.contiguous() for name, tensor in made.items()}
