"""Saved vision transformers under the names of timm: those of timm itself, of Hugging Face, of the authors' .npz."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from models.vit_npz import from_flax, is_flax

_OUTER = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
}
_INNER = {
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")
_QKV = re.compile(r"attention\.attention\.(query|key|value)")
_PARTS = ("query", "key", "value")
_WRAPPERS = ("vit.", "network.", "model.")


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the names of timm; query, key and value that lie apart are put together as its `qkv`.

    Tensors without a counterpart (poolers, classifiers, masks) keep their names.
    Raises ValueError: one of query, key and value of a layer is missing.
    """
    if is_flax(state):
        return from_flax(state)
    plain = {_unwrapped(name): tensor for name, tensor in state.items()}
    if not any(name.startswith("encoder.layer.") for name in plain):
        return plain
    made: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in plain.items():
        layer = _LAYER.fullmatch(name)
        if layer is None:
            stem, dot, kind = name.rpartition(".")
            made[_OUTER.get(name) or (f"{_OUTER[stem]}{dot}{kind}" if stem in _OUTER else name)] = tensor
            continue
        number, inner, kind = layer.groups()
        part = _QKV.fullmatch(inner)
        if part is not None:
            parts.setdefault(f"blocks.{number}.attn.qkv.{kind}", {})[part.group(1)] = tensor
        else:
            made[f"blocks.{number}.{_INNER[inner]}.{kind}" if inner in _INNER else name] = tensor
    for name, found in parts.items():
        if set(found) != set(_PARTS):
            raise ValueError(f"{name} needs query, key and value, found only {sorted(found)}. Fetch the file again.")
        made[name] = torch.cat([found[part] for part in _PARTS])
    return made


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name
