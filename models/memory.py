"""Running out of memory: how torch says so, and how to get back what it keeps."""

import torch

SAID = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
"""What errors of torch say that are no `OutOfMemoryError`: of the CPU's allocator, of Windows, of CUDA and of the
libraries below it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there was too little memory, of a device or of the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)


def give_back(device: torch.device) -> None:
    """Give the device's memory that torch keeps for later back to it. On a CPU nothing is kept."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
