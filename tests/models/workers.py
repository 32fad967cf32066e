"""Worker processes for `torch.distributed`: forked from one that imported once what each would import for seconds."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as processes

PRELOADED = ["torch.distributed", "models.train", "models.fit_temperature"]


def run_workers(function: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """Call ``function(rank, *arguments)`` in some processes, and raise what they raise.

    Args:
        function: of an importable module.
        arguments: of every rank alike.
        count: of processes.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    processes.start_processes(function, arguments, nprocs=count, start_method="forkserver")
