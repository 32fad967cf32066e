"""Low-rank adaptation of the query, key and value projections of a vision transformer.

    y_k = W_k x + b_k + (alpha / r) B_k A_k dropout(x)        k = query, key, value

(Hu et al. 2021, https://arxiv.org/abs/2106.09685). timm keeps the three projections in one matrix, `attn.qkv`; each has
a pair of its own here. B begins as zeros, so that an adapted network first answers as its base does, to the last bit.
"""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.lora_spec import LoraSpec

PARTS = 3
"""Query, key, value."""
NAMES = ("lora_a", "lora_b")


class SplitQKVLoRA(nn.Module):
    """A frozen projection (..., d) -> (..., 3 d) with a trainable pair of matrices for each third of its output."""

    def __init__(self, base: nn.Linear, spec: LoraSpec) -> None:
        """Put adapters beside `base`, A drawn from torch's global generator, B zero.

        Raises ValueError: the outputs of `base` are not three equal parts.
        """
        super().__init__()
        if base.out_features % PARTS:
            raise ValueError(
                f"A projection to {base.out_features} outputs is not query, key and value of one size. "
                "Adapt the attn.qkv of a vision transformer of timm."
            )
        inner = base.out_features // PARTS
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.empty(PARTS, spec.rank, base.in_features))
        self.lora_b = nn.Parameter(torch.zeros(PARTS, inner, spec.rank))
        # uniform within 1 / sqrt(d), as torch draws the weights of a linear layer
        nn.init.uniform_(self.lora_a, -(base.in_features**-0.5), base.in_features**-0.5)
        self.dropout = nn.Dropout(spec.dropout)
        self.scale = spec.alpha / spec.rank

    def forward(self, x: Tensor) -> Tensor:
        """Return query, key and value side by side: (..., d) to (..., 3 d)."""
        parts, rank, _ = self.lora_a.shape
        low = F.linear(self.dropout(x), self.lora_a.flatten(0, 1)).reshape(*x.shape[:-1], parts, rank)
        added = torch.einsum("...kr,kdr->...kd", low, self.lora_b).flatten(-2)
        answer: Tensor = self.base(x)
        return answer + self.scale * added

    def merged(self) -> nn.Linear:
        """Return one projection that answers as base and adapter together do, up to rounding; the base stays."""
        made = copy.deepcopy(self.base)
        with torch.no_grad():
            added = torch.einsum("kdr,kri->kdi", self.lora_b.float(), self.lora_a.float()).flatten(0, 1)
            made.weight.copy_(made.weight.float() + self.scale * added)
        return made


def add_lora(network: nn.Module, spec: LoraSpec, seed: int) -> int:
    """Freeze `network` and put adapters beside every `attn.qkv` of it, in place; return how many.

    seed: of the matrices A; torch's global generator is left as it was.
    Raises ValueError: there is no such projection, or it is adapted already.
    """
    if any(isinstance(module, SplitQKVLoRA) for module in network.modules()):
        raise ValueError("This network has adapters already. Merge them (merge_lora), or begin from its base.")
    found = [m for name, m in network.named_modules() if name.endswith("attn") and isinstance(_qkv(m), nn.Linear)]
    if not found:
        raise ValueError(
            f"{type(network).__name__} has no attn.qkv to adapt. Choose a vision transformer of timm (vit_...), "
            "or leave `lora` out to train all weights."
        )
    network.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for attention in found:
            attention.qkv = SplitQKVLoRA(attention.qkv, spec)
    return len(found)


def merge_lora(network: nn.Module) -> int:
    """Replace every adapted projection by one that holds base and adapter together, in place; return how many."""
    adapted = [m for m in network.modules() if isinstance(_qkv(m), SplitQKVLoRA)]
    for attention in adapted:
        attention.qkv = attention.qkv.merged()  # type: ignore[operator,union-attr]
    return len(adapted)


def lora_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the adapters alone, by name."""
    return {name: value for name, value in network.state_dict().items() if name.endswith(NAMES)}


def base_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the network beneath its adapters, under the names that it has without them."""
    return {
        name.replace("attn.qkv.base.", "attn.qkv."): value
        for name, value in network.state_dict().items()
        if not name.endswith(NAMES)
    }


def load_lora(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the adapters of `network` their tensors, in place.

    Raises ValueError: tensors are missing, superfluous, of another shape or type, or not finite.
    """
    own = lora_state(network)
    absent, strange = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if absent or strange:
        raise ValueError(
            f"The adapter does not fit the network: {len(absent)} tensors are missing {absent[:2]}, {len(strange)} "
            f"have no place in it {strange[:2]}. Take the adapter that was trained with this network."
        )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise ValueError(
                f"The adapter holds {name} as {tensor.dtype} {tuple(tensor.shape)}, the network needs "
                f"{own[name].dtype} {tuple(own[name].shape)}. Take the adapter that was trained with this network."
            )
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"The adapter holds NaN or infinity in {name}. Train it again.")
    network.load_state_dict(dict(state), strict=False)


def _qkv(module: nn.Module) -> nn.Module | None:
    found = getattr(module, "qkv", None)
    return found if isinstance(found, nn.Module) else None
