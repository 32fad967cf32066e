"""In which number format a network runs on which machine.

bfloat16 is chosen only where the machine computes it natively; elsewhere it is emulated and slower than
float32. The choice is made once, when a run is planned; `prepare` refuses what its machine cannot do.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

from models.names import lookup

Scaled = TypeVar("Scaled", bound=nn.Module)
"""A module that scales its inputs, and hands them to its `network`."""

PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# CPU instructions that multiply bfloat16 in hardware, as torch names them
CPU_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16")


def supports(device: str, precision: str) -> bool:
    """Return whether `device` ("cpu", "cuda", "cuda:1") computes `precision` natively.

    Raises ValueError: an unknown precision, a device that is neither CPU nor CUDA, or CUDA on a machine
    without it.
    """
    lookup(PRECISIONS, precision, "precision")
    kind = torch.device(device).type
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"Asked for the device {device!r}; networks run on 'cpu' or 'cuda'. Choose one.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"Asked for the device {device!r}, but torch finds no CUDA here. Use device='cpu'.")
    if precision == "fp32":
        return True
    if kind == "cpu":
        return precision == "bf16" and _cpu_has_bf16()
    return precision == "fp16" or torch.cuda.get_device_capability(device)[0] >= 8


def choose(device: str, precision: str = "auto", *, training: bool = False) -> str:
    """Resolve a precision for a device: "auto" becomes "bf16" where that is native, else "fp32".

    training: "auto" becomes "fp16" on CUDA machines without bf16 (the trainer then scales the loss).
    Raises ValueError: the machine cannot comply with a precision that was asked for by name.
    """
    if precision == "auto":
        wanted = ("bf16", "fp16") if training else ("bf16",)
        return next((name for name in wanted if supports(device, name)), "fp32")
    if not supports(device, precision):
        raise ValueError(
            f"Asked for {precision} on {device}, which does not compute it natively. "
            "Use precision='auto' or 'fp32', or run on a machine that has it."
        )
    return precision


def prepare(network: Scaled, precision: str, device: str) -> Scaled:
    """Return a copy of `network` for inference: on `device`, channels last, eval mode, without gradients.

    precision: "fp32", "bf16", "fp16" or "auto". The scaling of the inputs stays float32 in each of them.
    Raises ValueError: the machine cannot comply.
    """
    dtype = PRECISIONS[choose(device, precision)]
    prepared = copy.deepcopy(network).to(device).eval().requires_grad_(False)
    prepared.network.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return prepared


def _cpu_has_bf16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return any(capabilities().get(flag, False) for flag in CPU_BF16_FLAGS)
    return bool(torch.cpu._is_avx512_bf16_supported())  # torch before get_capabilities
