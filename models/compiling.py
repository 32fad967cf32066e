"""torch.compile as an option that cannot stop a run: it is tried on one pass, and left out where it fails."""

import warnings
from collections.abc import Callable

import torch
from torch import nn


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
