"""Processes of a test: forked from one that imported once what each would import for seconds."""

import multiprocessing
from multiprocessing.context import ForkServerContext


def forking() -> ForkServerContext:
    """Return the context whose processes begin with networks and stores imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.train", "models.fit_temperature", "tiler.stores"])
    return context
