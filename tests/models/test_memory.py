"""Which errors say that there was too little memory."""

import pytest
import torch

from models.memory import give_back, is_out_of_memory

CPU = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000 bytes. Error code 12"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError(CPU),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory"),
        MemoryError("Unable to allocate 3.64 TiB"),
    ],
)
def test_what_says_that_memory_is_short(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access was encountered"), ValueError("out of memory")]
)
def test_what_does_not(error):
    assert not is_out_of_memory(error)


def test_this_machines_allocator_says_so():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_a_cpu_has_nothing_to_give_back():
    give_back(torch.device("cpu"))
