"""Compilers: torch.compile for training, as an option that cannot stop it; for inference as one that all workers share,
torch.compile or OpenVINO."""

import warnings
from collections.abc import Callable

import torch
from torch import nn

from models.names import lookup
from models.networks import SegmentationNetwork
from models.openvino_network import OpenVinoNetwork

MODES: dict[str, str | None] = {
    "none": None,
    "default": "default",
    "reduce-overhead": "reduce-overhead",
    "max-autotune": "max-autotune",
}
"""What inference may ask of torch.compile, to its mode; the last two record CUDA graphs."""
OPENVINO = "openvino"


def compiled(network: nn.Module, trial: Callable[[nn.Module], object]) -> nn.Module:
    """Return `network` compiled; where compiling or `trial` (which calls what it is given) fails, `network` itself.

    The parameters stay those of `network`. A warning says what failed.
    """
    try:
        made: nn.Module = torch.compile(network)  # type: ignore[assignment]
        trial(made)
    except Exception as error:  # compilers, linkers and drivers each raise their own kinds
        reason = str(error).strip().splitlines() or [""]
        warnings.warn(
            f"compile was asked for, but torch.compile failed here: {type(error).__name__}: {reason[0]}. Training "
            "goes on without it, to the same result but slower. Install a C++ compiler (CPU) or Triton (CUDA), or "
            "set compile to false.",
            RuntimeWarning,
            stacklevel=2,
        )
        return network
    return made


def compiled_for_inference(network: SegmentationNetwork, mode: str) -> SegmentationNetwork:
    """Let a compiler take the place of the network inside (not of its scaling).

    Compiling happens at the first pass and may take minutes. Where it fails, that pass fails: a worker that went on
    without it would give other low bits than the others.

    mode: a key of `MODES`, or `OPENVINO`; "none" leaves the network as it is.
    Raises ValueError: an unknown mode, or OpenVINO without its package or for a network on a GPU.
    """
    if mode == OPENVINO:
        network.network = OpenVinoNetwork(network.network)
        return network
    wanted = lookup(MODES, mode, "mode of torch.compile")
    if wanted is not None:
        network.network = torch.compile(network.network, mode=wanted, dynamic=False)  # type: ignore[assignment]
    return network
